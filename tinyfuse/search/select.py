"""The whole selection: sensitivities, allocations, trials, finals, and the choice with its reasons."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tinyfuse import tables
from tinyfuse.console import progress
from tinyfuse.errors import GateError, UsageError
from tinyfuse.evaluate.conversion import publish_proven
from tinyfuse.files import write_text
from tinyfuse.integer.interpreters import load
from tinyfuse.quantize.precision import Precision
from tinyfuse.results import Row, unpack_survivors
from tinyfuse.search import costs, words
from tinyfuse.search.budget import Budget
from tinyfuse.search.candidates import Candidate, Space, grid, proposals
from tinyfuse.search.choice import Comparison, Judged, compare, ranked
from tinyfuse.search.criteria import Evidence
from tinyfuse.search.finals import judge
from tinyfuse.search.instructions import counted
from tinyfuse.search.measure import curvature, places, rounding_errors, sensitivities, trials, uniform
from tinyfuse.search.sensitivity import REFERENCE
from tinyfuse.search.study import PART, Study, recipe_of
from tinyfuse.search.units import widths_of

JUDGED = ("clean", "image", "audio", "both")
PROOF_PAIRS = 50


@dataclass(frozen=True, eq=False)
class Selection:
    """What was chosen within ``budget``, and the evidence for it.

    ``trials``: every measured recipe as a trial row, ``sources`` who proposed it by name; ``finalists``: best first,
    judged on held-out pairs; ``tested``: on test pairs, the chosen one first; ``comparisons`` of the chosen one on
    both; ``reasons``: in words.
    """

    study: Study = field(repr=False)
    budget: Budget
    evidence: Evidence = field(repr=False)
    trials: Mapping[str, Row] = field(repr=False)
    sources: Mapping[str, Sequence[str]] = field(repr=False)
    finalists: Sequence[Judged] = field(repr=False)
    tested: Sequence[Judged] = field(repr=False)
    comparisons: Mapping[str, Sequence[Comparison]] = field(repr=False)
    reasons: Sequence[str] = field(repr=False)
    chosen: Precision
    path: Path


def select(study: Study, budget: Budget, *, after_stage: Callable[[], None] = lambda: None) -> Selection:
    """Choose the widths of ``study``'s network within ``budget``; everything measured before is taken from its store.

    Raises:
        UsageError: the budget cannot be met, with the smallest reachable size.
        GateError: no candidate's figures can be trusted.
    """
    space = space_of(study, budget)
    evidence = gather(study)
    after_stage()
    candidates = {one.precision.name: one for one in proposals(study.settings.objective, space, budget, evidence,
                                                               study.settings.methods)}
    measured = _trials(study, candidates)
    after_stage()
    finalists = _finalists(study, budget, candidates, measured)
    _, judged = judge(study, [one.precision for one in finalists], PART, study.settings.final_pairs,
                      after_stage=after_stage)
    recipes = {one.precision.name: one.precision for one in finalists}
    order = _order(study, budget, judged, recipes)
    tested = _test(study, order, finalists, after_stage)
    comparisons = {PART: _comparisons(order), "test": _comparisons(tested)}
    chosen = replace(recipes[order[0].name], name=f"{study.settings.objective}-{budget.text}")
    return Selection(study, budget, evidence, measured, _sources(candidates, measured), order, tested, comparisons,
                     _reasons(study, order, tested, comparisons, recipes), chosen, _publish(study, chosen))


def gather(study: Study) -> Evidence:
    """All sensitivities of a study."""
    with progress("sensitivity", len(places(study))) as advance:
        rows = sensitivities(study, lambda note: advance(note=note))
    with progress("curvature", study.settings.hessian_probes) as advance:
        traces = curvature(study, lambda note: advance(note=note))
    return Evidence(rows, traces, rounding_errors(study))


def space_of(study: Study, budget: Budget) -> Space:
    """What may be chosen, and what it takes; raises UsageError where the budget cannot be met."""
    widths, methods = study.settings.widths, study.settings.methods
    reference = study.convert(uniform(REFERENCE, methods))
    space = Space(study.units, widths, study.allowed, costs.sizes(study.units, widths, reference))
    space.check_reachable(budget)
    smallest = study.convert(uniform(min(widths), methods))
    arena = costs.arena_bytes(load(smallest.data, name=smallest.precision.name))
    if arena > budget.limits.get("ram", arena):
        raise UsageError(f"a budget of ram {budget.limits['ram']} cannot be met: the smallest reachable arena is "
                         f"{arena} bytes, as widths of weights hardly change it; take a smaller network")
    if "instructions" in budget.limits:
        with progress("counting instructions", len(widths)) as advance:
            found = counted(study, lambda note: advance(note=note))
        space = replace(space, sizes=costs.sizes(study.units, widths, reference, found))
        space.check_reachable(budget)
    return space


def _trials(study: Study, candidates: Mapping[str, Candidate]) -> dict[str, Row]:
    """Trial rows of the candidates, the reference and the whole grid."""
    branches = [branch for branch in ("image", "audio", "shared")
                if any(part.branch == branch for part in study.parts)]
    combinations = grid(branches, study.settings.grid, study.settings.methods) if len(study.modalities) > 1 else []
    recipes = [*(one.precision for one in candidates.values()), uniform(REFERENCE, study.settings.methods),
               *combinations]
    unique = {recipe.name: recipe for recipe in recipes}
    with progress("measuring candidates", len(unique)) as advance:
        return trials(study, list(unique.values()), lambda note: advance(note=note))


def tried(row: Row) -> Judged:
    """A trial row as a judged candidate, without checks."""
    survivors = {mode: unpack_survivors(row[f"survivors_{mode}"], row["n"]) for mode in JUDGED
                 if row[f"survivors_{mode}"] is not None}
    needs = {"flash": row["packed_bytes"], "ram": row["ram_bytes"], "macs": row["macs"]}
    return Judged(row["precision"], survivors.pop("clean"), survivors, needs)


def _finalists(study: Study, budget: Budget, candidates: Mapping[str, Candidate],
               measured: Mapping[str, Row]) -> list[Candidate]:
    """The best by their trials, the best uniform one that fits, and the reference."""
    known = {name: candidates.get(name) or Candidate(recipe_of(row), ("grid",)) for name, row in measured.items()}
    fitting = [one for one in map(tried, measured.values())
               if not budget.exceeded(one.needs) and _keeps(study, known[one.name].precision)]
    if not fitting:
        raise UsageError("no candidate keeps the whole budget; give more of "
                         + " or ".join(budget.limits) + ", or allow fewer bits with --widths")
    reference = tried(measured[uniform(REFERENCE, study.settings.methods).name])
    order = ranked(fitting, study.settings.objective, reference, study.settings.clean_loss) or ranked(fitting, "clean")
    names = [one.name for one in order[:study.settings.finalists]]
    plain = [one.name for one in order if "uniform" in known[one.name].sources]
    return [known[name] for name in dict.fromkeys([*names, *plain[:1], reference.name])]


def _keeps(study: Study, recipe: Precision) -> bool:
    """Whether ``recipe`` has the widths that are not to be chosen."""
    return all(recipe.bits_for(part.layer.name, part.branch) == study.fixed.get(unit.name, recipe.bits_for(
        part.layer.name, part.branch)) for unit in study.units for part in unit.parts)


def _order(study: Study, budget: Budget, judged: Sequence[Judged], recipes: Mapping[str, Precision]) -> list[Judged]:
    """The finalists that keep the budget, best first, then the reference."""
    reference = next(one for one in judged if one.name == uniform(REFERENCE, study.settings.methods).name)
    fitting = [one for one in judged if not budget.exceeded(one.needs) and _keeps(study, recipes[one.name])]
    order = ranked(fitting, study.settings.objective, reference, study.settings.clean_loss) or ranked(fitting, "clean")
    if not order:
        raise GateError("the checks say that no finalist's figures must be used; see the rows in "
                        f"{study.folder / PART}")
    return [*order, *([reference] if reference not in order else [])]


def _test(study: Study, order: Sequence[Judged], finalists: Sequence[Candidate],
          after_stage: Callable[[], None]) -> list[Judged]:
    """The chosen one, the runner-up, the best uniform one and the reference on test pairs."""
    known = {one.precision.name: one for one in finalists}
    plain = [one.name for one in order if "uniform" in known[one.name].sources]
    names = dict.fromkeys([*(one.name for one in order[:2]), *plain[:1],
                           uniform(REFERENCE, study.settings.methods).name])
    return judge(study, [known[name].precision for name in names], "test", study.settings.test_pairs,
                 after_stage=after_stage)[1]


def _comparisons(order: Sequence[Judged]) -> list[Comparison]:
    """The first against each other one, clean and by mode."""
    first = order[0]
    return [compare(first, other, what) for other in order[1:] for what in ("clean", *first.robust)]


def _sources(candidates: Mapping[str, Candidate], measured: Mapping[str, Row]) -> dict[str, Sequence[str]]:
    return {name: candidates[name].sources if name in candidates else ("grid",) for name in measured}


def _reasons(study: Study, order: Sequence[Judged], tested: Sequence[Judged],
             comparisons: Mapping[str, Sequence[Comparison]], recipes: Mapping[str, Precision]) -> list[str]:
    chosen, reference = order[0], order[-1]
    settings = study.settings
    said = [f"Chosen: {chosen.name}. On {len(chosen.robust[chosen.weaker])} held-out pairs under attack and "
            f"{len(chosen.clean)} clean ones: {words.figures(chosen)}.",
            f"{words.cost_of_budget(chosen, reference)}. "
            f"{words.payers(study.units, widths_of(study.units, recipes[chosen.name]))}"]
    for other in order[1:]:
        what = "clean" if settings.objective == "clean" else chosen.weaker
        found = next(one for one in comparisons[PART] if one.b == other.name and one.what == what)
        said.append(f"Against {other.name} on held-out pairs, {words.significance(found)}.")
    said.append(f"On {len(tested[0].robust[chosen.weaker])} test pairs: {words.figures(tested[0])}.")
    said += [f"Against {one.b} on test pairs, {words.significance(one)}." for one in comparisons["test"]
             if one.what in ("clean", chosen.weaker)]
    return [*said, *words.warnings(chosen)]


def _publish(study: Study, chosen: Precision) -> Path:
    """Write the chosen recipe and its proven ``.tflite`` into the study's folder."""
    write_text(study.folder / f"{chosen.name}.toml", tables.dumps(chosen.to_table()))
    made = publish_proven(study.convert(chosen), study.network, study.held_out(PROOF_PAIRS), study.folder,
                          calibration_pairs=study.settings.calibration_pairs)
    return made.path
