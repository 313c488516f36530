"""On a machine without TFLite Micro's package: everything but its verdict works, and it is said once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tinyfuse import api
from tinyfuse.cli import main as cli
from tinyfuse.data import Dataset
from tinyfuse.firmware.deploy import export
from tinyfuse.integer.executors import installed, open_executor
from tinyfuse.integer.model import load_model
from tinyfuse.nn.network import Network
from tinyfuse.nn.predict import predict
from tinyfuse.quantize.convert import Baseline, convert
from tinyfuse.quantize.recipe import read_recipe
from tinyfuse.study.stages.convert import prove

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def without(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if the package were not there."""
    real = installed.find_spec
    monkeypatch.setattr(installed, "find_spec", lambda name: None if name == "tflite_micro" else real(name))
    for cached in (installed.is_here, installed.oracle_or_twin):
        cached.cache_clear()
    yield
    monkeypatch.undo()
    for cached in (installed.is_here, installed.oracle_or_twin):
        cached.cache_clear()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Path(shutil.copy(ROOT / "models/digits/early__w6.tflite", tmp_path / "own.tflite"))


@pytest.fixture
def data(model: Path, tiny_dataset: Dataset) -> Dataset:
    """Labels that the model itself gives."""
    integer, test = load_model(model), tiny_dataset.test
    label = open_executor(integer, "twin").run(integer.codes_of(test.inputs)).argmax(1)
    return replace(tiny_dataset, test=replace(test, label=label.astype(np.int64)))


def test_attacks_and_comparisons_leave_it_out(model: Path, data: Dataset,
                                              capsys: pytest.CaptureFixture[str]) -> None:
    rows = api.attack(model, data, attack="fgsm", samples=6).rows
    assert {row["executor"] for row in rows} == {"twin"}
    assert capsys.readouterr().err.count("is not installed") == 1
    assert api.minimal(model, data, attack="fgsm", samples=6, largest=3).rejudged == 0
    assert api.profile(model, data, steps=1, samples=5, modality="image").rows
    compared = api.compare(model, samples=2)
    assert {one.a for one in compared.differences} | {one.b for one in compared.differences} == {
        "twin", "litert", "litert-reference"}


def test_who_asks_for_it_hears_what_to_install(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["compare", str(model), "--random", "2", "--executor", "tflm", "--executor", "twin"],
                 ["attack", str(model), "--executor", "tflm"]):
        assert cli.main(argv) == 2
        assert "needs the package tflite-micro" in capsys.readouterr().err.replace("\n", " ")


def test_firmware_is_exported_with_the_twins_codes(model: Path, tmp_path: Path) -> None:
    folder = export(model, tmp_path / "firmware", vectors=3)
    table = json.loads((folder / "metadata.json").read_text())
    assert table["tflm_arena_bytes"] == 0 and (folder / "extras/outputs.bin").stat().st_size > 0


def test_networks_are_converted_and_proven_by_the_twin(
        lively: Callable[[str], tuple[Network, Baseline]], tiny_dataset: Dataset) -> None:
    network, base = lively("image")
    samples = tiny_dataset.test.balanced(4)
    proof = prove(convert(base, read_recipe("w8")), samples, predict(network.model, samples))
    assert set(proof.differing_codes) == {"litert", "litert-reference"} and proof.arena_bytes == 0
