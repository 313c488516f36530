"""Threat models of an integer model: what an adversary may do to its input codes.

``codes`` (G): the adversary writes codes, |q - q0| <= floor(epsilon / scale); L2: scale * ||q - q0|| <= epsilon.
``real`` (R): a real perturbation of size <= epsilon inside the box, which the device then rounds; it reaches up to half
a code further. ``naive`` (N): an attack on the float network, rounded to the nearest code and not brought back into the
ball; it exists to show what that convention of the literature spends beyond epsilon.

Attacks run in code units: a batch holds whole codes as float32, and a threat has ``lattice`` set.
"""

from __future__ import annotations

import numpy as np

from tinyfuse.attacks.target import Batch, DifferentiableTarget, Gradient
from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.threats.code_grid import Grids, InputGrid
from tinyfuse.threats.threat import Bound, Threat

DOMAINS = ("codes", "real")


def code_problem(threat: Threat, clean: Batch, grids: Grids, domain: str) -> tuple[Threat, dict[str, np.ndarray]]:
    """Return ``threat`` in code units and the codes float32 [n, ...] of ``clean`` for every input in ``grids``.

    ``threat`` and ``clean`` are in the units of the real inputs; ``domain`` is "codes" (G) or "real" (R, L-inf only).

    Raises:
        UsageError: an unknown domain, a modality that the model lacks, or an L2 ball in the real domain.
    """
    if domain not in DOMAINS:
        raise UsageError(f"unknown threat model '{domain}'{nearest(domain, DOMAINS)}; use one of {', '.join(DOMAINS)}")
    for name in threat.modalities:
        if name not in grids:
            raise UsageError(f"the threat attacks '{name}'{nearest(name, grids)}, but the model has the inputs "
                             f"{', '.join(grids)}")
    start = {name: grid.quantise(clean[name]).astype(np.float32) for name, grid in grids.items()}
    build = _codes if domain == "codes" else _real
    return build(threat, clean, start, grids), start


def _codes(threat: Threat, clean: Batch, start: Batch, grids: Grids) -> Threat:
    del clean
    budgets, low, high = {}, {}, {}
    for name in threat.modalities:
        exact = threat.epsilon[name] / grids[name].scale
        budgets[name] = float(grids[name].budget(threat.epsilon[name])) if threat.norm == "linf" else exact
        low[name], high[name] = _box(threat, name, grids[name], start[name])
    return Threat(threat.norm, budgets, low, high, threat.mask, lattice=True)


def _real(threat: Threat, clean: Batch, start: Batch, grids: Grids) -> Threat:
    if threat.norm != "linf":
        raise UsageError(f"threat model 'real' is defined for linf, given {threat.norm}: which codes an L2 ball of "
                         "real inputs reaches is no ball of codes; use the threat model 'codes'")
    budgets, low, high = {}, {}, {}
    for name in threat.modalities:
        lowest, highest = reachable(threat, name, clean[name], grids[name])
        fixed = threat.attackable(name, start[name].shape[1:]) == 0
        low[name] = np.where(fixed, start[name], lowest).astype(np.float32)
        high[name] = np.where(fixed, start[name], highest).astype(np.float32)
        reach = np.maximum(start[name] - low[name], high[name] - start[name])
        budgets[name] = float(reach.max(initial=0))
    return Threat("linf", budgets, low, high, threat.mask, lattice=True)


def covers(wide: Threat, narrow: Threat, clean: Batch) -> np.ndarray:
    """Bool [n]: every code that the L-inf threat ``narrow`` allows at codes ``clean`` is allowed by ``wide``."""
    legal = np.ones(len(clean[narrow.modalities[0]]), bool)
    for name in narrow.modalities:
        (low, high), (least, most) = ends(wide, name, clean), ends(narrow, name, clean)
        inside = (low <= least) & (most <= high)
        legal &= inside.reshape(len(legal), -1).all(axis=1)
    return legal


