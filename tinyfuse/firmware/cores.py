"""The emulated cores: how code is compiled for each, and what its board looks like to a program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tinyfuse.core.errors import UsageError, nearest


@dataclass(frozen=True)
class Core:
    """One processor on one board that QEMU knows.

    ``cpu`` is what compilers call it, of a RISC-V core its instruction set. ``memory`` is where test vectors are put,
    and results behind them, in the board's large memory of ``memory_bytes``, which begins at ``memory_start``.
    ``clock_hz`` is that of the counter at ``counter``; a program ends by a write to ``stop``. ``unicorn`` is the name
    of the core in Unicorn, empty where it has none.
    """

    name: str
    cpu: str
    fpu: str
    kernels: str
    machine: str
    clock_hz: int
    rom: int
    ram: int
    uart: int
    memory: int
    memory_bytes: int
    unicorn: str = ""

    family: ClassVar[str] = "arm"
    counter: ClassVar[int] = 0xE000E018
    stop: ClassVar[int] = 0xE000ED0C
    most_ticks: ClassVar[int] = 0xFFFFFF
    """Where the counter wraps."""
    counts_down: ClassVar[bool] = True
    qemu: ClassVar[str] = "qemu-system-arm"
    qemu_options: ClassVar[tuple[str, ...]] = ()
    gnu: ClassVar[str] = "arm-none-eabi-gcc"
    zig: ClassVar[bool] = True
    strict_alignment: ClassVar[bool] = False

    @property
    def memory_start(self) -> int:
        """Where the board's large memory begins."""
        return self.memory

    @property
    def gnu_flags(self) -> list[str]:
        """Options of GNU's compiler."""
        floats = ["-mfloat-abi=hard", *([f"-mfpu={self.fpu}"] if self.fpu != "auto" else [])]
        return [f"-mcpu={self.cpu}", "-mthumb", *(floats if self.fpu else ["-mfloat-abi=soft"])]

    @property
    def zig_flags(self) -> list[str]:
        """Options of zig's C compiler."""
        abi = "eabihf" if self.fpu else "eabi"
        return ["-target", f"thumb-freestanding-{abi}", f"-mcpu={self.cpu.replace('-', '_')}", "-fomit-frame-pointer"]


class SmallCore(Core):
    """A Cortex-M0+: its code on the M3's board, which runs all of ARMv6-M, and traps what is not aligned as it does.

    ARMv6-M cannot divide, and zig brings no library for it on bare metal.
    """

    zig = False
    strict_alignment = True


class RiscV(Core):
    """A 32-bit RISC-V core on QEMU's board ``virt``, all of whose memory is one."""

    family = "riscv"
    counter = 0x0200BFF8
    stop = 0x00100000
    most_ticks = 0xFFFFFFFF
    counts_down = False
    qemu = "qemu-system-riscv32"
    qemu_options = ("-bios", "none", "-cpu", "rv32,a=off,f=off,d=off")
    gnu = "riscv64-unknown-elf-gcc"

    @property
    def memory_start(self) -> int:
        return self.rom

    @property
    def gnu_flags(self) -> list[str]:
        return [f"-march={self.cpu}", "-mabi=ilp32"]

    @property
    def zig_flags(self) -> list[str]:
        return ["-target", "riscv32-freestanding-none", f"-mcpu=generic_rv32{''.join(f'+{x}' for x in self.cpu[5:])}"]


MIB = 1 << 20
ROM_BYTES = RAM_BYTES = 512 << 10
VECTOR_BYTES = RESULT_BYTES = 8 * MIB
"""Parts of a board's large memory: the results begin behind the vectors."""
CORES: dict[str, Core] = {core.name: core for core in (
    SmallCore("m0+", "cortex-m0plus", "", "portable C", "mps2-an385", 25_000_000, 0x0, 0x20000000, 0x40004000,
              0x21000000, 16 * MIB, "UC_CPU_ARM_CORTEX_M3"),
    Core("m3", "cortex-m3", "", "portable C", "mps2-an385", 25_000_000, 0x0, 0x20000000, 0x40004000, 0x21000000,
         16 * MIB, "UC_CPU_ARM_CORTEX_M3"),
    Core("m4", "cortex-m4", "fpv4-sp-d16", "DSP", "mps2-an386", 25_000_000, 0x0, 0x20000000, 0x40004000, 0x21000000,
         16 * MIB, "UC_CPU_ARM_CORTEX_M4"),
    Core("m7", "cortex-m7", "fpv5-d16", "DSP", "mps2-an500", 25_000_000, 0x0, 0x20000000, 0x40004000, 0x60000000,
         16 * MIB, "UC_CPU_ARM_CORTEX_M7"),
    Core("m33", "cortex-m33", "fpv5-sp-d16", "DSP", "mps2-an505", 20_000_000, 0x10000000, 0x38000000, 0x50200000,
         0x80000000, 16 * MIB, "UC_CPU_ARM_CORTEX_M33"),
    Core("m55", "cortex-m55", "auto", "MVE", "mps3-an547", 32_000_000, 0x0, 0x20000000, 0x59303000, 0x60000000,
         2048 * MIB),
    RiscV("rv32", "rv32imc", "", "portable C", "virt", 10_000_000, 0x80000000, 0x80100000, 0x10000000, 0x81000000,
          64 * MIB, "UC_CPU_RISCV32_ANY"))}


def cores_of(text: str | None) -> list[Core]:
    """Find the cores named in ``text``, separated by commas; all for None."""
    names = list(CORES) if text is None else [part.strip() for part in text.split(",") if part.strip()]
    for name in names:
        if name not in CORES:
            raise UsageError(f"core '{name}'{nearest(name, CORES)}; allowed: {', '.join(CORES)}")
    if not names:
        raise UsageError(f"no core given; allowed: {', '.join(CORES)}")
    return [CORES[name] for name in dict.fromkeys(names)]
