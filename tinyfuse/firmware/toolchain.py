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
from tinyfuse.firmware.cores import RAM_BYTES, ROM_BYTES, Core
from tinyfuse.firmware.resources import folder

SECONDS = 600
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror")
SANITIZE = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
NO_COMPILER = ("no cross compiler: install arm-none-eabi-gcc (Debian: gcc-arm-none-eabi), or "
               "pip install 'tinyfuse[emulator]'")


class CompileError(TinyfuseError):
    """A compiler refused the code of a package."""


@dataclass(frozen=True)
class Compiler:
    """A C compiler for the emulated cores; ``command`` starts it."""

    name: str
    command: tuple[str, ...]

    @property
    def gnu(self) -> bool:
        """Whether it is GCC for bare metal Arm."""
        return self.name == "arm-none-eabi-gcc"

    def flags(self, core: Core) -> list[str]:
        """Options that choose ``core``; zig brings no C library for bare metal."""
        return core.gnu_flags if self.gnu else [*core.zig_flags, "-I", str(folder("harness") / "freestanding")]

    def library(self) -> list[Path]:
        """Sources that stand in for a C library."""
        return [] if self.gnu else [folder("harness") / "freestanding" / "memory.c"]

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
        libraries = ["-nostartfiles", "--specs=nosys.specs"] if self.gnu else ["-nostdlib"]
        run([*self.command, *self.flags(core), "-static", *libraries, "-Wl,--gc-sections", f"-Wl,-T,{placed}",
             *map(str, objects), "-o", str(made)])
        return made


def compilers() -> dict[str, Compiler]:
    """The cross compilers that are here, the preferred one first."""
    found = {}
    if shutil.which("arm-none-eabi-gcc"):
        found["arm-none-eabi-gcc"] = Compiler("arm-none-eabi-gcc", ("arm-none-eabi-gcc",))
    if importlib.util.find_spec("ziglang"):
        found["zig"] = Compiler("zig", (sys.executable, "-m", "ziglang", "cc"))
    return found


def compiler(name: str | None = None) -> Compiler:
    """The cross compiler ``name``, or the best one; :class:`UsageError` if there is none."""
    found = compilers()
    if name is not None and name not in found:
        raise UsageError(f"cross compiler '{name}' is not here; found: {', '.join(found) or 'none'}")
    if not found:
        raise UsageError(NO_COMPILER)
    return found[name] if name is not None else next(iter(found.values()))


def host_compiler() -> str | None:
    """The C compiler of this machine."""
    return next((name for name in ("gcc", "clang", "cc") if shutil.which(name)), None)


def run(command: Sequence[str], *, at: Path | None = None) -> str:
    """Run a compiler; what it says becomes one :class:`CompileError`."""
    try:
        done = subprocess.run(list(command), cwd=at, capture_output=True, text=True, errors="replace",
                              timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CompileError(f"{Path(command[0]).name} did not run: {error}") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line.lower()] or done.stderr.splitlines()
        raise CompileError(f"{Path(command[0]).name} failed: {lines[0] if lines else 'no message'}")
    return done.stdout
