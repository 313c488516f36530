"""Which bits to ship, in words: the answer with its uncertainty, what each input gains from widths, and three cards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tinyfuse.core.statistics import mcnemar
from tinyfuse.nn.origin import SHARED
from tinyfuse.report.figures.style import is_uniform
from tinyfuse.report.summary import LineCurves, SummaryRow
from tinyfuse.report.vocabulary import NORMS, number
from tinyfuse.study.worst_case import FLOAT_EXECUTOR, Accuracy
from tinyfuse.threats.budgets import epsilon_text
from tinyfuse.threats.modes import ALL

_NEAR_BEST = 0.01
"""Loss of clean accuracy, against the best recipe, that a recipe worth shipping may have."""
_USABLE = 0.03
"""The same of the smallest recipe that is shown."""
_CHANCE = 0.05
"""McNemar's p from which a difference counts as chance."""
Curves = Mapping[tuple[str, str], LineCurves]


@dataclass(frozen=True)
class Card:
    """One recipe to look at first, and in a sentence why."""

    title: str
    line: SummaryRow
    reason: str


@dataclass(frozen=True)
class Advice:
    """The ``answer`` in sentences, a sentence for each input of the network that it names, and the cards."""

    answer: tuple[str, ...]
    by_input: tuple[tuple[str, str], ...]
    cards: tuple[Card, ...]


@dataclass(frozen=True, eq=False)
class _Candidate:
    """An integer model; ``right``: which samples it still classifies correctly, "clean" and by mode of attack."""

    line: SummaryRow
    clean: float
    size: int
    right: Mapping[str, np.ndarray] = field(repr=False)

    @property
    def worst(self) -> float:
        """The lowest accuracy under attack; -1 if there was none."""
        return -1.0 if self.line.worst_robust is None else self.line.worst_robust

    @property
    def name(self) -> str:
        return f"{self.line.model} {self.line.precision}"


def advise(lines: Sequence[SummaryRow], curves: Curves) -> Advice | None:
    """Advise on the integer models among ``lines`` of one training seed; None if none has a size and an accuracy.

    Networks of several inputs are preferred: one with a single input competes only where there is no other. The answer
    is the smallest recipe that no other one is shown to beat: of those within a point of the best clean accuracy, the
    one most robust against the attacks that hurt it most is compared with each on the same samples.
    """
    candidates = [_candidate(line, curves) for line in lines
                  if line.executor != FLOAT_EXECUTOR and line.clean is not None and line.packed_bytes is not None]
    candidates = [one for one in candidates if len(one.line.inputs) > 1] or candidates
    if not candidates:
        return None
    best = max(one.clean for one in candidates)
    good = [one for one in candidates if one.clean >= best - _NEAR_BEST]
    strongest = max(good, key=lambda one: (one.worst, one.clean, -one.size))
    equal = [one for one in good if not _beaten(one, strongest)]
    chosen = min(equal, key=_cheapest)
    smallest = min((one for one in candidates if one.clean >= best - _USABLE), key=_cheapest)
    cards: dict[str, Card] = {}
    for one, title, reason in (
            (chosen, "Ship this", f"The smallest of the {len(equal)} recipes that none is shown to beat."),
            (strongest, "Most robust", "The highest accuracy under the attacks that hurt it most, of the recipes "
                                       "within a point of the best clean accuracy."),
            (smallest, "Smallest", "The fewest bytes of the recipes within 3 points of the best clean accuracy.")):
        cards.setdefault(one.name, Card(title, one.line, reason))
    return Advice(tuple(_answer(chosen, strongest, equal, good)),
                  tuple((name, _about_input(name, chosen, candidates)) for name in chosen.line.inputs),
                  tuple(cards.values()))


def answer_of(lines: Sequence[SummaryRow], curves: Curves) -> list[str]:
    """Return the whole answer as lines of text; none if there is none."""
    found = advise(lines, curves)
    return [] if found is None else [*found.answer, *(f"{name}: {text}" for name, text in found.by_input)]


def _cheapest(one: _Candidate) -> tuple[float, ...]:
    return one.size, -one.worst, -one.clean


def _candidate(line: SummaryRow, curves: Curves) -> _Candidate:
    found = curves.get((line.model, line.precision), LineCurves())
    at = {mode: point.survivors for mode, points in found.own.items() for point in points
          if point.is_at(line.epsilon)}
    clean = {"clean": found.clean[max(found.clean)]} if found.clean else {}
    flash = line.firmware.flash_bytes if line.firmware else None
    assert line.clean is not None
    return _Candidate(line, line.clean.value, max(flash or line.packed_bytes or 0, 1), {**clean, **at})


def _compared(one: _Candidate, other: _Candidate, what: str) -> tuple[float, float] | None:
    """Return accuracy of ``one`` minus ``other`` on the same samples, and McNemar's p; None if there are none."""
    a, b = one.right.get(what), other.right.get(what)
    if a is None or b is None or len(a) != len(b):
        return None
    return float(np.mean(a) - np.mean(b)), mcnemar(b, a)


def _beaten(one: _Candidate, by: _Candidate) -> bool:
    """Whether ``by`` is better in some figure by more than chance."""
    found = [_compared(one, by, what) for what in one.right]
    return any(pair is not None and pair[0] < 0 and pair[1] < _CHANCE for pair in found)


