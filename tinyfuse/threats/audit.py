"""The last word on an adversarial input: is it one that the threat allows?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

import numpy as np

from tinyfuse.attacks.target import Batch
from tinyfuse.core.errors import TinyfuseError, UsageError
from tinyfuse.threats.code_grid import InputGrid
from tinyfuse.threats.norms import SIZES
from tinyfuse.threats.project_codes import FLOAT32_STEP
from tinyfuse.threats.threat import Bound, Threat


def audit(candidate: Batch, clean: Batch, threat: Threat,
          grids: Mapping[str, InputGrid] | None = None) -> dict[str, float]:
    """Check every sample in float64; return the largest perturbation per attacked modality, in input units.

    Without ``grids``, ``candidate`` holds real values and is compared with ``clean``, with a tolerance of the
    float32 rounding that computing it takes (about 1e-7 for L-inf). With ``grids``, it holds integer codes
    and is compared with the device's codes of ``clean``; the L-inf budget is then whole codes and has no
    tolerance.

    Raises:
        TinyfuseError: naming the input and what it violates: shape, budget, box, code range, mask, or an
            input that had to stay bit for bit.
        UsageError: an input is missing.
    """
    if grids is not None:
        return _sizes({name: _audit_codes(name, _given(candidate, name), _given(clean, name), threat, grid)
                       for name, grid in grids.items()})
    for name in threat.modalities:
        _given(clean, name)
    return _sizes({name: _audit_real(name, _given(candidate, name), clean[name], threat) for name in clean})


def _sizes(found: dict[str, float | None]) -> dict[str, float]:
    return {name: size for name, size in found.items() if size is not None}


def _audit_real(name: str, candidate: np.ndarray, clean: np.ndarray, threat: Threat) -> float | None:
    _same_kind(name, candidate, clean)
    if name not in threat.epsilon:
        _untouched(name, candidate, clean)
        return None
    _within(name, candidate, *threat.box(name), "the box")
    delta = candidate.astype(np.float64) - clean
    if threat.lattice and np.any(candidate != np.rint(candidate)):
        _fail(name, "holds fractions", "the threat allows whole codes only")
    _unmasked(name, delta, threat)
    return _budget(name, delta, threat, _tolerance(threat, name, delta))


def _audit_codes(name: str, codes: np.ndarray, clean: np.ndarray, threat: Threat,
                 grid: InputGrid) -> float | None:
    start = grid.quantise(clean)
    if codes.dtype.kind not in "iu":
        _fail(name, f"holds {codes.dtype}", "audit codes as integers, or real values without grids")
    _same_shape(name, codes, start)
    if name not in threat.epsilon:
        _untouched(name, codes, start)
        return None
    _within(name, codes, grid.low, grid.high, "the code range")
    low, high = (grid.quantise(np.asarray(bound)) for bound in threat.box(name))
    _within(name, codes, low, high, "the codes of the box")
    change = codes.astype(np.float64) - start
    _unmasked(name, change, threat)
    moved, most = np.abs(change).max(initial=0.0), grid.budget(threat.epsilon[name])
    if threat.norm == "linf" and moved > most:
        _fail(name, f"moves {moved:.0f} codes", f"epsilon {threat.epsilon[name]} allows {most}")
    delta = change * grid.scale
    return _budget(name, delta, threat, _tolerance(threat, name, delta))


def _tolerance(threat: Threat, name: str, delta: np.ndarray) -> float:
    """Rounding of clean + delta in float32: one step per coordinate, and of epsilon itself."""
    if threat.lattice:
        return 0.0 if threat.norm == "linf" else FLOAT32_STEP * threat.epsilon[name]
    coordinates = delta[0].size if threat.norm == "l2" and len(delta) else 1
    largest = max(1.0, *(float(np.abs(bound).max()) for bound in threat.box(name)))
    return FLOAT32_STEP * (largest * float(np.sqrt(coordinates)) + 8.0 * threat.epsilon[name])


def _budget(name: str, delta: np.ndarray, threat: Threat, tolerance: float) -> float:
    sizes = SIZES[threat.norm](delta)
    largest = float(sizes.max(initial=0.0))
    if not largest <= threat.epsilon[name] + tolerance:
        _fail(name, f"has {threat.norm} size {largest:.9g} at sample {int(sizes.argmax())}",
              f"the budget is {threat.epsilon[name]:.9g}")
    return largest


def _within(name: str, values: np.ndarray, low: Bound, high: Bound, what: str) -> None:
    if not np.all((values >= np.asarray(low, values.dtype)) & (values <= np.asarray(high, values.dtype))):
        _fail(name, f"has values from {values.min()} to {values.max()}",
              f"{what} is [{np.min(low)}, {np.max(high)}]" + " and narrower by sample" * (np.ndim(low) > 0))


def _unmasked(name: str, delta: np.ndarray, threat: Threat) -> None:
    if np.any(delta * (1 - threat.attackable(name, delta.shape[1:]))):
        _fail(name, "changes protected coordinates", "the mask allows only those marked 1")


def _untouched(name: str, candidate: np.ndarray, clean: np.ndarray) -> None:
    if candidate is not clean and candidate.astype(clean.dtype).tobytes() != clean.tobytes():
        _fail(name, "changed", "the threat does not attack it, so it has to stay bit for bit")


def _same_kind(name: str, candidate: np.ndarray, clean: np.ndarray) -> None:
    if candidate.dtype != clean.dtype:
        _fail(name, f"is {candidate.dtype}", f"the clean input is {clean.dtype}")
    _same_shape(name, candidate, clean)


def _same_shape(name: str, candidate: np.ndarray, clean: np.ndarray) -> None:
    if candidate.shape != clean.shape:
        _fail(name, f"has shape {candidate.shape}", f"the clean input has {clean.shape}")


def _given(batch: Batch, name: str) -> np.ndarray:
    if name not in batch:
        raise UsageError(f"audit: input '{name}' is missing; given: {', '.join(batch) or 'nothing'}")
    return batch[name]


def _fail(name: str, found: str, allowed: str) -> NoReturn:
    raise TinyfuseError(f"adversarial input '{name}' {found}; {allowed}")
