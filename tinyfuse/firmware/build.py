"""A package becomes a program for an emulated core: its sources as they are, and the harness around them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyfuse.firmware import resources
from tinyfuse.firmware.cores import RESULT_BYTES, VECTOR_BYTES, Core
from tinyfuse.firmware.emit import Program
from tinyfuse.firmware.templates import render
from tinyfuse.firmware.toolchain import STRICT, Compiler

OPTIMIZATION = {"ram": "-O2", "speed": "-O2", "size": "-Os"}
"""What the C compiler is told for a package that was planned for `ram`, `speed` or `size`."""
VARIANTS: Mapping[str, tuple[str, ...]] = {"plain": (), "profile": ("-DTNY_PROFILE",), "values": ("-DTNY_VALUES",)}
"""The code as it ships, with a count for each layer, and with every value of every tensor sent out."""


@dataclass(frozen=True)
class Built:
    """A program for one core, and the object file of the package in it."""

    program: Path
    package: Path


def interface_of(program: Program, optimize: str) -> dict[str, Any]:
    """What the harness needs to know of ``program``."""
    *inputs, output = [{"name": port.name, "size": port.size} for port in (*program.inputs, program.output)]
    return {"name": program.name, "inputs": inputs, "output": output, "layers": len(program.layers),
            "optimize": optimize}


def build(sources: Path, interface: Mapping[str, Any], core: Core, compiler: Compiler, variant: str,
          work: Path) -> Built:
    """Compile the package in ``sources`` (its ``src``) strictly and link it with the harness, in folder ``work``.

    ``interface``: see :func:`interface_of`.

    Raises:
        CompileError: with the compiler's first words.
    """
    work.mkdir(parents=True, exist_ok=True)
    harness, name = resources.folder("harness"), interface["name"]
    main = work / "main.c"
    main.write_text(render(harness / "main.c.j2", **interface), encoding="ascii")
    speed = OPTIMIZATION[interface["optimize"]]
    traced = ["-include", str(harness / "trace.h"), *VARIANTS[variant]]
    package = compiler.compile(core, sources / f"{name}.c", work / "package.o",
                               [*STRICT, speed, *traced, f"-I{sources}"])
    objects = [package, *(compiler.compile(core, source, work / f"{source.stem}.o",
                                           ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", *traced,
                                            *board_options(core), f"-I{sources}"])
                          for source in (main, harness / "start.c", *compiler.library()))]
    return Built(compiler.link(core, objects, harness / "core.ld", work / "program.elf"), package)


def board_options(core: Core) -> list[str]:
    """Options that tell the harness where the parts of the core's board are."""
    return [f"-DBOARD_UART=0x{core.uart:x}u", f"-DBOARD_CLOCK_HZ={core.clock_hz}u",
            f"-DBOARD_VECTORS=0x{core.memory:x}u", f"-DBOARD_RESULTS=0x{core.memory + VECTOR_BYTES:x}u",
            f"-DBOARD_RESULT_BYTES={RESULT_BYTES}u", f"-I{resources.folder('harness')}"]
