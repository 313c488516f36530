"""Emulated boards: a program and its vectors go in, the records that it leaves in the board's memory come out.

QEMU emulates whole boards. Unicorn is a processor and nothing around it, and comes as a Python wheel.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tinyfuse.core.errors import TinyfuseError, UsageError
from tinyfuse.core.programs import run_limited
from tinyfuse.firmware.cores import MIB, RAM_BYTES, RESULT_BYTES, ROM_BYTES, VECTOR_BYTES, Core

SECONDS = 1800
STACK_BYTES = 4096
"""What the harness paints."""
PAGE = 0x1000
INSTRUCTIONS_PER_TICK = 40
"""Of the counter that Unicorn is given."""
MODELS = {"arm": ("arm_const", "UC_ARCH_ARM", ("UC_MODE_THUMB", "UC_MODE_MCLASS")),
          "riscv": ("riscv_const", "UC_ARCH_RISCV", ("UC_MODE_RISCV32",))}
"""Unicorn's names: module of the registers, architecture, modes."""


class EmulationError(TinyfuseError):
    """A program on an emulated core crashed, hung or said nothing."""


@dataclass(frozen=True)
class Ran:
    """What a program sent: records (tag, content); ``instructions_per_tick`` of its counter."""

    records: tuple[tuple[str, bytes], ...]
    instructions_per_tick: float


class Emulator(Protocol):
    """Runs programs for one of the cores."""

    name: str

    def run(self, core: Core, program: Path, vectors: bytes, *, counted: bool) -> Ran:
        """Run ``program`` (ELF) with ``vectors`` in its memory; ``counted``: ticks count instructions exactly."""


def check_size(vectors: bytes) -> None:
    """Raise unless ``vectors`` fit the board's memory."""
    if len(vectors) > VECTOR_BYTES:
        raise UsageError(f"the test vectors have {len(vectors)} bytes; an emulated board takes {VECTOR_BYTES}: export "
                         "with fewer --vectors")


def records(left: bytes, core: str) -> Iterator[tuple[str, bytes]]:
    """Split what lies in the memory for results of ``core``; as in harness/records.h."""
    at, end = 4, 4 + struct.unpack_from("<I", left)[0]
    if end > len(left):
        raise EmulationError(f"{core}: its memory for results is damaged")
    while at < end:
        if at + 5 > end:
            raise EmulationError(f"{core}: the last record is cut off")
        tag, (size,) = chr(left[at]), struct.unpack_from("<I", left, at + 1)
        if tag == "F":
            raise EmulationError(f"{core}: the program ended in a processor fault")
        if at + 5 + size > end:
            raise EmulationError(f"{core}: a record of {size} bytes is damaged")
        yield tag, left[at + 5:at + 5 + size]
        at += 5 + size


def outputs_of(ran: Ran, wanted: np.ndarray, core: Core) -> np.ndarray:
    """Collect the output codes, shaped as the ``wanted`` ones [n, k]."""
    kind = wanted.dtype.newbyteorder("<")
    rows = [np.frombuffer(content, kind) for tag, content in ran.records if tag == "O"]
    if len(rows) != len(wanted) or any(len(row) != wanted.shape[1] for row in rows):
        raise EmulationError(f"{core.name}: {len(rows)} of {len(wanted)} outputs came back")
    return np.stack(rows)


def results_of(ran: Ran, core: Core) -> list[int]:
    """Read most instructions of an inference, most bytes of stack, and instructions of each layer of the last one.

    Raises :class:`EmulationError` if they are missing, or more than the harness can count.
    """
    for tag, content in ran.records:
        if tag == "R":
            ticks = np.frombuffer(content, "<u4").astype(float)
            if ticks[0] >= core.most_ticks:
                raise EmulationError(f"{core.name}: an inference takes {core.most_ticks} ticks of the counter "
                                     "or more; the model is too large to be counted")
            if ticks[1] >= STACK_BYTES:
                raise EmulationError(f"{core.name}: an inference takes {STACK_BYTES} bytes of stack or more")
            ticks[[0, *range(2, len(ticks))]] *= ran.instructions_per_tick
            return [round(value) for value in ticks]
    raise EmulationError(f"{core.name}: the program ended without results")


