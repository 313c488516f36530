"""Results of single calls in a notebook: short texts, tables, DataFrames, figures; and runs read back."""

from __future__ import annotations

import builtins
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from one_operator import Spec, Step, build
from row_makers import BOTH, outcome

import tinyfuse
from tinyfuse import api
from tinyfuse.core import frames
from tinyfuse.core.errors import UsageError
from tinyfuse.core.results import ResultStore
from tinyfuse.core.schema import SCHEMAS
from tinyfuse.data import Dataset
from tinyfuse.firmware.cores import CORES
from tinyfuse.firmware.measure import setups
from tinyfuse.integer.executors import open_executor
from tinyfuse.integer.model import load_model
from tinyfuse.nn.network import Network
from tinyfuse.report.notebook import AttackRows, Drawing

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An integer model without a table beside it, as other tools leave it."""
    return Path(shutil.copy(ROOT / "models/digits/early__w6.tflite", tmp_path_factory.mktemp("own") / "own.tflite"))


@pytest.fixture(scope="module")
def data(model: Path, tiny_dataset: Dataset) -> Dataset:
    """The tiny data set with the labels that the model itself gives, so that there is something to break."""
    integer, test = load_model(model), tiny_dataset.test
    label = open_executor(integer, "twin").run(integer.codes_of(test.inputs)).argmax(1)
    return replace(tiny_dataset, test=replace(test, label=label.astype(np.int64)))


@pytest.fixture(scope="module")
def found(model: Path, data: Dataset) -> AttackRows:
    return api.attack(model, data, attack="fgsm", modality="audio", samples=10)


def test_everything_public_is_there() -> None:
    for name in tinyfuse.__all__:
        assert getattr(tinyfuse, name) is not None
    assert {"compare", "minimal", "profile", "read", "Dataset"} <= set(dir(tinyfuse))
    with pytest.raises(AttributeError, match="no attribute 'atack'"):
        tinyfuse.atack  # noqa: B018


def test_rows_are_short_texts_tables_and_frames(found: AttackRows) -> None:
    said = repr(found).splitlines()
    assert len(said) >= len(found.rows) and "own own in twin: fgsm on audio, linf 0.03" in repr(found)
    page = found._repr_html_()
    assert page.count("<tr>") == len(found.rows) + 1 and "0.03 of audio" in page and "<script" not in page
    table = found.to_frame()
    assert len(table) == len(found.rows)
    assert table["attacked"].tolist()[-1] == "audio" and table["budget.audio"].tolist()[-1] == 0.03
    assert table["correct"].tolist() == [row["correct"] for row in found.rows]
    known = {name for kind in ("clean", "attack") for name in SCHEMAS[kind]}
    assert {column.partition(".")[0] for column in table.columns} == known


def test_a_hostile_name_is_text_in_a_table(found: AttackRows) -> None:
    rows = [{**row, "model": "<script>alert(1)</script>"} for row in found.rows]
    assert "<script" not in AttackRows(rows)._repr_html_()


def test_every_result_has_a_figure(found: AttackRows, model: Path, data: Dataset, tmp_path: Path) -> None:
    smallest = tinyfuse.minimal(model, data, attack="fgsm", samples=6, largest=4)
    compared = tinyfuse.compare(model, executors=["twin", "tflm"], samples=2)
    assert "median smallest budget" in repr(smallest) and "0 of" in repr(compared)
    for result in (found, smallest, compared):
        drawn = result.plot()
        assert isinstance(drawn, Drawing) and drawn._repr_svg_().startswith("<svg")
        assert drawn.save(tmp_path / "figure.png").stat().st_size > 1000
    with pytest.raises(UsageError, match="a name that ends so"):
        drawn.save(tmp_path / "figure.xyz")
    codes = smallest.to_frame()
    assert len(codes) == 6 and set(codes.columns) == {"model", "sample", "codes"}
    tensors = compared.to_frame()
    assert tensors["differing"].sum() == 0 and set(tensors["a"]) == {"twin"} and len(tensors) > 10


@pytest.mark.skipif(not setups([CORES["m4"]]), reason="no cross compiler and emulator for the Cortex-M4 here")
def test_a_verification_shows_itself(tmp_path: Path) -> None:
    model = tmp_path / "net.tflite"
    model.write_bytes(build([Spec((1, 5), name="x"), Spec((1, 5), name="y")], [Step("RELU", [0], [1])], [0], [1]))
    found = tinyfuse.verify(tinyfuse.export(model, tmp_path / "net", vectors=2), cores="m4")
    found.check()
    assert repr(found).startswith("m4: exact, ") and found.plot()._repr_svg_().startswith("<svg")
    table = found.to_frame()
    assert list(table["core"]) == ["m4"] and table["parity"][0] and table["vectors"][0] > 2


def test_a_suite_is_public_too(model: Path, data: Dataset) -> None:
    rows = tinyfuse.profile(model, data, "standard", steps=1, samples=5, modality="image").rows
    assert {row["criterion"] for row in rows} >= {"clean", "union"}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of one float and one integer line."""
    store, correct = ResultStore(tmp_path / "results.jsonl"), np.arange(20) % 4 > 0
    for precision in ("float", "=w6"):
        store.append(outcome(correct, precision=precision))
        store.append(outcome(correct, precision=precision, attacked=BOTH, epsilon=0.1, criterion="union",
                             attack={"name": "standard"}, threat="real" if precision == "float" else "codes"))
    return tmp_path


def test_a_run_is_read_as_frames(run: Path) -> None:
    everything = tinyfuse.read(run)
    assert len(everything) == 4 and len(tinyfuse.read(run / "results.jsonl", "attack")) == 2
    summary = tinyfuse.read(run, "summary")
    assert list(summary["precision"]) == ["float", "=w6"] and summary["clean_float"][0] == 0.75
    for wrong, words in (((run, "atack"), "did you mean 'attack'"), ((run / "none",), "is not there")):
        with pytest.raises(UsageError, match=words):
            tinyfuse.read(*wrong)


def test_no_cell_of_the_summary_is_a_formula(run: Path) -> None:
    """A spreadsheet would run it."""
    tinyfuse.write_report(run)
    lines = (run / "summary.csv").read_text(encoding="utf-8").splitlines()
    assert any("'=w6" in line for line in lines) and not any(cell[:1] in "=+@" for line in lines[1:]
                                                             for cell in line.split(",") if cell)


def test_without_pandas_it_says_what_to_install(found: AttackRows, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "pandas":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match="pip install pandas"):
        frames.frame(found.rows)


def test_models_and_data_are_short(lively_network: Callable[[str], Network], data: Dataset) -> None:
    assert repr(lively_network("image")) == "Network(image: image 28x28x1; 10 classes; image.keras)"
    assert len(repr(data)) < 200 and len(repr(data.test)) < 200
