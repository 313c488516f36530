"""The smallest budget that breaks each sample, by bisection: in whole codes exactly, else as a share of a budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from tinyfuse.attacks.adversarial import misclassified
from tinyfuse.attacks.attack import SampleAttack
from tinyfuse.attacks.guards import check_request, checked_logits
from tinyfuse.attacks.target import Target
from tinyfuse.core.errors import UsageError
from tinyfuse.data.samples import Batch
from tinyfuse.threats.norms import NORMS
from tinyfuse.threats.threat import Threat

LINF = NORMS["linf"]
SPENT_SLACK = 1e-6
"""Doubt about a share of a budget that was computed from a float32 change."""


@dataclass(frozen=True)
class Median:
    """A median with its 95 % interval of order statistics; a figure beyond ``largest`` was never reached (inf)."""

    value: float
    low: float
    high: float
    largest: float
    samples: int

    def __str__(self) -> str:
        value, low, high = (f"{figure:.4g}" if figure <= self.largest else f">{self.largest:.4g}"
                            for figure in (self.value, self.low, self.high))
        return f"{value} [{low}, {high}]"


@dataclass(frozen=True, eq=False)
class MinimalBudget:
    """The smallest budget at which ``attack`` was seen to break each of n samples, in the inputs ``attacked``.

    ``budget`` int [n]: whole codes; 0 where the clean input is misclassified, and ``largest`` + 1 where no budget up to
    ``largest`` broke the sample: see ``found``. A success counts for every larger budget. ``point``: all inputs, with
    the perturbation that achieves ``budget`` (the clean input where that is 0 or was not found). ``queries``: gradients
    and forward passes over all samples.
    """

    attack: SampleAttack
    attacked: tuple[str, ...]
    largest: int
    budget: np.ndarray = field(repr=False)
    point: dict[str, np.ndarray] = field(repr=False)
    queries: int

    @property
    def found(self) -> np.ndarray:
        """Bool [n]: some budget up to ``largest`` breaks the sample."""
        return np.asarray(self.budget <= self.largest)

    def median(self, *, correct_only: bool = False) -> Median:
        """Return the median over all samples, or over those that are classified correctly when clean."""
        reached = np.where(self.found, self.budget, np.inf)
        return median(reached[reached > 0] if correct_only else reached, self.largest)


def median(budgets: np.ndarray, largest: float) -> Median:
    """Return the budget at which half of the samples are broken, with a distribution-free interval of at least 95 %.

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


@dataclass(frozen=True)
class Ladder:
    """Threats of rising budgets, numbered 1 to ``largest``; each allows what those before it allow.

    ``threat`` builds one by its number; ``reached`` tells, int [m], the first that allows the change from clean inputs
    to adversarial ones.
    """

    largest: int
    threat: Callable[[int], Threat]
    reached: Callable[[Batch, Batch], np.ndarray]


def minimal_codes(target: Target, batch: Batch, labels: np.ndarray, attacked: tuple[str, ...], *,
                  attack: SampleAttack, largest: int, mask: Mapping[str, np.ndarray] | None = None,
                  sample_ids: np.ndarray | None = None) -> MinimalBudget:
    """Bisect, per sample, the L-inf budget k of whole codes (the same k for each of the inputs ``attacked``).

    ``batch``: whole codes float32 [n, ...] per input of ``target``, whose grids are the box; ``labels``: true classes,
    int [n]. ``attack`` runs on all samples that wait for the same k. A perturbation that uses fewer codes than allowed
    lowers the bracket to these. Raises what ``attack.run`` raises, and UsageError where ``largest`` < 1.
    """
    if not (isinstance(largest, int) and largest >= 1):
        raise UsageError(f"minimal budget: the largest is {largest}; give a whole number of codes, at least 1")

    def used(point: Batch, clean: Batch) -> np.ndarray:
        sizes = np.max([LINF.size(point[name] - clean[name]) for name in attacked], axis=0)
        return np.asarray(np.maximum(1, sizes).astype(np.int64))

    ladder = Ladder(largest, lambda k: codes_threat(target, attacked, k, mask), used)
    return bisect(target, batch, labels, ladder, attack, sample_ids)


