"""Compilers for the emulated cores and for this machine: Arm's GNU toolchain, zig from its wheel, the host's own."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyfuse.core.errors import TinyfuseError, UsageError
from tinyfuse.core.programs import run_limited
from tinyfuse.firmware.c_text import export_folder
from tinyfuse.firmware.cores import RAM_BYTES, ROM_BYTES, Core

SECONDS = 600
MEMORY_MIB = 4096
"""What each process of a compiler may allocate; the largest packages take a quarter of it."""
GNU = "arm-none-eabi-gcc"
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror")
OPTIMIZE = {"ram": "-O2", "speed": "-O2", "size": "-Os"}
"""What a program may be planned for, and the option that the C compiler then gets."""
SANITIZE = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


class CompileError(TinyfuseError):
    """A compiler refused the code of a package."""


@dataclass(frozen=True)
class Compiler:
    """A C compiler for the emulated cores; ``command`` starts it."""

    name: str
    command: tuple[str, ...]

    def flags(self, core: Core) -> list[str]:
        """Options that choose ``core``; zig brings no C library for bare metal."""
        freestanding = str(export_folder("harness") / "freestanding")
        return core.gnu_flags if self.name == GNU else [*core.zig_flags, "-I", freestanding]

    def library(self) -> list[Path]:
        """Sources that stand in for a C library."""
        return [] if self.name == GNU else [export_folder("harness") / "freestanding" / "memory.c"]

    def compile(self, core: Core, source: Path, made: Path, options: Sequence[str]) -> Path:
        """Compile one file with ``options``; return the object file."""
        run([*self.command, *self.flags(core), *options, "-ffunction-sections", "-fdata-sections", "-c",
             str(source), "-o", str(made)])
        return made

    def link(self, core: Core, objects: Sequence[Path], script: Path, made: Path) -> Path:
        """Link ``objects`` for ``core``; ``script`` is the harness's with its addresses left open."""
        placed = made.with_suffix(".ld")
        text = script.read_text(encoding="ascii")
        for name, value in (("TNY_ROM_SIZE", ROM_BYTES), ("TNY_RAM_SIZE", RAM_BYTES), ("TNY_ROM", core.rom),
                            ("TNY_RAM", core.ram)):
            text = text.replace(name, f"0x{value:x}")
        placed.write_text(text, encoding="ascii")
        libraries = ["-nostartfiles", "--specs=nosys.specs"] if self.name == GNU else ["-nostdlib"]
        run([*self.command, *self.flags(core), "-static", *libraries, "-Wl,--gc-sections", f"-Wl,-T,{placed}",
             *map(str, objects), "-o", str(made)])
        return made


def compilers() -> dict[str, Compiler]:
    """Find the cross compilers that are here, the preferred one first."""
    found = {}
    if shutil.which(GNU):
        found[GNU] = Compiler(GNU, (GNU,))
    if importlib.util.find_spec("ziglang"):
        found["zig"] = Compiler("zig", (sys.executable, "-m", "ziglang", "cc"))
    return found


def cross_compiler(name: str | None = None) -> Compiler:
    """Find the cross compiler ``name``, or the best one; :class:`UsageError` if there is none."""
    found = compilers()
    if name is not None and name not in found:
        raise UsageError(f"cross compiler '{name}' is not here; found: {', '.join(found) or 'none'}")
    if not found:
        raise UsageError(f"no cross compiler: install {GNU} (Debian: gcc-arm-none-eabi), or pip install "
                         "'tinyfuse[emulator]'")
    return found[name] if name is not None else next(iter(found.values()))


def host_compiler() -> str | None:
    """Find the C compiler of this machine."""
    return next((name for name in ("gcc", "clang", "cc") if shutil.which(name)), None)


def run(command: Sequence[str]) -> None:
    """Run a compiler; what it says becomes one :class:`CompileError`."""
    try:
        done = run_limited(command, seconds=SECONDS, memory_mib=MEMORY_MIB)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CompileError(f"{Path(command[0]).name} did not run: {error}") from error
    if done.returncode:
        warned = done.stderr.decode(errors="replace").splitlines()
        lines = [line for line in warned if "error" in line.lower()] or warned
        raise CompileError(f"{Path(command[0]).name} failed: {lines[0] if lines else 'no message'}")
