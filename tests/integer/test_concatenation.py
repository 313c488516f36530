"""CONCATENATION of the twin against TFLite Micro."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_operator import Spec, Step, build, differing, twin_of

from tinyfuse.core.errors import ModelError


def model(shapes, target, axis, dtype=np.int8, constants=(), order=None, scales=None, zero=0, activation=0):
    """Parts of these shapes; those at the places ``constants`` are constant, the others inputs ``x0``, ``x1``, ..."""
    scales = scales or [0.1] * (len(shapes) + 1)
    rng, info = np.random.default_rng(0), np.iinfo(dtype)
    specs = [Spec(shape, dtype, [scale], [zero], name=f"x{number}",
                  data=rng.integers(info.min, info.max + 1, shape) if number in constants else None)
             for number, (shape, scale) in enumerate(zip(shapes, scales, strict=False))]
    step = Step("CONCATENATION", order or range(len(shapes)), [len(shapes)], "ConcatenationOptions",
                {"axis": axis, "fusedActivationFunction": activation})
    return build([*specs, Spec(target, dtype, [scales[-1]], [zero])], [step],
                 [number for number in range(len(shapes)) if number not in constants], [len(shapes)])


@settings(max_examples=50, deadline=None)
@given(st.sampled_from([np.int8, np.int16]), st.integers(0, 2**32 - 1))
def test_codes_equal_those_of_tflm(dtype, seed):
    rng, info = np.random.default_rng(seed), np.iinfo(dtype)
    rest = rng.integers(1, 5, rng.integers(1, 5)).tolist()
    axis, count = int(rng.integers(1, len(rest) + 1)), int(rng.integers(1, 5))
    shapes = [(1, *rest[:axis - 1], int(size), *rest[axis:]) for size in rng.integers(1, 5, count)]
    constants = set(rng.integers(0, count, 1).tolist()) if count > 1 and rng.random() < 0.4 else set()
    order = rng.permutation(np.repeat(np.arange(count), rng.integers(1, 3, count))).tolist()
    target = (1, *rest[:axis - 1], sum(shapes[number][axis] for number in order), *rest[axis:])
    zero = int(rng.integers(-128, 128)) if dtype == np.int8 else 0
    data = model(shapes, target, axis - len(target) if rng.random() < 0.3 else axis, dtype, constants, order, zero=zero)
    inputs = [rng.integers(info.min, info.max + 1, (3, *shape[1:])).astype(dtype)
              for number, shape in enumerate(shapes) if number not in constants]
    assert differing(data, inputs) == 0


def test_each_input_gets_its_own_gradient_and_a_doubled_one_both():
    """[x0, constant, x1, x0] along the last axis."""
    data = model([(1, 2, 1), (1, 2, 2), (1, 2, 3)], (1, 2, 7), 2, constants={2}, order=[0, 2, 1, 0])
    twin = twin_of(data)
    codes = {"x0": np.zeros((1, 2, 1), np.int8), "x1": np.zeros((1, 2, 2), np.int8)}
    weight = np.arange(14, dtype=np.float32).reshape(1, 2, 7)
    _, found = twin.gradient(codes, lambda out, rows: weight, ["x0", "x1"])
    assert found["x0"].tolist() == [[[0 + 6], [7 + 13]]] and found["x1"].tolist() == [[[4, 5], [11, 12]]]


PAIR = [(1, 2), (1, 3)]


@pytest.mark.parametrize("data, message", [
    (lambda: model(PAIR, (1, 5), 0), "not that of the batch"),
    (lambda: model(PAIR, (1, 5), 2), "allowed are axes 1 to 1"),
    (lambda: model(PAIR, (1, 6), 1), r"computes \[1, 5\]"),
    (lambda: model([(1, 2, 2), (1, 3, 2)], (1, 2, 4), 2), "the other axes must be equal"),
    (lambda: model(PAIR, (1, 5), 1, scales=[0.1, 0.2, 0.1]), "one scale and zero point for all"),
    (lambda: model(PAIR, (1, 5), 1, np.int16, zero=4), "zero point 0 for int16, not 4"),
    (lambda: model(PAIR, (1, 5), 1, activation=1), "fused activation"),
    (lambda: model(PAIR, (1, 22), 1, order=[0] * 11), "takes 1 to 10"),
    (lambda: model(PAIR, (1, 5), 1, constants={0, 1}), "computed|0 inputs")])
def test_what_tflm_refuses_is_refused(data, message):
    with pytest.raises(ModelError, match=message):
        twin_of(data())
