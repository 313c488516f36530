"""The whole selection: sensitivities, allocations, trials, finals, and the choice with its reasons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tinyfuse.checks.run_checks import gate
from tinyfuse.core import toml
from tinyfuse.core.console import progress
from tinyfuse.core.errors import GateError, UsageError
from tinyfuse.core.files import write_text
from tinyfuse.integer.model import load_model
from tinyfuse.quantize.recipe import Recipe, uniform
from tinyfuse.search import costs, promote
from tinyfuse.search.budget import Budget
from tinyfuse.search.candidates import Candidate, Space, proposals
from tinyfuse.search.criteria import CRITERIA, Evidence, cost_table
from tinyfuse.search.explain import FinalOutcome, reasons
from tinyfuse.search.groups import Unit, widths_of
from tinyfuse.search.measure import curvature, rounding_errors, trials
from tinyfuse.search.rank import Judged, compare_first, front
from tinyfuse.search.record import DataName, Figures, SelectionRecord, Sensitivity, Trial, UnitBits
from tinyfuse.search.selection_study import PART, SelectionStudy
from tinyfuse.search.sensitivity import REFERENCE, sensitivities
from tinyfuse.study.stages.convert import publish_proven
from tinyfuse.study.worst_case import accuracy_of


@dataclass(frozen=True, eq=False)
class Selection:
    """The ``chosen`` recipe, its proven ``.tflite`` at ``path`` in ``folder``, and the ``record`` of the choice."""

    record: SelectionRecord = field(repr=False)
    chosen: Recipe
    path: Path

    @property
    def folder(self) -> Path:
        """Where everything was written."""
        return self.path.parent

    def check(self) -> None:
        """Raise :class:`GateError` if the checks reject the figures of the chosen one on test samples."""
        tested = self.record.test[0]
        for flag in gate(tested.flags):
            raise GateError(f"{tested.name} was chosen, but on test samples a check rejects its figures: {flag.text}")


def choose(study: SelectionStudy, budget: Budget, *, after_stage: Callable[[], None] = lambda: None) -> Selection:
    """Choose the widths of ``study``'s network within ``budget``; everything measured before is taken from its store.

    Raises:
        UsageError: the budget cannot be met, with the smallest reachable size; or the folder is another study's.
        ModelError: certificates are asked for, and an operator has no bounds.
        GateError: no candidate's figures can be trusted.
    """
    space = space_of(study, budget)
    promote.check_bounds(study)
    study.claim()
    if "instructions" in budget.limits:
        space = space_of(study, budget, costs.instructions_of(study))
    evidence = gather(study)
    after_stage()
    candidates, tried = try_out(study, space, budget, evidence)
    after_stage()
    outcome, recipes = _finals(study, budget, candidates, tried, after_stage)
    chosen = replace(recipes[outcome.tested[0].name], name=f"{study.settings.label}-{budget.text}")
    path = _publish(study, chosen)
    network, data = study.network, study.dataset
    record = SelectionRecord(
        model=network.name, network=network.sha256, training_seed=network.seed, inputs=network.input_names,
        data=DataName(data.name, data.split, data.checksum), settings=study.settings, budget=dict(budget.limits),
        chosen=chosen.name, recipe=chosen, file=path.name,
        units=tuple(UnitBits(unit.name, unit.branch, unit.weights, bits) for unit, bits in
                    zip(study.units, widths_of(study.units, chosen).values(), strict=True)),
        sensitivity=_sensitivity(study, evidence), trials=_trials(study, budget, candidates, tried),
        validation=tuple(Figures(**_figures(one)) for one in outcome.finalists),
        test=tuple(Figures(**_figures(one)) for one in outcome.tested),
        comparisons={PART: compare_first(outcome.finalists), "test": compare_first(outcome.tested)},
        reasons=tuple(reasons(outcome, study.units, recipes, study.settings.clean_loss)))
    return Selection(record, chosen, path)


def space_of(study: SelectionStudy, budget: Budget, instructions: Mapping[int, int] | None = None) -> Space:
    """Find what may be chosen and what it takes; ``instructions`` by uniform width, where they are counted.

    Raises:
        UsageError: the budget cannot be met.
    """
    widths, methods = study.settings.widths, study.settings.methods
    sizes = costs.sizes(study.units, widths, study.convert(uniform(REFERENCE, methods)), instructions)
    space = Space(study.units, widths, study.allowed, sizes)
    space.check_reachable(budget)
    smallest = study.convert(uniform(min(widths), methods))
    arena = costs.arena_bytes(load_model(smallest.data, name=smallest.recipe.name))
    if arena > budget.limits.get("ram", arena):
        raise UsageError(f"a budget of ram {budget.limits['ram']} cannot be met: the smallest reachable arena is "
                         f"{arena} bytes, as widths of weights hardly change it; take a smaller network")
    return space


def gather(study: SelectionStudy) -> Evidence:
    """Measure all sensitivities of a study."""
    return Evidence(sensitivities(study), curvature(study), rounding_errors(study))


def try_out(study: SelectionStudy, space: Space, budget: Budget,
            evidence: Evidence) -> tuple[dict[str, Candidate], dict[str, Judged]]:
    """Measure all that is worth a trial; return the candidates and how they did, both by name."""
    candidates: dict[str, Candidate] = {}
    for one in proposals(study, space, budget, evidence):
        known = candidates.get(one.recipe.name, Candidate(one.recipe, ()))
        candidates[one.recipe.name] = Candidate(one.recipe, known.sources + one.sources)
    with progress("measuring candidates", len(candidates)) as advance:
        rows = trials(study, [one.recipe for one in candidates.values()], lambda note: advance(note=note))
    return candidates, {name: promote.tried(row, space.expected("instructions", candidates[name].recipe))
                        for name, row in rows.items()}


def _finals(study: SelectionStudy, budget: Budget, candidates: Mapping[str, Candidate], tried: Mapping[str, Judged],
            after_stage: Callable[[], None]) -> tuple[FinalOutcome, dict[str, Recipe]]:
    """Judge the best of the trials with all checks, and the best of those on test samples; recipes by name."""
    settings = study.settings
    recipes = {one.recipe.name: one.recipe for one in promote.finalists(study, budget, candidates, tried)}
    judged = promote.judge(study, list(recipes.values()), PART, settings.final_samples, after_stage)
    ranking, reference = promote.final_ranking(study, budget, judged, recipes), promote.reference_of(study, judged)
    names = promote.to_test(ranking, candidates, reference.name)
    tested = promote.judge(study, [recipes[name] for name in names], "test", settings.test_samples, after_stage)
    return FinalOutcome(ranking, reference, tested), recipes


def _publish(study: SelectionStudy, chosen: Recipe) -> Path:
    """Write the chosen recipe and its proven ``.tflite`` into the study's folder."""
    write_text(study.folder / f"{chosen.name}.toml", toml.dumps(chosen.to_table()))
    proof = study.judged(PART, promote.PROOF_SAMPLES)
    return publish_proven(study.convert(chosen), study.network, proof, study.folder,
                          calibration_samples=study.settings.calibration_samples).path


