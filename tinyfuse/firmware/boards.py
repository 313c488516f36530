"""Boards that people use: what they have, whether a model fits, and an estimate of its time.

Flash, RAM and clocks are those of the makers' data sheets (for the MLPerf Tiny boards also of the submitters' system
descriptions). An estimate is instructions counted on the emulated core, times cycles per instruction, over the clock.
The cycles per instruction of M4, M33 and M85 are fitted on published results of MLPerf Tiny's ResNet8 with CMSIS-NN
kernels and the instructions of the same kernels on the emulated core (M4: 46.75 M cycles over 29.72 M, NUCLEO-L4R5ZI;
M33: 49.24 over 29.77, EK-RA6M4; M85: 4.07 over the M55's 4.80, EK-RA8D1). M3, M7 and M55 have no such row:
theirs are the M4's and the M85's, changed by what the processors' widths suggest, with a wider spread. So are those of
the M0+ (two cycles for a load, a store or a taken branch) and of small RISC-V cores, on boards that run code from a
cached serial flash.
"""

from __future__ import annotations

from dataclasses import dataclass

from tinyfuse.core.errors import UsageError, nearest

KIB = 1024


@dataclass(frozen=True)
class Timing:
    """``cycles`` for an instruction of emulated core ``counted_on``; ``spread``: what the estimate may be off by."""

    counted_on: str
    cycles: float
    spread: float


_TIMINGS = {"M4": Timing("m4", 1.57, 0.3), "M33": Timing("m33", 1.65, 0.3), "M7": Timing("m7", 1.0, 0.5),
            "M85": Timing("m55", 0.85, 0.5), "M55": Timing("m55", 1.2, 0.6), "M3": Timing("m3", 1.6, 0.5),
            "M0+": Timing("m0+", 1.5, 0.5), "RV32IMC": Timing("rv32", 1.4, 0.6)}


@dataclass(frozen=True)
class Board:
    """``core``: M4, M33, RV32IMC, ..., or another processor family; ``cores``: how many of it; sizes in KiB."""

    name: str
    title: str
    core: str
    mhz: int
    flash_kib: int
    ram_kib: int
    cores: int = 1

    @property
    def has_float(self) -> bool:
        """Whether its processor computes float32 in hardware."""
        return self.core not in ("M0+", "M3", "RV32IMC")

    @property
    def timing(self) -> Timing | None:
        """How instructions become time; None for cores that are not emulated here."""
        return _TIMINGS.get(self.core)

    def fits(self, flash_bytes: int, ram_bytes: int) -> bool:
        """Tell whether flash and RAM are enough for the model alone."""
        return flash_bytes <= self.flash_kib * KIB and ram_bytes <= self.ram_kib * KIB

    def verdict(self, flash_bytes: int, ram_bytes: int) -> str:
        """Say the shares of flash and RAM, or what is missing."""
        flash, ram = flash_bytes / (self.flash_kib * KIB), ram_bytes / (self.ram_kib * KIB)
        words = f"{flash:.1%} of flash, {ram:.1%} of RAM"
        return words if self.fits(flash_bytes, ram_bytes) else f"does not fit: {words}"

    def estimate(self, instructions: int | None) -> str:
        """Say the time of ``instructions`` (counted on :attr:`timing`'s core), or why there is no estimate."""
        if self.timing is None:
            return f"no estimate of its time: {self.core} is not emulated here"
        if instructions is None:
            return f"no estimate of its time: that needs {self.timing.counted_on} on a toolchain and an emulator"
        milliseconds = instructions * self.timing.cycles / (self.mhz * 1000)
        return (f"estimate {milliseconds:.1f} ms, off by up to {self.timing.spread:.0%} either way ({instructions} "
                f"instructions on the emulated {self.timing.counted_on} x {self.timing.cycles} cycles at {self.mhz} "
                "MHz; not measured on a board)")


BOARDS = {board.name: board for board in (
    Board("nucleo-l4r5zi", "NUCLEO-L4R5ZI", "M4", 120, 2048, 640),
    Board("nucleo-u575zi-q", "NUCLEO-U575ZI-Q", "M33", 160, 2048, 768),
    Board("nucleo-h7a3zi-q", "NUCLEO-H7A3ZI-Q", "M7", 280, 2048, 1184),
    Board("nucleo-u385rg-q", "NUCLEO-U385RG-Q", "M33", 96, 1024, 256),
    Board("disco-f746ng", "DISCO-F746NG", "M7", 216, 1024, 320),
    Board("nucleo-g0b1re", "NUCLEO-G0B1RE", "M0+", 64, 512, 144),
    Board("nucleo-f103rb", "NUCLEO-F103RB", "M3", 72, 128, 20),
    Board("ek-ra6m4", "EK-RA6M4", "M33", 200, 1024, 256),
    Board("ek-ra8d1", "EK-RA8D1", "M85", 480, 2048, 1024),
    Board("nrf5340-dk", "nRF5340-DK", "M33", 128, 1024, 512),
    Board("arduino-nano-33-ble", "Arduino Nano 33 BLE", "M4", 64, 1024, 256),
    Board("numaker-m467hj", "NuMaker-M467HJ", "M4", 200, 1024, 512),
    Board("cy8cproto-062-4343w", "CY8CPROTO-062-4343W", "M4", 150, 2048, 1024),
    Board("rp2040", "RP2040 (Raspberry Pi Pico)", "M0+", 133, 2048, 264, 2),
    Board("rp2350", "RP2350 (Raspberry Pi Pico 2)", "M33", 150, 4096, 520, 2),
    Board("rp2350-riscv", "RP2350 (Raspberry Pi Pico 2), its RISC-V cores", "RV32IMC", 150, 4096, 520, 2),
    Board("esp32-c3", "ESP32-C3-DevKitM-1", "RV32IMC", 160, 4096, 400),
    Board("esp32-c6", "ESP32-C6-DevKitC-1", "RV32IMC", 160, 8192, 512),
    Board("esp32-s3", "ESP32-S3-DevKitC-1", "Xtensa LX7", 240, 8192, 512, 2))}


def board(name: str) -> Board:
    """Find the board called ``name``, in any case."""
    if (found := BOARDS.get(name.lower())) is None:
        raise UsageError(f"board '{name}'{nearest(name.lower(), BOARDS)}; allowed: {', '.join(BOARDS)}")
    return found
