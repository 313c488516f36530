"""Exact allocation: one width for each unit, least cost, within every budget (an integer programme).

The multiple-choice knapsack of HAWQ-V3 (Yao et al. 2021, eq. 7) with any number of budgets, solved by HiGHS through
``scipy.optimize.milp``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

COST_SCALE = 1e3
"""HiGHS drops what is far below its tolerances of 1e-6: with costs of at most 1000 and sizes in shares of their
capacity no optimum was missed on random instances whose costs spread over six decades."""
Budgets = Sequence[tuple[np.ndarray, float]]
"""Sizes float [u, w] of each unit at each width, and what their sum over units may reach."""


def allocate(cost: np.ndarray, budgets: Budgets, allowed: np.ndarray, count: int = 1) -> list[np.ndarray]:
    """Find the ``count`` cheapest choices, cheapest first; fewer where there are no more.

    ``cost`` float [u, w], any sign, finite; ``allowed`` bool [u, w]: the widths that a unit may have. A choice holds
    by unit the index of its width, int [u].
    """
    found: list[np.ndarray] = []
    while len(found) < count:
        chosen = _solve(cost, budgets, allowed, found)
        if chosen is None:
            break
        found.append(chosen)
    return found


def _solve(cost: np.ndarray, budgets: Budgets, allowed: np.ndarray,
           excluded: Sequence[np.ndarray]) -> np.ndarray | None:
    """Find the cheapest choice that is none of ``excluded``; None if there is none."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    units, options = cost.shape
    constraints = [LinearConstraint(np.kron(np.eye(units), np.ones(options)), 1, 1)]
    constraints += [LinearConstraint(sizes.reshape(1, -1) / limit, -np.inf, 1) for sizes, limit in budgets]
    for chosen in excluded:
        picked = np.zeros((units, options))
        picked[np.arange(units), chosen] = 1
        constraints.append(LinearConstraint(picked.reshape(1, -1), -np.inf, units - 1))
    with _stdout_silenced():
        result = milp(_scaled(cost).ravel(), integrality=np.ones(units * options),
                      bounds=Bounds(0, allowed.ravel().astype(float)), constraints=constraints,
                      options={"mip_rel_gap": 0})
    if result.x is None:
        return None
    chosen = np.asarray(result.x).reshape(units, options).argmax(axis=1)
    # HiGHS accepts a row that is exceeded by its tolerance; what is chosen has to fit to the byte.
    over = any(sizes[np.arange(units), chosen].sum() > limit * (1 + 1e-9) for sizes, limit in budgets)
    return _solve(cost, budgets, allowed, [*excluded, chosen]) if over else chosen


def _scaled(cost: np.ndarray) -> np.ndarray:
    """Let costs begin at 0: what a unit pays at least, it pays with every choice."""
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