def _sensitivity(study: SelectionStudy, evidence: Evidence) -> Sensitivity:
    """Tabulate by criterion the costs of all parts at all widths."""
    parts, widths = [Unit(part.name, (part,)) for part in study.parts], study.settings.widths
    measured, curved = (next(iter(rows.values())) for rows in (evidence.sensitivity, evidence.curvature))
    tables = {name: cost_table(name, parts, widths, evidence).tolist() for name in CRITERIA}
    return Sensitivity(
        parts=tuple(part.name for part in parts), branches=tuple(part.branch for part in parts), widths=widths,
        costs={name: tuple(map(tuple, table)) for name, table in tables.items()}, meaning=dict(CRITERIA),
        samples=measured["n"], attacked_samples=measured["attacked_samples"], curvature_samples=curved["n"])


def _trials(study: SelectionStudy, budget: Budget, candidates: Mapping[str, Candidate],
            tried: Mapping[str, Judged]) -> tuple[Trial, ...]:
    judged = list(tried.values())
    best = front([(float(one.needs["flash"] or 0), one.score(study.settings.objective)[0]) for one in judged])
    return tuple(Trial(**_figures(one), sources=candidates[one.name].sources, recipe=candidates[one.name].recipe,
                       exceeded=tuple(budget.exceeded(one.needs)), front=mark)
                 for one, mark in zip(judged, best, strict=True))


def _figures(one: Judged) -> dict[str, Any]:
    """Turn verdicts into accuracies with their 95 % intervals."""
    return {"name": one.name, "needs": dict(one.needs), "clean": accuracy_of(one.clean), "weakest": one.weakest,
            "robust": {mode: accuracy_of(correct) for mode, correct in one.robust.items()}, "flags": one.flags,
            "certified": None if one.certified is None else accuracy_of(one.certified),
            "auc": dict(one.auc)}
