"""From a ``.tflite`` to a proven firmware package: what ``tinyfuse export`` and ``tinyfuse verify`` do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyfuse.core import toml
from tinyfuse.core.console import progress
from tinyfuse.core.errors import InputsError, ModelError, UsageError
from tinyfuse.core.files import sha256_hex

if TYPE_CHECKING:
    from tinyfuse.data import Dataset
    from tinyfuse.firmware.package import Package
    from tinyfuse.firmware.verify import Verified
    from tinyfuse.integer.interpreters import IntegerModel

VECTORS = 200


def export(model: str | Path, out: str | Path, *, dataset: Dataset | None = None, name: str | None = None,
           optimize: str = "ram", vectors: int = VECTORS, board: str | None = None, force: bool = False,
           seed: int = 0) -> Path:
    """Write the firmware package of a ``.tflite`` as folder ``out`` and return its path.

    ``dataset`` gives the ``vectors`` test vectors; None: random codes. ``name`` (default: the file's) is the prefix of
    every C symbol; ``optimize`` is "ram", "speed" or "size"; ``force`` replaces an older package. The same model,
    data and options give the same bytes.

    Raises:
        UsageError: an existing folder, no identifier, or a ``board`` that the model does not fit.
        ModelError: an operator or type without a kernel, or inputs that the data does not have.
    """
    from tinyfuse.firmware import package

    folder = Path(out)
    package.check_free(folder, force=force)
    found = make(model, dataset=dataset, name=name, optimize=optimize, vectors=vectors, seed=seed)
    if board is not None:
        check_fit(found, board)
    return package.write(found, folder, force=force)


def make(model: str | Path, *, dataset: Dataset | None, name: str | None, optimize: str, vectors: int,
         seed: int) -> Package:
    """The package that :func:`export` writes."""
    from tinyfuse.firmware import package
    from tinyfuse.firmware import vectors as test_vectors
    from tinyfuse.firmware.program import program_of
    from tinyfuse.integer.interpreters import load

    loaded = load(model)
    prefix = name or re.sub(r"\W+", "_", Path(model).stem).strip("_").replace("__", "_")
    program_of(loaded, prefix, optimize)
    codes, source = _codes(loaded, dataset, vectors, seed)
    return package.package(loaded, prefix, test_vectors.made(loaded, codes), optimize=optimize, vectors_source=source,
                           provenance=provenance(Path(model), loaded))


def _codes(model: IntegerModel, dataset: Dataset | None, count: int, seed: int) -> tuple[dict[str, np.ndarray], str]:
    """``count`` input codes and in words where they come from."""
    from tinyfuse.integer.compare import random_codes
    from tinyfuse.study.samples import real_codes

    if dataset is None:
        return random_codes(model, count, seed=seed), f"uniform random codes, seed {seed}"
    pairs = dataset.test.balanced(count, seed=seed)
    return real_codes(model, pairs.inputs()), f"test pairs of {dataset.name}, seed {seed}"


def fits_data(model: str | Path, dataset: Dataset) -> bool:
    """Whether ``dataset`` has the inputs of ``model``."""
    from tinyfuse.integer.interpreters import load
    from tinyfuse.study.samples import real_codes

    loaded = load(model)
    try:
        real_codes(loaded, dataset.test.balanced(1, seed=0).inputs())
    except InputsError:
        return False
    return True


def provenance(path: Path, model: IntegerModel) -> Mapping[str, Any]:
    """The table that ``tinyfuse quantize`` left beside the ``.tflite``, if it is of these very bytes."""
    beside = path.with_suffix(".toml")
    if not beside.is_file():
        return {}
    table = toml.read(beside, ModelError)
    return table if table.get("sha256") == sha256_hex(model.data) else {}


def check_fit(found: Package, board: str) -> None:
    """Raise :class:`UsageError` with the numbers if the package does not fit ``board``."""
    from tinyfuse.firmware import boards

    where, (flash, ram) = boards.board(board), found.needs()
    if not where.fits(flash, ram):
        has = f"{where.flash_kib * boards.KIB} and {where.ram_kib * boards.KIB}"
        raise UsageError(f"{found.program.name} does not fit {where.title}: it needs about {flash} bytes of flash and "
                         f"{ram} of RAM; the board has {has}. Take fewer bits, a smaller model, or another board")


def described(folder: str | Path, board: str | None = None) -> list[str]:
    """In words what a package needs; for ``board`` whether it fits, and an estimate of its time where one of its
    inferences can be counted on an emulated core.
    """
    from tinyfuse.firmware import boards
    from tinyfuse.firmware.cores import CORES
    from tinyfuse.firmware.measure import measure, setups
    from tinyfuse.firmware.open_package import read_table
    from tinyfuse.integer.interpreters import load

    table = read_table(Path(folder))
    lines = [f"arena {table['arena_bytes']} bytes (TFLite Micro: {table['tflm_arena_bytes']}), packed weights "
             f"{table['packed_weight_bytes']} bytes (.tflite: {table['tflite_bytes']})",
             f"with code and stack about {table['flash_bytes_about']} bytes of flash and {table['ram_bytes_about']} of "
             f"RAM; `tinyfuse verify {folder}` says exactly"]
    if board is None:
        return lines
    where = boards.board(board)
    verdict = where.verdict(table["flash_bytes_about"], table["ram_bytes_about"])
    ready = setups([CORES[where.timing.counted_on]]) if where.timing else {}
    time = where.no_estimate()
    if ready:
        model = load(Path(folder) / "extras" / f"{table['name']}.tflite")
        (cost,) = measure(model, {port.name: np.zeros((1, *port.shape[1:]), port.dtype) for port in model.inputs},
                          list(ready.values()), table["optimize"]).values()
        time = where.estimate(cost.instructions)
    return [*lines, f"{where.title}: {verdict}; {time}"]


def verify(folder: str | Path, *, cores: str | None = None, compiler: str | None = None,
           emulator: str | None = None) -> Verified:
    """Compile the package in ``folder``, run it on emulated ``cores`` ("m3,m4,m7,m33,m55"; None: all that can be
    emulated here) and compare every code with TFLite Micro's; :meth:`Verified.check` raises if one differs.

    Raises:
        UsageError: an unknown core, no compiler or no emulator.
        DataError: ``folder`` is no whole package.
        CompileError, EmulationError: its code does not compile, or crashes.
    """
    from tinyfuse.firmware.cores import cores_of
    from tinyfuse.firmware.open_package import open_package
    from tinyfuse.firmware.verify import verify as run

    chosen = cores_of(cores)
    opened = open_package(folder)
    with progress(f"verifying {opened.name}", len(chosen) + 1) as advance:
        return run(opened, chosen, compiler_name=compiler, emulator_name=emulator, needed=cores is not None,
                   tick=lambda note: advance(note=note))


def board_lines(found: Verified, names: Sequence[str]) -> list[str]:
    """For each board whether the verified package fits, and an estimate of its time."""
    from tinyfuse.firmware import boards

    lines, cores = [], {one.core: one for one in found.cores}
    arena = found.package.figures["arena_bytes"]
    for name in names:
        where = boards.board(name)
        one = cores.get(where.timing.counted_on) if where.timing else None
        nearest = one or next(iter(found.cores))
        verdict = where.verdict(nearest.flash.flash, arena + nearest.stack_bytes + nearest.flash.data)
        time = where.estimate(one.instructions) if one else where.no_estimate()
        lines.append(f"{where.title}: {verdict} (as compiled for {nearest.core}); {time}")
    return lines
