"""LOGISTIC and TANH of the twin against TFLite Micro, for every input code."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from one_operator import Spec, Step, build, differing, twin_of

from tinyfuse.core.errors import ModelError

REAL = {"LOGISTIC": lambda x: 1 / (1 + np.exp(-x)), "TANH": np.tanh}
NAMES = st.sampled_from(sorted(REAL))
OUTPUT = {("LOGISTIC", np.int8): (2.0**-8, -128), ("TANH", np.int8): (2.0**-7, 0),
          ("LOGISTIC", np.int16): (2.0**-15, 0), ("TANH", np.int16): (2.0**-15, 0)}


def model(name, dtype, scale, zero=0, output=None):
    count = 256 if dtype == np.int8 else 65536
    scale_out, zero_out = output or OUTPUT[name, dtype]
    return build([Spec((1, count), dtype, [scale], [zero], name="x"),
                  Spec((1, count), dtype, [scale_out], [zero_out])], [Step(name, [0], [1])], [0], [1])


def codes(dtype):
    return np.arange(np.iinfo(dtype).min, np.iinfo(dtype).max + 1).astype(dtype)[None]


@settings(max_examples=60, deadline=None)
@given(NAMES, st.floats(-6, 1.5), st.integers(-128, 127))
def test_narrow_codes_equal_those_of_tflm(name, exponent, zero):
    assert differing(model(name, np.int8, 10.0**exponent, zero), [codes(np.int8)]) == 0


@settings(max_examples=60, deadline=None)
@given(NAMES, st.floats(-6, 0.5))
@example("LOGISTIC", np.log10(2.0**-12))
@example("TANH", np.log10(2.0**-12 * 1.0005))
@example("TANH", np.log10(2.0**-11 * 1.0005))
def test_wide_codes_equal_those_of_tflm(name, exponent):
    assert differing(model(name, np.int16, 10.0**exponent), [codes(np.int16)]) == 0


@pytest.mark.parametrize("name", sorted(REAL))
@pytest.mark.parametrize("dtype, scale", [(np.int8, 0.05), (np.int8, 0.002), (np.int16, 3e-4)])
def test_slope_is_that_of_the_real_function(name, dtype, scale):
    """Finite differences of the real function in units of codes; the clamped top code has none."""
    twin = twin_of(model(name, dtype, scale))
    out, found = twin.gradient({"x": codes(dtype)}, lambda out, rows: np.ones(out.shape, np.float32), ["x"])
    x, step, scale_out = codes(dtype)[0] * scale, 1e-4, OUTPUT[name, dtype][0]
    slope = (REAL[name](x + step) - REAL[name](x - step)) / (2 * step) * scale / scale_out
    zero_out = OUTPUT[name, dtype][1]
    clamped = (np.floor(REAL[name](x) / scale_out + 0.5) + zero_out > 127) & (dtype == np.int8)
    assert np.allclose(found["x"][0], np.where(clamped, 0, slope), atol=1e-4)
    assert (out[0][clamped] == 127).all() and clamped.any() == (dtype == np.int8 and scale == 0.05)


@pytest.mark.parametrize("data, message", [
    (lambda: model("LOGISTIC", np.int8, 0.1, 0, (2.0**-8, 3)), "output zero point -128, not 3"),
    (lambda: model("TANH", np.int16, 0.1, 0, (0.001, 0)), "output scale 1/32768"),
    (lambda: model("TANH", np.int16, 0.1, 5), "zero point 0 for int16, not 5"),
    (lambda: model("LOGISTIC", np.int16, 100.0), "cannot use the input scale 100"),
    (lambda: model("LOGISTIC", np.int8, 1e-12), "cannot use the input scale")])
def test_what_cannot_be_exact_is_refused(data, message):
    with pytest.raises(ModelError, match=message):
        twin_of(data())
