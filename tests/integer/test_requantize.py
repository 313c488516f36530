"""QUANTIZE and DEQUANTIZE of the twin against TFLite Micro."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_operator import Spec, Step, build, differing, twin_of

from tinyfuse.core.errors import ModelError

TYPES = st.sampled_from([np.int8, np.int16])
SCALES = st.floats(1e-4, 3.0)
ZEROS = st.integers(-128, 127)


def model(name, source, target, scales, zeros, count):
    quantisation = [([], []) if dtype == np.float32 else ([scale], [zero])
                    for dtype, scale, zero in zip((source, target), scales, zeros, strict=True)]
    return build([Spec((1, count), source, *quantisation[0], name="x"), Spec((1, count), target, *quantisation[1])],
                 [Step(name, [0], [1])], [0], [1])


def codes(dtype):
    return np.arange(np.iinfo(dtype).min, np.iinfo(dtype).max + 1).astype(dtype)[None]


def slope(data, values):
    twin = twin_of(data)
    return twin.gradient({"x": values}, lambda out, rows: np.ones(out.shape, np.float32), ["x"])[1]["x"][0]


@settings(max_examples=60, deadline=None)
@given(TYPES, st.sampled_from([np.int8, np.int16, np.int32]), st.tuples(SCALES, SCALES), st.tuples(ZEROS, ZEROS))
def test_integers_equal_those_of_tflm(source, target, scales, zeros):
    values = codes(source)
    assert differing(model("QUANTIZE", source, target, scales, zeros, values.size), [values]) == 0


@settings(max_examples=40, deadline=None)
@given(TYPES, SCALES, ZEROS)
def test_real_numbers_equal_those_of_tflm(source, scale, zero):
    values = codes(source)
    assert differing(model("DEQUANTIZE", source, np.float32, (scale, 1), (zero, 0), values.size), [values]) == 0


@settings(max_examples=40, deadline=None)
@given(TYPES, st.one_of(SCALES, st.sampled_from([0.25, 1.0, 2.0])), ZEROS, st.integers(0, 2**32 - 1))
def test_codes_of_real_numbers_equal_those_of_tflm(target, scale, zero, seed):
    """Half-way points, their float32 neighbours, and numbers far outside among them."""
    rng = np.random.default_rng(seed)
    halves = ((rng.integers(-300, 300, 100) + 0.5) * scale).astype(np.float32)
    values = np.concatenate([halves, np.nextafter(halves, np.float32(0)), np.nextafter(halves, np.float32(1e9)),
                             rng.normal(0, 1e4 * scale, 100).astype(np.float32),
                             np.array([0, -0.0, 1e9 * scale, -1e9 * scale, 0.49999997], np.float32)])[None]
    assert differing(model("QUANTIZE", np.float32, target, (1, scale), (0, zero), values.size), [values]) == 0


def test_numbers_that_c_cannot_convert_saturate():
    twin = twin_of(model("QUANTIZE", np.float32, np.int8, (1, 0.5), (0, 3), 5))
    found = twin.run({"x": np.array([[3e38, -3e38, np.inf, -np.inf, np.nan]], np.float32)})
    assert found.tolist() == [[127, -128, 127, -128, 3]]


def test_slopes():
    """The ratio of the scales where the result is within the code range, 0 where it saturates."""
    found = slope(model("QUANTIZE", np.int8, np.int8, (0.2, 0.1), (5, -7), 256), codes(np.int8))
    unclamped = 2 * (np.arange(-128, 128) - 5) - 7
    assert np.allclose(found, np.where((unclamped >= -128) & (unclamped <= 127), 2.0, 0.0))
    assert np.allclose(slope(model("DEQUANTIZE", np.int8, np.float32, (0.2, 1), (5, 0), 256), codes(np.int8)), 0.2)
    values = np.array([[-100, -63.9, 0.3, 63.4, 64.2]], np.float32)
    assert np.allclose(slope(model("QUANTIZE", np.float32, np.int8, (1, 0.5), (0, 0), 5), values), [0, 2, 2, 2, 0])


@pytest.mark.parametrize("data, message", [
    (lambda: model("QUANTIZE", np.float32, np.int32, (1, 0.1), (0, 0), 4), "float32 -> int32 is not supported"),
    (lambda: model("QUANTIZE", np.int8, np.int32, (1e9, 1e-9), (0, 0), 4), "overflows 32 bits"),
    (lambda: model("DEQUANTIZE", np.int8, np.int8, (1, 0.1), (0, 0), 4), "int8 -> int8 is not supported")])
def test_what_cannot_be_exact_is_refused(data, message):
    with pytest.raises(ModelError, match=message):
        twin_of(data())
