"""The last candidates go through what `tinyfuse bench` does with every model: proof, attacks, all checks, firmware."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tinyfuse.checks.firmware_cost import check_firmware, firmware_cost
from tinyfuse.checks.line_rows import survivors_of
from tinyfuse.checks.run_checks import run_checks
from tinyfuse.core import toml
from tinyfuse.core.errors import ConversionError, GateError
from tinyfuse.core.files import write_text
from tinyfuse.core.results import ResultStore
from tinyfuse.integer.interpreters import load
from tinyfuse.quantize.recipe import Precision
from tinyfuse.search.costs import arena_bytes
from tinyfuse.search.rank import Judged
from tinyfuse.search.study import Study
from tinyfuse.search.trial import modes_of
from tinyfuse.study.matrix import Matrix
from tinyfuse.study.run import Run
from tinyfuse.study.stages.convert_stage import IntegerFile, convert_network
from tinyfuse.study.stages.firmware_stage import measure_all
from tinyfuse.study.stages.interpreter_jobs import Judging
from tinyfuse.study.summary import worst_case
from tinyfuse.study.sweep import attack_all

RAW_PAIRS = PROBE_PAIRS = 16
CLEAN_PAIRS = 10
"""For each attacked pair: clean ones cost little."""


def judge(study: Study, recipes: Sequence[Precision], part: str, pairs: int, *,
          after_stage: Callable[[], None] = lambda: None) -> tuple[Run, list[Judged]]:
    """Judge ``recipes`` on ``pairs`` pairs of ``part``, with every check; return the run and the outcomes in order.

    The run lies in the folder ``part`` of the study; models are shared by all parts. Raises
    :class:`ConversionError` if one of the recipes cannot be written, :class:`GateError` if it cannot be attacked and
    :class:`ParityError` if its firmware computes something else.
    """
    run = _run(study, recipes, part, pairs)
    files = convert_network(run, study.network, lambda note: None)
    if len(files) < len(recipes):
        failed = run.store.rows("failed", stage="convert")
        raise ConversionError(failed[-1]["reason"] if failed else "a recipe could not be converted")
    after_stage()
    measure_all(run, [study.network], {study.network.name: files}, jobs=study.jobs)
    check_firmware(run.store)
    judging = Judging(run, jobs=study.jobs)
    attack_all(run, [study.network], {study.network.name: files}, judging, after_stage)
    judging.finish(lambda cost, note: None)
    return run, [_judged(run, study, made) for made in files]


def _run(study: Study, recipes: Sequence[Precision], part: str, pairs: int) -> Run:
    settings, folder = study.settings, study.folder
    for recipe in recipes:
        write_text(recipe_path(folder, recipe), toml.dumps(recipe.to_table()))
    training = study.network.table["training"]
    matrix = Matrix(
        models=(study.network.name,), mixes=(), threats=("codes",),
        precisions=tuple(str(recipe_path(folder, recipe)) for recipe in recipes), profiles=("standard",),
        epsilons=(settings.epsilon,), steps=settings.final_steps,
        attack_pairs=pairs, clean_pairs=min(CLEAN_PAIRS * pairs, len(getattr(study.dataset, part))),
        raw_pairs=min(RAW_PAIRS, pairs), probe_pairs=min(PROBE_PAIRS, pairs), parity_samples=pairs,
        calibration_pairs=settings.calibration_pairs, proof_pairs=min(50, pairs), epochs=int(training["epochs"]),
        batch_size=int(training["batch_size"]), learning_rate=float(training["learning_rate"]))
    where = folder / part
    return Run(where, folder / "models", matrix, study.dataset, study.seed, ResultStore(where / "results.jsonl"), part)


def recipe_path(folder: Path, recipe: Precision) -> Path:
    """Where the recipe's file lies."""
    return folder / "recipes" / f"{recipe.name}.toml"


def _judged(run: Run, study: Study, made: IntegerFile) -> Judged:
    name = made.precision.name
    rows = [row for row in run.store.rows() if row["model"] == study.network.name]
    mine = [row for row in rows if row.get("precision") == name]
    clean = max((row for row in mine if row["kind"] == "clean" and row["executor"] == "twin"), key=lambda row: row["n"])
    robust: dict[str, np.ndarray] = {}
    for mode in modes_of(study.modalities):
        points = worst_case(rows, study.network.name, name, "twin", mode, threat="codes")
        if not points:
            reason = next((row["reason"] for row in reversed(mine) if row["kind"] == "failed"), "no attack ran")
            raise GateError(f"{name} could not be attacked, so nothing can be said about it: {reason}")
        robust[mode] = points[-1].survivors
    cost = firmware_cost(mine, "")
    needs = {"flash": int(made.table["packed_bytes"]), "macs": int(made.table["macs"]),
             "ram": arena_bytes(load(made.path)), "stored": int(made.table["stored_bytes"]),
             "firmware flash": cost.flash_bytes, "firmware ram": cost.ram_bytes,
             "instructions": cost.instructions.get(study.settings.core)}
    flags = tuple(flag for flag in run_checks(rows) if flag.precision == name and flag.level != "I")
    return Judged(name, survivors_of(clean), robust, needs, flags)

