"""Which candidate is best: on the lower ends of its intervals, and not against what the checks say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tinyfuse.checks.run_checks import Flag, gate
from tinyfuse.core.statistics import Difference, mcnemar, paired_difference, wilson

SINGLE = ("image", "audio")
MISLED = ("Ac", "Am", "G", "L", "P", "R", "St", "T", "Tx")
"""Checks whose warnings say that an attack may have been misled, so that its figure flatters. Not K: what inputs made
for other models break counts as broken. Not C: more steps find a little more on every recipe."""


@dataclass(frozen=True, eq=False)
class Judged:
    """A candidate ``name`` after its attacks: bool [n], still correct, clean and by attacked mode; what it ``needs``.

    ``flags``: errors and warnings of the checks on its own figures.
    """

    name: str
    clean: np.ndarray = field(repr=False)
    robust: Mapping[str, np.ndarray] = field(repr=False)
    needs: Mapping[str, int | None]
    flags: tuple[Flag, ...] = ()

    @property
    def weaker(self) -> str:
        """The single modality whose attacks leave less."""
        single = [mode for mode in SINGLE if mode in self.robust] or list(self.robust)
        return min(single, key=lambda mode: float(np.mean(self.robust[mode])))

    @property
    def broken(self) -> bool:
        """Whether a check says that its figures must not be used."""
        return bool(gate(self.flags))

    @property
    def suspect(self) -> tuple[Flag, ...]:
        """Warnings after which its robustness may be an artefact."""
        return tuple(flag for flag in self.flags if flag.level == "W" and flag.code in MISLED)

    def score(self, objective: str) -> tuple[float, ...]:
        """Lower ends of 95 % intervals, what matters most first, then fewer bytes; larger is better.

        Robust is the mean over the weaker modality and both together: one modality alone saturates, and then chance
        would decide while an attack on both tells candidates apart.
        """
        clean, weaker = lower(self.clean), lower(self.robust[self.weaker])
        robust = (weaker + lower(self.robust.get("both", self.robust[self.weaker]))) / 2
        accuracies = (robust, clean) if objective == "robust" else (clean, robust)
        return *accuracies, -float(self.needs.get("flash") or 0)


def lower(correct: np.ndarray) -> float:
    """Lower end of the 95 % Wilson interval of bool [n]."""
    return wilson(int(np.sum(correct)), len(correct))[0]


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
    ``clean_loss`` against ``reference`` on the same clean pairs. Suspect ones come after all others.
    """
    left = dict(barred)
    for one in judged:
        if one.broken and one.name not in left:
            left[one.name] = f"a check rejects its figures ({gate(one.flags)[0].text})"
    able = [one for one in judged if one.name not in left]
    losses = {one.name: float(np.mean(reference.clean)) - float(np.mean(one.clean)) for one in able}
    keeping = [one for one in able if losses[one.name] <= clean_loss + 1e-9]
    if not keeping:
        return Ranking(_sorted(able, "clean"), left, "clean", relaxed=True)
    left |= {one.name: f"it loses {100 * losses[one.name]:.1f} points of clean accuracy" for one in able
             if one not in keeping}
    return Ranking(_sorted(keeping, objective), left, objective)


def _sorted(judged: Sequence[Judged], objective: str) -> list[Judged]:
    return sorted(judged, key=lambda one: (not one.suspect, *one.score(objective)), reverse=True)


@dataclass(frozen=True)
class Comparison:
    """``a`` minus ``b`` on the same samples: a paired difference of shares, and McNemar's p-value."""

    a: str
    b: str
    what: str
    difference: Difference
    p: float

    @property
    def significant(self) -> bool:
        """Whether chance alone would give this less often than one time in twenty."""
        return self.p < 0.05


def compare(a: Judged, b: Judged, what: str) -> Comparison:
    """Compare ``what`` ("clean" or an attacked mode) of two candidates."""
    first, second = ((one.clean if what == "clean" else one.robust[what]) for one in (a, b))
    return Comparison(a.name, b.name, what, paired_difference(second, first), mcnemar(second, first))


def front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Which of (size, score) no other one beats with at most its size and at least its score."""
    return [not any(other != point and other[0] <= point[0] and other[1] >= point[1] for other in points)
            for point in points]
