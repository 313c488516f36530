"""Threat models of an integer model: what an adversary may do to its input codes.

``codes`` (G): the adversary writes codes, |q - q0| <= floor(epsilon / scale) for L-inf, q0 being the device's rounding
of the clean input; L2: scale * ||q - q0|| <= epsilon.
``real`` (R): a real perturbation of size <= epsilon inside the box, which the device then rounds; it reaches up to half
a code further. ``naive`` (N): an attack on the float network, rounded to the nearest code and not brought back into the
ball; it exists to show what that convention of the literature spends beyond epsilon.

Attacks run in code units: a batch holds whole codes as float32, and a threat has ``lattice`` set.
"""

from __future__ import annotations

import numpy as np

from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.data.samples import Batch
from tinyfuse.threats.code_grid import Grids, InputGrid
from tinyfuse.threats.threat import Bound, Threat

DOMAINS = ("codes", "real")
"""What an attack on the integers themselves may be about."""
WORLDS = (*DOMAINS, "naive")


def code_problem(threat: Threat, clean: Batch, grids: Grids, domain: str) -> tuple[Threat, dict[str, np.ndarray]]:
    """Return ``threat`` in code units and the codes float32 [n, ...] of ``clean`` for every input in ``grids``.

    ``threat`` and ``clean`` are in the units of the real inputs; ``domain`` is "codes" (G) or "real" (R, L-inf only).
    Any other domain or norm, and an input that the model lacks, is a UsageError.
    """
    if domain not in DOMAINS:
        raise UsageError(f"unknown threat model '{domain}'{nearest(domain, DOMAINS)}; use one of {', '.join(DOMAINS)}")
    for name in threat.attacked:
        if name not in grids:
            raise UsageError(f"the threat attacks '{name}'{nearest(name, grids)}, but the model has the inputs "
                             f"{', '.join(grids)}")
    start = {name: grid.quantise(clean[name]).astype(np.float32) for name, grid in grids.items()}
    build = _codes if domain == "codes" else _real
    return build(threat, clean, start, grids), start


def _codes(threat: Threat, clean: Batch, start: Batch, grids: Grids) -> Threat:
    budget = {name: threat.norm.code_budget(epsilon, grids[name]) for name, epsilon in threat.budget.items()}
    box = {name: _code_box(threat, name, grids[name], start[name]) for name in threat.attacked}
    return Threat(threat.norm, budget, box, threat.mask, lattice=True)


def _real(threat: Threat, clean: Batch, start: Batch, grids: Grids) -> Threat:
    if not threat.norm.per_coordinate:
        raise UsageError(f"threat model 'real' is defined for linf, given {threat.norm}: which codes an L2 ball of "
                         "real inputs reaches is no ball of codes; use the threat model 'codes'")
    budget, box = {}, {}
    for name in threat.attacked:
        fixed = threat.attackable(name, start[name].shape[1:]) == 0
        low, high = (np.where(fixed, start[name], code).astype(np.float32)
                     for code in reachable(threat, name, clean[name], grids[name]))
        box[name] = low, high
        budget[name] = float(np.maximum(start[name] - low, high - start[name]).max(initial=0))
    return Threat(threat.norm, budget, box, threat.mask, lattice=True)


def covers(wide: Threat, narrow: Threat, clean: Batch) -> np.ndarray:
    """Return bool [n]: every code that the L-inf threat ``narrow`` allows at codes ``clean`` is allowed by ``wide``."""
    legal = np.ones(len(clean[narrow.attacked[0]]), bool)
    for name in narrow.attacked:
        (low, high), (least, most) = box_ends(wide, name, clean), box_ends(narrow, name, clean)
        inside = (low <= least) & (most <= high)
        legal &= inside.reshape(len(legal), -1).all(axis=1)
    return legal


