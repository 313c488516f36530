"""Who goes on from the trials to the finals, from there to the test, and how they compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tinyfuse.core.errors import GateError, UsageError
from tinyfuse.core.results import Row, unpack_survivors
from tinyfuse.quantize.recipe import Precision
from tinyfuse.search.budget import Budget
from tinyfuse.search.candidates import Candidate
from tinyfuse.search.measure import uniform
from tinyfuse.search.rank import Comparison, Judged, Ranking, compare, rank
from tinyfuse.search.sensitivity import REFERENCE
from tinyfuse.search.study import PART, Study

JUDGED = ("clean", "image", "audio", "both")
ANY_LOSS = 1.0
"""Trials have too few pairs to hold a loss of clean accuracy against a candidate; the finals do."""


def tried(row: Row, instructions: int | None = None) -> Judged:
    """A trial row as a judged candidate, without checks; trials do not count ``instructions``, they are expected."""
    survivors = {mode: unpack_survivors(row[f"survivors_{mode}"], row["n"]) for mode in JUDGED
                 if row[f"survivors_{mode}"] is not None}
    needs = {"flash": row["packed_bytes"], "ram": row["ram_bytes"], "macs": row["macs"], "instructions": instructions}
    return Judged(row["precision"], survivors.pop("clean"), survivors, needs)


def chosen(study: Study, budget: Budget, candidates: Mapping[str, Candidate],
           trials: Mapping[str, Judged]) -> list[Candidate]:
    """The best by their trials, of the uniform ones that fit the best and the largest, and the reference.

    Raises:
        UsageError: no candidate keeps the whole budget.
    """
    judged = list(trials.values())
    reference = next(one for one in judged if one.name == uniform(REFERENCE, study.settings.methods).name)
    recipes = {name: one.precision for name, one in candidates.items()}
    order = rank(judged, study.settings.objective, reference, ANY_LOSS, barred(study, budget, judged, recipes)).order
    if not order:
        raise UsageError(f"no candidate keeps the whole budget; give more of {' or '.join(budget.limits)}, or allow "
                         "fewer bits with --widths")
    names = [one.name for one in order[:study.settings.finalists]]
    return [candidates[name] for name in dict.fromkeys([*names, *_uniform(order, candidates), reference.name])]


def _uniform(order: Sequence[Judged], candidates: Mapping[str, Candidate]) -> list[str]:
    """The best uniform one, and the largest, which is what a user without a search would take."""
    plain = [one for one in order if "uniform" in candidates[one.name].sources]
    return [plain[0].name, max(plain, key=lambda one: one.needs["flash"] or 0).name] if plain else []


def barred(study: Study, budget: Budget, judged: Sequence[Judged], recipes: Mapping[str, Precision]) -> dict[str, str]:
    """By name why a candidate may not be chosen, whatever its figures: budgets and widths."""
    found = {}
    for one in judged:
        exceeded = budget.exceeded(one.needs)
        if exceeded:
            found[one.name] = f"it needs {', '.join(exceeded)}"
        elif not _allowed(study, recipes[one.name]):
            found[one.name] = "it has widths that are not to be chosen"
    return found


def _allowed(study: Study, recipe: Precision) -> bool:
    for unit in study.units:
        own = {recipe.bits_for(part.layer.name, part.branch) for part in unit.parts}
        if not own <= ({study.fixed[unit.name]} if unit.name in study.fixed else set(study.settings.widths)):
            return False
    return True


def ranking(study: Study, budget: Budget, judged: Sequence[Judged], recipes: Mapping[str, Precision]) -> Ranking:
    """The finalists in the running, best first.

    Raises:
        GateError: the checks reject all that keep the budget. UsageError: none keeps it.
    """
    reference = next(one for one in judged if one.name == uniform(REFERENCE, study.settings.methods).name)
    out = barred(study, budget, judged, recipes)
    found = rank(judged, study.settings.objective, reference, study.settings.clean_loss, out)
    if found.order:
        return found
    why = "; ".join(f"{name}: {reason}" for name, reason in found.left_out.items())
    if len(out) == len(judged):
        raise UsageError(f"as measured, no finalist keeps the budget ({why}); give more of "
                         f"{' or '.join(budget.limits)}")
    raise GateError(f"no finalist's figures must be used ({why}); the rows are in {study.folder / PART}")


def to_test(found: Ranking, candidates: Mapping[str, Candidate], reference: str) -> list[str]:
    """Names: the chosen one, the runner-up, the best and the largest uniform one, and the reference."""
    names = [one.name for one in found.order]
    return list(dict.fromkeys([*names[:2], *_uniform(found.order, candidates), reference]))


def comparisons(order: Sequence[Judged]) -> list[Comparison]:
    """The first against each other one, clean and by mode."""
    first = order[0]
    return [compare(first, other, what) for other in order[1:] for what in ("clean", *first.robust)]
