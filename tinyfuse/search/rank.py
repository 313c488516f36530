"""Which candidate is best: on the lower ends of its intervals, and not against what the checks say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tinyfuse.checks.certificates import CERTIFIED
from tinyfuse.checks.run_checks import Flag, gate
from tinyfuse.core.statistics import mcnemar, paired_difference
from tinyfuse.search.record import Compared
from tinyfuse.study.worst_case import accuracy_of
from tinyfuse.threats.modes import ALL

CHANCE = 0.05
"""A difference that chance alone would give less often than this is significant."""
MISLED = ("Ac", "Am", "G", "L", "P", "R", "St", "T", "Tx")
"""Checks whose warnings say that an attack may have been misled, so that its figure flatters. Not K: what inputs made
for other models break counts as broken. Not C: more steps find a little more on every recipe."""


@dataclass(frozen=True, eq=False)
class Judged:
    """A candidate after its attacks: what it ``needs`` by resource, and the errors and warnings of the checks.

    ``clean`` and, by mode of attack, ``robust``: bool [n], still correct. ``auc``: of an autoencoder the AUC, "clean"
    and by mode, which ranks it, as a verdict hangs on its threshold. ``certified``: bool [n], on the attacked samples,
    what no attack on all inputs can break; None where that was not asked.
    """

    name: str
    clean: np.ndarray = field(repr=False)
    robust: Mapping[str, np.ndarray] = field(repr=False)
    needs: Mapping[str, int | None]
    flags: tuple[Flag, ...] = ()
    auc: Mapping[str, float] = field(default_factory=dict)
    certified: np.ndarray | None = field(default=None, repr=False)

    @property
    def verdicts(self) -> dict[str, np.ndarray]:
        """Bool [n] by what was asked: "clean", each mode of attack, and perhaps "certified"."""
        proved = {} if self.certified is None else {CERTIFIED: self.certified}
        return {"clean": self.clean, **self.robust, **proved}

    @property
    def clean_figure(self) -> float:
        """Its clean accuracy, or AUC."""
        return self.auc["clean"] if self.auc else float(np.mean(self.clean))

    @property
    def figure(self) -> str:
        """What it is ranked by."""
        return "AUC" if self.auc else "accuracy"

    @property
    def weakest(self) -> str:
        """The input whose attack alone leaves the fewest samples correct."""
        return min((mode for mode in self.robust if mode != ALL), key=lambda mode: float(np.mean(self.robust[mode])))

    @property
    def suspect(self) -> tuple[Flag, ...]:
        """Warnings after which its robustness may be an artefact."""
        return tuple(flag for flag in self.flags if flag.level == "W" and flag.code in MISLED)

    def score(self, objective: str) -> tuple[float, ...]:
        """List the lower ends of 95 % intervals, what matters most first, then fewer bytes; larger is better.

        Robust is the mean over the weakest input alone and all together: an attack on one input saturates, and then
        chance would decide while an attack on all tells candidates apart. An AUC has no interval here: all candidates
        are judged on the same samples.
        """
        if self.auc:
            clean, robust = self.auc["clean"], min(value for what, value in self.auc.items() if what != "clean")
        else:
            clean, weakest = lower(self.clean), lower(self.robust[self.weakest])
            robust = (weakest + lower(self.robust.get(ALL, self.robust[self.weakest]))) / 2
        accuracies: tuple[float, ...] = (clean, robust) if objective == "clean" else (robust, clean)
        if objective == CERTIFIED and self.certified is not None:
            accuracies = (lower(self.certified), *accuracies)
        return *accuracies, -float(self.needs.get("flash") or 0)


def lower(correct: np.ndarray) -> float:
    """Return the lower end of the 95 % Wilson interval of bool [n]."""
    return accuracy_of(correct).low


@dataclass(frozen=True)
class Ranking:
    """Candidates in the running, best first by ``objective``, and why each other one is not.

    ``relaxed``: all of them lose more clean accuracy than allowed, so that clean accuracy decided.
    """

    order: Sequence[Judged]
    left_out: Mapping[str, str]
    objective: str
    relaxed: bool = False


def rank(judged: Sequence[Judged], objective: str, reference: Judged, clean_loss: float,
         barred: Mapping[str, str]) -> Ranking:
    """Rank ``judged``, without those that are ``barred`` (name to reason), that a check rejects, or that lose more than
    ``clean_loss`` against ``reference`` on the same clean samples. Suspect ones come after all others.
    """
    left = {**barred, **{one.name: f"a check rejects its figures ({gate(one.flags)[0].text})" for one in judged
                         if one.name not in barred and gate(one.flags)}}
    able = [one for one in judged if one.name not in left]
    losses = {one.name: reference.clean_figure - one.clean_figure for one in able}
    keeping = [one for one in able if losses[one.name] <= clean_loss + 1e-9]
    if not keeping:
        return Ranking(_sorted(able, "clean"), left, "clean", relaxed=True)
    left |= {one.name: f"it loses {100 * losses[one.name]:.1f} points of clean {one.figure}" for one in able
             if one not in keeping}
    return Ranking(_sorted(keeping, objective), left, objective)


def _sorted(judged: Sequence[Judged], objective: str) -> list[Judged]:
    return sorted(judged, key=lambda one: (not one.suspect, *one.score(objective)), reverse=True)


def compare(a: Judged, b: Judged, what: str) -> Compared:
    """Compare ``what`` ("clean", a mode of attack or "certified") of two candidates on the same samples."""
    first, second = a.verdicts[what], b.verdicts[what]
    p = mcnemar(second, first)
    return Compared(a.name, b.name, what, paired_difference(second, first), p, significant=p < CHANCE)


def compare_first(order: Sequence[Judged]) -> tuple[Compared, ...]:
    """Compare the first with each other one in all their verdicts."""
    first = order[0]
    return tuple(compare(first, other, what) for other in order[1:] for what in first.verdicts)


def front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Mark which of (size, score) no other one beats with at most its size and at least its score."""
    return [not any(other != point and other[0] <= point[0] and other[1] >= point[1] for other in points)
            for point in points]
