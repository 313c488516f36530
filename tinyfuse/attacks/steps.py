"""One step of the only loop there is: along the steepest direction of the norm, then into the box."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tinyfuse.attacks.target import Batch
from tinyfuse.threats.code_grid import Grids
from tinyfuse.threats.norms import DIRECTIONS, squared_lengths
from tinyfuse.threats.threat import Threat


def ascend(point: Batch, gradient: Batch, threat: Threat, sizes: Mapping[str, float],
           floor: float) -> dict[str, np.ndarray]:
    """Return ``point`` moved by ``sizes`` along the gradient's steepest direction and clipped to the box.

    The mask is applied before normalising, so an L2 step spends its whole length on attackable coordinates.
    With ``sizes`` = epsilon this is the fast gradient method (Goodfellow et al. 2015) as CleverHans 4.0
    computes it.
    """
    masked = threat.masked({name: gradient[name].astype(point[name].dtype) for name in threat.modalities})
    direction = DIRECTIONS[threat.norm]
    moved = {name: threat.boxed(name, point[name] + np.asarray(sizes[name], point[name].dtype)
                                * direction(masked[name], floor)) for name in threat.modalities}
    return {**point, **moved}


def step_sizes(threat: Threat, steps: int, size: float | None = None, grids: Grids | None = None) -> dict[str, float]:
    """The step of an iterated attack by modality, in the units of ``threat`` and never longer than its budget.

    ``size`` is in input units; by default 2.5 epsilon / ``steps``. A threat about codes, which need ``grids`` then,
    takes whole codes for a given size and at least one code otherwise: rounding would undo less.
    """
    if size is None:
        least = 1.0 if threat.lattice else 0.0
        wanted = {name: max(2.5 * epsilon / steps, least) for name, epsilon in threat.epsilon.items()}
    else:
        wanted = {name: float(max(1, grids[name].budget(size))) if threat.lattice and grids else size
                  for name in threat.modalities}
    return {name: min(wanted[name], epsilon) for name, epsilon in threat.epsilon.items()}


def zero_gradient(gradient: Batch, threat: Threat) -> np.ndarray:
    """Return bool [n]: no attackable coordinate of any attacked modality has a gradient."""
    masked = threat.masked(gradient)
    return np.asarray(np.all([~np.any(g.reshape(len(g), -1), axis=1) for g in masked.values()], axis=0))


def floored(gradient: Batch, threat: Threat, floor: float) -> np.ndarray:
    """Return bool [n]: an attacked modality's L2 gradient is not zero, yet too short for a full step."""
    masked = threat.masked(gradient)
    squares = np.stack([squared_lengths(g).reshape(len(g)) for g in masked.values()])
    return np.asarray(np.any((squares > 0) & (squares < floor), axis=0) & (threat.norm == "l2"))
