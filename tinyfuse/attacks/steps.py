"""One step of the only loop there is: along the steepest direction of the norm, then into the box."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tinyfuse.attacks.norms import DIRECTIONS, squared_lengths
from tinyfuse.attacks.target import Batch
from tinyfuse.attacks.threat import Threat


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


def zero_gradient(gradient: Batch, threat: Threat) -> np.ndarray:
    """Return bool [n]: no attackable coordinate of any attacked modality has a gradient."""
    masked = threat.masked(gradient)
    return np.asarray(np.all([~np.any(g.reshape(len(g), -1), axis=1) for g in masked.values()], axis=0))


def floored(gradient: Batch, threat: Threat, floor: float) -> np.ndarray:
    """Return bool [n]: an attacked modality's L2 gradient is not zero, yet too short for a full step."""
    masked = threat.masked(gradient)
    squares = np.stack([squared_lengths(g).reshape(len(g)) for g in masked.values()])
    return np.asarray(np.any((squares > 0) & (squares < floor), axis=0) & (threat.norm == "l2"))
