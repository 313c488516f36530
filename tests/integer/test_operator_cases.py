"""Random cases of every operator: the twin computes each value of each tensor as TFLite Micro does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from one_operator import differing
from operator_cases import ALL
from rare_cases import RARE
from side_by_side import Net

CASES, SAMPLES = 24, 4
"""Cases of each operator, in one graph."""


def codes(rng: np.random.Generator, net: Net) -> list[np.ndarray]:
    """Random codes for every input; the first two samples are the lowest and the highest ones."""
    found = []
    for index in net.inputs:
        spec = net.specs[index]
        low, high = np.iinfo(spec.dtype).min, np.iinfo(spec.dtype).max
        values = rng.integers(low, high + 1, (SAMPLES, *spec.shape[1:])).astype(spec.dtype)
        values[0], values[1] = low, high
        found.append(values)
    return found


@pytest.mark.parametrize("case", ALL + RARE)
def test_no_value_differs(case: Callable[[Net], None]) -> None:
    rng = np.random.default_rng(5)
    net = Net(rng)
    for _ in range(CASES):
        case(net)
    assert differing(net.data(), codes(rng, net)) == 0
