"""Emulated boards: a program and its vectors go in, the records that it leaves in the board's memory come out.

QEMU emulates whole boards. Unicorn is a processor and nothing around it, and comes as a Python wheel.
"""

from __future__ import annotations

import os
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
from tinyfuse.firmware.cores import RAM_BYTES, RESULT_BYTES, ROM_BYTES, VECTOR_BYTES, Core

SECONDS = 1800
STACK_BYTES = 4096
"""What the harness paints."""
PAGE = 0x1000
SYSTEM = 0xE000E000
COUNTER, RESET = SYSTEM + 0x18, SYSTEM + 0xD0C
MOST_TICKS = 0xFFFFFF
"""Where the counter wraps."""
INSTRUCTIONS_PER_TICK = 40


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


def records(left: bytes, core: Core) -> Iterator[tuple[str, bytes]]:
    """Split what lies in the memory for results; as in harness/records.h."""
    at, end = 4, 4 + struct.unpack_from("<I", left)[0]
    if end > len(left):
        raise EmulationError(f"{core.name}: its memory for results is damaged")
    while at < end:
        if at + 5 > end:
            raise EmulationError(f"{core.name}: the last record is cut off")
        tag, (size,) = chr(left[at]), struct.unpack_from("<I", left, at + 1)
        if tag == "F":
            raise EmulationError(f"{core.name}: the program ended in a processor fault")
        if at + 5 + size > end:
            raise EmulationError(f"{core.name}: a record of {size} bytes is damaged")
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
            if ticks[0] > MOST_TICKS:
                raise EmulationError(f"{core.name}: an inference takes more than {MOST_TICKS} ticks of the counter; "
                                     "the model is too large to be counted")
            if ticks[1] >= STACK_BYTES:
                raise EmulationError(f"{core.name}: an inference takes {STACK_BYTES} bytes of stack or more")
            ticks[[0, *range(2, len(ticks))]] *= ran.instructions_per_tick
            return [round(value) for value in ticks]
    raise EmulationError(f"{core.name}: the program ended without results")


class Qemu:
    """qemu-system-arm; with -icount each instruction takes one nanosecond of the emulated time."""

    name = "qemu-system-arm"

    def run(self, core: Core, program: Path, vectors: bytes, *, counted: bool) -> Ran:
        """See :class:`Emulator`. The emulated board reaches nothing of the host but the file that is its memory."""
        check_size(vectors)
        folder = program.parent
        memory = folder / "memory.bin"
        memory.write_bytes(vectors)
        os.truncate(memory, core.memory_bytes)  # sparse: what is never written takes no room
        command = ["qemu-system-arm", "-M", f"{core.machine},memory-backend=board", "-display", "none", "-monitor",
                   "none", "-nodefaults", "-no-reboot", "-kernel", program.name, "-object",
                   f"memory-backend-file,id=board,size={core.memory_bytes},mem-path={memory.name},share=on"]
        if counted:
            command += ["-icount", "shift=0,sleep=off"]
        try:
            done = run_limited(command, folder=folder, seconds=SECONDS)
        except subprocess.TimeoutExpired as error:
            raise EmulationError(f"{core.name}: the program did not end in {SECONDS} seconds") from error
        if done.returncode:
            said = (done.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
            raise EmulationError(f"{core.name}: qemu-system-arm failed ({said})")
        with memory.open("rb") as stream:
            stream.seek(VECTOR_BYTES)
            left = stream.read(RESULT_BYTES)
        memory.unlink()
        return Ran(tuple(records(left, core)), 1e9 / core.clock_hz)


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
        return Ran(tuple(records(board.left(), core)), float(INSTRUCTIONS_PER_TICK))


class _Board:
    def __init__(self, core: Core, program: Path, vectors: bytes, *, counted: bool) -> None:
        unicorn: Any = import_module("unicorn")
        arm_const: Any = import_module("unicorn.arm_const")

        self.core, self.instructions = core, 0
        self._lengths: dict[tuple[int, int], int] = {}
        mode = unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS
        self._machine = unicorn.Uc(unicorn.UC_ARCH_ARM, mode)
        self._machine.ctl_set_cpu_model(getattr(arm_const, core.unicorn))
        for start, size in ((core.rom, ROM_BYTES), (core.ram, RAM_BYTES), (core.memory, VECTOR_BYTES + RESULT_BYTES),
                            (core.uart & -PAGE, PAGE), (SYSTEM, PAGE)):
            self._machine.mem_map(start, size)
        self._load(program)
        self._machine.mem_write(core.memory, vectors)
        hooks = [(unicorn.UC_HOOK_MEM_WRITE, self._reset, RESET), (unicorn.UC_HOOK_MEM_READ, self._count_read, COUNTER)]
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
        """Run from the reset vector until the program resets the board."""
        from unicorn import arm_const

        stack, start = (int.from_bytes(self._machine.mem_read(self.core.rom + 4 * place, 4), "little")
                        for place in (0, 1))
        self._machine.reg_write(arm_const.UC_ARM_REG_SP, stack)
        self._ended = False
        self._machine.emu_start(start | 1, 0, timeout=SECONDS * 1_000_000)
        if not self._ended:
            raise EmulationError(f"{self.core.name}: the program did not end in {SECONDS} seconds")
        if self.instructions > MOST_TICKS * INSTRUCTIONS_PER_TICK:
            raise EmulationError(f"{self.core.name}: more instructions than the counter holds")

    def left(self) -> bytes:
        """Read the memory for results."""
        return bytes(self._machine.mem_read(self.core.memory + VECTOR_BYTES, RESULT_BYTES))

    def _reset(self, machine: Any, access: int, address: int, size: int, value: int, data: Any) -> None:
        self._ended = True
        machine.emu_stop()

    def _count_read(self, machine: Any, access: int, address: int, size: int, value: int, data: Any) -> None:
        ticks = MOST_TICKS - self.instructions // INSTRUCTIONS_PER_TICK & MOST_TICKS
        machine.mem_write(COUNTER, ticks.to_bytes(4, "little"))

    def _block(self, machine: Any, address: int, size: int, data: Any) -> None:
        length = self._lengths.get((address, size))
        if length is None:
            length = self._lengths[address, size] = _count(bytes(machine.mem_read(address, size)))
        self.instructions += length


def _count(code: bytes) -> int:
    """Thumb instructions in ``code``: the upper five bits tell those of 32 bits."""
    at = found = 0
    while at < len(code):
        at += 4 if code[at + 1] >> 3 in (0b11101, 0b11110, 0b11111) else 2
        found += 1
    return found


def emulators(core: Core) -> dict[str, Emulator]:
    """Find the emulators of ``core`` that are here, the preferred one first."""
    found: dict[str, Emulator] = {}
    if shutil.which("qemu-system-arm"):
        found["qemu-system-arm"] = Qemu()
    if core.unicorn and find_spec("unicorn"):
        found["unicorn"] = Unicorn()
    return found
