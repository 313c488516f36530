"""Linear bounds: sound against the twin on random graphs, and exact where the textbook says so."""

from __future__ import annotations

import numpy as np
import pytest
from graph_two_inputs import small_network
from one_operator import Spec, Step, build, twin_of

from tinyfuse.analyses.certificates.certify import LEANS
from tinyfuse.analyses.certificates.intervals import Intervals
from tinyfuse.analyses.certificates.linear import LinearBounds, SmallestArea
from tinyfuse.analyses.certificates.relaxation import Lines, choices, enclosing
from tinyfuse.analyses.certificates.rules import Box


def relu_minus_identity(scale: float = 1 / 64) -> bytes:
    """f(x) = relu(x) - x, which TS 14 bounds by [-1, 2] in intervals; the truth on [-1, 1] is [0, 1]."""
    one = np.array([[64]], np.int8)
    return build([Spec([1, 1], name="x", scale=[scale]), Spec([1, 1], scale=[1 / 64], data=one),
                  Spec([1, 1], scale=[scale]), Spec([1, 1], scale=[2 * scale])],
                 [Step("FULLY_CONNECTED", [0, 1], [2], "FullyConnectedOptions", {"fusedActivationFunction": 1}),
                  Step("SUB", [2, 0], [3], "SubOptions", {})], [0], [3])


def test_the_textbook_function_is_bounded_as_it_says() -> None:
    twin = twin_of(relu_minus_identity())
    intervals, end = Intervals(twin), twin.graph.outputs[0]
    box = (np.array([[-64]]), np.array([[66]]))  # a little more above 0: at the tie rounding would choose the line
    boxes = intervals.run({"x": box}, every=True)
    assert [int(bound[0, 0]) for bound in boxes[end]] == [-33, 65]  # -1 and 2 in codes of 2 / 64
    linear = LinearBounds(intervals)
    rows = np.array([1.0, -1.0]).reshape(1, 2, 1)
    least, negative = linear.lower(end, rows, boxes)[0]
    assert -2 < least <= 0
    assert 32 <= -negative < 35  # the truth is 0 to 32; what is more are roundings


@pytest.mark.parametrize("lean", [*LEANS, 0.0, 1e9])
def test_lines_enclose_every_rounded_and_clamped_code(lean: float) -> None:
    rng = np.random.default_rng(0)
    low = rng.uniform(-300, 300, 3000)
    high = low + rng.exponential(80, 3000)
    first, last = np.sort(rng.integers(-128, 128, (2, 3000)), axis=0)
    drawn = rng.random((2, 3000))
    for lines in (enclosing(low, high, np.full(3000, 0.5), first, last, lean),
                  choices(low, high, np.full(3000, 0.5), first, last).lines(*drawn)):
        check_lines(lines, low, high, first, last)


def check_lines(lines: Lines, low: np.ndarray, high: np.ndarray, first: np.ndarray, last: np.ndarray) -> None:
    for share in np.linspace(0, 1, 41):
        v = low + share * (high - low)
        code = np.clip(np.rint(v), first, last)
        assert np.all(lines.below_slope * v + lines.below <= code)
        assert np.all(code <= lines.above_slope * v + lines.above)


@pytest.mark.parametrize(("seed", "dtype", "reach"), [(0, np.int8, 3), (1, np.int8, 30), (2, np.int8, 120),
                                                      (3, np.int16, 900)])
def test_no_difference_of_codes_falls_below_its_bound(seed: int, dtype: type, reach: int) -> None:
    rng = np.random.default_rng(seed)
    twin = twin_of(small_network(rng, dtype))
    intervals = Intervals(twin)
    limits, boxes = np.iinfo(dtype), dict[str, Box]()
    for name, index in twin.inputs.items():
        clean = rng.integers(limits.min // 3, limits.max // 3, (4, *twin.graph.tensors[index].shape[1:]))
        boxes[name] = np.maximum(clean - reach, limits.min), np.minimum(clean + reach, limits.max)
    found = intervals.run(boxes, every=True)
    rows = np.broadcast_to(rng.normal(size=(4, 5, 3)), (4, 5, 3)).copy()
    end = twin.graph.outputs[0]
    linear = LinearBounds(intervals)
    bounds = [linear.lower(end, rows, found), linear.lower(end, rows, found, depth=1),
              linear.lower(end, rows, found, guide=SmallestArea(linear, LEANS[-1]))]
    for kind in range(30):
        point = {name: np.where(rng.random(low.shape) < 0.5, low, high) if kind % 2 else
                 rng.integers(low, high + 1) for name, (low, high) in boxes.items()}
        codes = twin.run(point).astype(np.float64)
        for bound in bounds:
            assert np.all(np.einsum("nkc,nc->nk", rows, codes) >= bound)
    if dtype == np.int16:  # roundings are small there; going back to the inputs loses less than boxes do
        assert np.mean(bounds[0]) > np.mean(bounds[1])
