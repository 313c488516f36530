"""Training is a function of data, settings and seed; an interruption changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tinyfuse.core.errors import ModelError, UsageError
from tinyfuse.data import Dataset
from tinyfuse.data.digits.augmentation import Augmentation
from tinyfuse.nn.batch_norm_folding import folded
from tinyfuse.nn.network import Network, load_network, save_network
from tinyfuse.nn.objectives.TEMPLATE import LabelSmoothing
from tinyfuse.nn.train import TrainConfig, Trained, predict, train
from tinyfuse.nn.train_or_load import train_or_load

CONFIG = TrainConfig(epochs=3, batch_size=50, seed=1)


class Interrupted(Exception):
    """Stands for a kill between two epochs."""


@pytest.fixture(scope="module")
def trained_once(tiny_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Network:
    return train_or_load("image", tiny_dataset, CONFIG, tmp_path_factory.mktemp("trained_once"))


def weights_equal(a: Network, b: Network) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a.model.get_weights(), b.model.get_weights(), strict=True))


@pytest.mark.parametrize("epoch", [1, 2])
def test_an_interrupted_run_ends_with_the_same_weights(trained_once: Network, tiny_dataset: Dataset, tmp_path: Path,
                                                       epoch: int) -> None:
    def stop(line: str) -> None:
        if f"epoch {epoch}/" in line:
            raise Interrupted

    with pytest.raises(Interrupted):
        train_or_load("image", tiny_dataset, CONFIG, tmp_path, report=stop)
    assert not (tmp_path / "image.keras").exists()
    lines: list[str] = []
    resumed = train_or_load("image", tiny_dataset, CONFIG, tmp_path, report=lines.append)
    assert len(lines) == CONFIG.epochs - epoch
    assert weights_equal(trained_once, resumed)
    assert trained_once.path.read_bytes() == resumed.path.read_bytes()


def test_another_seed_gives_other_weights(trained_once: Network, tiny_dataset: Dataset, tmp_path: Path) -> None:
    assert not weights_equal(trained_once, train_or_load("image", tiny_dataset, replace(CONFIG, seed=2), tmp_path))


def test_it_learns_and_keeps_the_best_epoch(tiny_dataset: Dataset) -> None:
    scores: list[float] = []
    trained = train("early", tiny_dataset, TrainConfig(epochs=8, batch_size=20),
                    report=lambda line: scores.append(float(line.rsplit(" ", 1)[1])))
    assert trained.validation_accuracy == pytest.approx(max(scores), abs=1e-4)
    logits = predict(trained.model, tiny_dataset.validation)
    assert np.mean(logits.argmax(1) == tiny_dataset.validation.label) == trained.validation_accuracy
    assert trained.test_accuracy > 0.5


def test_a_network_of_other_settings_is_not_overwritten(trained_once: Network, tiny_dataset: Dataset) -> None:
    before = trained_once.path.read_bytes()
    with pytest.raises(UsageError, match="epochs = 3, but 4 is asked for"):
        train_or_load("image", tiny_dataset, replace(CONFIG, epochs=4), trained_once.path.parent)
    with pytest.raises(UsageError, match="data = "):
        train_or_load("image", replace(tiny_dataset, checksum="1" * 64), CONFIG, trained_once.path.parent)
    assert trained_once.path.read_bytes() == before


def test_a_damaged_network_is_refused(trained_once: Network, tmp_path: Path) -> None:
    path = tmp_path / "image.keras"
    path.write_bytes(trained_once.path.read_bytes()[:-100])
    path.with_suffix(".toml").write_text(trained_once.path.with_suffix(".toml").read_text())
    with pytest.raises(ModelError, match="checksum"):
        load_network(path)
    with pytest.raises(ModelError, match="no such"):
        load_network(tmp_path / "absent.keras")
    path.with_suffix(".toml").write_text('model = "image"\nlayers = 3\n')
    with pytest.raises(ModelError, match="unknown key 'layers'"):
        load_network(path)


def test_a_damaged_checkpoint_is_refused(tiny_dataset: Dataset, tmp_path: Path) -> None:
    checkpoint = tmp_path / "image.checkpoint.npz"
    checkpoint.write_bytes(b"PK\x03\x04 not a checkpoint")
    with pytest.raises(ModelError, match="damaged training checkpoint"):
        train_or_load("image", tiny_dataset, CONFIG, tmp_path)


def test_an_epoch_uses_every_sample_once_and_depends_on_its_number_alone(tiny_dataset: Dataset) -> None:
    inputs, label = tiny_dataset.epoch(2, seed=5)
    again, _ = tiny_dataset.epoch(2, seed=5)
    other, _ = tiny_dataset.epoch(3, seed=5)
    assert np.array_equal(np.bincount(label), np.bincount(tiny_dataset.train.label))
    assert all(np.array_equal(inputs[name], again[name]) for name in inputs)
    assert not np.array_equal(inputs["image"], other["image"])
    assert all(value.min() >= 0 and value.max() <= 1 for value in inputs.values())
    assert isinstance(tiny_dataset.augment, Augmentation)
    clean = tiny_dataset.augment.variants[:, 0].reshape(200, -1)
    shares = np.mean([(clean == row.reshape(-1)).all(axis=1).any() for row in inputs["audio"]])
    assert 0.3 < shares < 0.7


def test_impossible_settings() -> None:
    with pytest.raises(UsageError, match="at least 1"):
        TrainConfig(epochs=0)
    with pytest.raises(UsageError, match="did you mean 'plain'"):
        TrainConfig(objective="plane")


def test_the_template_of_an_objective_trains_and_is_recorded(trained_once: Network, tiny_dataset: Dataset,
                                                             tmp_path: Path) -> None:
    import tinyfuse.nn.objectives as objectives

    assert objectives.OBJECTIVES["label_smoothing"] == LabelSmoothing(0.1)
    smooth = train_or_load("image", tiny_dataset, replace(CONFIG, epochs=1, objective="label_smoothing"), tmp_path)
    assert smooth.table["training"]["objective"] == "label_smoothing" and not weights_equal(trained_once, smooth)
    with pytest.raises(UsageError, match="objective = label_smoothing, but plain is asked for"):
        train_or_load("image", tiny_dataset, replace(CONFIG, epochs=1), tmp_path)


def test_a_network_knows_its_inputs_and_data(trained_once: Network, tiny_dataset: Dataset) -> None:
    assert trained_once.input_names == ("image",) and trained_once.classes == tiny_dataset.classes
    assert trained_once.seed == CONFIG.seed and trained_once.origin("image_head") == ("image",)
    assert trained_once.inputs == tiny_dataset.inputs[:1]
    assert trained_once.table["data"]["train_samples"] == 200
    assert tiny_dataset.as_trained(trained_once.table, "image") is tiny_dataset


def test_a_network_without_batch_norm_comes_back(trained_once: Network, tiny_dataset: Dataset, tmp_path: Path) -> None:
    flat = folded(trained_once.model)
    table = dict(trained_once.table) | {"folded": True}
    saved = save_network(Trained("image-flat", flat, 1, 0.25, 0.5, 1.0), tmp_path / "image-flat.keras", table)
    assert saved.name == "image" and saved.table["accuracy"] == {"validation": 0.25, "test": 0.5}
    assert np.array_equal(predict(saved.model, tiny_dataset.test), predict(flat, tiny_dataset.test))
    assert np.allclose(predict(flat, tiny_dataset.test), predict(trained_once.model, tiny_dataset.test), atol=1e-4)
