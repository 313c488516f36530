"""Is a package what it claims to be? Compiled strictly, run on emulated cores, codes compared with TFLite Micro's."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinyfuse.core.console import progress
from tinyfuse.core.errors import GateError, ParityError, UsageError
from tinyfuse.core.files import temporary_folder
from tinyfuse.firmware import boards
from tinyfuse.firmware.build import VARIANTS, Footprint, build, footprint
from tinyfuse.firmware.cores import Core, cores_of
from tinyfuse.firmware.frontend_proof import FrontEndResult
from tinyfuse.firmware.frontend_verify import prove
from tinyfuse.firmware.host import outputs_on_host
from tinyfuse.firmware.live_verify import LiveResult, prove_live
from tinyfuse.firmware.machine import EmulationError, Ran, outputs_of, results_of
from tinyfuse.firmware.measure import Setup, setups
from tinyfuse.firmware.operators import Kernel
from tinyfuse.firmware.operators.base import as_bits
from tinyfuse.firmware.package import Exported, open_package
from tinyfuse.firmware.toolchain import SANITIZE, CompileError, cross_compiler, host_compiler, run
from tinyfuse.firmware.two_cores_proof import TwoCoresResult, prove_two_cores
from tinyfuse.integer.executors import open_executor
from tinyfuse.integer.executors.installed import oracle_or_twin

TRACED = 3
"""Vectors of which every tensor is compared."""
HOST_VECTORS = 16
ENOUGH = 200
"""Vectors below which a verification says that it saw few."""
_RECORD = np.dtype([("tensor", "<u2"), ("value", "<i2"), ("index", "<u4")])


@dataclass(frozen=True)
class CoreResult:
    """One core: whether all codes are TFLM's, and what an inference costs.

    ``instructions`` is the most of any traced vector; ``stack_bytes`` the high-water mark; ``layers`` instructions by
    layer; ``first_difference`` names the first layer (in the order of the graph) whose codes differ. Of ``certified``
    samples' attacked inputs so many are ``broken``: answered otherwise than was proved.
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
    certified: int = 0
    broken: int = 0

    @property
    def parity(self) -> bool:
        """No code of the outputs and of the traced tensors differs."""
        return not self.differing and not self.first_difference


@dataclass(frozen=True)
class Verified:
    """All cores; those that could not be run, with the reason; and ``host``: "" or why the sanitizers did not run.

    ``front_ends``: what those of the package gave on this machine and on the cores, from the sample to the output.
    ``live``: how the application decided on the cores, where the package has one. ``two_cores``: how its halves did,
    where it is for two cores.
    """

    package: Exported = field(repr=False)
    cores: tuple[CoreResult, ...]
    missing: Mapping[str, str]
    host: str
    front_ends: tuple[FrontEndResult, ...] = ()
    live: tuple[LiveResult, ...] = ()
    two_cores: tuple[TwoCoresResult, ...] = ()

    def ram_bytes(self, one: CoreResult) -> int:
        """Add arena, stack and variables on one of the cores."""
        return self.package.metadata.arena_bytes + one.stack_bytes + one.flash.data

    def check(self) -> None:
        """Raise :class:`ParityError` with the first layer that differs, :class:`GateError` for a broken certificate."""
        for one in self.cores:
            if not one.parity:
                where = f"; the first layer that differs is '{one.first_difference}'" if one.first_difference else ""
                raise ParityError(f"{self.package.program.name} on {one.core}: {one.differing} of {one.vectors} "
                                  f"vectors give other codes than TFLite Micro{where}")
        for halves in self.two_cores:
            halves.check()
        for front_end in self.front_ends:
            front_end.check()
        for played in self.live:
            played.check()
        for one in self.cores:
            if one.broken:
                raise GateError(f"{self.package.program.name} on {one.core}: {one.broken} of {one.certified} attacked "
                                "inputs of certified samples are answered otherwise; trust no certificate of it")


