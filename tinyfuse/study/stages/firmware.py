"""The firmware stage: flash, RAM and instructions of every integer model on emulated cores, as rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tinyfuse.checks.firmware_cost import BROKEN_STAGE, LACKING_STAGE, MEASURED_ON
from tinyfuse.core.console import console, progress
from tinyfuse.core.errors import ModelError, TinyfuseError
from tinyfuse.core.faults import log_fault
from tinyfuse.core.results import Row, row_key
from tinyfuse.core.workers import in_parallel
from tinyfuse.firmware.cores import CORES
from tinyfuse.firmware.measure import Cost, Setup, measure, runtime_sha256, setups
from tinyfuse.integer.model import load_model
from tinyfuse.nn.network import Network
from tinyfuse.study.rows import failed_row
from tinyfuse.study.run import Run
from tinyfuse.study.stages.convert import IntegerFile

OPTIMIZE = "ram"
SAMPLES = 2
"""Samples beside the lowest codes; `tinyfuse verify` runs hundreds."""


def measure_all(run: Run, networks: Sequence[Network], files: Mapping[str, Sequence[IntegerFile]], *,
                jobs: int) -> None:
    """Append the firmware rows of all ``files`` that are missing; what cannot be measured here has no row.

    A model that the firmware has no kernels for, or whose program breaks, leaves a failed row.
    """
    found = setups([CORES[name] for name in MEASURED_ON])
    lacking = [name for name in MEASURED_ON if name not in found]
    if lacking:
        console.print(f"flash, RAM and instructions on {' and '.join(lacking)} are not measured: install "
                      "arm-none-eabi-gcc and qemu-system-arm, then run the same command again")
    tasks = [(network, made, missing) for network in networks for made in files[network.name]
             if (missing := _missing(run, network, made, found.values()))]
    # The work is done by compilers and emulators, which are processes of their own.
    results = in_parallel([(_rows, (run, *task)) for task in tasks], jobs=min(jobs, max(len(tasks), 1)),
                          prefer="threads")
    with progress("measuring firmware", len(tasks)) as advance:
        for rows in results:
            for row in rows:
                run.store.append(row)
            advance(note=f"{rows[0]['model']} {rows[0]['precision']}")


def _missing(run: Run, network: Network, made: IntegerFile, found: Iterable[Setup]) -> dict[str, Setup]:
    """Find by key the rows that are still to be measured."""
    keys = {row_key({"kind": "firmware", "model": network.name, "precision": made.recipe.name,
                     "sha256": made.table["sha256"], "runtime": runtime_sha256(), "core": setup.core.name,
                     "optimize": OPTIMIZE, "compiler": setup.compiler.name, "emulator": setup.emulator.name,
                     "samples": SAMPLES, "seed": run.seed, "data": run.dataset.checksum}): setup for setup in found}
    return {key: setup for key, setup in keys.items() if not run.store.has(key)}


def _rows(run: Run, network: Network, made: IntegerFile, missing: Mapping[str, Setup]) -> list[Row]:
    try:
        model = load_model(made.path)
        codes = model.codes_of(run.judged(run.matrix.attack_samples).take(slice(SAMPLES)).inputs)
        costs = measure(model, codes, list(missing.values()), OPTIMIZE)
    except TinyfuseError as error:
        stage = LACKING_STAGE if isinstance(error, ModelError) else BROKEN_STAGE
        return [failed_row(run.log.scope, network.name, made.recipe.name, stage, str(error))]
    except OSError:
        raise
    except Exception as error:
        return [failed_row(run.log.scope, network.name, made.recipe.name, BROKEN_STAGE, log_fault(error, run.folder))]
    return [{"key": key, "model": network.name, "precision": made.recipe.name,
             **measured_fields(setup, costs[setup.core.name]), "file_sha256": made.table["sha256"],
             "seed": run.seed, "data_checksum": run.dataset.checksum} for key, setup in missing.items()]


def measured_fields(setup: Setup, cost: Cost) -> Row:
    """Return what a firmware row says about the measurement itself, whatever was measured."""
    return {"kind": "firmware", "core": setup.core.name, "optimize": OPTIMIZE, "compiler": setup.compiler.name,
            "emulator": setup.emulator.name, "flash_bytes": cost.flash.flash, "code_bytes": cost.flash.text,
            "weight_bytes": cost.flash.weights, "table_bytes": cost.flash.tables, "ram_bytes": cost.ram_bytes,
            "arena_bytes": cost.arena_bytes, "stack_bytes": cost.stack_bytes, "instructions": cost.instructions,
            "samples": cost.samples, "values": cost.values, "differing": cost.differing,
            "runtime_sha256": runtime_sha256()}