def codes_threat(target: Target, attacked: tuple[str, ...], k: int,
                 mask: Mapping[str, np.ndarray] | None = None) -> Threat:
    """Allow ``k`` codes of each of the inputs ``attacked`` of an integer ``target``, L-inf, on their whole grids."""
    grids = target.grids or {}
    box = {name: (float(grids[name].low), float(grids[name].high)) for name in attacked if name in grids}
    return Threat(LINF, dict.fromkeys(attacked, float(k)), box, mask or {}, lattice=True)


def halvings(lower: np.ndarray, upper: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the middle of brackets, int [n] each, and the samples that share it, until none is wider than 1.

    Whoever asks tries that value on these samples, and moves their ``lower`` or ``upper`` in place.
    """
    while len(rows := np.flatnonzero(upper - lower > 1)):
        middle = (upper + lower) // 2
        for k in np.unique(middle[rows]):
            yield int(k), rows[middle[rows] == k]


def minimal_shares(target: Target, batch: Batch, labels: np.ndarray, threat: Threat, *, attack: SampleAttack,
                   levels: int = 40, finest: float = 0.01, sample_ids: np.ndarray | None = None) -> np.ndarray:
    """Find, per sample, the smallest share of the budgets of ``threat`` that was seen to break it: float64 [n].

    Any norm, real values or codes; each attacked input has the same share of its own budget. The shares tried are
    ``levels`` steps of one ratio from ``finest`` to 1; what is returned is the share that the smallest successful
    change really spent, 0 where the clean input is misclassified and inf where nothing succeeded.
    """
    if levels < 2 or not 0 < finest < 1:
        raise UsageError(f"smallest budget in {levels} levels from {finest}: give at least 2 levels, and a share "
                         "between 0 and 1 for the finest")
    shares = np.geomspace(finest, 1.0, levels)

    def spent(point: Batch, clean: Batch) -> np.ndarray:
        return threat.norm.shares({name: point[name] - clean[name] for name in threat.attacked}, threat.budget)

    ladder = Ladder(levels, lambda k: replace(threat, budget={name: value * float(shares[k - 1])
                                                              for name, value in threat.budget.items()}),
                    lambda point, clean: 1 + np.searchsorted(shares[:-1] * (1 + SPENT_SLACK), spent(point, clean)))
    found = bisect(target, batch, labels, ladder, attack, sample_ids)
    return np.where(found.budget == 0, 0.0, np.where(found.found, spent(found.point, batch), np.inf))


def bisect(target: Target, batch: Batch, labels: np.ndarray, ladder: Ladder, attack: SampleAttack,
           sample_ids: np.ndarray | None = None) -> MinimalBudget:
    """Bisect, per sample, the first threat of ``ladder`` under which ``attack`` was seen to break it."""
    highest = ladder.threat(ladder.largest)
    check_request(target, batch, labels, [highest])
    labels = np.asarray(labels)
    ids = np.arange(len(labels)) if sample_ids is None else np.asarray(sample_ids)
    point = {name: np.array(values) for name, values in batch.items()}
    # A bracket per sample: no success at ``lower``, success at ``upper`` (or, at its first value, not tried).
    upper = np.full(len(labels), ladder.largest + 1, np.int64)
    lower, queries = np.zeros_like(upper), len(labels)
    upper[misclassified(checked_logits(target, batch, labels), labels)] = 0
    for k, same in halvings(lower, upper):
        clean = {name: values[same] for name, values in batch.items()}
        # Only iterates that break a sample matter here; what comes after the first is not needed.
        found = attack.run(target, clean, labels[same], ladder.threat(k), sample_ids=ids[same], survivors_only=True)
        broken, queries = found.broken, queries + found.queries
        lower[same[~broken]] = k
        upper[same[broken]] = np.minimum(k, ladder.reached(found.strongest, clean))[broken]
        for name in point:
            point[name][same[broken]] = found.strongest[name][broken]
    return MinimalBudget(attack, highest.attacked, ladder.largest, upper, point, queries)
