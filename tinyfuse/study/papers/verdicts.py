"""From rows to verdicts: the effect of each contrast over trainings and pairs, and what it says of a claim."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from tinyfuse.core.results import Row, epsilon_of, unpack_survivors
from tinyfuse.core.statistics import Effect, holm, ratio_by_sample, samples_needed, two_level
from tinyfuse.study.papers.claims import BOTH, LEVEL, Claim, Contrast, Curve, Quantity

Verdict = Literal["holds", "does not hold", "cannot be decided"]
HOLDS: Verdict = "holds"
FAILS: Verdict = "does not hold"
OPEN: Verdict = "cannot be decided"
Shares = dict[float, np.ndarray]
"""By epsilon: for each training (in the order of the seeds) and sample how much of it is right, [trainings, n]."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """The ``rows`` of a study, and which samples belong together: ``groups`` int [n]."""

    rows: Sequence[Row]
    groups: np.ndarray

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """The trainings that were judged."""
        return tuple(sorted({row["seed"] for row in self.rows if row["kind"] == "attack"}))

    @cached_property
    def _found(self) -> dict[tuple[object, ...], dict[float, np.ndarray]]:
        found: dict[tuple[object, ...], dict[float, np.ndarray]] = {}
        for row in self.rows:
            if row["kind"] in ("clean", "attack") and row["n"] == len(self.groups):
                key = (row["model"], row["precision"], row["seed"], tuple(sorted(row["attacked"])), row["profile"],
                       bool(row["mask"]), row["attack"]["name"] if row["kind"] == "attack" else "")
                found.setdefault(key, {})[epsilon_of(row)] = unpack_survivors(row["survivors"], row["n"])
        return found

    def attacks(self, suite: str) -> list[str]:
        """Name the attacks of a suite."""
        return sorted({str(key[6]) for key in self._found if key[4] == suite})

    def shares(self, curve: Curve) -> Shares:
        """Look up the samples that stay right, at each epsilon that every training has; empty if one lacks all."""
        names = [""] if not curve.attacked else (
            self.attacks(curve.suite) if curve.attack == BOTH else [curve.attack])
        tracks = [[self._found.get((curve.model, curve.precision, seed, tuple(sorted(curve.attacked)),
                                    curve.suite if curve.attacked else "", curve.masked and bool(curve.attacked),
                                    name), {}) for name in names] for seed in self.seeds]
        every = [track for group in tracks for track in group]
        common = sorted(set.intersection(*(set(track) for track in every))) if every else []
        wanted = [one for one in common if not curve.epsilons or one in curve.epsilons]
        return {epsilon: np.stack([np.mean([track[epsilon] for track in group], axis=0) for group in tracks])
                for epsilon in wanted}

    def values(self, side: Quantity) -> Shares:
        """Return accuracies, or of a ratio its values sample by sample where no training has too small a divisor."""
        if isinstance(side, Curve):
            return self.shares(side)
        return _ratios(self.shares(side.after), self.shares(side.before))

    def effect(self, contrast: Contrast, margin: float) -> Effect | None:
        """Estimate a contrast; None where rows are missing, or no budget leaves a ratio that means something."""
        more, less = self.values(contrast.more), self.values(contrast.less)
        pairs = [(one, other) for one, other in contrast.budgets(more, less) if one in more and other in less]
        if not pairs:
            return None
        return two_level(np.mean([more[one] - less[other] for one, other in pairs], axis=0), self.groups, margin=margin)


def _ratios(after: Shares, before: Shares) -> Shares:
    found: Shares = {}
    for epsilon in sorted(after.keys() & before.keys()):
        spread = [ratio_by_sample(one, other) for one, other in zip(after[epsilon], before[epsilon], strict=True)]
        usable = [one for one in spread if one is not None]
        if len(usable) == len(spread):
            found[epsilon] = np.stack(usable)
    return found


@dataclass(frozen=True)
class Judgement:
    """What the rows say of one claim: an effect for each contrast (None: not measured), ``p`` over all claims.

    ``weakest``: the place of the contrast that decided. ``needed``: samples that would decide an open claim, None where
    no number would. ``reason``: why it is open, in words.
    """

    claim: Claim
    effects: tuple[Effect | None, ...]
    p: float
    verdict: Verdict
    weakest: int
    needed: int | None = None
    reason: str = ""


def judge(claims: Iterable[Claim], evidence: Evidence, trainings: int) -> list[Judgement]:
    """Judge ``claims`` together (Holm); without so many ``trainings`` nothing is decided."""
    known = list(claims)
    effects = {claim.name: tuple(evidence.effect(one, claim.margin) for one in claim.contrasts) for claim in known}
    sides = {claim.name: _sides(effects[claim.name], claim.margin) for claim in known}
    adjusted = holm({name: min(1.0, 2 * min(found[0][0], found[1][0])) for name, found in sides.items()})
    return [_judgement(claim, effects[claim.name], sides[claim.name], adjusted[claim.name],
                       len(evidence.seeds), trainings) for claim in known]


def _sides(effects: Sequence[Effect | None], margin: float) -> tuple[tuple[float, int], tuple[float, int]]:
    """Return (p, place of the contrast) that all lie above the margin, and that one lies below."""
    above = [1.0 if one is None else one.p / 2 if one.value > margin else 1 - one.p / 2 for one in effects]
    below = [1.0 if one is None else 1 - one.p / 2 if one.value > margin else one.p / 2 for one in effects]
    first, second = int(np.argmax(above)), int(np.argmin(below))
    return (above[first], first), (min(1.0, len(below) * below[second]), second)


def _judgement(claim: Claim, effects: tuple[Effect | None, ...], sides: tuple[tuple[float, int], tuple[float, int]],
               p: float, trained: int, trainings: int) -> Judgement:
    holds = sides[0][0] <= sides[1][0]
    place = sides[0][1] if holds else sides[1][1]
    if any(one is None for one in effects):
        return Judgement(claim, effects, p, OPEN, place, reason="not measured, or no ratio over 5 %")
    if trained < trainings:
        return Judgement(claim, effects, p, OPEN, place,
                         reason=f"{trained} of {trainings} trainings: more --seeds are needed")
    if p <= LEVEL:
        return Judgement(claim, effects, p, HOLDS if holds else FAILS, place)
    weakest = effects[place]
    assert weakest is not None
    needed = samples_needed(weakest, margin=claim.margin, level=LEVEL)
    reason = ("trainings differ too much: more of them are needed, not more pairs" if needed is None else
              f"about {max(needed, weakest.n):,} pairs would be needed, and {weakest.n:,} were judged")
    return Judgement(claim, effects, p, OPEN, place, needed, reason)
