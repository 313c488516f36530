"""The last word on an adversarial input: is it one that the threat allows?"""

from __future__ import annotations

from typing import NoReturn

import numpy as np

from tinyfuse.core.errors import TinyfuseError, UsageError
from tinyfuse.data.samples import Batch
from tinyfuse.threats.code_grid import Grids, InputGrid
from tinyfuse.threats.norm import FLOAT32_STEP
from tinyfuse.threats.threat import Bound, Threat


def audit(candidate: Batch, clean: Batch, threat: Threat, grids: Grids | None = None) -> dict[str, float]:
    """Check every sample in float64; return the largest perturbation per attacked input, in its units.

    Without ``grids``, ``candidate`` holds real values and is compared with ``clean``, with a tolerance of the float32
    rounding that computing it takes (about 1e-7 for L-inf). With ``grids``, it holds integer codes and is compared with
    the device's codes of ``clean``; the L-inf budget is then whole codes and has no tolerance. Raises TinyfuseError for
    a wrong shape, budget, box, code range or mask, and for a change of an input that had to stay bit for bit.
    """
    found, changes = {}, {}
    for name in dict.fromkeys((*(clean if grids is None else grids), *threat.attacked)):
        for batch in (candidate, clean):
            if name not in batch:
                raise UsageError(f"audit: input '{name}' is missing; given: {', '.join(batch) or 'nothing'}")
        grid = None if grids is None else grids[name]
        change = _change(name, candidate[name], clean[name], threat, grid)
        if change is not None:
            found[name] = _size(name, change, threat, grid)
            changes[name] = change if grid is None else change * grid.scale
    if threat.norm.joint:
        _check_joint(changes, threat)
    return found


def _check_joint(changes: Batch, threat: Threat) -> None:
    """Check that the inputs together stay within the ball that they share."""
    shares = threat.norm.shares(changes, threat.budget)
    slack = [_tolerance(threat, name, change) / threat.budget[name] for name, change in changes.items()
             if threat.budget[name]]
    if not shares.max(initial=0.0) <= 1 + float(np.sqrt(np.square(slack).sum())):
        _fail("' and '".join(changes), f"spend {shares.max():.9g} of their joint budget at sample "
              f"{int(shares.argmax())}", f"the norm {threat.norm} allows 1")


def _change(name: str, candidate: np.ndarray, clean: np.ndarray, threat: Threat,
            grid: InputGrid | None) -> np.ndarray | None:
    """Return the change, float64, of real values or codes; None where nothing may change and nothing does."""
    start = clean if grid is None else grid.quantise(clean)
    if grid is None and candidate.dtype != clean.dtype:
        _fail(name, f"is {candidate.dtype}", f"the clean input is {clean.dtype}")
    if grid is not None and candidate.dtype.kind not in "iu":
        _fail(name, f"holds {candidate.dtype}", "audit codes as integers, or real values without grids")
    if candidate.shape != start.shape:
        _fail(name, f"has shape {candidate.shape}", f"the clean input has {start.shape}")
    if name not in threat.budget:
        if candidate is not start and candidate.astype(start.dtype).tobytes() != start.tobytes():
            _fail(name, "changed", "the threat does not attack it, so it has to stay bit for bit")
        return None
    if grid is None:
        _check_within(name, candidate, *threat.box[name], "the box")
    else:
        _check_within(name, candidate, grid.low, grid.high, "the code range")
        low, high = (grid.quantise(np.asarray(bound)) for bound in threat.box[name])
        _check_within(name, candidate, low, high, "the codes of the box")
    if threat.lattice and np.any(candidate != np.rint(candidate)):
        _fail(name, "holds fractions", "the threat allows whole codes only")
    return np.asarray(candidate.astype(np.float64) - start)


def _size(name: str, change: np.ndarray, threat: Threat, grid: InputGrid | None) -> float:
    """Return the size of ``change`` in input units."""
    epsilon = threat.budget[name]
    if np.any(change * (1 - threat.attackable(name, change.shape[1:]))):
        _fail(name, "changes protected coordinates", "the mask allows only those marked 1")
    if grid is not None:
        moved, most = np.abs(change).max(initial=0.0), grid.budget(epsilon)
        if threat.norm.per_coordinate and moved > most:
            _fail(name, f"moves {moved:.0f} codes", f"epsilon {epsilon} allows {most}")
        change = change * grid.scale
    sizes = threat.norm.size(change)
    largest = float(sizes.max(initial=0.0))
    if not largest <= epsilon + _tolerance(threat, name, change):
        _fail(name, f"has {threat.norm} size {largest:.9g} at sample {int(sizes.argmax())}",
              f"the budget is {epsilon:.9g}")
    return largest


def _tolerance(threat: Threat, name: str, delta: np.ndarray) -> float:
    """Return the rounding of clean + delta in float32: one step per coordinate, and of epsilon itself."""
    if threat.lattice:
        return 0.0 if threat.norm.per_coordinate else FLOAT32_STEP * threat.budget[name]
    coordinates = 1 if threat.norm.per_coordinate or not len(delta) else delta[0].size
    largest = max(1.0, *(float(np.abs(bound).max()) for bound in threat.box[name]))
    return FLOAT32_STEP * (largest * float(np.sqrt(coordinates)) + 8.0 * threat.budget[name])


def _check_within(name: str, values: np.ndarray, low: Bound, high: Bound, what: str) -> None:
    if not np.all((values >= np.asarray(low, values.dtype)) & (values <= np.asarray(high, values.dtype))):
        _fail(name, f"has values from {values.min()} to {values.max()}",
              f"{what} is [{np.min(low)}, {np.max(high)}]" + " and narrower by sample" * (np.ndim(low) > 0))


def _fail(name: str, found: str, allowed: str) -> NoReturn:
    raise TinyfuseError(f"adversarial input '{name}' {found}; {allowed}")
