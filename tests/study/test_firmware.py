"""Firmware rows: measured once, gained when tools appear, never hidden when codes differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tinyfuse.checks.firmware_cost import check_firmware
from tinyfuse.checks.gating import check_run
from tinyfuse.core.errors import GateError, ModelError, ParityError
from tinyfuse.core.results import ResultStore
from tinyfuse.data import Dataset
from tinyfuse.firmware.build import Footprint
from tinyfuse.firmware.cores import CORES
from tinyfuse.firmware.measure import Cost, Setup
from tinyfuse.firmware.toolchain import CompileError, Compiler
from tinyfuse.study.matrix import Matrix
from tinyfuse.study.run import Run
from tinyfuse.study.stages import firmware
from tinyfuse.study.stages.firmware import measure_all

EARLY = Path(__file__).resolve().parents[2] / "models/digits/early__w6.tflite"
Measure = Callable[..., dict[str, Cost]]


def setup(core: str, emulator: str = "qemu-system-arm") -> Setup:
    """An emulator that is only a name."""
    machine: Any = SimpleNamespace(name=emulator)
    return Setup(CORES[core], Compiler("arm-none-eabi-gcc", ()), machine)


class Bench:
    """One integer model in a run, with made-up tools and costs; ``asked`` holds the cores of each measurement."""

    def __init__(self, folder: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self._dataset, self._monkeypatch = folder, dataset, monkeypatch
        self.asked: list[list[str]] = []
        self.cost = Cost(Footprint(5_000, 60_000, 5_000, 16), 20_000, 464, 13_000_000, 3, 30, 0)
        self.use("m4", "m55")
        monkeypatch.setattr(firmware, "measure", self._measure)

    def use(self, *cores: str, emulator: str = "qemu-system-arm") -> None:
        """The cores that can be emulated."""
        self._monkeypatch.setattr(firmware, "setups", lambda wanted: {name: setup(name, emulator) for name in cores})

    def _measure(self, model: Any, codes: dict[str, Any], chosen: Sequence[Setup], optimize: str) -> dict[str, Cost]:
        assert optimize == "ram" and {len(values) for values in codes.values()} == {2}
        self.asked.append([one.core.name for one in chosen])
        return {one.core.name: self.cost for one in chosen}

    def failing(self, error: Exception) -> None:
        """Let every measurement end in ``error``."""
        def fail(*arguments: Any) -> dict[str, Cost]:
            raise error
        self._monkeypatch.setattr(firmware, "measure", fail)

    @property
    def store(self) -> ResultStore:
        """The rows on disk."""
        return ResultStore(self.folder / "results.jsonl")

    def run(self, sha256: str = "a") -> list[tuple[str, str]]:
        """Run the step as a new process would; the firmware rows as (core, emulator)."""
        job = Run(self.folder, self.folder, Matrix(attack_samples=10), self._dataset, 0, self.store)
        made: Any = SimpleNamespace(recipe=SimpleNamespace(name="w6"), path=EARLY, table={"sha256": sha256})
        network: Any = SimpleNamespace(name="early")
        measure_all(job, [network], {"early": [made]}, jobs=2)
        return [(row["core"], row["emulator"]) for row in self.store.rows("firmware")]


@pytest.fixture
def bench(tmp_path: Path, tiny_dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A run with one model that was not measured yet."""
    return Bench(tmp_path, tiny_dataset, monkeypatch)


def test_a_resumed_run_measures_nothing_again(bench: Bench) -> None:
    assert bench.run() == [("m4", "qemu-system-arm"), ("m55", "qemu-system-arm")]
    row = bench.store.rows("firmware", core="m4")[0]
    assert (row["flash_bytes"], row["ram_bytes"], row["instructions"]) == (70_016, 20_480, 13_000_000)
    assert len(bench.run()) == 2 and bench.asked == [["m4", "m55"]]


def test_a_run_without_tools_gains_its_rows_when_they_are_there(bench: Bench,
                                                               capsys: pytest.CaptureFixture[str]) -> None:
    bench.use()
    assert bench.run() == [] and not bench.asked
    assert "instructions on m4 and m55 are not measured: install" in " ".join(capsys.readouterr().err.split())
    bench.use("m4", emulator="unicorn")
    assert bench.run() == [("m4", "unicorn")]
    bench.use("m4", "m55")
    assert bench.run()[1:] == [("m4", "qemu-system-arm"), ("m55", "qemu-system-arm")]
    bench.use()
    assert len(bench.run()) == 3


def test_only_the_missing_core_is_measured(bench: Bench) -> None:
    bench.use("m4")
    bench.run()
    bench.use("m4", "m55")
    bench.run()
    assert bench.asked == [["m4"], ["m55"]]


def test_another_model_or_runtime_is_measured_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.run()
    assert len(bench.run(sha256="b")) == 4
    monkeypatch.setattr(firmware, "runtime_sha256", lambda: "newer")
    assert len(bench.run(sha256="b")) == 6


def test_a_model_without_kernels_is_not_measured_and_no_failure(bench: Bench) -> None:
    bench.failing(ModelError("operator LOGISTIC has no firmware kernel"))
    for _ in range(2):
        assert bench.run() == []
    (row,) = bench.store.rows("failed")
    assert (row["stage"], row["reason"]) == ("firmware", "operator LOGISTIC has no firmware kernel")
    check_run(bench.store, [])


def test_firmware_that_does_not_compile_fails_the_gate_until_it_does(bench: Bench,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    bench.failing(CompileError("arm-none-eabi-gcc failed: error"))
    bench.run()
    with pytest.raises(GateError, match=r"early w6: its firmware could not be run.*gcc failed"):
        check_run(bench.store, [])
    monkeypatch.setattr(firmware, "measure", bench._measure)
    bench.run()
    check_firmware(bench.store)


def test_other_codes_than_tflite_micros_end_the_bench_with_exit_code_3(bench: Bench,
                                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    """Until a newer runtime is exact."""
    good = bench.cost
    bench.cost = Cost(good.flash, 20_000, 464, 13_000_000, 3, 30, differing=4)
    bench.run()
    with pytest.raises(ParityError, match=r"early w6: the firmware on m4 .* 4 of 30 output codes differ") as raised:
        check_run(bench.store, [])
    assert raised.value.exit_code == 3
    bench.cost = good
    monkeypatch.setattr(firmware, "runtime_sha256", lambda: "newer")
    bench.run()
    check_firmware(bench.store)
