"""Exact allocation: one width for each unit, least cost, within every budget (an integer programme).

The multiple-choice knapsack of HAWQ-V3 (Yao et al. 2021, eq. 7) with any number of budgets, solved by HiGHS through
``scipy.optimize.milp``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

COST_SCALE = 1e3
"""HiGHS drops what is far below its tolerances of 1e-6: with costs of at most 1000 and sizes in shares of their
capacity no optimum was missed on random instances whose costs spread over six decades."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Choose one of ``widths`` [w] for each of u units.

    ``cost`` float [u, w], any sign, finite; ``sizes``: by resource float [u, w]; ``limits``: by resource, what the sum
    over units may reach. ``allowed``: bool [u, w], the widths that a unit may have (default: all).
    """

    widths: tuple[int, ...]
    cost: np.ndarray
    sizes: Mapping[str, np.ndarray]
    limits: Mapping[str, float]
    allowed: np.ndarray | None = None


def allocate(problem: Problem, count: int = 1) -> list[tuple[int, ...]]:
    """The ``count`` cheapest choices (widths [u] each), cheapest first; fewer where there are no more."""
    found: list[np.ndarray] = []
    while len(found) < count:
        chosen = _solve(problem, found)
        if chosen is None:
            break
        found.append(chosen)
    return [tuple(problem.widths[index] for index in chosen) for chosen in found]


def _solve(problem: Problem, excluded: Sequence[np.ndarray]) -> np.ndarray | None:
    """Indices int [u] of the cheapest choice that is none of ``excluded``; None if there is none."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    units, options = problem.cost.shape
    one_each = np.kron(np.eye(units), np.ones(options))
    constraints = [LinearConstraint(one_each, 1, 1)]
    for name, limit in problem.limits.items():
        constraints.append(LinearConstraint(problem.sizes[name].reshape(1, -1) / limit, -np.inf, 1))
    for chosen in excluded:
        picked = np.zeros((units, options))
        picked[np.arange(units), chosen] = 1
        constraints.append(LinearConstraint(picked.reshape(1, -1), -np.inf, units - 1))
    upper = np.ones(units * options) if problem.allowed is None else problem.allowed.ravel().astype(float)
    with _stdout_silenced():
        result = milp(_scaled(problem.cost).ravel(), integrality=np.ones(units * options), bounds=Bounds(0, upper),
                      constraints=constraints, options={"mip_rel_gap": 0})
    if result.x is None:
        return None
    chosen = np.asarray(result.x).reshape(units, options).argmax(axis=1)
    # HiGHS accepts a row that is exceeded by its tolerance; what is chosen has to fit to the byte.
    over = [name for name, limit in problem.limits.items()
            if problem.sizes[name][np.arange(units), chosen].sum() > limit * (1 + 1e-9)]
    return _solve(problem, [*excluded, chosen]) if over else chosen


def _scaled(cost: np.ndarray) -> np.ndarray:
    """Costs from 0: what a unit pays at least, it pays with every choice."""
    free = cost - cost.min(axis=1, keepdims=True)
    peak = free.max()
    return np.asarray(free * (COST_SCALE / peak) if peak > 0 else free)


@contextmanager
def _stdout_silenced() -> Iterator[None]:
    """HiGHS writes to file descriptor 1 past ``sys.stdout``."""
    saved = os.dup(1)
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    os.close(sink)
    try:
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)
