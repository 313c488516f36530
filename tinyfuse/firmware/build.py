"""A package becomes a program for an emulated core: its sources as they are, and the harness around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyfuse.firmware.c_text import export_folder, render
from tinyfuse.firmware.cores import RESULT_BYTES, VECTOR_BYTES, Core
from tinyfuse.firmware.program import Program
from tinyfuse.firmware.toolchain import OPTIMIZE, STRICT, Compiler

VARIANTS: Mapping[str, tuple[str, ...]] = {"plain": (), "profile": ("-DTNY_PROFILE",), "values": ("-DTNY_VALUES",)}
"""The code as it ships, with a count for each layer, and with every value of every tensor sent out."""


@dataclass(frozen=True)
class Built:
    """A program for one core, and the object file of the package in it."""

    program: Path
    package: Path


def build(sources: Path, program: Program, core: Core, compiler: Compiler, variant: str, work: Path) -> Built:
    """Compile ``program``, which lies in ``sources``, strictly and link it with the harness, in folder ``work``.

    Raises CompileError with the compiler's first words.
    """
    work.mkdir(parents=True, exist_ok=True)
    harness, main = export_folder("harness"), work / "main.c"
    main.write_text(render(harness / "main.c.j2", **program.interface), encoding="ascii")
    traced = ["-include", str(harness / "trace.h"), *VARIANTS[variant]]
    package = compiler.compile(core, sources / f"{program.name}.c", work / "package.o",
                               [*STRICT, OPTIMIZE[program.optimize], *traced, f"-I{sources}"])
    return Built(linked(core, compiler, [package], main, work, [*traced, f"-I{sources}"]), package)


def linked(core: Core, compiler: Compiler, package: Sequence[Path], main: Path, work: Path,
           options: Sequence[str]) -> Path:
    """Link a package's object files with ``main`` and the rest of the harness, compiled with ``options``."""
    harness = export_folder("harness")
    strict = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", *options, *board_options(core)]
    objects = [compiler.compile(core, source, work / f"{source.stem}.o", strict)
               for source in (main, harness / "start.c", *compiler.library())]
    return compiler.link(core, [*package, *objects], harness / "core.ld", work / "program.elf")


def board_options(core: Core) -> list[str]:
    """Make options that tell the harness where the parts of the core's board are."""
    return [f"-DBOARD_UART=0x{core.uart:x}u", f"-DBOARD_CLOCK_HZ={core.clock_hz}u",
            f"-DBOARD_VECTORS=0x{core.memory:x}u", f"-DBOARD_RESULTS=0x{core.memory + VECTOR_BYTES:x}u",
            f"-DBOARD_RESULT_BYTES={RESULT_BYTES}u", f"-DBOARD_COUNTER=0x{core.counter:x}u",
            f"-DBOARD_STOP=0x{core.stop:x}u", *(["-DBOARD_STRICT_ALIGNMENT=1"] if core.strict_alignment else []),
            f"-I{export_folder('harness')}"]


@dataclass(frozen=True)
class Footprint:
    """Bytes in flash: ``text`` is code, ``weights`` packed weights, ``tables`` all other constants; ``data`` is RAM."""

    text: int
    weights: int
    tables: int
    data: int

    @property
    def flash(self) -> int:
        """All bytes in flash."""
        return self.text + self.weights + self.tables + self.data


def footprint(package: Path) -> Footprint:
    """Measure the sections of an object file compiled with -ffunction-sections -fdata-sections."""
    from elftools.elf.elffile import ELFFile

    writable, allocated, code = 1, 2, 4
    sizes = {"text": 0, "weights": 0, "tables": 0, "data": 0}
    with package.open("rb") as stream:
        for section in ELFFile(stream).iter_sections():
            flags = section["sh_flags"]
            if flags & allocated:
                constants = "weights" if section.name.startswith((".rodata.weights", ".srodata.weights")) else "tables"
                sizes["data" if flags & writable else "text" if flags & code else constants] += section["sh_size"]
    return Footprint(**sizes)
