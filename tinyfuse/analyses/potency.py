"""Potency of attacks: the smallest budget that breaks each sample, by norm and attacked inputs (Li et al. 2021)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from tinyfuse.analyses.analysis import Advance, Analysis, Finding, Quantity, register
from tinyfuse.analyses.budget_search import L2, LINF, Search, Smallest, find_smallest
from tinyfuse.analyses.subject import AnalysisSubject
from tinyfuse.attacks.attack import at_least
from tinyfuse.checks.alone import chance
from tinyfuse.core.errors import UsageError
from tinyfuse.data.samples import Samples
from tinyfuse.threats.modes import modes_of

SMALLEST = "median, over samples that are right when clean, of the smallest budget that was seen to break a sample, in "
RANGES = "ranges of the input's values"


@register
@dataclass(frozen=True)
class Potency(Analysis):
    """How little breaks a sample: each input alone and all together, in L-inf and L2.

    ``steps`` of PGD on the margin loss; ``levels``: budgets of one ratio that are tried (L-inf on codes:
    every code).
    ``largest_linf``, ``largest_l2``: the largest budgets, as shares of the range and of the longest possible change.
    """

    name = "potency"
    title = "The smallest budget that breaks a sample"
    least = at_least(steps=1, levels=2, largest_linf=0, largest_l2=0)
    quantities = (
        Quantity("smallest budget", "median smallest ε", "ranges", f"{SMALLEST}{RANGES}; an upper bound on the true "
                 "one", ("input", "norm")),
        Quantity("deactivating budget", "deactivating ε", "ranges", "smallest budget at which no more samples are "
                 f"right than by chance, in {RANGES}", ("input", "norm")),
        Quantity("smallest codes", "median smallest ε in codes", "codes", f"{SMALLEST}whole codes", ("input", "norm")),
        Quantity("unbroken", "unbroken at the largest ε", "share", "share of all samples that nothing up to the "
                 "largest budget broke"),
    )
    norms: tuple[str, ...] = (LINF, L2)
    steps: int = 10
    levels: int = 48
    largest_linf: float = 0.5
    largest_l2: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.norms:
            raise UsageError(f"potency: norms is empty; give at least one, such as {LINF}")
        self._searches()

    def _searches(self) -> list[Search]:
        return [Search(norm, self.steps, self.largest_linf if norm == LINF else self.largest_l2, self.levels,
                       every_code=True) for norm in self.norms]

    def work(self, subject: AnalysisSubject, samples: Samples) -> int:
        return len(self.norms) * len(modes_of(subject.input_names))

    def run(self, subject: AnalysisSubject, samples: Samples, advance: Advance) -> Iterable[Finding]:
        for search in self._searches():
            for mode, attacked in modes_of(subject.input_names).items():
                found = find_smallest(subject, samples, attacked, search)
                yield from budget_findings(found, {"input": mode, "norm": search.norm}, chance(samples.label))
                advance(note=f"{mode} {search.norm}")


def budget_findings(found: Smallest, of: dict[str, str], luck: float) -> Iterator[Finding]:
    """Tell the median of the smallest budgets, the deactivating one and what stays unbroken."""
    n, middle = len(found.epsilon), found.median()
    if middle is None:
        yield Finding("smallest budget", of, 0.0, n, each=found.epsilon)
        return
    yield Finding("smallest budget", of, middle.value, middle.samples, middle.low, middle.high, found.epsilon)
    yield Finding("deactivating budget", of, found.deactivating(luck), n)
    yield Finding("unbroken", of, float(np.mean(np.isinf(found.epsilon))), n)
    if found.codes is not None:
        yield Finding("smallest codes", of, float(np.median(found.codes[found.codes > 0])), middle.samples,
                      each=found.codes)
