"""From normal sounds of a machine to an attacked autoencoder: training, integers, verdicts, AUC."""

from __future__ import annotations

from pathlib import Path

import autoencoders
import pytest

import tinyfuse
from tinyfuse.core.errors import UsageError
from tinyfuse.data import Dataset
from tinyfuse.study.row_text import sentence


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


def test_what_judges_by_classes_refuses_it_in_one_line(machine: Dataset, network: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"returns its input again, and select judges by classes"):
        tinyfuse.select(network, machine, budget="flash=60kB", out=tmp_path / "select")
    assert not (tmp_path / "select").exists()


def test_data_without_two_kinds_are_one_line(machine: Dataset, integers: Path) -> None:
    from dataclasses import replace

    with pytest.raises(UsageError, match=r"returns its input again, .* the data has 3 classes"):
        tinyfuse.attack(integers, replace(machine, classes=("a", "b", "c")), samples=10)
