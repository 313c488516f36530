"""The firmware step of a sweep: flash, RAM and instructions of every integer model on emulated cores, as rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tinyfuse.checks.firmware_cost import BROKEN_STAGE, LACKING_STAGE, MEASURED_ON
from tinyfuse.core.console import console, progress
from tinyfuse.core.errors import ModelError, TinyfuseError
from tinyfuse.core.results import Row, row_key
from tinyfuse.firmware.cores import CORES
from tinyfuse.firmware.measure import Cost, Setup, measure, runtime_sha256, setups
from tinyfuse.integer.interpreters import load
from tinyfuse.nn.train_or_load import Network
from tinyfuse.study.run import Run
from tinyfuse.study.samples import real_codes
from tinyfuse.study.stages.convert_stage import IntegerFile, failed_row

OPTIMIZE = "ram"
PAIRS = 2
"""Test pairs beside the lowest codes; `tinyfuse verify` runs hundreds."""


@dataclass(frozen=True)
class _Task:
    """One integer model and, by key, the rows that are still to be measured."""

    network: Network
    made: IntegerFile
    setups: Mapping[str, Setup]


def measure_all(run: Run, networks: Sequence[Network], files: Mapping[str, Sequence[IntegerFile]], *,
                jobs: int) -> None:
    """Append the firmware rows of all ``files`` that are missing; what cannot be measured here has no row.

    A model that the firmware has no kernels for, or whose program breaks, leaves a failed row.
    """
    from joblib import Parallel, delayed

    found = setups([CORES[name] for name in MEASURED_ON])
    lacking = [name for name in MEASURED_ON if name not in found]
    if lacking:
        console.print(f"flash, RAM and instructions on {' and '.join(lacking)} are not measured: install "
                      "arm-none-eabi-gcc and qemu-system-arm, then run the same command again")
    tasks = [task for network in networks for made in files[network.name]
             if (task := _Task(network, made, _missing(run, network, made, found))).setups]
    # The work is done by compilers and emulators, which are processes of their own.
    results = Parallel(n_jobs=min(jobs, max(len(tasks), 1)), prefer="threads", return_as="generator_unordered")(
        delayed(_measured)(run, task) for task in tasks)
    with progress("measuring firmware", len(tasks)) as advance:
        for task, outcome in results:
            for row in _rows(run, task, outcome):
                run.store.append(row)
            advance(note=f"{task.network.name} {task.made.precision.name}")


def _missing(run: Run, network: Network, made: IntegerFile, found: Mapping[str, Setup]) -> dict[str, Setup]:
    keys = {_key(run, network, made, setup): setup for setup in found.values()}
    return {key: setup for key, setup in keys.items() if not run.store.has(key)}


def _key(run: Run, network: Network, made: IntegerFile, setup: Setup) -> str:
    return row_key({"kind": "firmware", "model": network.name, "precision": made.precision.name,
                    "sha256": made.table["sha256"], "runtime": runtime_sha256(), "core": setup.core.name,
                    "optimize": OPTIMIZE, "compiler": setup.compiler.name, "emulator": setup.emulator.name,
                    "pairs": PAIRS, "seed": run.seed, "data": run.dataset.checksum})


def _measured(run: Run, task: _Task) -> tuple[_Task, dict[str, Cost] | TinyfuseError]:
    try:
        model = load(task.made.path)
        pairs = run.judged(run.matrix.attack_pairs).inputs
        codes = real_codes(model, {name: values[:PAIRS] for name, values in pairs.items()})
        return task, measure(model, codes, list(task.setups.values()), OPTIMIZE)
    except TinyfuseError as error:
        return task, error


def _rows(run: Run, task: _Task, outcome: dict[str, Cost] | TinyfuseError) -> Iterator[Row]:
    name = task.made.precision.name
    if isinstance(outcome, TinyfuseError):
        stage = LACKING_STAGE if isinstance(outcome, ModelError) else BROKEN_STAGE
        yield failed_row(run, task.network, name, stage, str(outcome))
        return
    for key, setup in task.setups.items():
        yield {"key": key, "model": task.network.name, "precision": name,
               **measured_fields(setup, outcome[setup.core.name]), "file_sha256": task.made.table["sha256"],
               "seed": run.seed, "data_checksum": run.dataset.checksum}


def measured_fields(setup: Setup, cost: Cost) -> Row:
    """What a firmware row says about the measurement itself, whatever was measured."""
    return {"kind": "firmware", "core": setup.core.name, "optimize": OPTIMIZE, "compiler": setup.compiler.name,
            "emulator": setup.emulator.name, "flash_bytes": cost.flash.flash, "code_bytes": cost.flash.text,
            "weight_bytes": cost.flash.weights, "table_bytes": cost.flash.tables, "ram_bytes": cost.ram_bytes,
            "arena_bytes": cost.arena_bytes, "stack_bytes": cost.stack_bytes, "instructions": cost.instructions,
            "samples": cost.samples, "values": cost.values, "differing": cost.differing,
            "runtime_sha256": runtime_sha256()}
