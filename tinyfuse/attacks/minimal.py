"""The smallest budget that breaks each sample: exact bisection on whole codes, or to a tolerance in real units."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyfuse.attacks.adversarial import Adversarial, misclassified
from tinyfuse.attacks.guards import check_request, checked_logits
from tinyfuse.attacks.registry import ITERATIVE, SEEDED, attack, check_attack
from tinyfuse.attacks.relative import RelativeTarget
from tinyfuse.attacks.target import Batch, Target
from tinyfuse.core.errors import UsageError
from tinyfuse.threats.code_grid import InputGrid
from tinyfuse.threats.norms import linf_size
from tinyfuse.threats.threat import Bound, Threat


@dataclass(frozen=True)
class Median:
    """A median with its 95 % interval of order statistics; a figure beyond ``largest`` was never reached (inf)."""

    value: float
    low: float
    high: float
    largest: float
    samples: int

    def __str__(self) -> str:
        value, low, high = (shown(figure, self.largest) for figure in (self.value, self.low, self.high))
        return f"{value} [{low}, {high}]"


@dataclass(frozen=True, eq=False)
class MinimalBudget:
    """The smallest budget at which ``attack`` was seen to break each of n samples.

    ``budget`` [n]: whole codes (int) or input units (float64); 0 where the clean input is misclassified, and where no
    budget up to ``largest`` broke the sample, ``largest`` + 1 code or infinity: see ``found``. A success counts for
    every larger budget. ``point``: all inputs, with the perturbation that achieves ``budget`` (the clean input where
    that is 0 or was not found). ``queries``: gradients and forward passes over all samples.
    """

    attack: str
    parameters: dict[str, Any]
    modalities: tuple[str, ...]
    largest: float
    budget: np.ndarray = field(repr=False)
    point: dict[str, np.ndarray] = field(repr=False)
    queries: int

    @property
    def found(self) -> np.ndarray:
        """Bool [n]: some budget up to ``largest`` breaks the sample."""
        return np.asarray(self.budget <= self.largest)

    def broken_at(self, budget: float) -> np.ndarray:
        """Bool [n]: broken at some budget up to ``budget``, which is at most ``largest``."""
        if not 0 <= budget <= self.largest:
            raise UsageError(f"minimal budgets were searched up to {self.largest:g}, given {budget:g}")
        return np.asarray(self.budget <= budget)

    def shown(self) -> list[str]:
        """One text per sample: the budget, or '>' and the largest one tried."""
        return [shown(float(budget), self.largest) for budget in self.budget]

    def median(self, *, correct_only: bool = False) -> Median:
        """The median over all samples, or over those that are classified correctly when clean."""
        reached = np.where(self.found, self.budget, np.inf)
        return median(reached[reached > 0] if correct_only else reached, self.largest)


def shown(budget: float, largest: float) -> str:
    """``budget`` as text; '>' and ``largest`` beyond it."""
    return f"{budget:.4g}" if budget <= largest else f">{largest:.4g}"


def median(budgets: np.ndarray, largest: float) -> Median:
    """The budget at which half of the samples are broken, with a distribution-free interval of at least 95 %.

    ``budgets``: floats [n] >= 0, inf where none was found. The number of samples below the true median is
    Binomial(n, 1/2), so with l the 2.5 % point of it the l-th smallest and the l-th largest sample enclose the median
    (David and Nagaraja 2003, section 7.1). Fewer than 6 samples bound nothing: the interval is all budgets.
    """
    from scipy.stats import binom

    ordered = np.sort(np.asarray(budgets, np.float64))
    count = len(ordered)
    if not count:
        raise UsageError("no sample to take the median of; all are misclassified when clean")
    rank = int(binom.ppf(0.025, count, 0.5))
    low, high = (float(ordered[rank - 1]), float(ordered[count - rank])) if rank else (0.0, math.inf)
    return Median(float(ordered[(count - 1) // 2]), low, high, largest, count)


def minimal_codes(target: Target, batch: Batch, labels: np.ndarray, modalities: tuple[str, ...],
                  grids: Mapping[str, InputGrid], *, attack: str, k_max: int,
                  parameters: Mapping[str, Any] | None = None, low: Mapping[str, Bound] | None = None,
                  high: Mapping[str, Bound] | None = None, mask: Mapping[str, np.ndarray] | None = None,
                  sample_ids: np.ndarray | None = None) -> MinimalBudget:
    """Bisect, per sample, the L-inf budget k of whole codes (the same k for each of ``modalities``).

    ``batch``: whole codes float32 [n, h, w, c] per input of ``target``; ``labels``: true classes, int [n]. ``attack``
    is a name of the registry, run with ``parameters`` on all samples that wait for the same k. The box is the grid's,
    or ``low`` and ``high`` in codes. A perturbation that uses fewer codes than allowed lowers the bracket to these.

    Raises:
        UsageError: a threat that does not fit, an unknown attack, or ``k_max`` < 1.
        TinyfuseError: NaN or infinite logits or gradients.
    """
    if not (isinstance(k_max, int) and k_max >= 1):
        raise UsageError(f"minimal budget: k_max is {k_max}; give a whole number of codes, at least 1")
    bounds = {"low": {name: grid.low for name, grid in grids.items()} | dict(low or {}),
              "high": {name: grid.high for name, grid in grids.items()} | dict(high or {})}

    def threat(k: int) -> Threat:
        return Threat("linf", dict.fromkeys(modalities, float(k)), **bounds, mask=mask, lattice=True)

    search = _Bisection(target, batch, labels, threat(k_max), attack, parameters, sample_ids, np.int64(k_max + 1))
    while len(rows := np.flatnonzero(search.upper - search.lower > 1)):
        middle = (search.upper + search.lower) // 2
        for k in np.unique(middle[rows]):
            same = rows[middle[rows] == k]
            clean = search.batch(same)
            found = search.run(target, clean, same, threat(int(k)).take(same))
            used = np.max([linf_size(found.strongest[name] - clean[name]) for name in modalities], axis=0)
            search.narrow(same, middle[same], found.broken, found.strongest, np.maximum(1, used).astype(np.int64))
    return search.result(modalities, float(k_max))


def minimal_epsilon(target: Target, batch: Batch, labels: np.ndarray, modalities: tuple[str, ...], *, attack: str,
                    largest: float, tolerance: float, parameters: Mapping[str, Any] | None = None,
                    low: float = 0.0, high: float = 1.0, mask: Mapping[str, np.ndarray] | None = None,
                    sample_ids: np.ndarray | None = None) -> MinimalBudget:
    """Bisect, per sample, the real L-inf budget up to ``largest`` until the bracket is ``tolerance`` wide.

    As :func:`minimal_codes` for real inputs in [``low``, ``high``]; ``budget`` is the upper end of the bracket, which
    the point in ``point`` achieves. Samples run together, each with its own budget as the unit of length.
    """
    if not 0 < tolerance <= largest < math.inf:
        raise UsageError(f"minimal budget: tolerance {tolerance}, largest {largest}; give 0 < tolerance <= largest")
    whole = Threat("linf", dict.fromkeys(modalities, largest), low, high, mask)
    search = _Bisection(target, batch, labels, whole, attack, parameters, sample_ids, np.float64(np.inf))
    rows, middle = np.flatnonzero(search.upper), np.full(len(search.upper), float(largest))
    while len(rows):
        relative = RelativeTarget(target, search.batch(rows), whole.take(rows), middle[rows])
        found = search.run(relative, relative.start, rows, relative.threat)
        search.narrow(rows, middle[rows], found.broken, relative.absolute(found.strongest), middle[rows])
        middle = (search.lower + search.upper) / 2
        # The last two conditions end a bracket that float64 cannot halve again.
        rows = np.flatnonzero(np.isfinite(search.upper) & (search.upper - search.lower > tolerance)
                              & (middle > search.lower) & (middle < search.upper))
    return search.result(modalities, float(largest))


class _Bisection:
    """A bracket per sample: no success at ``lower``, success at ``upper`` (or, at its first value, not tried)."""

    def __init__(self, target: Target, batch: Batch, labels: np.ndarray, largest: Threat, attack_name: str,
                 parameters: Mapping[str, Any] | None, sample_ids: np.ndarray | None, upper: np.generic) -> None:
        check_attack(attack_name, target)
        check_request(target, batch, labels, [largest])
        self.labels, self.name, self.parameters = np.asarray(labels), attack_name, dict(parameters or {})
        # Only iterates that break a sample matter here; what comes after the first is not needed.
        self.settings = ({"survivors_only": True} if attack_name in ITERATIVE else {}) | self.parameters
        self.ids = np.arange(len(self.labels)) if sample_ids is None else np.asarray(sample_ids)
        self.clean = batch
        self.point = {name: np.array(values) for name, values in batch.items()}
        self.upper = np.full(len(self.labels), upper)
        self.lower, self.queries = np.zeros_like(self.upper), len(self.labels)
        self.upper[misclassified(checked_logits(target, batch, self.labels), self.labels)] = 0

    def batch(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The clean samples ``rows``."""
        return {name: values[rows] for name, values in self.clean.items()}

    def run(self, target: Target, clean: Batch, rows: np.ndarray, threat: Threat) -> Adversarial:
        """Attack ``clean``, the samples ``rows``."""
        own = {"sample_ids": self.ids[rows]} if self.name in SEEDED else {}
        found = attack(self.name, target, clean, self.labels[rows], [threat], **self.settings, **own)[0]
        self.queries += found.queries
        return found

    def narrow(self, rows: np.ndarray, tried: np.ndarray, broken: np.ndarray, point: Batch, used: np.ndarray) -> None:
        """Take in what the attack did to ``rows`` with budget ``tried``, of which it ``used`` some."""
        self.lower[rows[~broken]] = tried[~broken]
        self.upper[rows[broken]] = used[broken]
        for name in self.point:
            self.point[name][rows[broken]] = point[name][broken]

    def result(self, modalities: tuple[str, ...], largest: float) -> MinimalBudget:
        return MinimalBudget(self.name, self.parameters, modalities, largest, self.upper, self.point, self.queries)
