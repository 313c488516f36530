"""Emulated boards: a program and its vectors go in, the records that it leaves in the board's memory come out."""

from __future__ import annotations

import importlib.util
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tinyfuse.core.errors import TinyfuseError, UsageError
from tinyfuse.firmware.cores import RESULT_BYTES, VECTOR_BYTES, Core

SECONDS = 1800
MOST_TICKS = 0xFFFFFF
STACK_BYTES = 4096
"""What the harness paints."""


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
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False,
                                  stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired as error:
            raise EmulationError(f"{core.name}: the program did not end in {SECONDS} seconds") from error
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise EmulationError(f"{core.name}: qemu-system-arm failed ({said})")
        with memory.open("rb") as stream:
            stream.seek(VECTOR_BYTES)
            left = stream.read(RESULT_BYTES)
        memory.unlink()
        return Ran(tuple(records(left, core)), 1e9 / core.clock_hz)


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


def check_counts(ticks: int, stack_bytes: int, core: Core) -> None:
    """Raise if an inference took more ticks or stack than the harness can count."""
    if ticks > MOST_TICKS:
        raise EmulationError(f"{core.name}: an inference takes more than {MOST_TICKS} ticks of the counter; the model "
                             "is too large to be counted")
    if stack_bytes >= STACK_BYTES:
        raise EmulationError(f"{core.name}: an inference takes {STACK_BYTES} bytes of stack or more")


def emulators(core: Core) -> dict[str, Emulator]:
    """The emulators of ``core`` that are here, the preferred one first."""
    found: dict[str, Emulator] = {}
    if shutil.which("qemu-system-arm"):
        found["qemu-system-arm"] = Qemu()
    if core.unicorn and importlib.util.find_spec("unicorn"):
        from tinyfuse.firmware.unicorn_machine import Unicorn

        found["unicorn"] = Unicorn()
    return found
