"""Is a package what it claims to be? Compiled strictly, run on emulated cores, codes compared with TFLite Micro's."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinyfuse.core.errors import ParityError, UsageError
from tinyfuse.firmware.build import VARIANTS, build
from tinyfuse.firmware.cores import Core
from tinyfuse.firmware.footprint import Footprint, footprint
from tinyfuse.firmware.host import run_on_host
from tinyfuse.firmware.machine import EmulationError, Emulator, Ran, check_counts, emulators
from tinyfuse.firmware.open_package import Exported
from tinyfuse.firmware.operators import Kernel
from tinyfuse.firmware.toolchain import Compiler, compiler
from tinyfuse.integer.interpreters import Interpreter

TRACED = 3
"""Vectors of which every tensor is compared."""
HOST_VECTORS = 16
ENOUGH = 200
"""Vectors below which a verification says that it saw few."""
_RECORD = np.dtype([("tensor", "<u2"), ("value", "<i2"), ("index", "<u4")])
Tick = Callable[[str], None]


@dataclass(frozen=True)
class CoreResult:
    """One core: whether all codes are TFLM's, and what an inference costs.

    ``instructions`` is the most of any traced vector; ``stack_bytes`` the high-water mark; ``layers`` instructions by
    layer; ``first_difference`` names the first layer (in the order of the graph) whose codes differ.
    """

    core: str
    compiler: str
    emulator: str
    vectors: int
    differing: int
    values: int
    instructions: int
    flash: Footprint
    stack_bytes: int
    layers: Mapping[str, int] = field(repr=False)
    first_difference: str = ""

    @property
    def parity(self) -> bool:
        """No code of the outputs and of the traced tensors differs."""
        return not self.differing and not self.first_difference


@dataclass(frozen=True)
class Verified:
    """All cores; those that could not be run, with the reason; and ``host``: "" or why the sanitizers did not run."""

    package: Exported = field(repr=False)
    cores: tuple[CoreResult, ...]
    missing: Mapping[str, str]
    host: str

    def check(self) -> None:
        """Raise :class:`ParityError` with the first layer that differs."""
        for one in self.cores:
            if not one.parity:
                where = f"; the first layer that differs is '{one.first_difference}'" if one.first_difference else ""
                raise ParityError(f"{self.package.name} on {one.core}: {one.differing} of {one.vectors} "
                                  f"vectors give other codes than TFLite Micro{where}")


def verify(package: Exported, cores: Sequence[Core], *, compiler_name: str | None = None,
           emulator_name: str | None = None, needed: bool = False, tick: Tick = lambda note: None) -> Verified:
    """Run ``package`` on the host under sanitizers and on each of ``cores``.

    ``needed``: a core that cannot be emulated here is an error and no gap.

    Raises:
        UsageError: no compiler, or no emulator for any core (any at all, or any ``needed`` one).
        CompileError, EmulationError: the package does not compile, or a program crashes.
    """
    cross = compiler(compiler_name)
    chosen = {core: _emulator(core, emulator_name) for core in cores}
    wanted = emulator_name or "emulator"
    missing = {core.name: f"no {wanted} for it here" for core, found in chosen.items() if found is None}
    if missing and (needed or len(missing) == len(cores)):
        raise UsageError(f"{', '.join(missing)}: no {wanted} here; install qemu-system-arm, or pip install "
                         "'tinyfuse[emulator]' (unicorn, all cores but m55)")
    ready = {core: machine for core, machine in chosen.items() if machine is not None}
    with (tempfile.TemporaryDirectory(prefix="tinyfuse-") as folder,
          ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool):
        jobs = [pool.submit(_measure, package, core, cross, machine, Path(folder) / core.name)
                for core, machine in ready.items()]
        host = run_on_host(package, Path(folder) / "host", HOST_VECTORS)
        tick("host")
        found = []
        for core, job in zip(ready, jobs, strict=True):
            found.append(_judged(package, core, cross, ready[core], job.result()))
            tick(core.name)
    return Verified(package, tuple(found), missing, host)


def _emulator(core: Core, name: str | None) -> Emulator | None:
    found = emulators(core)
    return found.get(name) if name is not None else next(iter(found.values()), None)


@dataclass(frozen=True, eq=False)
class _Measured:
    """What one core did: output codes [n, k]; instructions, stack, layers and values of tensors of vectors ``rows``."""

    outputs: np.ndarray
    rows: list[int]
    counted: list[int]
    layers: list[int]
    values: list[np.ndarray]
    flash: Footprint


def _measure(package: Exported, core: Core, cross: Compiler, machine: Emulator, work: Path) -> _Measured:
    """Build the three variants and run them; threads of their own may do this for several cores."""
    built = {variant: build(package.folder / "src", package.interface, core, cross, variant, work / variant)
             for variant in VARIANTS}
    vectors = package.vectors
    outputs = _outputs(machine.run(core, built["plain"].program, vectors.stream(), counted=False), package, core)
    rows = _traced_rows(package, np.flatnonzero(np.any(outputs != vectors.outputs, axis=1)))
    few = vectors.stream(rows)
    counted = _results(machine.run(core, built["plain"].program, few, counted=True), core)
    layers = _results(machine.run(core, built["profile"].program, vectors.stream(rows[-1:]), counted=True), core)[2:]
    values = list(_by_vector(machine.run(core, built["values"].program, few, counted=False)))
    if len(values) != len(rows):
        raise EmulationError(f"{core.name}: the tensors of {len(values)} of {len(rows)} vectors came back")
    return _Measured(outputs, rows, counted, layers, values, footprint(built["plain"].package))


def _judged(package: Exported, core: Core, cross: Compiler, machine: Emulator, done: _Measured) -> CoreResult:
    """Compare what a core did with TFLite Micro, whose interpreter stays in one thread."""
    wrong = int(np.any(done.outputs != package.vectors.outputs, axis=1).sum())
    difference, values = _first_difference(package, done)
    return CoreResult(core.name, cross.name, machine.name, len(package.vectors), wrong, values, done.counted[0],
                      done.flash, done.counted[1], dict(zip(package.layers, done.layers, strict=True)),
                      difference)


def _traced_rows(package: Exported, wrong: np.ndarray) -> list[int]:
    """The first vector that fails, if one does; lowest codes; ordinary ones."""
    extreme, count = package.vectors.extreme, len(package.vectors)
    wanted = [*(int(row) for row in wrong[:1]), 0, *range(extreme, count), *range(extreme)]
    return list(dict.fromkeys(wanted))[:TRACED]


def _outputs(ran: Ran, package: Exported, core: Core) -> np.ndarray:
    wanted = package.vectors.outputs
    kind = wanted.dtype.newbyteorder("<")
    rows = [np.frombuffer(content, kind) for tag, content in ran.records if tag == "O"]
    if len(rows) != len(wanted) or any(len(row) != wanted.shape[1] for row in rows):
        raise EmulationError(f"{core.name}: {len(rows)} of {len(wanted)} outputs came back")
    return np.stack(rows)


def _results(ran: Ran, core: Core) -> list[int]:
    """Instructions, bytes of stack, instructions of each layer."""
    for tag, content in ran.records:
        if tag == "R":
            ticks = np.frombuffer(content, "<u4").astype(float)
            check_counts(int(ticks[0]), int(ticks[1]), core)
            ticks[[0, *range(2, len(ticks))]] *= ran.instructions_per_tick
            return [round(value) for value in ticks]
    raise EmulationError(f"{core.name}: the program ended without results")


def _first_difference(package: Exported, done: _Measured) -> tuple[str, int]:
    """The first tensor, in the order of the graph, that differs in a traced vector (""), and the values compared."""
    graph = package.model.graph
    expected = Interpreter(package.model, "tflm").tensors({name: value[done.rows] for name, value in
                                                           package.vectors.codes.items()})
    order = {operator.outputs[0]: place for place, operator in enumerate(graph.operators)}
    wrong, compared = set(), 0
    for row, values in enumerate(done.values):
        _check_traced(values, package)
        for tensor in np.unique(values["tensor"]):
            mine = values[values["tensor"] == tensor]
            want = expected[int(tensor)][row].reshape(-1)
            compared += len(mine)
            inside = mine["index"] < len(want)
            if (len(np.unique(mine["index"])) != len(want) or not inside.all() or
                    np.any(want[mine["index"][inside]] != mine["value"][inside])):
                wrong.add(int(tensor))
    first = min(wrong, key=order.__getitem__, default=None)
    return ("" if first is None else graph.tensors[first].name), compared


def _check_traced(values: np.ndarray, package: Exported) -> None:
    """Raise unless the values are of all tensors that the program computes: what is not seen is not exact."""
    wanted = {layer.target for layer in package.program.layers
              if not (isinstance(layer, Kernel) and layer.aliased is not None)}
    found = {int(tensor) for tensor in np.unique(values["tensor"])}
    if found != wanted:
        names = [package.model.graph.tensors[index].name for index in sorted(wanted - found)]
        raise EmulationError(f"{package.name}: no values of {names[0]} came back" if names else
                             f"{package.name}: values of an unknown tensor came back")


def _by_vector(ran: Ran) -> Iterator[np.ndarray]:
    """The traced values of each vector; its output record comes before the last part of them."""
    parts: list[np.ndarray] = []
    ended = False
    for tag, content in ran.records:
        if tag == "V":
            parts.append(np.frombuffer(content, _RECORD))
        ended = ended or tag == "O"
        if ended and tag == "V":
            yield np.concatenate(parts)
            parts, ended = [], False


def summary(found: Verified) -> dict[str, Any]:
    """What ``--json`` prints."""
    figures = found.package.figures
    return {
        "name": found.package.name, "tflm_arena_bytes": figures["tflm_arena_bytes"], "host": found.host or "passed",
        "changed_files": list(found.package.changed), "not_verified": dict(found.missing),
        "enough_vectors": len(found.package.vectors) >= ENOUGH,
        "cores": {one.core: {
            "parity": one.parity, "vectors": one.vectors, "differing_vectors": one.differing,
            "tensor_values": one.values, "first_difference": one.first_difference, "compiler": one.compiler,
            "emulator": one.emulator, "instructions": one.instructions, "macs": figures["macs"],
            "flash_bytes": one.flash.flash, "text_bytes": one.flash.text, "weight_bytes": one.flash.weights,
            "table_bytes": one.flash.tables, "ram_bytes": figures["arena_bytes"] + one.stack_bytes + one.flash.data,
            "arena_bytes": figures["arena_bytes"], "stack_bytes": one.stack_bytes, "layers": dict(one.layers),
        } for one in found.cores}}
