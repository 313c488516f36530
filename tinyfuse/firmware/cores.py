"""The emulated cores: how code is compiled for each, and what its board looks like to a program."""

from __future__ import annotations

from dataclasses import dataclass

from tinyfuse.core.errors import UsageError, nearest


@dataclass(frozen=True)
class Core:
    """One Cortex-M on one board that QEMU knows.

    ``memory`` is the board's large memory of ``memory_bytes``: test vectors are put there, and results behind them.
    ``clock_hz`` is SysTick's. ``unicorn`` is the name of the core in Unicorn, empty where it has none.
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

    @property
    def gnu_flags(self) -> list[str]:
        """Options of arm-none-eabi-gcc."""
        floats = ["-mfloat-abi=hard", *([f"-mfpu={self.fpu}"] if self.fpu != "auto" else [])]
        return [f"-mcpu={self.cpu}", "-mthumb", *(floats if self.fpu else ["-mfloat-abi=soft"])]

    @property
    def zig_flags(self) -> list[str]:
        """Options of zig's C compiler."""
        abi = "eabihf" if self.fpu else "eabi"
        return ["-target", f"thumb-freestanding-{abi}", f"-mcpu={self.cpu.replace('-', '_')}", "-fomit-frame-pointer"]


MIB = 1 << 20
ROM_BYTES = RAM_BYTES = 512 << 10
VECTOR_BYTES = RESULT_BYTES = 8 * MIB
"""Parts of a board's large memory: the results begin behind the vectors."""
CORES = {core.name: core for core in (
    Core("m3", "cortex-m3", "", "portable C", "mps2-an385", 25_000_000, 0x0, 0x20000000, 0x40004000, 0x21000000,
         16 * MIB, "UC_CPU_ARM_CORTEX_M3"),
    Core("m4", "cortex-m4", "fpv4-sp-d16", "DSP", "mps2-an386", 25_000_000, 0x0, 0x20000000, 0x40004000, 0x21000000,
         16 * MIB, "UC_CPU_ARM_CORTEX_M4"),
    Core("m7", "cortex-m7", "fpv5-d16", "DSP", "mps2-an500", 25_000_000, 0x0, 0x20000000, 0x40004000, 0x60000000,
         16 * MIB, "UC_CPU_ARM_CORTEX_M7"),
    Core("m33", "cortex-m33", "fpv5-sp-d16", "DSP", "mps2-an505", 20_000_000, 0x10000000, 0x38000000, 0x50200000,
         0x80000000, 16 * MIB, "UC_CPU_ARM_CORTEX_M33"),
    Core("m55", "cortex-m55", "auto", "MVE", "mps3-an547", 32_000_000, 0x0, 0x20000000, 0x59303000, 0x60000000,
         2048 * MIB))}


def cores_of(text: str | None) -> list[Core]:
    """Find the cores named in ``text``, separated by commas; all for None."""
    names = list(CORES) if text is None else [part.strip() for part in text.split(",") if part.strip()]
    for name in names:
        if name not in CORES:
            raise UsageError(f"core '{name}'{nearest(name, CORES)}; allowed: {', '.join(CORES)}")
    if not names:
        raise UsageError(f"no core given; allowed: {', '.join(CORES)}")
    return [CORES[name] for name in dict.fromkeys(names)]
