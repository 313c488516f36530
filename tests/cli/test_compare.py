"""``tinyfuse compare``: where executors differ, in words and as JSON, and the exit code when they must not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from one_operator import Spec, Step, build

from tinyfuse.cli import main as cli
from tinyfuse.data import Dataset
from tinyfuse.integer.executors import EXECUTORS
from tinyfuse.integer.executors.twin import BatchExecutor
from tinyfuse.nn.network import Network
from tinyfuse.quantize.convert import Baseline, convert
from tinyfuse.quantize.recipe import read_recipe

Lively = Callable[[str], tuple[Network, Baseline]]


@pytest.fixture(scope="module")
def early(lively: Lively, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compare") / "early.tflite"
    path.write_bytes(convert(lively("early")[1], read_recipe("w6")).data)
    return path


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A model of one operator that tinyfuse did not make."""
    specs = [Spec((1, 5), name="x"), Spec((1, 5), name="y")]
    (tmp_path / "foreign.tflite").write_bytes(build(specs, [Step("RELU", [0], [1])], [0], [1]))
    return tmp_path / "foreign.tflite"


def test_json_counts_every_tensor_of_every_pair(early: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compare", str(early), "--random", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    pairs = {(one["a"], one["b"]): one for one in found["differences"]}
    assert len(pairs) == 6
    twin = pairs["tflm", "twin"]
    assert (twin["differing"], twin["max_abs"], twin["samples"]) == (0, 0, 3) and twin["values"] > 100_000
    assert twin["values"] == sum(tensor["values"] for tensor in twin["tensors"])
    assert pairs["tflm", "litert"]["differing"] > 0


def test_real_samples_give_accuracies(early: Path, tiny_dataset: Dataset, monkeypatch: pytest.MonkeyPatch,
                                    capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("tinyfuse.cli.compare.load_from", lambda args: tiny_dataset)
    assert cli.main(["compare", str(early), "--executor", "twin", "--executor", "tflm", "--samples", "10"]) == 0
    said = capsys.readouterr().out
    assert "twin and tflm: 0 of" in said and "% correct" in said


def test_any_supported_model_works_on_random_inputs(foreign: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compare", str(foreign), "--random", "4", "--executor", "twin", "--executor", "tflm"]) == 0
    assert "twin and tflm: 0 of 40 values differ" in capsys.readouterr().out


def test_a_model_of_other_inputs_is_one_line(foreign: Path, tiny_dataset: Dataset, monkeypatch: pytest.MonkeyPatch,
                                             capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("tinyfuse.cli.compare.load_from", lambda args: tiny_dataset)
    monkeypatch.setattr("tinyfuse.cli.attack.load_from", lambda args: tiny_dataset)
    for verb in (["compare"], ["attack", "--samples", "10"]):
        assert cli.main([verb[0], str(foreign), *verb[1:]]) == 1
        said = capsys.readouterr().err.replace("\n", " ")
        assert "takes 'x' [5], which the data lack; they have 'image' [28, 28, 1]" in said


def test_a_mismatch_of_twin_and_tflm_is_exit_code_3(foreign: Path, monkeypatch: pytest.MonkeyPatch,
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    class Wrong(BatchExecutor):
        def tensors(self, codes: Any) -> dict[int, np.ndarray]:
            found = super().tensors(codes)
            return {**found, 1: found[1] + 1}

    monkeypatch.setitem(EXECUTORS, "twin", Wrong)
    assert cli.main(["compare", str(foreign), "--random", "4", "--executor", "twin", "--executor", "tflm"]) == 3
    out, said = capsys.readouterr()
    assert "20 of 40 values differ" in out
    assert "first in 'y'" in said.replace("\n", " ")


def test_one_executor_is_no_comparison(foreign: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compare", str(foreign), "--random", "4", "--executor", "twin"]) == 2
    assert "needs two executors" in capsys.readouterr().err
