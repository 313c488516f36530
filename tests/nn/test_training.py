"""Training is a function of data, settings and seed; an interruption changes nothing."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tinyfuse.core.errors import ModelError, UsageError
from tinyfuse.data import Dataset
from tinyfuse.data.digits.augmentation import Augmentation
from tinyfuse.nn.batch_norm_folding import folded
from tinyfuse.nn.network import NO_CHOICE, Network, load_network, save_network
from tinyfuse.nn.objectives.class_weights import ClassWeightsWork, balanced_weights
from tinyfuse.nn.objectives.objective import Forward, Step, Targets
from tinyfuse.nn.objectives.run import Run
from tinyfuse.nn.objectives.TEMPLATE import LabelSmoothing
from tinyfuse.nn.predict import predict
from tinyfuse.nn.train import TrainConfig, Trained, train
from tinyfuse.nn.train_or_load import train_or_load
from tinyfuse.nn.train_own import train_own

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

    assert objectives.parts_of("label-smoothing", {}) == (LabelSmoothing(0.1),)
    smooth = train_or_load("image", tiny_dataset, replace(CONFIG, epochs=1, objective="label-smoothing"), tmp_path)
    assert smooth.table["training"]["objective"] == "label-smoothing" and not weights_equal(trained_once, smooth)
    with pytest.raises(UsageError, match="objective = label-smoothing, but plain is asked for"):
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


def _with_dropout(dataset: Dataset) -> Any:
    """A builder as a user writes it."""
    from tf_keras import Input, Model, layers

    image, audio = (Input(one.shape, name=one.name) for one in dataset.inputs)
    x = layers.Flatten()(layers.MaxPooling2D(4)(layers.Concatenate()([image, audio])))
    x = layers.Dropout(0.5)(layers.Dense(16, activation="relu", name="hidden")(x))
    return Model([image, audio], layers.Dense(10, activation="softmax", name="kind")(x))


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name MODULE:FUNCTION of a builder."""
    module = ModuleType("users_module")
    module.build = _with_dropout  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "users_module", module)
    return "users_module:build"


def test_a_users_function_is_trained_and_resumed_with_the_same_dropout(builder: str, tiny_dataset: Dataset,
                                                                       tmp_path: Path) -> None:
    config = replace(CONFIG, class_weights="balanced", augment={"image": {"noise": 0.1}})

    def stop(line: str) -> None:
        if "epoch 1/" in line:
            raise Interrupted

    once = train_own(builder, tiny_dataset, config, tmp_path / "once", choice=NO_CHOICE)
    with pytest.raises(Interrupted):
        train_own(builder, tiny_dataset, config, tmp_path / "twice", choice=NO_CHOICE, report=stop)
    resumed = train_own(builder, tiny_dataset, config, tmp_path / "twice", choice=NO_CHOICE)
    assert once.path.read_bytes() == resumed.path.read_bytes()
    assert (once.name, once.table["source"], once.table["softmax"]) == ("build", builder, True)
    assert train_own(builder, tiny_dataset, config, tmp_path / "once", choice=NO_CHOICE).sha256 == once.sha256
    with pytest.raises(UsageError, match="class_weights = balanced, but none is asked for"):
        train_own(builder, tiny_dataset, CONFIG, tmp_path / "once", choice=NO_CHOICE)
    further = train_own(str(once.path), tiny_dataset, replace(CONFIG, epochs=1), tmp_path / "further",
                        choice=NO_CHOICE)
    assert further.table["softmax"] and not weights_equal(once, further)
    with pytest.raises(UsageError, match="overwritten by its own training"):
        train_own(str(once.path), tiny_dataset, config, once.path.parent, choice=NO_CHOICE)


def test_training_ends_when_it_no_longer_gets_better(tiny_dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    scores, lines = iter([0.5, 0.6, 0.4, 0.3, 0.9, 0.1]), list[str]()
    monkeypatch.setattr(Run, "score", lambda run, samples: next(scores))
    found = train("image", tiny_dataset, replace(CONFIG, epochs=5, patience=2), report=lines.append)
    assert (len(lines), found.best_epoch) == (4, 2)


@pytest.mark.parametrize(("name", "words"), [
    ("users_module:biuld", "has no function 'biuld' .did you mean 'build'"),
    ("no_such_module:build", "No module named 'no_such_module'; give MODULE:FUNCTION")])
def test_a_function_that_is_not_there(name: str, words: str, builder: str, tiny_dataset: Dataset,
                                      tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        train_own(name, tiny_dataset, CONFIG, tmp_path, choice=NO_CHOICE)


def test_balanced_class_weights_make_up_for_rare_classes() -> None:
    from tinyfuse.core.backend import tensorflow

    tf = tensorflow()
    labels = np.array([0, 0, 0, 1])
    weights = balanced_weights(labels, 3)
    np.testing.assert_allclose(weights[:2], [4 / 6, 2.0])
    targets = Targets.of(tf.constant(labels))
    logits = tf.constant([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [2.0, 0.0]])
    found = ClassWeightsWork(weights).base(Step({}, targets, {}, targets, Forward(logits), logits, None))
    expected = (3 * (4 / 6) * np.log(2) + 2.0 * np.log1p(np.exp(2.0))) / 4
    assert float(found) == pytest.approx(expected, rel=1e-6)
