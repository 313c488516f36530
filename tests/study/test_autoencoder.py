"""From normal sounds of a machine to an attacked autoencoder: training, integers, verdicts, AUC."""

from __future__ import annotations

import shutil
from pathlib import Path

import autoencoders
import pytest

import tinyfuse
from tinyfuse.core.errors import UsageError
from tinyfuse.core.results import ResultStore
from tinyfuse.core.workers import Processes
from tinyfuse.data import Dataset
from tinyfuse.integer.model import load_model
from tinyfuse.report.view import load
from tinyfuse.search.record import read_selection
from tinyfuse.study.matrix import Matrix
from tinyfuse.study.row_text import sentence
from tinyfuse.study.run import Run
from tinyfuse.study.sweep import sweep


@pytest.fixture(scope="module")
def machine() -> Dataset:
    return autoencoders.machine(every=2, spread=0.6)


@pytest.fixture(scope="module")
def network(machine: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tinyfuse.train("anomaly-detection", machine, out=tmp_path_factory.mktemp("machine"), epochs=6, batch_size=20,
                          learning_rate=0.01, objective="reconstruction")


@pytest.fixture(scope="module")
def integers(machine: Dataset, network: Path) -> Path:
    return tinyfuse.convert(network, "w6", machine, calibration_samples=40, proof_samples=20)


@pytest.mark.parametrize("which", ["network", "integers"])
def test_errors_are_raised_and_hidden(which: str, machine: Dataset, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(which)
    found = tinyfuse.attack(path, machine, epsilon=0.2, steps=5, samples=40)
    clean, attacked = ([row for row in found.rows if row["kind"] == kind and row["criterion"] != "last-iterate"]
                       for kind in ("clean", "attack"))
    assert {row["executor"] for row in clean} == ({"keras"} if which == "network" else {"twin", "tflm"})
    for before, after in zip(clean, attacked, strict=True):
        assert before["accuracy"] > 0.85 > 0.5 > after["accuracy"]
        assert found.notes[before["key"]]["auc"] > 0.9 > found.notes[after["key"]]["auc"] + 0.1
        assert sentence(after, found.notes[after["key"]]).endswith(f"AUC {found.notes[after['key']]['auc']:.4f}")
    assert len({tuple(sorted(row["correct"] for row in rows)) for rows in (clean[:1], clean[1:] or clean[:1])}) == 1


def test_select_chooses_by_the_auc(machine: Dataset, network: Path, tmp_path: Path,
                                   monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the finalists the one with the largest AUC under attack, of those that keep the AUC of 8 bits."""
    monkeypatch.setattr("tinyfuse.search.promote.measure_all", lambda *told, **more: None)  # compilers take seconds
    found = tinyfuse.select(network, machine, budget="flash=200kB", out=tmp_path, quick=True, widths=(2, 8), jobs=1,
                            epsilon=0.2, granularity="modality", methods=(), sensitivity_samples=20, hessian_probes=2,
                            calibration_samples=40, clean_loss=0.1)
    record = read_selection(tmp_path / "selection.json")
    assert all(set(one.auc) == {"clean", "spectrum"} for one in (*record.trials, *record.validation, *record.test))
    chosen, reference = record.best, next(one for one in record.validation if one.name.startswith("w8"))
    assert reference.auc["clean"] > 0.9 > reference.auc["spectrum"] + 0.1
    kept = [one for one in record.validation if one.auc["clean"] >= reference.auc["clean"] - 0.1]
    assert chosen.auc["spectrum"] == max(one.auc["spectrum"] for one in kept)
    clean = f"AUC: clean {record.test[0].auc['clean']:.4f}, under spectrum attacks"
    assert any(clean in line for line in record.reasons)
    assert load_model(found.path).output.shape[-1] == 24


def test_an_own_autoencoder_is_trained_converted_and_attacked(machine: Dataset, tmp_path: Path,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sigmoids are values, no probabilities of classes."""
    import tf_keras
    from tf_keras import layers

    given = tf_keras.Input((4, 6), name="spectrum")
    hidden = layers.Dense(2, name="code")(layers.Flatten()(given))
    model = tf_keras.Model(given, layers.Reshape((4, 6))(layers.Rescaling(2.0, -1.0)(
        layers.Dense(24, activation="sigmoid", name="decode")(hidden))))
    monkeypatch.setattr("tinyfuse.nn.train_own.load_function", lambda name: lambda data: model)
    own = tinyfuse.train("mine:build", machine, out=tmp_path, epochs=4, batch_size=20, learning_rate=0.02,
                         objective="reconstruction")
    integers = tinyfuse.convert(own, "w8", machine, calibration_samples=40, proof_samples=10)
    found = tinyfuse.attack(integers, machine, epsilon=0.2, steps=3, samples=20)
    clean, attacked = (next(row for row in found.rows if row["kind"] == kind) for kind in ("clean", "attack"))
    assert found.notes[clean["key"]]["auc"] > 0.7 > found.notes[attacked["key"]]["auc"]


def test_data_without_two_kinds_are_one_line(machine: Dataset, integers: Path) -> None:
    from dataclasses import replace

    with pytest.raises(UsageError, match=r"returns its input again, .* the data has 3 classes"):
        tinyfuse.attack(integers, replace(machine, classes=("a", "b", "c")), samples=10)


def test_a_matrix_judges_autoencoders_too(machine: Dataset, network: Path, integers: Path, tmp_path: Path,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    """A network's file: float, twin and LiteRT tell normal samples from anomalies, and attacks undo it."""
    matrix = Matrix(models=(str(network),), recipes=("w6",), epsilons=(0.2,), steps=3, attack_samples=20,
                    clean_samples=20, parity_samples=20, calibration_samples=40, proof_samples=4, epochs=6,
                    batch_size=20, learning_rate=0.01, objective="reconstruction", transfer_from=(), threats=("codes",))
    monkeypatch.setattr("tinyfuse.study.sweep.measure_all", lambda *told, **more: None)  # compilers take seconds
    store, models = ResultStore(tmp_path / "results.jsonl"), tmp_path / "models"
    models.mkdir()
    for file in (integers, integers.with_suffix(".toml")):
        shutil.copy(file, models)
    sweep(Run(tmp_path, models, matrix, machine, 0, store), Processes())
    assert not store.rows("failed")
    clean = {row["executor"]: row["accuracy"] for row in store.rows("clean")}
    assert set(clean) == {"keras", "twin", "litert"} and min(clean.values()) > 0.8
    attacked = {row["executor"]: row["accuracy"] for row in store.rows("attack", criterion="union")}
    assert set(attacked) == {"keras", "twin"} and max(attacked.values()) < min(clean.values()) - 0.2
    assert [row["differing"] for row in store.rows("parity")] == [0]
    assert load(tmp_path).lines
