"""MEAN of the twin against TFLite Micro, its gradient, and what it refuses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_operator import Spec, Step, build, differing, twin_of

from tinyfuse.core.errors import ModelError


def model(shape, axes, keep, *, dtype=np.int8, scales=(0.1, 0.1), zeros=(0, 0), out=None, dtype_out=None):
    reduced = {axis % len(shape) for axis in axes}
    out = out or [1 if axis in reduced else size for axis, size in enumerate(shape) if keep or axis not in reduced]
    specs = [Spec(shape, dtype, [scales[0]], [zeros[0]], name="x"),
             Spec((len(axes),), np.int32, [], [], data=np.array(axes)),
             Spec(out, dtype_out or dtype, [scales[1]], [zeros[1]], name="y")]
    return build(specs, [Step("MEAN", [0, 1], [2], "ReducerOptions", {"keepDims": keep}, version=2)], [0], [2])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([np.int8, np.int16]), st.booleans(), st.booleans())
def test_codes_equal_those_of_tflm(seed, dtype, keep, same):
    rng = np.random.default_rng(seed)
    rank = int(rng.integers(2, 6))
    shape = (1, *(int(n) for n in rng.integers(1, 8, rank - 1)))
    axes = [int(n) for n in rng.choice(np.arange(1, rank), rng.integers(1, rank), replace=False)]
    axes = [axis - rank if rng.random() < 0.3 else axis for axis in axes]
    scale = 10.0 ** rng.uniform(-3, 0)
    scales = (scale, scale if same else scale * 10.0 ** rng.uniform(-2, 2))
    low, high = (-128, 128) if dtype == np.int8 else (0, 1)
    zeros = [int(n) for n in rng.integers(low, high, 2)]
    found = model(shape, axes, keep, dtype=dtype, scales=scales, zeros=(zeros[0], zeros[0 if same else 1]))
    info = np.iinfo(dtype)
    codes = rng.integers(info.min, info.max + 1, (4, *shape[1:])).astype(dtype)
    codes[0], codes[1] = info.min, info.max
    codes[2] //= 40
    assert differing(found, [codes]) == 0


def test_the_division_within_the_multiplier_rounds_down():
    """With these scales over three taps many sums lie so near the middle of two codes that the last bit decides."""
    found = model((1, 3, 40_000), (1,), False, dtype=np.int16, scales=(0.0495, 0.0308))
    codes = np.broadcast_to(np.arange(-20_000, 20_000, dtype=np.int16), (1, 3, 40_000)).copy()
    codes[:, 2] += 1
    assert differing(found, [codes]) == 0


@pytest.mark.parametrize("axes", [(1, 2), (3,), (-3, -1)])
@pytest.mark.parametrize("keep", [False, True])
def test_gradient_is_that_of_the_mean(axes, keep):
    """The mean is linear, so one difference quotient of the real function is exact; it scales by 0.1 / 0.3."""
    twin = twin_of(model((1, 3, 4, 5), axes, keep, scales=(0.1, 0.3)))
    rng = np.random.default_rng(1)
    shape = twin.graph.tensors[twin.graph.outputs[0]].shape[1:]
    slope, step = rng.normal(size=shape).astype(np.float32), rng.normal(size=(1, 3, 4, 5))
    codes = rng.integers(-128, 128, (1, 3, 4, 5)).astype(np.int8)
    _, found = twin.gradient({"x": codes}, lambda out, rows: np.broadcast_to(slope, out.shape), ["x"])
    expected = (step.mean(axis=axes, keepdims=keep)[0] * slope).sum() * 0.1 / 0.3
    assert np.isclose((found["x"] * step).sum(), expected, rtol=1e-4)


def test_an_active_clamp_has_gradient_0():
    twin = twin_of(model((1, 2, 3), (1,), False, scales=(0.1, 0.05)))
    codes = np.array([[100, 10, -100], [100, 20, -100]], np.int8)[None]
    out, found = twin.gradient({"x": codes}, lambda out, rows: np.ones(out.shape, np.float32), ["x"])
    assert out.tolist() == [[127, 30, -128]]
    assert np.allclose(found["x"][0], [[0, 1, 0], [0, 1, 0]])


@pytest.mark.parametrize("message, change", [
    ("axis 0 is the batch", {"axes": (0, 1), "out": (1, 4, 5)}), ("axis 0 is the batch", {"axes": (7,)}),
    ("but MEAN computes", {"out": (1, 4, 4)}), ("at most 5", {"shape": (1, 2, 2, 2, 2, 2)}),
    ("int8 -> int16 is not supported", {"dtype_out": np.int16})])
def test_what_tflm_does_not_compute_is_refused_when_built(message, change):
    given_ = {"shape": (1, 3, 4, 5), "axes": (1,), "keep": False} | change
    with pytest.raises(ModelError, match=message):
        twin_of(model(**given_))
