"""Training is a function of data, settings and seed; an interruption changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tinyfuse.core.errors import ModelError, UsageError
from tinyfuse.data import Dataset
from tinyfuse.data.digits.augmentation import epoch_batches
from tinyfuse.nn import network_file
from tinyfuse.nn.train import TrainConfig, accuracy, train
from tinyfuse.nn.train_or_load import Network, obtain

CONFIG = TrainConfig(epochs=3, batch_size=50, seed=1)


class Interrupted(Exception):
    """Stands for a kill between two epochs."""


@pytest.fixture(scope="module")
def whole(tiny_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Network:
    return obtain("image", tiny_dataset, CONFIG, tmp_path_factory.mktemp("whole"))


def weights_equal(a: Network, b: Network) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a.model.get_weights(), b.model.get_weights(), strict=True))


@pytest.mark.parametrize("epoch", [1, 2])
def test_an_interrupted_run_ends_with_the_same_weights(whole: Network, tiny_dataset: Dataset, tmp_path: Path,
                                                       epoch: int) -> None:
    def stop(line: str) -> None:
        if f"epoch {epoch}/" in line:
            raise Interrupted

    with pytest.raises(Interrupted):
        obtain("image", tiny_dataset, CONFIG, tmp_path, report=stop)
    assert not (tmp_path / "image.keras").exists()
    lines: list[str] = []
    resumed = obtain("image", tiny_dataset, CONFIG, tmp_path, report=lines.append)
    assert len(lines) == CONFIG.epochs - epoch
    assert weights_equal(whole, resumed)
    assert whole.path.read_bytes() == resumed.path.read_bytes()


def test_another_seed_gives_other_weights(whole: Network, tiny_dataset: Dataset, tmp_path: Path) -> None:
    assert not weights_equal(whole, obtain("image", tiny_dataset, replace(CONFIG, seed=2), tmp_path))


def test_it_learns_and_keeps_the_best_epoch(tiny_dataset: Dataset) -> None:
    scores: list[float] = []
    trained = train("early", tiny_dataset, TrainConfig(epochs=8, batch_size=20),
                    report=lambda line: scores.append(float(line.rsplit(" ", 1)[1])))
    assert trained.validation_accuracy == pytest.approx(max(scores), abs=1e-4)
    assert accuracy(trained.model, tiny_dataset.validation) == trained.validation_accuracy
    assert trained.test_accuracy > 0.5


def test_a_network_of_other_settings_is_not_overwritten(whole: Network, tiny_dataset: Dataset) -> None:
    before = whole.path.read_bytes()
    with pytest.raises(UsageError, match="epochs = 3, but 4 is asked for"):
        obtain("image", tiny_dataset, replace(CONFIG, epochs=4), whole.path.parent)
    with pytest.raises(UsageError, match="data = "):
        obtain("image", replace(tiny_dataset, checksum="1" * 64), CONFIG, whole.path.parent)
    assert whole.path.read_bytes() == before


def test_a_damaged_network_is_refused(whole: Network, tmp_path: Path) -> None:
    path = tmp_path / "image.keras"
    path.write_bytes(whole.path.read_bytes()[:-100])
    path.with_suffix(".toml").write_text(whole.path.with_suffix(".toml").read_text())
    with pytest.raises(ModelError, match="checksum"):
        network_file.load(path)
    with pytest.raises(ModelError, match="no such"):
        network_file.load(tmp_path / "absent.keras")
    path.with_suffix(".toml").write_text('model = "image"\nlayers = 3\n')
    with pytest.raises(ModelError, match="unknown key 'layers'"):
        network_file.load(path)


def test_a_damaged_checkpoint_is_refused(tiny_dataset: Dataset, tmp_path: Path) -> None:
    checkpoint = tmp_path / "image.checkpoint.npz"
    checkpoint.write_bytes(b"PK\x03\x04 not a checkpoint")
    with pytest.raises(ModelError, match="damaged training checkpoint"):
        obtain("image", tiny_dataset, CONFIG, tmp_path)


def test_an_epoch_uses_every_pair_once_and_depends_on_its_number_alone(tiny_dataset: Dataset) -> None:
    inputs, label = epoch_batches(tiny_dataset, seed=5, epoch=2)
    again, _ = epoch_batches(tiny_dataset, seed=5, epoch=2)
    other, _ = epoch_batches(tiny_dataset, seed=5, epoch=3)
    assert np.array_equal(np.bincount(label), np.bincount(tiny_dataset.train.label))
    assert all(np.array_equal(inputs[name], again[name]) for name in inputs)
    assert not np.array_equal(inputs["image"], other["image"])
    assert all(value.min() >= 0 and value.max() <= 1 for value in inputs.values())
    clean = tiny_dataset.variants.audio[:, 0].reshape(200, -1)
    shares = np.mean([(clean == row.reshape(-1)).all(axis=1).any() for row in inputs["audio"]])
    assert 0.3 < shares < 0.7


def test_impossible_settings() -> None:
    with pytest.raises(UsageError, match="at least 1"):
        TrainConfig(epochs=0)
