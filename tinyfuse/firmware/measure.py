"""What the firmware of a model costs: built for a core and run on a few inputs, without a package on disk."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyfuse.core.files import temporary_folder
from tinyfuse.firmware.build import Footprint, build, footprint
from tinyfuse.firmware.c_text import export_folder
from tinyfuse.firmware.cores import Core
from tinyfuse.firmware.machine import Emulator, emulators, outputs_of, results_of
from tinyfuse.firmware.package import write_sources
from tinyfuse.firmware.program import Program, program_of
from tinyfuse.firmware.toolchain import Compiler, compilers
from tinyfuse.firmware.vectors import Vectors, tflm_outputs
from tinyfuse.integer.model import IntegerModel


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


def setups(cores: Sequence[Core], cross: Compiler | None = None, emulator: str | None = None) -> dict[str, Setup]:
    """Find those of ``cores`` that have a compiler and an emulator here, by name, with the preferred ones or these."""
    named = list(compilers().values()) if cross is None else [cross]
    found = {}
    for core in cores:
        here = emulators(core)
        machine = here.get(emulator or next(iter(here), ""))
        compiler = next((one for one in named if one.serves(core)), None)
        if compiler is not None and machine is not None:
            found[core.name] = Setup(core, compiler, machine)
    return found


@functools.cache
def runtime_sha256() -> str:
    """Hash all that decides what a model's firmware costs: the exporter, the C runtime and the harness."""
    folders = [Path(__file__).parent, *map(export_folder, ("runtime", "interface", "harness"))]
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"):
            digest.update(f"{folder.name}/{path.relative_to(folder)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def measure(model: IntegerModel, codes: Mapping[str, np.ndarray], chosen: Sequence[Setup],
            optimize: str, *, keep_constant: bool = False) -> dict[str, Cost]:
    """Run the firmware of ``model`` on the lowest codes and on ``codes`` [n, ...] on each of ``chosen``; by core.

    Raises ModelError for what has no kernel, CompileError or EmulationError if the code does not compile or crashes.
    """
    program = program_of(model, "net", optimize, keep_constant=keep_constant)
    together = {port.name: np.concatenate([np.full((1, *port.shape[1:]), port.grid.low), codes[port.name]]
                                          ).astype(port.dtype) for port in model.inputs}
    vectors = Vectors(together, tflm_outputs(model, together), extreme=1)
    with temporary_folder(None, "tinyfuse") as folder:
        write_sources(program, folder / "src")
        return {setup.core.name: _on_core(program, vectors, setup, folder) for setup in chosen}


def _on_core(program: Program, vectors: Vectors, setup: Setup, folder: Path) -> Cost:
    built = build(folder / "src", program, setup.core, setup.compiler, "plain", folder / setup.core.name)
    ran = setup.emulator.run(setup.core, built.program, vectors.stream(), counted=True)
    outputs = outputs_of(ran, vectors.outputs, setup.core)
    instructions, stack, *_ = results_of(ran, setup.core)
    return Cost(footprint(built.package), program.plan.arena_bytes, stack, instructions, len(outputs), outputs.size,
                int(np.count_nonzero(outputs != vectors.outputs)))
