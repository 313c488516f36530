"""The whole selection: sensitivities, allocations, trials, finals, and the choice with its reasons."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tinyfuse.checks.run_checks import gate
from tinyfuse.core import toml
from tinyfuse.core.console import progress
from tinyfuse.core.errors import GateError, UsageError
from tinyfuse.core.files import write_text
from tinyfuse.integer.interpreters import load
from tinyfuse.quantize.recipe import BRANCHES, Precision
from tinyfuse.search import costs
from tinyfuse.search import promote as finalists
from tinyfuse.search.budget import Budget
from tinyfuse.search.candidates import Candidate, Space, around, grid, proposals
from tinyfuse.search.criteria import Evidence
from tinyfuse.search.explain import reasons
from tinyfuse.search.final_stage import judge
from tinyfuse.search.instructions import counted
from tinyfuse.search.measure import curvature, places, rounding_errors, sensitivities, trials, uniform
from tinyfuse.search.rank import Comparison, Judged
from tinyfuse.search.sensitivity import REFERENCE
from tinyfuse.search.study import PART, Study
from tinyfuse.study.stages.convert_stage import publish_proven

PROOF_PAIRS = 50


@dataclass(frozen=True, eq=False)
class Selection:
    """What was chosen within ``budget``, and the evidence for it.

    ``candidates`` and ``trials``: every measured recipe with who proposed it, and how it did, by name; ``finalists``:
    best first, judged on held-out pairs; ``tested``: on test pairs, the chosen one first; ``comparisons`` of the chosen
    one on both; ``reasons``: in words.
    """

    study: Study = field(repr=False)
    budget: Budget
    evidence: Evidence = field(repr=False)
    candidates: Mapping[str, Candidate] = field(repr=False)
    trials: Mapping[str, Judged] = field(repr=False)
    finalists: Sequence[Judged] = field(repr=False)
    tested: Sequence[Judged] = field(repr=False)
    comparisons: Mapping[str, Sequence[Comparison]] = field(repr=False)
    reasons: Sequence[str] = field(repr=False)
    chosen: Precision
    path: Path

    def check(self) -> None:
        """Raise :class:`GateError` if the checks reject the figures of the chosen one on test pairs."""
        if self.tested[0].broken:
            raise GateError(f"{self.tested[0].name} was chosen, but on test pairs a check rejects its figures: "
                            f"{gate(self.tested[0].flags)[0].text}")


def select(study: Study, budget: Budget, *, after_stage: Callable[[], None] = lambda: None) -> Selection:
    """Choose the widths of ``study``'s network within ``budget``; everything measured before is taken from its store.

    Raises:
        UsageError: the budget cannot be met, with the smallest reachable size; or the folder is another study's.
        GateError: no candidate's figures can be trusted.
    """
    space = space_of(study, budget)
    study.claim()
    space = _with_instructions(study, budget, space)
    evidence = gather(study)
    after_stage()
    candidates, tried = try_out(study, space, budget, evidence)
    after_stage()
    chosen_few = finalists.chosen(study, budget, candidates, tried)
    recipes = {one.precision.name: one.precision for one in chosen_few}
    _, judged = judge(study, list(recipes.values()), PART, study.settings.final_pairs, after_stage=after_stage)
    ranking = finalists.ranking(study, budget, judged, recipes)
    reference = next(one for one in judged if one.name == reference_name(study))
    order = [*ranking.order, *([reference] if reference not in ranking.order else [])]
    names = finalists.to_test(ranking, candidates, reference.name)
    tested = judge(study, [recipes[name] for name in names], "test", study.settings.test_pairs,
                   after_stage=after_stage)[1]
    comparisons = {PART: finalists.comparisons(order), "test": finalists.comparisons(tested)}
    chosen = replace(recipes[order[0].name], name=f"{study.settings.label}-{budget.text}")
    said = reasons(study, ranking, reference, tested, comparisons, recipes)
    return Selection(study, budget, evidence, candidates, tried, order, tested, comparisons, said, chosen,
                     _publish(study, chosen))


def reference_name(study: Study) -> str:
    """The recipe that has the reference width everywhere."""
    return uniform(REFERENCE, study.settings.methods).name


def gather(study: Study) -> Evidence:
    """All sensitivities of a study."""
    with progress("sensitivity", len(places(study))) as advance:
        rows = sensitivities(study, lambda note: advance(note=note))
    with progress("curvature", study.settings.hessian_probes) as advance:
        traces = curvature(study, lambda note: advance(note=note))
    return Evidence(rows, traces, rounding_errors(study))


def space_of(study: Study, budget: Budget) -> Space:
    """What may be chosen, and what it takes, but for instructions; raises UsageError where the budget cannot be met."""
    widths, methods = study.settings.widths, study.settings.methods
    reference = study.convert(uniform(REFERENCE, methods))
    space = Space(study.units, widths, study.allowed, costs.sizes(study.units, widths, reference))
    space.check_reachable(budget)
    smallest = study.convert(uniform(min(widths), methods))
    arena = costs.arena_bytes(load(smallest.data, name=smallest.precision.name))
    if arena > budget.limits.get("ram", arena):
        raise UsageError(f"a budget of ram {budget.limits['ram']} cannot be met: the smallest reachable arena is "
                         f"{arena} bytes, as widths of weights hardly change it; take a smaller network")
    return space


def _with_instructions(study: Study, budget: Budget, space: Space) -> Space:
    if "instructions" not in budget.limits:
        return space
    with progress("counting instructions", len(space.widths)) as advance:
        found = counted(study, lambda note: advance(note=note))
    reference = study.convert(uniform(REFERENCE, study.settings.methods))
    known = replace(space, sizes=costs.sizes(study.units, space.widths, reference, found))
    known.check_reachable(budget)
    return known


def _beside(study: Study) -> list[Candidate]:
    """What is measured whether or not it fits: the reference, and all combinations of the grid's widths."""
    methods = study.settings.methods
    branches = [branch for branch in BRANCHES if any(part.branch == branch for part in study.parts)]
    combinations = grid(branches, study.settings.grid, methods) if len(study.modalities) > 1 else []
    return [Candidate(uniform(REFERENCE, methods), ("reference",)),
            *(Candidate(recipe, ("grid",)) for recipe in combinations)]


def try_out(study: Study, space: Space, budget: Budget,
            evidence: Evidence) -> tuple[dict[str, Candidate], dict[str, Judged]]:
    """All that is worth a trial, and how it did there, both by name."""
    candidates: dict[str, Candidate] = {}
    asked = (study.settings.objective, space, budget, evidence, study.settings.methods)
    for one in (*proposals(*asked), *around(*asked), *_beside(study)):
        known = candidates.get(one.precision.name)
        sources = (*(known.sources if known else ()), *one.sources)
        candidates[one.precision.name] = Candidate(one.precision, sources)
    with progress("measuring candidates", len(candidates)) as advance:
        rows = trials(study, [one.precision for one in candidates.values()], lambda note: advance(note=note))
    return candidates, {name: finalists.tried(row, space.expected("instructions", candidates[name].precision))
                        for name, row in rows.items()}


def _publish(study: Study, chosen: Precision) -> Path:
    """Write the chosen recipe and its proven ``.tflite`` into the study's folder."""
    write_text(study.folder / f"{chosen.name}.toml", toml.dumps(chosen.to_table()))
    made = publish_proven(study.convert(chosen), study.network, study.judged(PART, PROOF_PAIRS), study.folder,
                          calibration_pairs=study.settings.calibration_pairs)
    return made.path
