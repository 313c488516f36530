"""The smallest budget that breaks each sample of an analysed model: the search that several analyses share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tinyfuse.analyses.analysis import Analysis
from tinyfuse.analyses.subject import AnalysisSubject
from tinyfuse.attacks.minimal import Median, median, minimal_codes, minimal_shares
from tinyfuse.attacks.pgd import PGD
from tinyfuse.core.errors import UsageError
from tinyfuse.data.samples import Input, Samples
from tinyfuse.threats.code_threats import code_problem
from tinyfuse.threats.norms import norm_of
from tinyfuse.threats.threat import Threat

LINF, L2 = "linf", "l2"


@dataclass(frozen=True)
class Search:
    """How the smallest budget is looked for: PGD of ``steps`` on the ``loss``, at ``levels`` budgets of one ratio.

    ``largest``: the largest budget that is tried, as a share of the range of an input's values; in L2 as a share of the
    longest change that the range allows. ``every_code``: on codes, L-inf is exact to one code, which takes longer.
    """

    norm: str
    steps: int = 10
    largest: float = 0.5
    levels: int = 48
    loss: str = "margin"
    every_code: bool = False

    def __post_init__(self) -> None:
        norm_of(self.norm)
        if not 0 < self.largest <= 1:
            raise UsageError(f"the largest budget is {self.largest} of the range; give more than 0 and at most 1")

    def budget(self, one: Input) -> float:
        """Return the largest budget of ``one`` in its own units."""
        return self.largest * one.span * (1.0 if self.norm == LINF else float(np.sqrt(one.valid_mask().sum())))


@dataclass(frozen=True)
class InOneNorm(Analysis):
    """An analysis that looks for smallest budgets in one ``norm``; the other settings are those of :class:`Search`."""

    norm: str = LINF
    steps: int = 10
    levels: int = 48
    largest: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.search()

    def search(self) -> Search:
        """Return the search; UsageError for settings that make none."""
        return Search(self.norm, self.steps, self.largest, self.levels)


@dataclass(frozen=True, eq=False)
class Smallest:
    """What was found for n samples: ``epsilon`` float64 [n] in ranges of the attacked inputs' values.

    0 where the clean input is misclassified, inf where nothing up to ``largest`` broke it. ``codes`` (L-inf on codes
    alone): the same in whole codes.
    """

    epsilon: np.ndarray = field(repr=False)
    largest: float
    codes: np.ndarray | None = None

    def median(self) -> Median | None:
        """Return the median over samples that are right when clean; None where there is none."""
        right = self.epsilon[self.epsilon > 0]
        return median(right, self.largest) if len(right) else None

    def deactivating(self, chance: float) -> float | None:
        """Return the smallest budget at which no more than ``chance`` of all samples is right; None if none is."""
        allowed = int(np.floor(chance * len(self.epsilon) + 1e-9))
        value = float(np.sort(self.epsilon)[max(len(self.epsilon) - allowed - 1, 0)])
        return value if np.isfinite(value) else None


def find_smallest(subject: AnalysisSubject, samples: Samples, attacked: Sequence[str], search: Search,
                  mask: Mapping[str, np.ndarray] | None = None) -> Smallest:
    """Find what breaks each of ``samples`` when the inputs ``attacked`` change where ``mask`` (all: None) is 1.

    Each attacked input has the same share of its own range. On codes the threat model is G.
    """
    inputs = {one.name: one for one in subject.inputs}
    budget = {name: search.budget(inputs[name]) for name in attacked}
    threat = Threat.of(subject.inputs, budget, search.norm, mask)
    largest = max(budget[name] / inputs[name].span for name in attacked)
    attack = PGD(steps=search.steps, loss=search.loss)
    if subject.twin is not None and search.every_code and search.norm == LINF:
        return _in_codes(subject, samples, threat, attack)
    clean = subject.given(samples.inputs)
    if subject.twin is not None:
        threat, clean = code_problem(threat, samples.inputs, subject.twin.model.grids, "codes")
    share = minimal_shares(subject.target, clean, samples.label, threat, attack=attack, levels=search.levels)
    return Smallest(share * largest, largest)


def _in_codes(subject: AnalysisSubject, samples: Samples, threat: Threat, attack: PGD) -> Smallest:
    """Try every whole number of codes, the same for each attacked input."""
    assert subject.twin is not None
    grids, spans = subject.twin.model.grids, {one.name: one.span for one in subject.inputs}
    coded, clean = code_problem(threat, samples.inputs, grids, "codes")
    most, unit = (max(1, int(max(coded.budget.values()))),
                  max(grids[name].scale / spans[name] for name in threat.attacked))
    found = minimal_codes(subject.target, clean, samples.label, threat.attacked, attack=attack, largest=most,
                          mask=coded.mask)
    codes = np.where(found.found, found.budget, np.inf)
    return Smallest(codes * unit, most * unit, codes)