def _answer(chosen: _Candidate, strongest: _Candidate, equal: Sequence[_Candidate],
            good: Sequence[_Candidate]) -> Iterator[str]:
    line = chosen.line
    assert line.clean is not None
    attacked = "".join(f", and on {with_interval(share)} {attack_text(mode, line)}" for mode, share in hardest(line))
    yield (f"Ship {chosen.name}: {width_text(line)}. It is right on {with_interval(line.clean)} of clean "
           f"samples{attacked}.")
    if strongest.worst < 0:
        yield "No attack has been evaluated yet, so nothing is said here about robustness."
        return
    yield _rivals(len(equal) - 1, len(good) - len(equal))
    n = hardest(line)[0][1].n
    yield (f"With {n:,} samples differences of a few points are chance, and one training of each network cannot rank "
           "widths that lie close together.")


def _rivals(alike: int, beaten: int) -> str:
    """Say how many other recipes are as good as the answer, and how many are worse."""
    said = [f"{_times(alike)} cannot be told apart from the most robust one on these samples, and this is the smallest "
            "of them"] if alike else []
    said += [f"{_times(beaten)} {'is' if beaten == 1 else 'are'} weaker by more than chance"] if beaten else []
    if not said:
        return "No other recipe was attacked that it could be compared with."
    return f"No other recipe is shown to be better: {'; '.join(said)} (paired comparisons, McNemar's p < {_CHANCE:g})."


def _times(count: int) -> str:
    return "1 other recipe" if count == 1 else f"{count} other recipes"


def hardest(line: SummaryRow) -> list[tuple[str, Accuracy]]:
    """Return the mode of attack that leaves least, with what it leaves; nothing without attacks."""
    found = sorted(line.robust.items(), key=lambda item: (item[1].value, item[0] != ALL))
    return found[:1]


def width_text(line: SummaryRow) -> str:
    """Put the weight bits of ``line`` in words: "6 bits for every weight"."""
    widths = {branch: number(bits) for branch, bits in line.bits.items()}
    if not widths or len(set(widths.values())) == 1:
        return f"{next(iter(widths.values()), number(line.weight_bits_mean or 0))} bits for every weight"
    said = [f"{bits} for {'what inputs share' if branch == SHARED else branch}" for branch, bits in widths.items()]
    return f"mean weight bits {', '.join(said)}"


def attack_text(mode: str, line: SummaryRow) -> str:
    """Say what an adversary does: "when an adversary changes every value of mic by up to 0.03"."""
    what, rounded = "all inputs" if mode == ALL else mode, line.robust_real.get(mode)
    before = f" (on {100 * rounded.value:.1f} % before the device rounds it to codes)" if rounded else ""
    own = line.epsilon.get(mode, line.epsilon) if isinstance(line.epsilon, Mapping) else line.epsilon or 0.0
    how = (f"every value of {what} by up to {epsilon_text(own)}" if line.norm == "linf" else
           f"{what} by up to {epsilon_text(own)} in {NORMS.get(line.norm, line.norm)}")
    return f"when an adversary may change {how}{before}"


def with_interval(share: Accuracy) -> str:
    """Write "98.5 % (95 % interval 95.7 to 99.5, n = 200)"."""
    return (f"{100 * share.value:.1f} % (95 % interval {100 * share.low:.1f} to {100 * share.high:.1f}, "
            f"n = {share.n:,})")


def _about_input(name: str, chosen: _Candidate, candidates: Sequence[_Candidate]) -> str:
    """Say what attacks on one input alone leave, whether its width matters, and what mixed widths gain."""
    line, mine = chosen.line, [one for one in candidates if one.line.model == chosen.line.model]
    if name not in line.robust:
        return "not attacked alone."
    uniform = [one for one in mine if is_uniform(one.line.precision)]
    mixed = [one for one in mine if one not in uniform]
    return " ".join([f"attacked alone, {with_interval(line.robust[name])} stay right.",
                     *_width_matters(name, uniform), *_mixing_gains(name, mixed, uniform)])


def _width_matters(name: str, uniform: Sequence[_Candidate]) -> Iterator[str]:
    """Compare the uniform width that withstands attacks on the input best with the one that does worst."""
    ranked = sorted((one for one in uniform if name in one.right), key=lambda one: float(np.mean(one.right[name])))
    if len(ranked) < 2:
        return
    found = _compared(ranked[-1], ranked[0], name)
    if found is None:
        return
    gap, p = found
    names = ", ".join(one.line.precision for one in uniform)
    if p < _CHANCE:
        yield (f"The number of bits matters here: {ranked[-1].line.precision} leaves {100 * gap:.1f} points more than "
               f"{ranked[0].line.precision} (p = {p:.2g}).")
    else:
        apart = f"at most {100 * gap:.1f} points apart" if gap else "the same"
        yield f"The number of bits makes no difference beyond chance here ({names}: {apart})."


def _mixing_gains(name: str, mixed: Sequence[_Candidate], uniform: Sequence[_Candidate]) -> Iterator[str]:
    """Compare every mix with the best uniform width of no more bytes, under attacks on this input."""
    gains, compared = [], False
    for one in mixed:
        rivals = [other for other in uniform if other.size <= one.size and name in other.right]
        best = max(rivals, key=lambda other: float(np.mean(other.right[name])), default=None)
        found = _compared(one, best, name) if best else None
        compared |= found is not None
        if best and found and found[0] > 0 and found[1] < _CHANCE:
            gains.append((found[0], found[1], one.line.precision, best.line.precision))
    if gains:
        gap, p, mix, rival = max(gains)
        yield f"Mixed widths gain here: {mix} leaves {100 * gap:.1f} points more than {rival} (p = {p:.2g})."
    elif compared:
        yield "Mixed widths gain nothing here over one width of no more bytes."
