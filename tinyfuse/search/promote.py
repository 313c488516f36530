"""From the trials to the finals and from there to the test: who goes on, and how the last candidates are judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from tinyfuse.analyses.certificates.certify import Certifier
from tinyfuse.attacks.targets.anomaly import twin_of
from tinyfuse.attacks.targets.twin_target import TwinTarget
from tinyfuse.checks.certificates import CERTIFIED
from tinyfuse.checks.firmware_cost import check_firmware, firmware_cost
from tinyfuse.checks.line_rows import survivors_of
from tinyfuse.checks.run_checks import run_checks
from tinyfuse.core.errors import ConversionError, GateError, ModelError, UsageError
from tinyfuse.core.results import ResultStore, Row, unpack_survivors
from tinyfuse.integer.model import load_model
from tinyfuse.quantize.recipe import Recipe, uniform
from tinyfuse.search.budget import Budget
from tinyfuse.search.candidates import Candidate
from tinyfuse.search.costs import arena_bytes
from tinyfuse.search.measure import trials
from tinyfuse.search.rank import Judged, Ranking, rank
from tinyfuse.search.selection_study import PART, SelectionStudy
from tinyfuse.search.sensitivity import REFERENCE
from tinyfuse.study.matrix import Matrix
from tinyfuse.study.run import Run
from tinyfuse.study.stages.certify import certify_all
from tinyfuse.study.stages.convert import IntegerFile, convert_network
from tinyfuse.study.stages.firmware import measure_all
from tinyfuse.study.stages.rejudge import Interpreters
from tinyfuse.study.sweep import attack_all
from tinyfuse.study.worst_case import certified_track, worst_case
from tinyfuse.threats.modes import modes_of

ANY_LOSS = 1.0
"""Trials have too few samples to hold a loss of clean accuracy against a candidate; the finals do."""
RAW_SAMPLES = PROBE_SAMPLES = 16
CLEAN_SAMPLES = 10
"""For each attacked sample: clean ones cost little."""
PROOF_SAMPLES = 50


def check_bounds(study: SelectionStudy) -> None:
    """Raise ModelError, before anything is measured, if certificates are asked for and the network has no bounds."""
    if study.settings.objective == CERTIFIED:
        made = study.convert(uniform(REFERENCE, study.settings.methods))
        target = twin_of(load_model(made.data, name=study.network.name), study.threshold_samples)
        if not isinstance(target, TwinTarget):
            raise ModelError(f"{study.network.name} is judged by a reconstruction error, which has no certificate; "
                             "choose by --objective robust or clean")
        Certifier(target)


def tried(row: Row, instructions: int | None = None) -> Judged:
    """Read a trial row as a judged candidate, without checks; ``instructions`` are expected, not counted."""
    survivors = {what: unpack_survivors(text, row["n"]) for what, text in row["survivors"].items()}
    needs = {"flash": row["packed_bytes"], "ram": row["ram_bytes"], "macs": row["macs"], "instructions": instructions}
    return Judged(row["precision"], survivors.pop("clean"), survivors, needs, auc=row["auc"])


def reference_of(study: SelectionStudy, judged: Sequence[Judged]) -> Judged:
    """Find the one of ``judged`` that has the reference width everywhere."""
    name = uniform(REFERENCE, study.settings.methods).name
    return next(one for one in judged if one.name == name)


def finalists(study: SelectionStudy, budget: Budget, candidates: Mapping[str, Candidate],
              trials: Mapping[str, Judged]) -> list[Candidate]:
    """Choose the best by their trials, of the uniform ones that fit the best and the largest, and the reference.

    Raises:
        UsageError: no candidate keeps the whole budget.
    """
    judged = list(trials.values())
    reference = reference_of(study, judged)
    out = barred(study, budget, judged, {name: one.recipe for name, one in candidates.items()})
    order = rank(judged, study.settings.objective, reference, ANY_LOSS, out).order
    if not order:
        raise UsageError(f"no candidate keeps the whole budget; give more of {' or '.join(budget.limits)}, or allow "
                         "fewer bits with --widths")
    names = _best_and_plain(order, study.settings.finalists, candidates, reference.name)
    return [candidates[name] for name in names]


def to_test(ranking: Ranking, candidates: Mapping[str, Candidate], reference: str) -> list[str]:
    """Choose by name the best, the runner-up, the best and the largest uniform one, and the reference."""
    return _best_and_plain(ranking.order, 2, candidates, reference)


def _best_and_plain(order: Sequence[Judged], count: int, candidates: Mapping[str, Candidate],
                    reference: str) -> list[str]:
    """The largest uniform one is what a user without a search would take."""
    plain = [one for one in order if "uniform" in candidates[one.name].sources]
    largest = sorted(plain, key=lambda one: -(one.needs["flash"] or 0))[:1]
    return list(dict.fromkeys([*(one.name for one in (*order[:count], *plain[:1], *largest)), reference]))


def barred(study: SelectionStudy, budget: Budget, judged: Sequence[Judged],
           recipes: Mapping[str, Recipe]) -> dict[str, str]:
    """Say by name why a candidate may not be chosen, whatever its figures: budgets and widths."""
    found = {}
    for one in judged:
        exceeded = budget.exceeded(one.needs)
        if exceeded:
            found[one.name] = f"it needs {', '.join(exceeded)}"
        elif not _allowed(study, recipes[one.name]):
            found[one.name] = "it has widths that are not to be chosen"
    return found


def _allowed(study: SelectionStudy, recipe: Recipe) -> bool:
    bits = [(unit.name, recipe.bits_for(part.layer.name, part.branch)) for unit in study.units for part in unit.parts]
    return all(width in study.settings.widths and width == study.fixed.get(name, width) for name, width in bits)


def final_ranking(study: SelectionStudy, budget: Budget, judged: Sequence[Judged],
                  recipes: Mapping[str, Recipe]) -> Ranking:
    """Rank the finalists in the running, best first.

    Raises:
        GateError: the checks reject all that keep the budget. UsageError: none keeps it.
    """
    out = barred(study, budget, judged, recipes)
    found = rank(judged, study.settings.objective, reference_of(study, judged), study.settings.clean_loss, out)
    if found.order:
        return found
    why = "; ".join(f"{name}: {reason}" for name, reason in found.left_out.items())
    if len(out) == len(judged):
        raise UsageError(f"as measured, no finalist keeps the budget ({why}); give more of "
                         f"{' or '.join(budget.limits)}")
    raise GateError(f"no finalist's figures must be used ({why}); the rows are in {study.folder / PART}")


def judge(study: SelectionStudy, recipes: Sequence[Recipe], part: str, count: int,
          after_stage: Callable[[], None]) -> list[Judged]:
    """Judge ``recipes`` on ``count`` samples of ``part`` as `tinyfuse bench` does: proof, firmware, attacks, checks.

    The run lies in the folder ``part`` of the study; models are shared by all parts.

    Raises:
        ConversionError: a recipe cannot be written. GateError: it cannot be attacked. ParityError: its firmware
            computes something else.
    """
    run = _run(study, recipes, part, count)
    files = convert_network(run, study.network)
    if len(files) < len(recipes):
        failed = run.store.rows("failed", stage="convert")
        raise ConversionError(failed[-1]["reason"] if failed else "a recipe could not be converted")
    after_stage()
    measure_all(run, [study.network], {study.network.name: files}, jobs=study.workers.jobs)
    check_firmware(run.store)
    interpreters = Interpreters(run, study.workers)
    attack_all(run, [study.network], {study.network.name: files}, interpreters, after_stage)
    certify_all(run, [study.network], {study.network.name: files})
    interpreters.finish()
    judged = [_judged(run, study, made) for made in files]
    if study.threshold_samples is None:
        return judged
    curves = trials(study, recipes, lambda note: None, part=part, count=count)
    return [replace(one, auc=curves[one.name]["auc"]) for one in judged]


def _run(study: SelectionStudy, recipes: Sequence[Recipe], part: str, count: int) -> Run:
    settings, training = study.settings, study.network.table["training"]
    matrix = Matrix(
        models=(study.network.name,), recipes=tuple(recipes), mixes=(), threats=("codes",), profiles=("standard",),
        epsilons=(settings.epsilon,), certify=(settings.epsilon,) * (settings.objective == CERTIFIED),
        steps=settings.final_steps, attack_samples=count,
        clean_samples=min(CLEAN_SAMPLES * count, len(study.dataset.part(part))),
        raw_samples=min(RAW_SAMPLES, count), probe_samples=min(PROBE_SAMPLES, count), parity_samples=count,
        calibration_samples=settings.calibration_samples, proof_samples=min(PROOF_SAMPLES, count),
        epochs=int(training["epochs"]), batch_size=int(training["batch_size"]),
        learning_rate=float(training["learning_rate"]))
    where = study.folder / part
    return Run(where, study.folder / "models", matrix, study.dataset, study.network.seed,
               ResultStore(where / "results.jsonl"), part)


def _judged(run: Run, study: SelectionStudy, made: IntegerFile) -> Judged:
    name = made.recipe.name
    rows = [row for row in run.store.rows() if row["model"] == study.network.name]
    mine = [row for row in rows if row.get("precision") == name]
    clean = max((row for row in mine if row["kind"] == "clean" and row["executor"] == "twin"), key=lambda row: row["n"])
    robust = {}
    for mode in modes_of(study.network.input_names):
        points = worst_case(rows, study.network.name, name, "twin", mode, threat="codes")
        if not points:
            reason = next((row["reason"] for row in reversed(mine) if row["kind"] == "failed"), "no attack ran")
            raise GateError(f"{name} could not be attacked, so nothing can be said about it: {reason}")
        robust[mode] = points[-1].survivors
    cost = firmware_cost(mine, "")
    needs = {"flash": int(made.table["packed_bytes"]), "macs": int(made.table["macs"]),
             "ram": arena_bytes(load_model(made.path)), "stored": int(made.table["stored_bytes"]),
             "firmware flash": cost.flash_bytes, "firmware ram": cost.ram_bytes,
             "instructions": cost.instructions.get(study.settings.core)}
    flags = tuple(flag for flag in run_checks(rows) if flag.precision == name and flag.level != "I")
    return Judged(name, survivors_of(clean), robust, needs, flags, certified=_certified(study, mine))


def _certified(study: SelectionStudy, rows: Sequence[Row]) -> np.ndarray | None:
    """Return which attacked samples no attack on all inputs breaks, from the ``rows`` of a recipe; None if not asked.

    Raises GateError for a recipe without certificates.
    """
    if study.settings.objective != CERTIFIED:
        return None
    proved = certified_track(rows).get(list(modes_of(study.network.input_names))[-1])
    if not proved:
        raise GateError(next((row["reason"] for row in reversed(rows) if row["kind"] == "failed"), "no certificate"))
    return proved[-1].survivors
