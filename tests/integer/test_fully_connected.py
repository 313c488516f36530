"""FULLY_CONNECTED of the twin against TFLite Micro, its gradient, and what it refuses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_operator import Spec, Step, build, differing, twin_of

from tinyfuse.core.errors import ModelError


def model(shape, weights, *, dtype=np.int8, scales=(0.01,), scale_out=0.3, zeros=(0, 0), weight_zero=0, bias=None,
          bias_type=np.int32, bias_scales=None, activation=0, out=None, axis=0, keep=False):
    outputs, scales = len(weights), np.asarray(scales)
    out = out or (*shape[:-1], outputs) if keep else out or (1, outputs)
    specs = [Spec(shape, dtype, [0.02], [zeros[0]], name="x"),
             Spec(weights.shape, np.int8, scales, [weight_zero] * len(scales), axis=axis, data=weights, name="w"),
             Spec(out, dtype, [scale_out], [zeros[1]], name="y")]
    given_ = [0, 1, -1]
    if bias is not None:
        bias_scales = scales * 0.02 if bias_scales is None else bias_scales
        specs.append(Spec((len(bias),), bias_type, bias_scales, [0] * len(bias_scales), data=bias, name="b"))
        given_ = [0, 1, 3]
    values = {"keepNumDims": keep, "fusedActivationFunction": activation}
    return build(specs, [Step("FULLY_CONNECTED", given_, [2], "FullyConnectedOptions", values, version=4)],
                 [0], [2])


def codes_of(rng, dtype, shape):
    info = np.iinfo(dtype)
    codes = rng.integers(info.min, info.max + 1, (4, *shape[1:])).astype(dtype)
    codes[0], codes[1], codes[2, ::2] = info.min, info.max, info.min
    return codes


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([np.int8, np.int16]), st.booleans())
def test_codes_equal_those_of_tflm(seed, dtype, keep):
    """Every mixture of a bias (none, int32, int64), one scale or many, and a weight zero point."""
    rng = np.random.default_rng(seed)
    shape = (1, *(int(n) for n in rng.integers(1, 9, rng.integers(1, 4))))
    depth, outputs = shape[-1] if keep else int(np.prod(shape)), int(rng.integers(2, 9))
    single = rng.random() < 0.5
    scales = 10.0 ** rng.uniform(-3, 0, 1 if single else outputs)
    wide = dtype == np.int16
    scale_out = 10.0 ** rng.uniform(-3, 1)
    bias = None if rng.random() < 0.3 else rng.integers(-90_000, 90_000, outputs)
    found = model(shape, rng.integers(-128, 128, (outputs, depth)), dtype=dtype, scales=scales, scale_out=scale_out,
                  zeros=(0, 0) if wide else rng.integers(-128, 128, 2), bias=bias, keep=keep,
                  bias_type=np.int64 if wide and rng.random() < 0.5 else np.int32,
                  weight_zero=int(rng.integers(-5, 6)) if single else 0, activation=int(rng.integers(0, 4)))
    assert differing(found, [codes_of(rng, dtype, shape)]) == 0


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_sums_beyond_24_bits_are_exact(dtype):
    """Large partial sums that nearly cancel, at one output code for each unit: float32 would lose the lowest bits."""
    rng = np.random.default_rng(0)
    half = rng.integers(100, 128, (4, 20_000))
    weights = np.concatenate([half, -half], axis=1)
    found = model((1, 40_000), weights, dtype=dtype, scales=[1.0], scale_out=0.02)
    codes = np.full((3, 40_000), np.iinfo(dtype).max, dtype)
    codes[1, rng.integers(0, 40_000, 3)] -= 1
    codes[2, -3:] -= 1
    assert differing(found, [codes]) == 0


@pytest.mark.parametrize("dtype, weight_scale, scale_out", [(np.int8, 0.8068608, 6.1246204),
                                                            (np.int16, 0.029816542, 0.08046057)])
def test_scales_are_multiplied_in_double(dtype, weight_scale, scale_out):
    """60,000 accumulators, one for each bias; two of them tell a product that was rounded to float32 first."""
    bias = np.arange(-30_000, 30_000)
    found = model((1, 1), np.zeros((60_000, 1)), dtype=dtype, scales=[weight_scale], scale_out=scale_out, bias=bias)
    assert differing(found, [np.zeros((1, 1), dtype)]) == 0


@pytest.mark.parametrize("scales", [[0.01], [0.01, 0.02, 0.005]])
@pytest.mark.parametrize("weight_zero", [0, 3])
def test_gradient_is_the_matrix_in_code_units(scales, weight_zero):
    rng = np.random.default_rng(2)
    weights, zero = rng.integers(-128, 128, (3, 8)), weight_zero if len(scales) == 1 else 0
    twin = twin_of(model((1, 2, 4), weights, scales=scales, scale_out=9.0, weight_zero=zero))
    codes, slope = rng.integers(-128, 128, (2, 2, 4)).astype(np.int8), np.array([1.0, -2.0, 0.5], np.float32)
    _, found = twin.gradient({"x": codes}, lambda out, rows: np.broadcast_to(slope, out.shape), ["x"])
    expected = slope @ ((weights - zero) * np.reshape(scales, (-1, 1)) * 0.02 / 9.0)
    assert np.allclose(found["x"].reshape(2, 8), expected, rtol=1e-4)


def test_an_active_clamp_has_gradient_0():
    twin = twin_of(model((1, 1), np.array([[100], [-100]]), scales=[0.5], scale_out=0.05))
    out, found = twin.gradient({"x": np.array([[5], [7]], np.int8)}, lambda out, rows: np.array([[1.0, 0.0]] * 2),
                               ["x"])
    assert out.tolist() == [[100, -100], [127, -128]]
    assert np.allclose(found["x"], [[20.0], [0.0]])


WEIGHTS = np.ones((3, 8))


@pytest.mark.parametrize("message, change", [
    ("must be int32 ", {"bias": np.zeros(3), "bias_type": np.int64}),
    ("must be int32", {"bias": np.zeros(4)}),
    ("needs input scale times weight scale", {"bias": np.zeros(3), "bias_scales": [0.1]}),
    ("needs input scale times weight scale", {"bias": np.zeros(3), "bias_scales": [float("nan")]}),
    ("needs zero point 0", {"scales": np.ones(3), "weight_zero": 1}),
    ("scales along axis 1", {"weights": np.ones((8, 8)), "scales": np.ones(8), "axis": 1}),
    ("does not give", {"weights": np.ones((3, 5))}),
    ("does not give", {"out": (1, 4)}),
    ("cannot be taken for a batch", {"shape": (1, 2, 8), "out": (2, 3)}),
    ("zero point 0 for int16", {"dtype": np.int16, "zeros": (0, 3)}),
    ("fused activation SIGN_BIT", {"activation": 5})])
def test_what_tflm_does_not_compute_is_refused_when_built(message, change):
    with pytest.raises(ModelError, match=message):
        twin_of(model(**{"shape": (1, 8), "weights": WEIGHTS} | change))
