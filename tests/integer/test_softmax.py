"""SOFTMAX of the twin against TFLite Micro."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_operator import Spec, Step, build, differing, twin_of

from tinyfuse.core.errors import ModelError

PAIRS = {"narrow": (np.int8, np.int8, 2.0**-8, -128), "widening": (np.int8, np.int16, 2.0**-16, -32768),
         "wide": (np.int16, np.int16, 2.0**-15, 0)}


def model(pair, scale, shape, beta=1.0, zero=0, output=None):
    source, target, scale_out, zero_out = PAIRS[pair]
    scale_out, zero_out = output or (scale_out, zero_out)
    return build([Spec(shape, source, [scale], [zero], name="x"), Spec(shape, target, [scale_out], [zero_out])],
                 [Step("SOFTMAX", [0], [1], "SoftmaxOptions", {"beta": beta})], [0], [1])


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(PAIRS)), st.floats(-5, 0.5), st.sampled_from([0.3, 1.0, 2.5]), st.integers(0, 2**32 - 1))
def test_codes_equal_those_of_tflm(pair, exponent, beta, seed):
    rng = np.random.default_rng(seed)
    wide = pair == "wide"
    depth = int(rng.choice([1, 2, 3, 10, 12, 100, 511 if pair == "narrow" else 2000]))
    shape = (1, *rng.integers(1, 3, rng.integers(0, 3)), depth)
    info = np.iinfo(PAIRS[pair][0])
    zero = 0 if wide else int(rng.integers(-128, 128))
    codes = rng.integers(info.min, info.max + 1, (6, *shape[1:])).astype(info.dtype)
    codes[0], codes[1], codes[2] = info.min, info.max, rng.integers(-4, 5, shape[1:])
    codes[3], codes[3, ..., 0] = info.min, info.max
    scale = 10.0**exponent / (64 if wide else 1)
    assert differing(model(pair, scale, shape, beta, zero), [codes]) == 0


@pytest.mark.parametrize("pair, scale", [("wide", 10 / 65535), ("wide", 2e-5), ("narrow", 0.05), ("narrow", 40.0),
                                         ("widening", 0.02)])
def test_every_difference_equals_that_of_tflm(pair, scale):
    """Rows of two: every exponential, and every reciprocal of a sum between 1 and 2."""
    info = np.iinfo(PAIRS[pair][0])
    rows = np.stack([np.full(info.max - info.min + 1, info.max), np.arange(info.min, info.max + 1)], -1)
    assert differing(model(pair, scale, (1, *rows.shape)), [rows.astype(info.dtype)[None]]) == 0


@pytest.mark.parametrize("pair, scale", [("narrow", 0.05), ("widening", 0.02), ("wide", 2e-4)])
def test_slope_is_that_of_the_real_function(pair, scale):
    rng = np.random.default_rng(0)
    source, _, scale_out, _ = PAIRS[pair]
    codes = rng.normal(0, 1 / scale, (4, 6)).astype(source)
    weight = rng.normal(size=(4, 6)).astype(np.float32)
    twin = twin_of(model(pair, scale, (1, 6), beta=1.5))
    _, found = twin.gradient({"x": codes}, lambda out, rows: weight[rows], ["x"])

    def loss(values):
        exps = np.exp(1.5 * scale * values)
        return (weight * exps / exps.sum(axis=1, keepdims=True)).sum(axis=1) / scale_out

    for place in range(6):
        step = np.zeros(6)
        step[place] = 1e-3
        slope = (loss(codes + step) - loss(codes - step)) / 2e-3
        assert np.allclose(found["x"][:, place], slope, rtol=2e-3, atol=1e-3 * np.abs(found["x"]).max())


def test_an_active_clamp_has_no_slope():
    """A probability that rounds to 1 is cut to 127 codes of 1/256; only the other outputs pass their gradient on."""
    twin = twin_of(model("narrow", 0.1, (1, 2)))
    codes = np.array([[64, 0]], np.int8)
    first, second = np.array([[1, 0]], np.float32), np.array([[0, 1]], np.float32)
    out, found = twin.gradient({"x": codes}, lambda out, rows: first, ["x"])
    assert out.tolist() == [[127, -128]] and not found["x"].any()
    assert twin.gradient({"x": codes}, lambda out, rows: second, ["x"])[1]["x"].all()


@pytest.mark.parametrize("data, message", [
    (lambda: model("narrow", 0.1, (1, 512)), "at most 511 fit its sum"),
    (lambda: model("narrow", 0.1, (1, 4), output=(1 / 255, -128)), "needs output scale 0.00390625"),
    (lambda: model("wide", 0.1, (1, 4), output=(2.0**-15, 1)), "zero point 0"),
    (lambda: model("narrow", 2.0**-27, (1, 4)), "cannot use scale"),
    (lambda: model("narrow", 0.1, (1, 4), beta=float("nan")), "cannot use scale"),
    (lambda: model("wide", 100.0, (1, 4)), "overflows 32 bits"),
    (lambda: model("narrow", 0.1, (1,)), "the first axis must not be the last")])
def test_what_tflm_cannot_compute_is_refused(data, message):
    with pytest.raises(ModelError, match=message):
        twin_of(data())