class Qemu:
    """A program of QEMU; with -icount each instruction takes one nanosecond of the emulated time."""

    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, core: Core, program: Path, vectors: bytes, *, counted: bool) -> Ran:
        """See :class:`Emulator`. The emulated board reaches nothing of the host but the file that is its memory."""
        check_size(vectors)
        folder = program.parent
        memory = folder / "memory.bin"
        place = core.memory - core.memory_start
        with memory.open("wb") as stream:
            stream.truncate(core.memory_bytes)  # sparse: what is never written takes no room
            stream.seek(place)
            stream.write(vectors)
        command = [self.name, "-M", f"{core.machine},memory-backend=board", *core.qemu_options, "-m",
                   f"{core.memory_bytes // MIB}M", "-display", "none", "-monitor", "none", "-nodefaults", "-no-reboot",
                   "-kernel", program.name, "-object",
                   f"memory-backend-file,id=board,size={core.memory_bytes},mem-path={memory.name},share=on"]
        if counted:
            command += ["-icount", "shift=0,sleep=off"]
        try:
            done = run_limited(command, folder=folder, seconds=SECONDS)
        except subprocess.TimeoutExpired as error:
            raise EmulationError(f"{core.name}: the program did not end in {SECONDS} seconds") from error
        if done.returncode:
            said = (done.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
            raise EmulationError(f"{core.name}: {self.name} failed ({said})")
        with memory.open("rb") as stream:
            stream.seek(place + VECTOR_BYTES)
            left = stream.read(RESULT_BYTES)
        memory.unlink()
        return Ran(tuple(records(left, core.name)), 1e9 / core.clock_hz)


class Unicorn:
    """Unicorn with the few registers that the harness uses; instructions are counted block by block."""

    name = "unicorn"

    def run(self, core: Core, program: Path, vectors: bytes, *, counted: bool) -> Ran:
        unicorn: Any = import_module("unicorn")
        check_size(vectors)
        board = _Board(core, program, vectors, counted=counted)
        try:
            board.run()
        except unicorn.UcError as error:
            raise EmulationError(f"{core.name}: the program crashed in Unicorn ({error})") from error
        return Ran(tuple(records(board.left(), core.name)), float(INSTRUCTIONS_PER_TICK))


class _Board:
    def __init__(self, core: Core, program: Path, vectors: bytes, *, counted: bool) -> None:
        unicorn: Any = import_module("unicorn")
        names, architecture, modes = MODELS[core.family]
        constants: Any = import_module(f"unicorn.{names}")

        self.core, self.instructions = core, 0
        self._lengths: dict[tuple[int, int], int] = {}
        self._machine = unicorn.Uc(getattr(unicorn, architecture), sum(getattr(unicorn, mode) for mode in modes))
        self._machine.ctl_set_cpu_model(getattr(constants, core.unicorn))
        pages = {address & -PAGE for address in (core.uart, core.counter, core.stop)}
        for start, size in ((core.rom, ROM_BYTES), (core.ram, RAM_BYTES), (core.memory, VECTOR_BYTES + RESULT_BYTES),
                            *((page, PAGE) for page in sorted(pages))):
            self._machine.mem_map(start, size)
        self._load(program)
        self._machine.mem_write(core.memory, vectors)
        hooks = [(unicorn.UC_HOOK_MEM_WRITE, self._reset, core.stop),
                 (unicorn.UC_HOOK_MEM_READ, self._count_read, core.counter)]
        for kind, action, address in hooks:
            self._machine.hook_add(kind, action, begin=address, end=address + 3)
        if counted:
            self._machine.hook_add(unicorn.UC_HOOK_BLOCK, self._block)

    def _load(self, program: Path) -> None:
        from elftools.elf.elffile import ELFFile

        with program.open("rb") as stream:
            for segment in ELFFile(stream).iter_segments("PT_LOAD"):
                if segment["p_filesz"]:
                    self._machine.mem_write(segment["p_paddr"], segment.data())

    def run(self) -> None:
        """Run from the reset vector until the program ends the board."""
        self._ended = False
        self._machine.emu_start(self._start(), 0, timeout=SECONDS * 1_000_000)
        if not self._ended:
            raise EmulationError(f"{self.core.name}: the program did not end in {SECONDS} seconds")
        if self.instructions > self.core.most_ticks * INSTRUCTIONS_PER_TICK:
            raise EmulationError(f"{self.core.name}: more instructions than the counter holds")

    def _start(self) -> int:
        """Where the program begins: a Cortex-M reads stack and address from its vectors, a RISC-V core begins there."""
        if self.core.family == "riscv":
            return self.core.rom
        from unicorn import arm_const

        stack, start = (int.from_bytes(self._machine.mem_read(self.core.rom + 4 * place, 4), "little")
                        for place in (0, 1))
        self._machine.reg_write(arm_const.UC_ARM_REG_SP, stack)
        return start | 1

    def left(self) -> bytes:
        """Read the memory for results."""
        return bytes(self._machine.mem_read(self.core.memory + VECTOR_BYTES, RESULT_BYTES))

    def _reset(self, machine: Any, access: int, address: int, size: int, value: int, data: Any) -> None:
        self._ended = True
        machine.emu_stop()

    def _count_read(self, machine: Any, access: int, address: int, size: int, value: int, data: Any) -> None:
        ticks, most = self.instructions // INSTRUCTIONS_PER_TICK, self.core.most_ticks
        machine.mem_write(self.core.counter, ((most - ticks if self.core.counts_down else ticks) & most).to_bytes(
            4, "little"))

    def _block(self, machine: Any, address: int, size: int, data: Any) -> None:
        length = self._lengths.get((address, size))
        if length is None:
            code = bytes(machine.mem_read(address, size))
            length = self._lengths[address, size] = count_instructions(code, self.core)
        self.instructions += length


def count_instructions(code: bytes, core: Core) -> int:
    """Count the instructions in ``code``, of 16 and 32 bits.

    Of Thumb the upper five bits tell which, of RISC-V the lower two.
    """
    at = found = 0
    while at < len(code):
        long = code[at] & 3 == 3 if core.family == "riscv" else code[at + 1] >> 3 in (0b11101, 0b11110, 0b11111)
        at += 4 if long else 2
        found += 1
    return found


def emulators(core: Core) -> dict[str, Emulator]:
    """Find the emulators of ``core`` that are here, the preferred one first."""
    found: dict[str, Emulator] = {}
    if shutil.which(core.qemu):
        found[core.qemu] = Qemu(core.qemu)
    if core.unicorn and find_spec("unicorn"):
        found["unicorn"] = Unicorn()
    return found
