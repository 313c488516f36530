"""The template of an operator is a working operator: registered here, it computes what TFLite Micro computes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_operator import Spec, Step, build, differing, twin_of

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.operators import OPERATORS
from tinyfuse.integer.operators.TEMPLATE import Absolute

CODES = np.arange(-128, 128, dtype=np.int8).reshape(1, 256)


@pytest.fixture(autouse=True, scope="module")
def registered():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(OPERATORS, "ABS", Absolute)
        yield


def absolute(scale_in, zero_in, scale_out, zero_out, *, out=(1, 256)):
    specs = [Spec((1, 256), np.int8, [scale_in], [zero_in], name="x"), Spec(out, np.int8, [scale_out], [zero_out])]
    return build(specs, [Step("ABS", [0], [1], "AbsOptions")], [0], [1])


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_every_code_equals_that_of_tflm(seed):
    rng = np.random.default_rng(seed)
    scales = 10.0 ** rng.uniform(-4, 1, 2) if rng.random() < 0.8 else [0.05, 0.05]
    assert differing(absolute(scales[0], rng.integers(-128, 128), scales[1], rng.integers(-128, 128)), [CODES]) == 0


def test_gradient_is_the_sign_where_the_clamp_does_nothing():
    twin = twin_of(absolute(0.1, 3, 0.05, -128))
    out, found = twin.gradient({"x": CODES}, lambda codes, rows: np.ones(codes.shape, np.float32), ["x"])
    expected = np.where(out < 127, 2.0 * np.sign(CODES.astype(int) - 3), 0)
    assert np.allclose(found["x"], expected) and (out == 127).any()


def test_other_shapes_are_refused():
    with pytest.raises(ModelError, match="ABS computes"):
        twin_of(absolute(0.1, 0, 0.1, 0, out=(1, 128, 2)))
