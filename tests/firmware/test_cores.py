"""Cores of portable C alone, Cortex-M0+ and RISC-V: every way to build and run them gives TFLite Micro's codes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from dead_networks import network

from tinyfuse.firmware import deploy
from tinyfuse.firmware.boards import BOARDS
from tinyfuse.firmware.cores import CORES
from tinyfuse.firmware.machine import EmulationError, emulators
from tinyfuse.firmware.measure import Setup, measure, setups
from tinyfuse.firmware.toolchain import compilers
from tinyfuse.firmware.verify import summary, verify
from tinyfuse.integer.model import load_model, random_codes

SMALL = [CORES["m0+"], CORES["rv32"]]
WAYS = [(core.name, compiler.name, emulator) for core in SMALL for compiler in compilers().values()
        if compiler.serves(core) for emulator in emulators(core)]
"""Each core with each compiler and each emulator that is on this machine; pytest's header says which these are."""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cores")
    (folder / "net.tflite").write_bytes(network(1))
    return deploy.export(folder / "net.tflite", folder / "net", vectors=3)


@pytest.mark.skipif(not WAYS, reason="no compiler or no emulator of m0+ and rv32: pip install 'tinyfuse[emulator]'")
def test_every_way_gives_the_same_codes_and_counts() -> None:
    counts: dict[tuple[str, str], list[int]] = {}
    model = load_model(network(1), name="net")
    codes = random_codes(model, 2, seed=0)
    for core, compiler, emulator in WAYS:
        setup = Setup(CORES[core], compilers()[compiler], emulators(CORES[core])[emulator])
        cost = measure(model, codes, [setup], "ram")[core]
        assert cost.values == 30 and not cost.differing
        counts.setdefault((core, compiler), []).append(cost.instructions)
    for given in counts.values():
        assert max(given) - min(given) <= 300 < min(given)  # a tick of a counter has up to 100 instructions


@pytest.mark.skipif("rv32" not in setups([CORES["rv32"]]), reason="no compiler or no emulator of rv32")
def test_every_tensor_on_risc_v(exported: Path) -> None:
    found = verify(exported, cores="rv32")
    found.check()
    assert summary(found)["cores"]["rv32"]["tensor_values"] > 5000


def _misaligned(exported: Path, folder: Path) -> Path:
    """A package that reads a word at an odd address."""
    package = Path(shutil.copytree(exported, folder))
    source = package / "src" / "net.c"
    text = source.read_text()
    place = "  int8_t *const base = arena->bytes;\n"
    assert place in text
    source.write_text(text.replace(place, f"{place}  (void)*(volatile uint32_t *)(void *)(base + 1);\n"))
    return package


@pytest.mark.skipif("qemu-system-arm" not in emulators(CORES["m3"]) or "arm-none-eabi-gcc" not in compilers(),
                    reason="alignment is checked by qemu-system-arm")
def test_a_load_that_is_not_aligned_faults_as_on_a_real_m0(exported: Path, tmp_path: Path) -> None:
    package = _misaligned(exported, tmp_path / "net")
    with pytest.raises(EmulationError, match=r"m0\+: the program ended in a processor fault"):
        verify(package, cores="m0+")


def test_boards_of_these_cores_have_an_estimate() -> None:
    for name, core in (("rp2040", "m0+"), ("nucleo-g0b1re", "m0+"), ("esp32-c3", "rv32"), ("esp32-c6", "rv32"),
                       ("rp2350", "m33"), ("rp2350-riscv", "rv32")):
        timing = BOARDS[name].timing
        assert timing is not None and timing.counted_on == core and core in CORES
        assert "estimate" in BOARDS[name].estimate(1_000_000)
    assert "is not emulated here" in BOARDS["esp32-s3"].estimate(None)