def box_ends(threat: Threat, name: str, clean: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and highest value of each coordinate under an L-inf ``threat`` around ``clean``."""
    low, high = threat.box[name]
    reach = threat.budget[name] * threat.attackable(name, clean[name].shape[1:])
    return np.maximum(clean[name] - reach, low), np.minimum(clean[name] + reach, high)


def reachable(threat: Threat, name: str, clean: np.ndarray, grid: InputGrid) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and last code [n, ...] that the device computes for real inputs within the budget of ``clean``.

    The ends are float32 values inside the ball, so that each code is the rounding of a legal input.
    """
    low, high = (np.asarray(bound, np.float64) for bound in threat.box[name])
    exact = clean.astype(np.float64)
    lowest = _inward(np.maximum(exact - threat.budget[name], low), up=True)
    highest = _inward(np.minimum(exact + threat.budget[name], high), up=False)
    start = grid.quantise(clean)
    return np.minimum(grid.quantise(lowest), start), np.maximum(grid.quantise(highest), start)


def _inward(values: np.ndarray, *, up: bool) -> np.ndarray:
    """Return the float32 nearest to ``values`` that is not below (``up``) or not above them."""
    rounded = values.astype(np.float32)
    outside = rounded < values if up else rounded > values
    return np.where(outside, np.nextafter(rounded, np.float32(np.inf if up else -np.inf)), rounded)


def _code_box(threat: Threat, name: str, grid: InputGrid, start: np.ndarray) -> tuple[Bound, Bound]:
    """Return the codes of the box, widened where a clean code lies outside by its own rounding."""
    low, high = (grid.quantise(np.asarray(bound)).astype(np.float32) for bound in threat.box[name])
    if low.ndim or high.ndim:
        return np.minimum(low, start), np.maximum(high, start)
    return float(low), float(high)


def whole_codes(k: float, names: tuple[str, ...], grids: Grids) -> dict[str, float]:
    """Return the budget of the inputs ``names``, in their units, that is worth exactly ``k`` codes: k * scale."""
    found = {}
    for name in names:
        if name not in grids:
            raise UsageError(f"no input '{name}'{nearest(name, grids)}; the model has {', '.join(grids)}")
        span = grids[name].high - grids[name].low
        if not (0 <= k <= span and k == int(k)):
            raise UsageError(f"a budget of {k:g} codes for '{name}'; give a whole number from 0 to {span}")
        found[name] = k * grids[name].scale
    return found


def to_codes(adversarial: Batch, clean: Batch, threat: Threat, grids: Grids) -> dict[str, np.ndarray]:
    """Return int32 codes for every input in ``grids``, inside the budget of ``threat`` in the code domain.

    L-inf: the change in codes is round(delta / scale), half away from zero, clipped to the whole-code budget.
    L2: delta / scale truncated towards zero, so no coordinate and hence no length grows. Codes stay within
    the grid and the box, protected coordinates and inputs that are not attacked have the device's codes of
    ``clean``. Codes that are legal are reproduced exactly when ``clean`` lies on the grid.
    """
    return {name: _codes_of(name, adversarial, clean, threat, grid) for name, grid in grids.items()}


def _codes_of(name: str, adversarial: Batch, clean: Batch, threat: Threat, grid: InputGrid) -> np.ndarray:
    start = grid.quantise(clean[name])
    if name not in threat.budget:
        return start
    delta = adversarial[name].astype(np.float64) - clean[name]
    change = threat.norm.code_change(delta, grid, threat.budget[name])
    change = change * threat.attackable(name, delta.shape[1:])
    low, high = (grid.quantise(np.asarray(bound)) for bound in threat.box[name])
    return np.asarray(np.clip(start + change.astype(np.int32), low, high))


def naive_codes(adversarial: Batch, grids: Grids) -> dict[str, np.ndarray]:
    """Round ``adversarial`` real inputs to the nearest code (threat model N); return int32 codes by name."""
    return {name: grid.quantise(adversarial[name]) for name, grid in grids.items()}


def rounded_codes(adversarial: Batch, clean: Batch, threat: Threat, grids: Grids) -> dict[str, np.ndarray]:
    """Return the int32 codes by name that the device computes for legal ``adversarial`` real inputs (threat model R).

    An L-inf change may leave its ball by the float32 rounding that :func:`audit` tolerates; where that would cost a
    code that no legal input reaches, the code is brought back.
    """
    codes = naive_codes(adversarial, grids)
    if not threat.norm.per_coordinate:
        return codes
    for name in threat.attacked:
        codes[name] = np.clip(codes[name], *reachable(threat, name, clean[name], grids[name]))
    return codes


def spent(codes: Batch, clean: Batch, grids: Grids) -> dict[str, float]:
    """Return the largest real change |scale * (q - zero_point) - clean| by input: what naive rounding really spends."""
    return {name: float(np.abs(grid.dequantise(codes[name]).astype(np.float64) - clean[name]).max())
            for name, grid in grids.items()}