def ends(threat: Threat, name: str, clean: Batch) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and highest value of each coordinate under an L-inf ``threat`` around ``clean``."""
    low, high = threat.box(name)
    reach = threat.epsilon[name] * threat.attackable(name, clean[name].shape[1:])
    return np.maximum(clean[name] - reach, low), np.minimum(clean[name] + reach, high)


def reachable(threat: Threat, name: str, clean: np.ndarray, grid: InputGrid) -> tuple[np.ndarray, np.ndarray]:
    """First and last code [n, ...] that the device computes for real inputs within an L-inf budget of ``clean``.

    The ends are float32 values inside the ball, so that each code is the rounding of a legal input.
    """
    low, high = (np.asarray(bound, np.float64) for bound in threat.box(name))
    exact = clean.astype(np.float64)
    lowest = _inward(np.maximum(exact - threat.epsilon[name], low), up=True)
    highest = _inward(np.minimum(exact + threat.epsilon[name], high), up=False)
    start = grid.quantise(clean)
    return np.minimum(grid.quantise(lowest), start), np.maximum(grid.quantise(highest), start)


def _inward(values: np.ndarray, *, up: bool) -> np.ndarray:
    """The float32 nearest to ``values`` that is not below (``up``) or not above them."""
    rounded = values.astype(np.float32)
    outside = rounded < values if up else rounded > values
    return np.where(outside, np.nextafter(rounded, np.float32(np.inf if up else -np.inf)), rounded)


def _box(threat: Threat, name: str, grid: InputGrid, start: np.ndarray) -> tuple[Bound, Bound]:
    """The codes of the box, widened where a clean code lies outside by its own rounding."""
    low, high = (grid.quantise(np.asarray(bound)).astype(np.float32) for bound in threat.box(name))
    if low.ndim or high.ndim:
        return np.minimum(low, start), np.maximum(high, start)
    return float(low), float(high)


def whole_codes(k: int, modalities: tuple[str, ...], grids: Grids) -> dict[str, float]:
    """The budget in input units, by modality, that is worth exactly ``k`` codes: k * scale.

    Raises:
        UsageError: ``k`` is negative or more codes than an input has, or a modality is missing.
    """
    found = {}
    for name in modalities:
        if name not in grids:
            raise UsageError(f"no input '{name}'{nearest(name, grids)}; the model has {', '.join(grids)}")
        span = grids[name].high - grids[name].low
        if not 0 <= k <= span:
            raise UsageError(f"a budget of {k} codes for '{name}'; give 0 to {span}")
        found[name] = k * grids[name].scale
    return found


def naive_codes(adversarial: Batch, grids: Grids) -> dict[str, np.ndarray]:
    """Threat model N: ``adversarial`` real inputs rounded to the nearest code; int32 codes by name."""
    return {name: grid.quantise(adversarial[name]) for name, grid in grids.items()}


def rounded_codes(adversarial: Batch, clean: Batch, threat: Threat, grids: Grids) -> dict[str, np.ndarray]:
    """Threat model R: the codes int32 by name that the device computes for legal ``adversarial`` real inputs.

    An L-inf change may leave its ball by the float32 rounding that :func:`audit` tolerates; where that would cost a
    code that no legal input reaches, the code is brought back.
    """
    codes = naive_codes(adversarial, grids)
    if threat.norm != "linf":
        return codes
    for name in threat.modalities:
        codes[name] = np.clip(codes[name], *reachable(threat, name, clean[name], grids[name]))
    return codes


def spent(codes: Batch, clean: Batch, grids: Grids) -> dict[str, float]:
    """The largest real change |scale * (q - zero_point) - clean| by input: what naive rounding really spends."""
    return {name: float(np.abs(grid.dequantise(codes[name]).astype(np.float64) - clean[name]).max())
            for name, grid in grids.items()}


class DequantisedTarget:
    """A real-valued target seen from code space: it gets scale * (q - zero_point), gradients are d loss / d code.

    So gradients of the float network attack the integer model inside its own ball (transfer, BPDA).
    """

    def __init__(self, inner: DifferentiableTarget, grids: Grids) -> None:
        self.name, self.executor, self.grids = inner.name, inner.executor, grids
        self.inputs = inner.inputs
        self._inner = inner

    def logits(self, batch: Batch) -> np.ndarray:
        """Logits [n, k] of the codes in ``batch``."""
        return self._inner.logits(self._real(batch))

    def gradient(self, batch: Batch, labels: np.ndarray, wrt: tuple[str, ...],
                 loss: str = "cross-entropy") -> Gradient:
        """Gradients per code."""
        found = self._inner.gradient(self._real(batch), labels, wrt, loss)
        scaled = {name: values * np.float32(self.grids[name].scale) for name, values in found.wrt.items()}
        return Gradient(found.logits, found.loss, scaled)

    def _real(self, batch: Batch) -> dict[str, np.ndarray]:
        return {name: self.grids[name].dequantise(batch[name]) if name in self.grids else batch[name]
                for name in self.inputs}
