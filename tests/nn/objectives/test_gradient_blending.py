"""Gradient blending: weights from loss curves, and copies that leave no trace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import UsageError
from tinyfuse.data import Dataset
from tinyfuse.nn.network import Network
from tinyfuse.nn.objectives.gradient_blending import GradientBlendingWork, LossCurves, blend_weights, held_out
from tinyfuse.nn.objectives.objective import Targets
from tinyfuse.nn.objectives.run import Run, cross_entropy
from tinyfuse.nn.train import TrainConfig
from tinyfuse.nn.train_or_load import train_or_load

tf = tensorflow()
SEED = np.array([3, 4], np.int32)


def weights(train: list[float], held: list[float]) -> np.ndarray:
    start = np.full(len(train), 2.0)
    return blend_weights(train_before=start, train_after=np.array(train), held_before=start, held_after=np.array(held))


def test_weights_are_gain_over_squared_overfitting() -> None:
    """Gaps grow by .2, .8 and .8 while the held-out losses fall by .8, 1 and 1.1."""
    np.testing.assert_allclose(weights([1.0, 0.2, 0.1], [1.2, 1.0, 0.9]), [0.8591, 0.0671, 0.0738], atol=5e-5)


@pytest.mark.parametrize(("train", "held", "expected"), [
    ([1.0, 1.0], [2.5, 1.5], [0.0, 1.0]),  # a loss that gets worse weighs nothing
    ([1.0, 1.0], [2.5, 2.0], [0.5, 0.5]),  # nothing gained
    ([1.0, 1.5], [1.0, 1.5], [2 / 3, 1 / 3]),  # no overfitting at all: by gain
    ([1.0, 1.0], [1.0, 1.5], [1 / (1 + 0.5e-4), 0.5e-4 / (1 + 0.5e-4)])])  # a gap of 0 has a floor
def test_weights_at_the_edge(train: list[float], held: list[float], expected: list[float]) -> None:
    np.testing.assert_allclose(weights(train, held), expected, rtol=1e-9)


def test_whole_groups_are_held_out() -> None:
    group = np.random.default_rng(0).integers(0, 40, 1000)
    held = held_out(group, 0.1, np.random.default_rng(1))
    assert 0.05 < held.mean() <= 0.1 and not set(group[held]) & set(group[~held])
    assert held_out(np.array([0, 0, 0, 1]), 0.1, np.random.default_rng(0)).sum() in (1, 3)
    with pytest.raises(UsageError, match="all training samples are of one group"):
        held_out(np.zeros(5, int), 0.1, np.random.default_rng(0))


def batch_of(run: Run, count: int = 12) -> tuple[dict[str, Any], Any]:
    part = run.dataset.train.take(slice(0, count))
    return {name: tf.constant(values) for name, values in part.inputs.items()}, tf.constant(part.label)


def test_the_loss_is_the_weighted_sum_of_three(run_of: Callable[..., Run]) -> None:
    run = run_of("gblend", gblend={"weights": {"eye": 1.0, "ear": 2.0, "all": 5.0}})
    work, (batch, labels) = run.works[0], batch_of(run)
    assert isinstance(work, GradientBlendingWork)
    forward = run.view.forward(batch, training=False)
    heads = work.head_logits(forward.features)
    losses = [float(tf.reduce_mean(cross_entropy(one, Targets.of(labels))))
              for one in (heads["eye"], heads["ear"], forward.logits)]
    found, gradients, _ = run.gradients(batch, labels, SEED)
    assert float(found) == pytest.approx(np.dot([0.125, 0.25, 0.625], losses), rel=1e-6)
    assert len(gradients) == len(run.model.trainable_variables) + 4 and all(np.abs(one).max() for one in gradients)
    assert work.finish() == {"weights": {"eye": 0.125, "ear": 0.25, "all": 0.625}}


def test_all_weight_on_the_network_is_joint_training(run_of: Callable[..., Run]) -> None:
    plain, run = run_of("plain"), run_of("gblend", gblend={"weights": {"all": 1.0}})
    batch, labels = batch_of(run)
    for one, other in zip(plain.gradients(batch, labels, SEED)[1], run.gradients(batch, labels, SEED)[1], strict=False):
        np.testing.assert_array_equal(one, other)


def test_copies_learn_by_one_loss_and_leave_no_trace(run_of: Callable[..., Run]) -> None:
    run = run_of("gblend")
    run.batch_size, run.learning_rate, work = 20, 0.02, run.works[0]
    assert isinstance(work, GradientBlendingWork)
    curves = LossCurves(work, run.dataset, run.dataset.validation)
    before = [np.asarray(one) for one in run.epoch_weights]
    found = curves.measure(5, 0)
    assert (found["train_after"] < found["train_before"] - 0.1).all() and found["held_before"].shape == (3,)
    for one, other in zip(before, run.epoch_weights, strict=True):
        np.testing.assert_array_equal(one, other)
    curves._train("eye", 1, 0)
    changed = {one.name for one, value in zip(run.model.trainable_variables, before, strict=False)
               if not np.array_equal(one, value)}
    assert changed == {"eye_dense/kernel:0", "eye_dense/bias:0"}
    mean = tf.reduce_mean(cross_entropy(run.logits(dict(run.dataset.train.inputs), training=False),
                                        Targets.of(run.dataset.train.label)))
    assert curves._losses(run.dataset.train)[2] == pytest.approx(float(mean), rel=1e-5)


class Interrupted(Exception):
    """Stands for a kill between two epochs."""


def trained(senses: Dataset, folder: Path, objective: str, settings: Any, *, stop_after: int = 99) -> Network:
    def report(line: str) -> None:
        if f"epoch {stop_after}/" in line:
            raise Interrupted

    config = TrainConfig(epochs=2, batch_size=20, objective=objective, settings=settings)
    return train_or_load("small-late", senses, config, folder, report=report)


def test_the_network_stays_the_plain_one_and_an_interruption_changes_nothing(senses: Dataset, tmp_path: Path) -> None:
    """Beside the other objectives that keep state between epochs or draw noise."""
    settings = {"gblend": {"epochs": 1}, "pmr": {"until": 1.0}}
    once = trained(senses, tmp_path / "once", "gblend+ogm+pmr", settings)
    with pytest.raises(Interrupted):
        trained(senses, tmp_path / "twice", "gblend+ogm+pmr", settings, stop_after=1)
    assert trained(senses, tmp_path / "twice", "gblend+ogm+pmr", settings).sha256 == once.sha256
    assert [layer.name for layer in once.model.layers][-1] == "head" and len(once.model.trainable_variables) == 6
    found = once.table["objective"]["gblend"]["weights"]
    assert list(found) == ["eye", "ear", "all"] and sum(found.values()) == pytest.approx(1, abs=2e-4)


def test_online_weights_are_estimated_every_few_epochs(run_of: Callable[..., Run]) -> None:
    run = run_of("gblend", gblend={"epochs": 2, "online": True})
    work, before = run.works[0], [np.asarray(one) for one in run.epoch_weights]
    assert isinstance(work, GradientBlendingWork)
    run.batch_size, found = 20, []
    work.prepare()
    for epoch in range(4):
        found.append(work.weights.numpy())
        work.epoch_start(epoch)
    np.testing.assert_allclose(found[0], 1 / 3, rtol=1e-6)
    np.testing.assert_array_equal(found[1], found[2])
    assert np.abs(found[1] - found[0]).max() > 0.01 and not np.array_equal(found[3], found[2])
    for one, other in zip(before, run.epoch_weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_samples_of_groups_that_are_held_out_do_not_train_the_copies(run_of: Callable[..., Run]) -> None:
    run, seen = run_of("gblend", gblend={"epochs": 1, "holdout": 0.3}), []
    run.batch_size = 5

    def augment(rows: np.ndarray, rng: np.random.Generator) -> Any:
        seen.append(rows)
        return run.dataset.train.take(rows).inputs

    run.dataset = replace(run.dataset, augment=augment)
    run.works[0].prepare()
    held = held_out(run.dataset.train.group, 0.3, np.random.default_rng([run.seed, 31]))
    assert set(np.concatenate(seen)) == set(np.flatnonzero(~held)) and held.sum() == 18


@pytest.mark.parametrize(("settings", "network", "words"), [
    ({}, "small-early", "gblend needs a network whose last layer is dense"),
    ({"weights": {"eyes": 1.0}}, "small-late", "weight of 'eyes' .did you mean 'eye'"),
    ({"weights": {"eye": 0.0}}, "small-late", "give numbers of at least 0, one of them above"),
    ({"holdout": 1.0}, "small-late", r"holdout 1\.0: give at least one epoch")])
def test_what_cannot_be_is_one_line(settings: Any, network: str, words: str, run_of: Callable[..., Run]) -> None:
    with pytest.raises(UsageError, match=words):
        run_of("gblend", network=network, gblend=settings)