def verify(folder: str | Path, *, cores: str | None = None, compiler: str | None = None,
           emulator: str | None = None) -> Verified:
    """Compile the package in ``folder`` strictly, run it on this machine under sanitizers and on emulated ``cores``
    ("m4,m55,rv32"; None: all that can be emulated here), and compare every code with TFLite Micro's;
    :meth:`Verified.check` raises if one differs.

    Raises:
        UsageError: an unknown core, no compiler or no emulator.
        DataError: ``folder`` is no whole package.
        CompileError, EmulationError: its code does not compile, or crashes.
    """
    chosen, cross = cores_of(cores), cross_compiler(compiler)
    package = open_package(folder)
    ready = setups(chosen, cross if compiler else None, emulator)
    missing = {core.name: f"no {emulator or 'compiler or emulator'} for it here" for core in chosen
               if core.name not in ready}
    if missing and (cores is not None or not ready):
        raise UsageError(f"{', '.join(missing)}: no {emulator or 'compiler or emulator'} here; {_to_install(chosen)}")
    with (progress(f"verifying {package.program.name}", len(ready) + 1) as advance,
          temporary_folder(None, "tinyfuse") as work,
          ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool):
        jobs = {name: pool.submit(_measure, package, setup, work / name) for name, setup in ready.items()}
        host = run_on_host(package, work / "host", HOST_VECTORS)
        advance(note="host")
        results = []
        for name, job in jobs.items():
            results.append(_judged(package, ready[name], job.result()))
            advance(note=name)
        front_ends, live = prove(package, ready, work), prove_live(package, ready, work)
        two_cores = prove_two_cores(package, ready, work)
    return Verified(package, tuple(results), missing, host, front_ends, live, two_cores)


def _to_install(cores: Sequence[Core]) -> str:
    programs = dict.fromkeys(name for core in cores for name in (core.gnu, core.qemu))
    return f"install {', '.join(programs)}, or pip install 'tinyfuse[emulator]' (zig and unicorn, all cores but m55)"


@dataclass(frozen=True, eq=False)
class _Measured:
    """What one core did: output codes [n, k]; instructions, stack, layers and values of tensors of vectors ``rows``.

    ``certified``: output codes of the attacked inputs of certified samples, if the package has any.
    """

    outputs: np.ndarray
    rows: list[int]
    counted: list[int]
    layers: list[int]
    values: list[np.ndarray]
    flash: Footprint
    certified: np.ndarray | None


def _measure(package: Exported, setup: Setup, work: Path) -> _Measured:
    """Build the three variants and run them; threads of their own may do this for several cores."""
    core, vectors, emulate = setup.core, package.vectors, setup.emulator.run
    built = {variant: build(package.folder / "src", package.program, core, setup.compiler, variant, work / variant)
             for variant in VARIANTS}
    outputs = outputs_of(emulate(core, built["plain"].program, vectors.stream(), counted=False), vectors.outputs, core)
    rows = _traced_rows(package, np.flatnonzero(np.any(outputs != vectors.outputs, axis=1)))
    few = vectors.stream(rows)
    counted = results_of(emulate(core, built["plain"].program, few, counted=True), core)
    layers = results_of(emulate(core, built["profile"].program, vectors.stream(rows[-1:]), counted=True), core)[2:]
    values = list(_by_vector(emulate(core, built["values"].program, few, counted=False)))
    if len(values) != len(rows):
        raise EmulationError(f"{core.name}: the tensors of {len(values)} of {len(rows)} vectors came back")
    proved = None if package.certified is None else package.certified.vectors
    answers = None if proved is None else outputs_of(
        emulate(core, built["plain"].program, proved.stream(), counted=False), proved.outputs, core)
    return _Measured(outputs, rows, counted, layers, values, footprint(built["plain"].package), answers)


def _judged(package: Exported, setup: Setup, done: _Measured) -> CoreResult:
    """Compare what a core did with TFLite Micro, whose interpreter stays in one thread."""
    wrong = int(np.any(done.outputs != package.vectors.outputs, axis=1).sum())
    difference, values = _first_difference(package, done)
    return CoreResult(setup.core.name, setup.compiler.name, setup.emulator.name, len(package.vectors), wrong, values,
                      done.counted[0], done.flash, done.counted[1],
                      dict(zip(package.metadata.layers, done.layers, strict=True)), difference,
                      *_broken(package, done.certified))


def _broken(package: Exported, outputs: np.ndarray | None) -> tuple[int, int]:
    """Count the attacked inputs of certified samples, and the ``outputs`` that name another class than was proved."""
    if package.certified is None or outputs is None:
        return 0, 0
    return len(outputs), package.certified.broken(package.model, outputs)


def _traced_rows(package: Exported, wrong: np.ndarray) -> list[int]:
    """The first vector that fails, if one does; lowest codes; ordinary ones."""
    extreme, count = package.vectors.extreme, len(package.vectors)
    wanted = [*(int(row) for row in wrong[:1]), 0, *range(extreme, count), *range(extreme)]
    return list(dict.fromkeys(wanted))[:TRACED]


