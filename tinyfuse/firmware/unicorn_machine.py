"""The emulated boards in Unicorn, a processor and nothing around it, which comes as a Python wheel."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from tinyfuse.firmware.cores import RAM_BYTES, RESULT_BYTES, ROM_BYTES, VECTOR_BYTES, Core
from tinyfuse.firmware.machine import SECONDS, EmulationError, Ran, check_size, records

PAGE = 0x1000
SYSTEM = 0xE000E000
COUNTER, RESET = SYSTEM + 0x18, SYSTEM + 0xD0C
WRAP = 0xFFFFFF
INSTRUCTIONS_PER_TICK = 40


class Unicorn:
    """Unicorn with the few registers that the harness uses; instructions are counted block by block."""

    name = "unicorn"

    def run(self, core: Core, program: Path, vectors: bytes, *, counted: bool) -> Ran:
        """See :class:`tinyfuse.firmware.machine.Emulator`."""
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
        """From the reset vector until the program resets the board."""
        from unicorn import arm_const

        stack, start = (int.from_bytes(self._machine.mem_read(self.core.rom + 4 * place, 4), "little")
                        for place in (0, 1))
        self._machine.reg_write(arm_const.UC_ARM_REG_SP, stack)
        self._ended = False
        self._machine.emu_start(start | 1, 0, timeout=SECONDS * 1_000_000)
        if not self._ended:
            raise EmulationError(f"{self.core.name}: the program did not end in {SECONDS} seconds")
        if self.instructions > WRAP * INSTRUCTIONS_PER_TICK:
            raise EmulationError(f"{self.core.name}: more instructions than the counter holds")

    def left(self) -> bytes:
        """The memory for results."""
        return bytes(self._machine.mem_read(self.core.memory + VECTOR_BYTES, RESULT_BYTES))

    def _reset(self, machine: Any, access: int, address: int, size: int, value: int, data: Any) -> None:
        self._ended = True
        machine.emu_stop()

    def _count_read(self, machine: Any, access: int, address: int, size: int, value: int, data: Any) -> None:
        ticks = WRAP - self.instructions // INSTRUCTIONS_PER_TICK & WRAP
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
