"""Intervals of every operator: what the twin computes inside a box stays inside, and a box of one point is exact."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import pytest
from one_operator import Spec, Step, build, twin_of
from operator_cases import ALL
from rare_cases import RARE
from side_by_side import Net

from tinyfuse.analyses.certificates.intervals import Intervals
from tinyfuse.analyses.certificates.lookups import table_rule
from tinyfuse.analyses.certificates.rules import Box, Site, rule_of
from tinyfuse.core.errors import ModelError
from tinyfuse.integer.twin import Twin

CASES, BOXES, POINTS = 4, 3, 5
UNBOUNDED = ("softmax", "log_softmax", "matmul", "lstm", "arg_max", "l2_normalization", "wide_prelu", "select",
             "division", "gather_nd", "reduce_all", "cast", "lookup", "real_numbers")
"""Cases all of whose networks have an operator that certificates refuse."""


def random_boxes(rng: np.random.Generator, twin: Twin) -> dict[str, Box]:
    """Boxes of every input: the whole range, then boxes of random widths, each coordinate its own."""
    found = {}
    for name, index in twin.inputs.items():
        tensor = twin.graph.tensors[index]
        limits = np.iinfo(tensor.dtype)
        ends = np.sort(rng.integers(limits.min, limits.max + 1, (2, BOXES, *tensor.shape[1:])), axis=0)
        ends[:, 0] = np.array([limits.min, limits.max]).reshape(2, *[1] * (ends.ndim - 2))
        ends[1, 1] = np.minimum(ends[0, 1] + rng.integers(0, 4, ends[1, 1].shape), limits.max)
        found[name] = ends[0].astype(tensor.dtype), ends[1].astype(tensor.dtype)
    return found


def inside(rng: np.random.Generator, box: Box, kind: int) -> np.ndarray:
    """A point of each box: both ends, a random corner, or uniform."""
    low, high = box
    if kind < 2:
        return box[kind]
    if kind == 2:
        return np.where(rng.random(low.shape) < 0.5, low, high)
    return rng.integers(low.astype(np.int64), high.astype(np.int64) + 1).astype(low.dtype)


def bounded(case: Callable[[Net], None], rng: np.random.Generator) -> Intervals | None:
    """The intervals of some cases of an operator, of one where some are refused; None if all are."""
    for count in (CASES, 1, 1, 1, 1):
        net = Net(rng)
        for _ in range(count):
            case(net)
        intervals = Intervals.__new__(Intervals)
        try:
            _everything(intervals, twin_of(net.data()))
        except ModelError as error:
            assert "bounds" in str(error)
        else:
            return intervals
    return None


def _everything(intervals: Intervals, twin: Twin) -> None:
    """Cases lie side by side: bound all of them, not the last output alone."""
    intervals.twin, intervals.graph, intervals.wanted = twin, twin.graph, twin.graph.outputs[0]
    intervals.sites = {step.output: Site(step.node, operator, twin.graph)
                       for step, operator in zip(twin.steps, twin.graph.operators, strict=True)}
    intervals.inputs_of = {step.output: step.inputs for step in twin.steps}
    intervals.order = [step.output for step in twin.steps]
    intervals.rules = {index: rule_of(site) for index, site in intervals.sites.items()}


@pytest.mark.parametrize("case", ALL + RARE)
def test_no_code_escapes_and_points_are_exact(case: Callable[[Net], None]) -> None:
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(repr(case.__name__).encode()).digest()[:4], "little"))
    intervals = bounded(case, rng)
    assert (intervals is None) == (case.__name__ in UNBOUNDED)
    if intervals is None:
        return
    twin = intervals.twin
    boxes = random_boxes(rng, twin)
    found = intervals.run(boxes, every=True)
    for kind in range(POINTS):
        point = {name: inside(rng, box, kind) for name, box in boxes.items()}
        values = twin.tensors(point)
        for index, (low, high) in found.items():
            assert np.all(low <= values[index]) and np.all(values[index] <= high), twin.graph.operators
        exact = intervals.run({name: (codes, codes) for name, codes in point.items()}, every=True)
        for index, (low, high) in exact.items():
            assert np.array_equal(low, values[index]) and np.array_equal(high, values[index])


@pytest.mark.parametrize("values", [np.arange(-128, 128), np.arange(-128, 128)[::-1], np.arange(-128, 128)**2 // 200,
                                    np.random.default_rng(0).integers(-128, 128, 256)])
def test_a_table_has_its_exact_extremes(values: np.ndarray) -> None:
    low, high = np.triu_indices(256)
    found = table_rule(values, -128)([(low - 128, high - 128)])
    for place in np.random.default_rng(1).integers(0, len(low), 500):
        span = values[low[place]:high[place] + 1]
        assert (found[0][place], found[1][place]) == (span.min(), span.max())


def _dense(weights: np.ndarray, bias: np.ndarray, *, scale: float = 1.0, relu: bool = False) -> bytes:
    return build([Spec([1, weights.shape[1]], name="x"), Spec(weights.shape, scale=[1.0], data=weights),
                  Spec(bias.shape, np.int32, data=bias), Spec([1, len(bias)], scale=[scale])],
                 [Step("FULLY_CONNECTED", [0, 1, 2], [3], "FullyConnectedOptions",
                       {"fusedActivationFunction": int(relu)})], [0], [3])


def test_a_linear_layer_is_bounded_exactly() -> None:
    twin = twin_of(_dense(np.array([[1, -2], [3, 0]], np.int8), np.array([5, -5], np.int32)))
    low, high = Intervals(twin).run({"x": (np.array([[-1, 0]]), np.array([[2, 4]]))})[twin.graph.outputs[0]]
    assert low.tolist() == [[-1 - 8 + 5, -3 - 5]]
    assert high.tolist() == [[2 + 5, 6 - 5]]


def test_a_sum_that_wraps_is_refused() -> None:
    twin = twin_of(_dense(np.array([[127, 127]], np.int8), np.array([2**31 - 5], np.int32), scale=2.0**25))
    with pytest.raises(ModelError, match=r"beyond 32 bits.*no bounds hold"):
        Intervals(twin)


def test_truth_values_beside_the_bounded_output_are_codes_0_and_1() -> None:
    specs = [Spec([1, 2]), Spec([1, 2]), Spec([1, 2], np.bool_, (), ()), Spec([1, 2], np.bool_, (), ())]
    twin = twin_of(build(specs, [Step("RELU", [0], [1]), Step("LOGICAL_NOT", [2], [3])], [0, 2], [1, 3]))
    codes, flags = np.array([[-5, 7]], np.int8), np.array([[0, 1]])
    low, high = Intervals(twin).run({"t0": (codes, codes), "t2": (flags, flags)})[1]
    assert low.tolist() == high.tolist() == [[0, 7]]


def test_an_operator_without_bounds_is_named() -> None:
    twin = twin_of(build([Spec([1, 4], name="x"), Spec([1, 4], scale=[1 / 256], zero_point=[-128])],
                         [Step("SOFTMAX", [0], [1], "SoftmaxOptions", {"beta": 1.0})], [0], [1]))
    with pytest.raises(ModelError, match=r"operator 0 \(SOFTMAX\) has no bounds.*CONV_2D"):
        Intervals(twin)