def _first_difference(package: Exported, done: _Measured) -> tuple[str, int]:
    """The first tensor, in the order of the graph, that differs in a traced vector (""), and the values compared."""
    graph = package.model.graph
    traced = {name: value[done.rows] for name, value in package.vectors.codes.items()}
    expected = open_executor(package.model, oracle_or_twin()).tensors(traced)
    order = {operator.outputs[0]: place for place, operator in enumerate(graph.operators)}
    wrong, compared = set(), 0
    for row, values in enumerate(done.values):
        _check_traced(values, package)
        for tensor in np.unique(values["tensor"]):
            mine = values[values["tensor"] == tensor]
            # Records hold the lowest 16 bits of a value; those of int32 outputs are compared whole, as vectors.
            want = as_bits(expected[int(tensor)][row])
            if int(tensor) in package.program.left:
                want = want[..., package.program.left[int(tensor)]]
            want = want.reshape(-1).astype(np.int16)
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
        raise EmulationError(f"{package.program.name}: no values of {names[0]} came back" if names else
                             f"{package.program.name}: values of an unknown tensor came back")


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
    """Make the table that ``--json`` prints."""
    table = found.package.metadata
    return {
        "name": table.name, "tflm_arena_bytes": table.tflm_arena_bytes, "host": found.host or "passed",
        "changed_files": list(found.package.changed), "not_verified": dict(found.missing),
        "enough_vectors": len(found.package.vectors) >= ENOUGH,
        "cores": {one.core: {
            "parity": one.parity, "vectors": one.vectors, "differing_vectors": one.differing,
            "tensor_values": one.values, "first_difference": one.first_difference, "compiler": one.compiler,
            "emulator": one.emulator, "instructions": one.instructions, "macs": table.macs,
            "flash_bytes": one.flash.flash, "text_bytes": one.flash.text, "weight_bytes": one.flash.weights,
            "table_bytes": one.flash.tables, "ram_bytes": found.ram_bytes(one), "arena_bytes": table.arena_bytes,
            "stack_bytes": one.stack_bytes, "layers": dict(one.layers), "certified_inputs": one.certified,
            "broken_certified_inputs": one.broken,
        } for one in found.cores},
        "front_ends": {one.core: {
            "scenes": one.scenes, "codes": dict(one.compared), "differing_codes": dict(one.differing),
            "instructions": dict(one.instructions), "stream_bytes": dict(one.stream_bytes),
            "flash_bytes": one.flash.flash if one.flash else 0} for one in found.front_ends},
        "live": {one.played.core: {"decisions": len(one.wanted), "differing_decisions": one.differing,
                                   "ram_bytes": one.played.ram_bytes} for one in found.live},
        "two_cores": {one.core: {**asdict(one), "estimated_gain": one.gain} for one in found.two_cores}}


def board_lines(found: Verified, names: Sequence[str]) -> list[str]:
    """Say for each board whether the verified package fits, and an estimate of its time."""
    lines, cores = [], {one.core: one for one in found.cores}
    for name in names:
        where = boards.board(name)
        one = cores.get(where.timing.counted_on) if where.timing else None
        nearest = one or next(iter(found.cores))
        verdict = where.verdict(nearest.flash.flash, found.ram_bytes(nearest))
        lines.append(f"{where.title}: {verdict} (as compiled for {nearest.core}); "
                     f"{where.estimate(one.instructions if one else None)}")
    return lines


def run_on_host(package: Exported, work: Path, count: int) -> str:
    """Run the first ``count`` vectors; return "" or why it was not done.

    Raises ParityError for other codes than TFLM's, CompileError, and EmulationError if a sanitizer found something.
    """
    command = host_compiler()
    if command is None:
        return "not run: no C compiler on this machine"
    if package.changed:
        # Code that is not ours runs where it can reach nothing: on the emulated cores.
        return f"not run: src/{package.changed[0]} is not what this version generates from the model"
    work.mkdir(parents=True)
    if not _sanitizers(command, work):
        return f"not run: {command} has no address and undefined-behaviour sanitizers here"
    rows = list(range(min(count, len(package.vectors))))
    found = outputs_on_host(package.program, package.vectors.stream(rows), work, command, SANITIZE)
    if found != package.vectors.output_stream(rows):
        raise ParityError(f"{package.program.name} on this machine: other codes than TFLite Micro's")
    return ""


def _sanitizers(command: str, work: Path) -> bool:
    """Whether the compiler's sanitizers are installed."""
    (work / "empty.c").write_text("int main(void)\n{\n  return 0;\n}\n", encoding="ascii")
    try:
        run([command, *SANITIZE, str(work / "empty.c"), "-o", str(work / "empty")])
    except CompileError:
        return False
    return True
