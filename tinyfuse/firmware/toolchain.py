"""Compilers for the emulated cores and for this machine: GNU's for Arm and RISC-V, zig from its wheel, the host's."""

from __future__ import annotations

import importlib.util
import re
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
GNU_RISCV = "riscv64-unknown-elf-gcc"
ZIG = "zig"
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror")
OPTIMIZE = {"ram": "-O2", "speed": "-O2", "size": "-Os"}
"""What a program may be planned for, and the option that the C compiler then gets."""
SANITIZE = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


class CompileError(TinyfuseError):
    """A compiler refused the code of a package."""


class NoRoom(CompileError):
    """The linker found that a region of memory is too small."""


_NO_ROOM = re.compile(r"will not fit in region [`'](\w+)'")  # of GNU's ld and of LLVM's
_PLENTY = 16
"""Times the memory of a board, with which a program is linked to learn how much it needs."""


@dataclass(frozen=True)
class Compiler:
    """A C compiler for the emulated cores; ``command`` starts it."""

    name: str
    command: tuple[str, ...]

    def serves(self, core: Core) -> bool:
        """Tell whether it compiles for ``core``."""
        return self.name == core.gnu or (self.name == ZIG and core.zig)

    def flags(self, core: Core) -> list[str]:
        """Options that choose ``core``; only Arm's GNU toolchain brings a C library for bare metal."""
        own = core.zig_flags if self.name == ZIG else core.gnu_flags
        return own if self.name == GNU else [*own, "-I", str(export_folder("harness") / "freestanding")]

    def library(self) -> list[Path]:
        """Sources that stand in for a C library."""
        return [] if self.name == GNU else [export_folder("harness") / "freestanding" / "memory.c"]

    def compile(self, core: Core, source: Path, made: Path, options: Sequence[str]) -> Path:
        """Compile one file with ``options``; return the object file."""
        run([*self.command, *self.flags(core), *options, "-ffunction-sections", "-fdata-sections", "-c",
             str(source), "-o", str(made)])
        return made

    def link(self, core: Core, objects: Sequence[Path], script: Path, made: Path) -> Path:
        """Link ``objects`` for ``core``; ``script`` is the harness's with its addresses left open.

        Raises CompileError, which says by how much a program does not fit the core's board.
        """
        try:
            return self._link(core, objects, script, made)
        except NoRoom as error:
            text = _excess(self._link(core, objects, script, made, _PLENTY), core)
            raise CompileError(f"it does not fit the emulated board of {core.name}, {text} too many; convert the model "
                               "with fewer bits, or a smaller one") from error

    def _link(self, core: Core, objects: Sequence[Path], script: Path, made: Path, times: int = 1) -> Path:
        """Link for a board with so many ``times`` the memory."""
        placed = made.with_suffix(".ld")
        text = script.read_text(encoding="ascii")
        for name, value in (("TNY_ROM_SIZE", times * ROM_BYTES), ("TNY_RAM_SIZE", times * RAM_BYTES),
                            ("TNY_ROM", core.rom), ("TNY_RAM", core.ram)):
            text = text.replace(name, f"0x{value:x}")
        placed.write_text(text, encoding="ascii")
        libraries = ["-nostartfiles", "--specs=nosys.specs"] if self.name == GNU else ["-nostdlib"]
        # Arithmetic that a core has no instructions for, such as floating point.
        behind = {GNU_RISCV: ["-lgcc"], ZIG: ["-rtlib=compiler-rt"]}.get(self.name, [])
        run([*self.command, *self.flags(core), "-static", *libraries, "-Wl,--gc-sections", f"-Wl,-T,{placed}",
             *map(str, objects), *behind, "-o", str(made)])
        return made


def _excess(program: Path, core: Core) -> str:
    """Say by how much ``program`` (ELF) needs more flash or RAM than the board of ``core`` has."""
    from elftools.elf.elffile import ELFFile

    with program.open("rb") as stream:
        parts = [(segment["p_vaddr"], segment["p_filesz"], segment["p_memsz"]) for segment in
                 ELFFile(stream).iter_segments("PT_LOAD")]
    flash = sum(stored for _, stored, _ in parts)
    ram = sum(held for start, _, held in parts if core.ram <= start < core.ram + _PLENTY * RAM_BYTES)
    memory, size, excess = ("flash", ROM_BYTES, flash - ROM_BYTES) if flash > ROM_BYTES else ("RAM", RAM_BYTES,
                                                                                           ram - RAM_BYTES)
    return f"whose {memory} has {size} bytes: about {max(excess, 1)} bytes"


def compilers() -> dict[str, Compiler]:
    """Find the cross compilers that are here, the preferred one first."""
    found = {name: Compiler(name, (name,)) for name in (GNU, GNU_RISCV) if shutil.which(name)}
    if importlib.util.find_spec("ziglang"):
        found[ZIG] = Compiler(ZIG, (sys.executable, "-m", "ziglang", "cc"))
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
        if any(map(_NO_ROOM.search, warned)):
            raise NoRoom("too little memory")
        lines = [line for line in warned if "error" in line.lower()] or warned
        raise CompileError(f"{Path(command[0]).name} failed: {lines[0] if lines else 'no message'}")
