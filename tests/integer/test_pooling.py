"""AVERAGE_POOL_2D and MAX_POOL_2D of the twin against TFLite Micro, their gradients, and what they refuse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_operator import Spec, Step, build, differing, twin_of

from tinyfuse.core.errors import ModelError

NAMES = ("AVERAGE_POOL_2D", "MAX_POOL_2D")


def model(name, shape, kernel, stride, *, same=False, dtype=np.int8, scales=(0.1, 0.1), zeros=(0, 0), activation=0,
          out=None, dtype_out=None):
    sizes = zip(shape, kernel, stride, strict=False)
    out = out or [-(-(size if same else size - taps + 1) // step) for size, taps, step in sizes]
    values = {"filterHeight": kernel[0], "filterWidth": kernel[1], "strideH": stride[0], "strideW": stride[1],
              "padding": 0 if same else 1, "fusedActivationFunction": activation}
    specs = [Spec((1, *shape), dtype, [scales[0]], [zeros[0]], name="x"),
             Spec((1, *out, shape[2]), dtype_out or dtype, [scales[1]], [zeros[1]], name="y")]
    return build(specs, [Step(name, [0], [1], "Pool2DOptions", values, version=2)], [0], [1])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(NAMES), st.sampled_from([np.int8, np.int16]))
def test_codes_equal_those_of_tflm(seed, name, dtype):
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(1, 9, 3))
    kernel, stride = (tuple(int(n) for n in rng.integers(1, 5, 2)) for _ in range(2))
    same = rng.random() < 0.5 or any(k > n for k, n in zip(kernel, shape, strict=False))
    zero = int(rng.integers(-128, 128)) if dtype == np.int8 else 0
    scale = 10.0 ** rng.uniform(-3, 0)
    found = model(name, shape, kernel, stride, same=same, dtype=dtype, scales=(scale, scale), zeros=(zero, zero),
                  activation=int(rng.integers(0, 4)))
    info = np.iinfo(dtype)
    codes = rng.integers(info.min, info.max + 1, (4, *shape)).astype(dtype)
    codes[0], codes[1], codes[2, ::2] = info.min, info.max, info.min
    codes[3] //= 40  # small values: ties, and sums around zero where the rounding of halves shows
    assert differing(found, [codes]) == 0


@pytest.mark.parametrize("same", [False, True])
def test_average_shares_its_gradient_among_the_taps_inside(same):
    """Against the difference quotient of the mean, which is linear: padded corners have fewer taps."""
    twin = twin_of(model("AVERAGE_POOL_2D", (5, 4, 3), (3, 2), (2, 1), same=same))
    rng = np.random.default_rng(0)
    codes, step = rng.integers(-100, 100, (1, 5, 4, 3)).astype(np.int8), rng.normal(size=(5, 4, 3))
    out, found = twin.gradient({"x": codes}, lambda out, rows: np.ones(out.shape, np.float32), ["x"])
    node, expected = twin.steps[0].node, 0.0
    for y in range(out.shape[1]):
        for x in range(out.shape[2]):
            rows = slice(max(y * 2 - node.window.top, 0), y * 2 - node.window.top + 3)
            columns = slice(max(x - node.window.left, 0), x - node.window.left + 2)
            expected += step[rows, columns].mean(axis=(0, 1)).sum()
    assert np.isclose((found["x"][0] * step).sum(), expected, rtol=1e-5)


def test_maximum_gives_its_gradient_to_the_first_of_the_largest():
    twin = twin_of(model("MAX_POOL_2D", (2, 4, 1), (2, 2), (2, 2)))
    codes = np.array([[1, 7, -128, -128], [7, 2, -128, -128]], np.int8).reshape(1, 2, 4, 1)
    _, found = twin.gradient({"x": codes}, lambda out, rows: np.array([[[[3.0], [5.0]]]], np.float32), ["x"])
    assert found["x"].reshape(2, 4).tolist() == [[0, 3, 5, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize("name", NAMES)
def test_an_active_clamp_has_gradient_0(name):
    """RELU6 at scale 0.1 keeps the codes 0 to 60; the clamp's own ends are not outside."""
    twin = twin_of(model(name, (1, 5, 1), (1, 1), (1, 1), activation=3))
    codes = np.array([-1, 0, 30, 60, 61], np.int8).reshape(1, 1, 5, 1)
    _, found = twin.gradient({"x": codes}, lambda out, rows: np.ones(out.shape, np.float32), ["x"])
    assert found["x"].ravel().tolist() == [0, 1, 1, 1, 0]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("message, change", [
    ("cannot rescale", {"scales": (0.1, 0.2)}), ("cannot rescale", {"zeros": (0, 1)}),
    ("high and wide", {"out": [4, 4]}), ("fused activation TANH", {"activation": 4}),
    ("int8 -> int16 is not supported", {"dtype_out": np.int16})])
def test_what_tflm_does_not_compute_is_refused_when_built(name, message, change):
    with pytest.raises(ModelError, match=message):
        twin_of(model(name, (4, 4, 2), (2, 2), (2, 2), **change))
