"""ADD, SUB, MUL, MINIMUM and MAXIMUM of the twin against TFLite Micro, their gradients, and what they refuse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_operator import Spec, Step, build, differing, twin_of

from tinyfuse.core.errors import ModelError

NAMES = ("ADD", "SUB", "MUL", "MINIMUM", "MAXIMUM")
OPTIONS = {"ADD": "AddOptions", "SUB": "SubOptions", "MUL": "MulOptions"}


def model(name, a, b, *, dtype=np.int8, dtype_b=None, scales=(0.1, 0.1, 0.1), zeros=(0, 0, 0), activation=0,
          constants=(None, None), out=None):
    """``constants``: codes that make the first or the second operand a constant."""
    shapes = (a, b, out or np.broadcast_shapes(a, b))
    specs = [Spec(shape, kind, [scale], [zero], name=label, data=data) for shape, kind, scale, zero, label, data in zip(
        shapes, (dtype, dtype_b or dtype, dtype), scales, zeros, "xyz", (*constants, None), strict=True)]
    values = {"fusedActivationFunction": activation} if name in OPTIONS else {}
    step = Step(name, [0, 1], [2], OPTIONS.get(name, "MaximumMinimumOptions"), values, version=2)
    return build(specs, [step], [place for place in (0, 1) if constants[place] is None], [2])


def random_codes(rng, dtype, shape):
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max + 1, shape).astype(dtype)


def saturating_codes(rng, dtype, shape):
    codes = random_codes(rng, dtype, (4, *shape[1:]))
    codes[0], codes[1], codes.reshape(4, -1)[2, ::2] = np.iinfo(dtype).min, np.iinfo(dtype).max, np.iinfo(dtype).min
    return codes


def random_shapes(rng, constant):
    """A shape with up to six axes and one that broadcasts with it; a constant may lack any of the first axes."""
    whole = [1, *(int(n) for n in rng.integers(1, 6, rng.integers(1, 4 if rng.random() < 0.8 else 6)))]
    small = [1 if rng.random() < 0.4 else size for size in whole]
    whole = [1 if rng.random() < 0.15 else size for size in whole]
    drop = int(rng.integers(0, len(small) + 1)) if rng.random() < 0.5 else 0
    small = small[drop:]
    return tuple(whole), tuple(small if constant else [1, *small[1:]] if small else [1])


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(NAMES), st.sampled_from([np.int8, np.int16]))
def test_codes_equal_those_of_tflm(seed, name, dtype):
    rng = np.random.default_rng(seed)
    constant, swapped = rng.random() < 0.4, rng.random() < 0.5
    shapes = random_shapes(rng, constant)
    constants = (None, random_codes(rng, dtype, shapes[1]) if constant else None)
    if swapped:
        shapes, constants = shapes[::-1], constants[::-1]
    scales = 10.0 ** rng.uniform(-3, 0, 3)
    zeros = rng.integers(-128, 128, 3) if dtype == np.int8 else (0, 0, 0)
    found = model(name, *shapes, dtype=dtype, scales=scales, zeros=zeros, constants=constants,
                  activation=int(rng.integers(0, 4)))
    codes = [saturating_codes(rng, dtype, shape) for shape, data in zip(shapes, constants, strict=True) if data is None]
    if len(codes) == 2:
        codes[1][:2] = codes[1][1::-1]  # the extremes of one meet those of the other
    assert differing(found, codes) == 0


@pytest.mark.parametrize("name", NAMES)
def test_all_pairs_of_8_bit_codes_equal_those_of_tflm(name):
    a, b = (part.reshape(1, -1).astype(np.int8) for part in np.mgrid[-128:128, -128:128])
    found = model(name, a.shape, b.shape, scales=(0.031, 0.017, 0.0073), zeros=(-7, 12, -40))
    assert differing(found, [a, b]) == 0


@pytest.mark.parametrize("name", ["ADD", "SUB"])
def test_16_bit_zero_points_equal_those_of_tflm(name):
    rng = np.random.default_rng(5)
    found = model(name, (1, 500), (1, 500), dtype=np.int16, scales=(0.02, 0.03, 0.05), zeros=(32767, -32000, 900))
    assert differing(found, [saturating_codes(rng, np.int16, (1, 500)) for _ in range(2)]) == 0


REAL = {"ADD": np.add, "SUB": np.subtract, "MUL": np.multiply, "MINIMUM": np.minimum, "MAXIMUM": np.maximum}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.int8, np.int16])
@pytest.mark.parametrize("shapes", [((1, 3, 4), (1, 3, 4)), ((1, 3, 1), (1, 1, 4)), ((1, 2, 3, 4), (1, 4))])
def test_gradient_is_that_of_the_real_function(name, dtype, shapes):
    """Central differences of the dequantised function; the output scale is so large that nothing is clamped."""
    rng = np.random.default_rng(7)
    scales, zeros = (0.1, 0.07, 30.0), (5, -3, 0) if dtype == np.int8 else (0, 0, 0)
    if name in ("MINIMUM", "MAXIMUM"):  # these work on codes, whatever the scales
        scales, zeros = (0.1, 0.1, 0.1), (0, 0, 0)
    twin = twin_of(model(name, *shapes, dtype=dtype, scales=scales, zeros=zeros))
    codes = {label: rng.permutation(np.arange(-100, 100))[:int(np.prod(shape))].reshape(shape).astype(dtype)
             for label, shape in zip("xy", shapes, strict=True)}
    whole = np.broadcast_shapes(*shapes)
    slope = rng.normal(size=whole[1:]).astype(np.float32)
    _, found = twin.gradient(codes, lambda out, rows: np.broadcast_to(slope, out.shape), ["x", "y"])

    def loss(x, y):
        real = REAL[name]((x - zeros[0]) * scales[0], (y - zeros[1]) * scales[1])
        return (real / scales[2] * slope).sum()

    for label in "xy":
        for place in np.ndindex(*codes[label].shape):
            moved = {key: value.astype(np.float64) for key, value in codes.items()}
            moved[label][place] += 0.25
            above = loss(**moved)
            moved[label][place] -= 0.5
            assert np.isclose(found[label][place], (above - loss(**moved)) / 0.5, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", ["ADD", "SUB", "MUL"])
@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_an_active_clamp_has_gradient_0(name, dtype):
    """RELU6 at output scale 0.1 keeps the codes 0 to 60; both of its ends are still inside."""
    scales = (0.1, 1.0, 0.1) if name == "MUL" else (0.1, 0.1, 0.1)
    other = np.array([1 if name == "MUL" else 0], dtype)
    twin = twin_of(model(name, (1, 5), (1,), dtype=dtype, scales=scales, activation=3, constants=(None, other)))
    codes = np.array([[-1, 0, 30, 60, 61]], dtype)
    out, found = twin.gradient({"x": codes}, lambda out, rows: np.ones(out.shape, np.float32), ["x"])
    assert out.tolist() == [[0, 0, 30, 60, 60]]
    assert np.allclose(found["x"], [[0, 1, 1, 1, 0]])


@pytest.mark.parametrize("name", ["MINIMUM", "MAXIMUM"])
def test_of_equal_codes_the_first_has_the_gradient(name):
    twin = twin_of(model(name, (1, 3), (1, 3)))
    codes = np.array([[-128, 0, 127]], np.int8)
    _, found = twin.gradient({"x": codes, "y": codes}, lambda out, rows: np.ones(out.shape, np.float32), ["x", "y"])
    assert found["x"].tolist() == [[1, 1, 1]] and found["y"].tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("name, message, change", [
    ("ADD", "too small for ADD", {"scales": (50.0, 40.0, 1e-6)}),
    ("SUB", "too small for SUB", {"scales": (50.0, 40.0, 1e-6)}),
    ("MUL", "zero point 0 for int16", {"dtype": np.int16, "zeros": (0, 1, 0)}),
    ("ADD", "int8 or int16 throughout", {"dtype_b": np.int16}),
    ("MAXIMUM", "int8 or int16 throughout", {"dtype_b": np.int16}),
    ("MUL", "cannot be taken for a batch", {"a": (2, 4), "b": (1, 4)}),
    ("ADD", "cannot be taken for a batch", {"b": (3, 4), "constants": (None, np.zeros((3, 4)))}),
    ("ADD", "cannot give it", {"out": (1, 5)}),
    ("MINIMUM", "cannot give it", {"b": (1, 3), "out": (1, 4)}),
    ("ADD", "at most 6 axes", {"a": (1,) * 7, "b": (1,) * 7}),
    ("ADD", "fused activation TANH", {"activation": 4})])
def test_what_tflm_does_not_compute_is_refused_when_built(name, message, change):
    with pytest.raises(ModelError, match=message):
        twin_of(model(name, **{"a": (1, 4), "b": (1, 4)} | change))


def test_two_constants_are_refused():
    specs = [Spec((1, 4), name="x"), Spec((1, 4), data=np.ones((1, 4))), Spec((1, 4)), Spec((1, 4))]
    steps = [Step("ADD", [1, 1], [2], "AddOptions"), Step("ADD", [0, 2], [3], "AddOptions")]
    with pytest.raises(ModelError, match="at least one must be computed"):
        twin_of(build(specs, steps, [0], [3]))


def test_a_tensor_added_to_itself_has_both_gradients():
    specs = [Spec((1, 4), name="x"), Spec((1, 4))]
    twin = twin_of(build(specs, [Step("ADD", [0, 0], [1], "AddOptions")], [0], [1]))
    _, found = twin.gradient({"x": np.ones((1, 4), np.int8)}, lambda out, rows: np.ones(out.shape, np.float32), ["x"])
    assert found["x"].tolist() == [[2, 2, 2, 2]]
