"""From real-valued adversarial inputs to the codes of an integer model, without leaving the budget.

Threat model G (code domain): the adversary writes sensor codes. With q0 the device's rounding of the clean
input, an L-inf budget is a whole number of codes, |q - q0| <= floor(epsilon / scale), and an L2 budget is
scale * ||q - q0|| <= epsilon. Rounding an adversarial input to the nearest code instead would spend up to
half a code more than the budget, per coordinate.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tinyfuse.attacks.target import Batch
from tinyfuse.threats.code_grid import InputGrid, round_half_away
from tinyfuse.threats.threat import Threat

FLOAT32_STEP = 2.0**-23
"""Doubt about a difference of two float32 values of size 1."""


def to_codes(adversarial: Batch, clean: Batch, threat: Threat,
             grids: Mapping[str, InputGrid]) -> dict[str, np.ndarray]:
    """Return int32 codes for every input in ``grids``, inside the budget of ``threat`` in the code domain.

    L-inf: the change in codes is round(delta / scale), half away from zero, clipped to the whole-code budget.
    L2: delta / scale truncated towards zero, so no coordinate and hence no length grows. Codes stay within
    the grid and the box, protected coordinates and inputs that are not attacked have the device's codes of
    ``clean``. Codes that are legal are reproduced exactly when ``clean`` lies on the grid.
    """
    return {name: _codes(name, adversarial, clean, threat, grid) for name, grid in grids.items()}


def _codes(name: str, adversarial: Batch, clean: Batch, threat: Threat, grid: InputGrid) -> np.ndarray:
    start = grid.quantise(clean[name])
    if name not in threat.epsilon:
        return start
    delta = adversarial[name].astype(np.float64) - clean[name]
    change = _CHANGES[threat.norm](delta, grid, threat.epsilon[name])
    change = change * threat.attackable(name, delta.shape[1:])
    low, high = (grid.quantise(np.asarray(bound)) for bound in threat.box(name))
    return np.asarray(np.clip(start + change.astype(np.int32), low, high))


def _linf_change(delta: np.ndarray, grid: InputGrid, epsilon: float) -> np.ndarray:
    budget = grid.budget(epsilon)
    return np.asarray(np.clip(round_half_away(delta / grid.scale), -budget, budget))


def _l2_change(delta: np.ndarray, grid: InputGrid, epsilon: float) -> np.ndarray:
    """Truncate; the nudge keeps a change of k whole codes at k when float32 made it 0.9999999 k."""
    del epsilon
    return np.asarray(np.trunc((delta + np.copysign(FLOAT32_STEP, delta)) / grid.scale))


_CHANGES = {"linf": _linf_change, "l2": _l2_change}
