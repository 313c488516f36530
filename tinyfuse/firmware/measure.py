"""What the firmware of a model costs: built for a core and run on a few inputs, without a package on disk."""

from __future__ import annotations

import functools
import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyfuse.firmware import resources
from tinyfuse.firmware.build import build, interface_of
from tinyfuse.firmware.cores import Core
from tinyfuse.firmware.emit import Program
from tinyfuse.firmware.footprint import Footprint, footprint
from tinyfuse.firmware.machine import EmulationError, Emulator, Ran, check_counts, emulators
from tinyfuse.firmware.package import write_sources
from tinyfuse.firmware.program import program_of
from tinyfuse.firmware.toolchain import Compiler, compilers
from tinyfuse.firmware.vectors import Vectors
from tinyfuse.integer.interpreters import IntegerModel, Interpreter

NAME = "net"


@dataclass(frozen=True)
class Setup:
    """What builds and runs a program for one core."""

    core: Core
    compiler: Compiler
    emulator: Emulator


@dataclass(frozen=True)
class Cost:
    """One core: flash by section, bytes of arena and stack, the most instructions of an inference.

    ``differing`` of the ``values`` output codes on ``samples`` inputs are not TFLite Micro's.
    """

    flash: Footprint
    arena_bytes: int
    stack_bytes: int
    instructions: int
    samples: int
    values: int
    differing: int

    @property
    def ram_bytes(self) -> int:
        """Arena, stack and variables."""
        return self.arena_bytes + self.stack_bytes + self.flash.data


def setups(cores: Sequence[Core]) -> dict[str, Setup]:
    """The preferred compiler and emulator of each of ``cores`` by its name; cores that lack one are left out."""
    cross = next(iter(compilers().values()), None)
    found = {core: next(iter(emulators(core).values()), None) for core in cores}
    return {core.name: Setup(core, cross, machine) for core, machine in found.items() if cross and machine}


@functools.cache
def runtime_sha256() -> str:
    """SHA-256 of all that decides what a model's firmware costs: the exporter, the C runtime and the harness."""
    folders = [Path(__file__).parent, resources.folder("runtime"), resources.folder("harness")]
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"):
            digest.update(f"{folder.name}/{path.relative_to(folder)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def measure(model: IntegerModel, codes: Mapping[str, np.ndarray], chosen: Sequence[Setup],
            optimize: str) -> dict[str, Cost]:
    """Run the firmware of ``model`` on the lowest codes and on ``codes`` [n, ...] on each of ``chosen``; by core.

    Raises:
        ModelError: an operator or type without a kernel.
        CompileError, EmulationError: the code does not compile, or the program crashes.
    """
    program = program_of(model, NAME, optimize)
    together = {port.name: np.concatenate([np.full((1, *port.shape[1:]), port.grid.low), codes[port.name]]
                                          ).astype(port.dtype) for port in model.inputs}
    vectors = Vectors(together, Interpreter(model, "tflm").run(together), extreme=1)
    with tempfile.TemporaryDirectory(prefix="tinyfuse-") as folder:
        write_sources(program, Path(folder) / "src")
        return {setup.core.name: _on_core(program, vectors, setup, optimize, Path(folder)) for setup in chosen}


def _on_core(program: Program, vectors: Vectors, setup: Setup, optimize: str, folder: Path) -> Cost:
    built = build(folder / "src", interface_of(program, optimize), setup.core, setup.compiler, "plain",
                  folder / setup.core.name)
    ran = setup.emulator.run(setup.core, built.program, vectors.stream(), counted=True)
    outputs, ticks, stack = _read(ran, vectors.outputs, setup.core)
    return Cost(footprint(built.package), program.plan.arena_bytes, stack, round(ticks * ran.instructions_per_tick),
                len(outputs), outputs.size, int(np.count_nonzero(outputs != vectors.outputs)))


def _read(ran: Ran, wanted: np.ndarray, core: Core) -> tuple[np.ndarray, int, int]:
    """Output codes shaped as ``wanted``, ticks of the longest inference, bytes of stack."""
    content = {tag: b"".join(part for name, part in ran.records if name == tag) for tag in "OR"}
    if len(content["O"]) != wanted.nbytes or len(content["R"]) < 8:
        raise EmulationError(f"{core.name}: the program ended without its results")
    ticks, stack = np.frombuffer(content["R"][:8], "<u4")
    check_counts(int(ticks), int(stack), core)
    return np.frombuffer(content["O"], wanted.dtype.newbyteorder("<")).reshape(wanted.shape), int(ticks), int(stack)
