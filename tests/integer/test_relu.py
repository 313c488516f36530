"""RELU, RELU6 and LEAKY_RELU of the twin against TFLite Micro, for every input code."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_operator import Spec, Step, build, differing, twin_of

from tinyfuse.core.errors import ModelError

TYPES = st.sampled_from([np.int8, np.int16])
SCALES = st.floats(1e-4, 3.0)
ZEROS = st.integers(-128, 127)


def model(name, dtype, scales, zeros, alpha=None):
    count = 256 if dtype == np.int8 else 65536
    options = ("LeakyReluOptions", {"alpha": alpha}) if name == "LEAKY_RELU" else ("", {})
    return build([Spec((1, count), dtype, [scales[0]], [zeros[0]], name="x"),
                  Spec((1, count), dtype, [scales[1]], [zeros[1]])], [Step(name, [0], [1], *options)], [0], [1])


def codes(dtype):
    return np.arange(np.iinfo(dtype).min, np.iinfo(dtype).max + 1).astype(dtype)[None]


@settings(max_examples=40, deadline=None)
@given(TYPES, st.tuples(SCALES, SCALES), st.tuples(ZEROS, ZEROS))
def test_relu_equals_tflm(dtype, scales, zeros):
    zeros = zeros if dtype == np.int8 else (0, 0)
    assert differing(model("RELU", dtype, scales, zeros), [codes(dtype)]) == 0


@settings(max_examples=40, deadline=None)
@given(TYPES, st.tuples(SCALES, SCALES), st.tuples(ZEROS, ZEROS))
def test_relu6_equals_tflm(dtype, scales, zeros):
    assert differing(model("RELU6", dtype, scales, zeros), [codes(dtype)]) == 0


@settings(max_examples=40, deadline=None)
@given(TYPES, st.tuples(SCALES, SCALES), st.tuples(ZEROS, ZEROS), st.floats(0.001, 1.0))
def test_leaky_relu_equals_tflm(dtype, scales, zeros, alpha):
    assert differing(model("LEAKY_RELU", dtype, scales, zeros, alpha), [codes(dtype)]) == 0


@pytest.mark.parametrize("name, expected", [
    ("RELU", lambda x: np.where((x >= 0) & (x <= 127 * 0.05), 2.0, 0.0)),
    ("LEAKY_RELU", lambda x: np.where(x > 127 * 0.05, 0.0, np.where(x >= 0, 2.0, 0.5)))])
def test_slope_is_that_of_the_real_function_and_0_where_clamped(name, expected):
    """Input scale 0.1, output scale 0.05: the upper half of the positive codes saturates."""
    twin = twin_of(model(name, np.int8, (0.1, 0.05), (0, 0), 0.25))
    _, found = twin.gradient({"x": codes(np.int8)}, lambda out, rows: np.ones(out.shape, np.float32), ["x"])
    assert np.allclose(found["x"][0], expected(np.arange(-128, 128) * 0.1), atol=1e-5)


def test_relu6_has_slope_1_between_its_clamps():
    twin = twin_of(model("RELU6", np.int8, (0.1, 0.1), (-20, -20)))
    _, found = twin.gradient({"x": codes(np.int8)}, lambda out, rows: np.ones(out.shape, np.float32), ["x"])
    assert np.array_equal(found["x"][0], (np.arange(-128, 128) >= -20) & (np.arange(-128, 128) <= 40))


@pytest.mark.parametrize("data, message", [
    (lambda: model("RELU", np.int16, (0.1, 0.1), (3, 0)), "zero point 0 for int16, not 3"),
    (lambda: model("LEAKY_RELU", np.int8, (0.1, 0.1), (0, 0), -0.1), "rescaling by -0.1"),
    (lambda: model("RELU", np.int8, (1e9, 1e-10), (0, 0)), "overflows 32 bits")])
def test_what_cannot_be_exact_is_refused(data, message):
    with pytest.raises(ModelError, match=message):
        twin_of(data())
