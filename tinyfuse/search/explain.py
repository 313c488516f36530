"""Why this choice: what the budget costs, who pays, what the runner-up was, and whether chance could have decided."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tinyfuse.checks.certificates import CERTIFIED
from tinyfuse.quantize.recipe import Recipe
from tinyfuse.search.groups import Unit, Widths, widths_of
from tinyfuse.search.rank import Judged, Ranking, compare, compare_first
from tinyfuse.search.record import Compared, SelectionRecord, UnitBits
from tinyfuse.search.sensitivity import REFERENCE
from tinyfuse.study.worst_case import accuracy_of
from tinyfuse.threats.modes import ALL


@dataclass(frozen=True, eq=False)
class FinalOutcome:
    """How a selection came out: the ``ranking`` of its finalists, the ``reference``, and those ``tested``.

    The chosen one is the first of the ranking and of those tested.
    """

    ranking: Ranking
    reference: Judged
    tested: Sequence[Judged]

    @property
    def finalists(self) -> list[Judged]:
        """Those in the running, best first, and the reference behind them if it is not one of them."""
        return list(dict.fromkeys([*self.ranking.order, self.reference]))


def reasons(outcome: FinalOutcome, units: Sequence[Unit], recipes: Mapping[str, Recipe],
            clean_loss: float) -> list[str]:
    """Say what was chosen, what the budget costs and who pays, the runner-up, chance, and what the checks say."""
    best, tested = outcome.ranking.order[0], outcome.tested[0]
    said = [f"Chosen: {best.name}. {_figures('held-out', best)}",
            f"{cost_of_budget(best, outcome.reference)} {_payers(units, widths_of(units, recipes[best.name]))}"]
    if outcome.ranking.relaxed:
        said.append(f"Every finalist loses more than {100 * clean_loss:g} points of clean {best.figure} against "
                    f"{outcome.reference.name}, so clean {best.figure} decided.")
    said += _rivals(outcome)
    said.append(_figures("test", tested))
    said += [f"Chosen minus {one.b} on test samples, {_significance(one)}." for one in compare_first(outcome.tested)
             if one.what in ("clean", best.weakest, ALL, CERTIFIED)]
    return [*said, *_warnings("held-out", best), *_warnings("test", tested)]


def answer(found: SelectionRecord) -> list[tuple[str, str]]:
    """Say for each branch of the network which bits it got, and for each input what attacks on it alone leave.

    Returns (branch, sentence) pairs; figures are those on test samples, where nothing was chosen.
    """
    said = [(branch, _bits_of(own)) for branch in found.branches
            if (own := [unit for unit in found.units if unit.branch == branch])]
    return [(branch, f"{bits}{_robustness(found, branch)}.") for branch, bits in said]


def title(found: SelectionRecord) -> str:
    """Name the chosen widths: "camera 3.6, mic 4.2, shared 2.6 bits"."""
    parts = [f"{branch} {_mean(own):.1f}" for branch in found.branches
             if (own := [unit for unit in found.units if unit.branch == branch])]
    return f"{', '.join(parts)} bits"


def _mean(units: Sequence[UnitBits]) -> float:
    return float(np.average([unit.bits for unit in units], weights=[unit.weights for unit in units]))


def _bits_of(units: Sequence[UnitBits]) -> str:
    """Say how wide the weights of some units are: "3.63 bits on average, 2 to 8, of 77,360 weights"."""
    least, most = min(unit.bits for unit in units), max(unit.bits for unit in units)
    weights = sum(unit.weights for unit in units)
    mean = f"{least} bits" if least == most else f"{_mean(units):.2f} bits on average ({least} to {most})"
    return f"{mean} for {weights:,} weights"


def _robustness(found: SelectionRecord, branch: str) -> str:
    """Say what attacks on an input alone leave, and whether that is more than other widths of one size leave."""
    chosen = found.test[0]
    share = chosen.robust.get(branch)
    if share is None:
        return ""
    places = decimals(share.n)
    left = (f"; attacked alone, {100 * share.value:.{places}f} % stay right (95 % interval "
            f"{100 * share.low:.{places}f} to {100 * share.high:.{places}f}, n = {share.n:,})")
    compared = [one for one in found.comparisons["test"] if one.what == branch]
    others = [f"{100 * one.difference.value:+.{places}f} points against {one.b} "
              f"({'more than chance' if one.significant else 'chance'})" for one in compared]
    mixed = len({unit.bits for unit in found.units}) > 1
    gained = any(one.significant and one.difference.value > 0 for one in compared)
    return (left + (f"; {', '.join(others)}" if others else "")
            + "; mixed widths gain nothing here" * (mixed and bool(compared) and not gained))


def mode_text(mode: str) -> str:
    """Say what a figure is about: "clean", "certified", or a mode of attack."""
    known = {"clean": "clean", CERTIFIED: "certified against any attack", ALL: "with all attacked"}
    return known.get(mode, f"under {mode} attacks")


def decimals(n: int) -> int:
    """Count the decimals of a percentage of ``n`` samples that still show one of them."""
    return 2 if n >= 1000 else 1


def cost_of_budget(chosen: Judged, reference: Judged) -> str:
    """Say what the budget costs against the reference width: bytes, and on the same held-out samples accuracy."""
    if chosen.name == reference.name:
        return f"It is {REFERENCE} bits everywhere."
    sizes = int(chosen.needs["flash"] or 0), int(reference.needs["flash"] or 0)
    change = 100 * (sizes[0] / sizes[1] - 1)
    losses = {what: compare(chosen, reference, what).difference for what in chosen.verdicts}
    said = ", ".join(f"{mode_text(what)} {100 * loss.value:+.{decimals(loss.n)}f}" for what, loss in losses.items())
    return (f"Against {REFERENCE} bits everywhere it takes {sizes[0]} instead of {sizes[1]} packed bytes "
            f"({abs(change):.0f} % {'less' if change < 0 else 'more'}); points on the same held-out samples: {said}.")


def _figures(where: str, one: Judged) -> str:
    """All accuracies with their intervals: ``clean 87.0 % (79.0 to 92.2) of 100``."""
    said = []
    for mode, correct in one.verdicts.items():
        found, places = accuracy_of(correct), decimals(len(correct))
        said.append(f"{mode_text(mode)} {100 * found.value:.{places}f} % ({100 * found.low:.{places}f} to "
                    f"{100 * found.high:.{places}f}) of {found.n}")
    return (f"On {len(one.robust[one.weakest])} attacked and {len(one.clean)} clean {where} samples: "
            f"{', '.join(said)}.{_aucs(one.auc)}")


def _aucs(auc: Mapping[str, float]) -> str:
    said = ", ".join(f"{mode_text(what)} {value:.4f}" for what, value in auc.items())
    return f" AUC: {said}." if said else ""


def _payers(units: Sequence[Unit], widths: Widths) -> str:
    """Which units have fewer bits than the others, and what each branch has on average."""
    least, most = min(widths.values()), max(widths.values())
    if least == most:
        return f"Every weight has {least} bits."
    means = {}
    for branch in dict.fromkeys(unit.branch for unit in units):
        own = [unit for unit in units if unit.branch == branch]
        means[branch] = float(np.average([widths[unit.name] for unit in own], weights=[unit.weights for unit in own]))
    who = f"the {min(means, key=means.__getitem__)} layers pay most" if len(means) > 1 else "one branch pays alone"
    narrow, wide = (_some([unit.name for unit in units if widths[unit.name] == bits]) for bits in (least, most))
    return (f"Mean bits of a weight: {', '.join(f'{branch} {mean:.2f}' for branch, mean in means.items())}; {who}. "
            f"Fewest ({least}): {narrow}. Most ({most}): {wide}.")


def _some(names: Sequence[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _rivals(outcome: FinalOutcome) -> Iterator[str]:
    """How the chosen one compares with the others on held-out samples, and why these stand behind."""
    ranking, comparisons = outcome.ranking, compare_first(outcome.finalists)
    best, others = ranking.order[0], ranking.order[1:]
    decisive = {"clean": ("clean",), CERTIFIED: (CERTIFIED,)}.get(ranking.objective, (best.weakest, ALL))
    for name in dict.fromkeys(found.b for found in comparisons):
        role = "Runner-up" if others and name == others[0].name else "Beside it"
        said = "; ".join(_significance(found) for found in comparisons if found.b == name and found.what in decisive)
        yield f"{role}: {name}. Chosen minus {name} on held-out samples, {said}."
    for one in others:
        if one.suspect and one.score(ranking.objective) > best.score(ranking.objective):
            yield (f"{one.name} scores higher but stands behind, as its robustness may be an artefact: "
                   f"{one.suspect[0].text}.")
    for name, why in ranking.left_out.items():
        yield f"Left out: {name}, {why}."


def _significance(found: Compared) -> str:
    places, difference = decimals(found.difference.n), found.difference
    value, low, high = (f"{100 * each:+.{places}f}" for each in (difference.value, difference.low, difference.high))
    verdict = "more than chance" if found.significant else "chance could have decided"
    return (f"{mode_text(found.what)}: {value} points ({low} to {high}, McNemar p = {found.p:.2g}, "
            f"n = {difference.n}): {verdict}")


def _warnings(where: str, one: Judged) -> Iterator[str]:
    """What the checks say about the figures of the chosen one; nothing stays silent."""
    if one.suspect:
        yield (f"Its robustness on {where} samples may be an artefact: "
               + "; ".join(f"{flag.text} (check {flag.code})" for flag in one.suspect) + ".")
    others = [flag for flag in one.flags if flag not in one.suspect]
    if others:
        yield f"Checks on {where} samples: " + "; ".join(f"{flag.text} ({flag.code})" for flag in others) + "."
