"""OGM-GE slows the branch that is ahead down, whatever the optimizer does with gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import UsageError
from tinyfuse.data import Dataset
from tinyfuse.nn import zoo
from tinyfuse.nn.objectives.branch_scores import label_scores, score_ratios
from tinyfuse.nn.objectives.objective import Targets
from tinyfuse.nn.objectives.ogm import OgmWork, gradient_noise, update_factor
from tinyfuse.nn.objectives.run import Run
from tinyfuse.nn.train import TrainConfig, train

tf = tensorflow()
SEED = np.array([3, 4], np.int32)


def logits(*shares: float) -> Any:
    """Logits [1, 2] of which class 0 has the softmax share."""
    return tf.constant([[np.log(share), np.log(1 - share)] for share in shares], "float32")


def test_the_factor_of_the_branch_that_is_ahead() -> None:
    """Scores .9 and .3: the ratio is 3, and of alpha .1 the factor 1 - tanh .3."""
    ratios = score_ratios(label_scores({"eye": logits(0.9), "ear": logits(0.3)}, Targets.of(tf.constant([0]))))
    assert float(ratios["eye"]) == pytest.approx(3.0, rel=1e-6)
    assert float(update_factor(ratios["eye"], 0.1)) == pytest.approx(0.708687, abs=1e-6)
    assert float(update_factor(ratios["ear"], 0.1)) == 1.0
    assert float(update_factor(tf.constant(1.0), 0.1)) == 1.0


def test_scores_are_summed_over_the_batch_and_one_of_three_is_beside_the_mean_of_the_others() -> None:
    labels = Targets.of(tf.constant([0, 1]))
    ratios = score_ratios(label_scores({"a": logits(0.9, 0.7), "b": logits(0.5, 0.9), "c": logits(0.4, 0.6)}, labels))
    found = [float(ratio) for ratio in ratios.values()]  # of the scores 1.2, .6 and .8
    np.testing.assert_allclose(found, [1.2 / 0.7, 0.6 / 1.0, 0.8 / 0.9], rtol=1e-5)


def test_noise_has_the_mean_and_the_variance_of_the_gradient() -> None:
    """10,000 draws: their mean, with the factor k, is k g and their variance that of g over the tensor."""
    gradient, factor = tf.constant([[1.0, -2.0], [3.0, 0.5]]), 0.7
    seeds = tf.stack([tf.range(10_000), tf.zeros(10_000, tf.int32)], 1)
    draws = tf.vectorized_map(lambda seed: factor * (gradient + gradient_noise(gradient, seed) / factor), seeds)
    spread = float(np.std(gradient))
    np.testing.assert_allclose(np.mean(draws, 0), factor * gradient, atol=5 * spread / 100)
    np.testing.assert_allclose(np.var(draws, 0), spread**2, rtol=0.1)


def first_step(senses: Dataset, objective: str, settings: dict[str, Any]) -> dict[str, np.ndarray]:
    """By name, what the first step of a training changed."""
    before = zoo.build("small-late", senses.inputs, len(senses.classes), seed=0)
    start = {one.name: one.numpy() for one in before.trainable_variables}
    config = TrainConfig(epochs=1, batch_size=60, objective=objective, settings=settings)
    model = train("small-late", senses, config).model
    return {one.name: one.numpy() - start[one.name] for one in model.trainable_variables}


def test_the_update_is_scaled_not_the_gradient(senses: Dataset, run_of: Callable[..., Run]) -> None:
    settings = {"alpha": 1.0, "noise": False}
    run = run_of("ogm", ogm=settings)
    inputs, labels = senses.epoch(0, seed=0)
    work = run.works[0]
    assert isinstance(work, OgmWork)
    factors = work.factors(run.step({name: tf.constant(one) for name, one in inputs.items()}, labels, SEED))
    slowed = min(factors, key=lambda branch: float(factors[branch]))
    assert 0 < float(factors[slowed]) < 0.3 and sorted(float(one) for one in factors.values())[1] == 1.0
    plain, scaled = first_step(senses, "plain", {}), first_step(senses, "ogm", {"ogm": settings})
    for name, change in plain.items():
        factor = float(factors[slowed]) if name == f"{slowed}_dense/kernel:0" else 1.0
        np.testing.assert_allclose(scaled[name], factor * change, rtol=1e-3, atol=1e-7)


def test_after_its_share_of_the_training_it_is_joint_training(run_of: Callable[..., Run]) -> None:
    plain, run = run_of("plain"), run_of("ogm", ogm={"until": 0.25})
    part = run.dataset.train.take(slice(0, 12))
    batch = {name: tf.constant(values) for name, values in part.inputs.items()}
    kernels = {place for place, one in enumerate(run.variables) if "_dense/kernel" in one.name}
    _, expected, _ = plain.gradients(batch, part.label, SEED)
    for progress in (0.25, 0.26):
        run.progress.assign(progress)
        _, found, scales = run.gradients(batch, part.label, SEED)
        changed = {place for place, one in enumerate(found) if not np.array_equal(one, expected[place])}
        assert changed == (kernels if progress == 0.25 else set()) and set(scales) == kernels
        assert (min(float(one) for one in scales.values()) < 1) == (progress == 0.25)


def test_what_cannot_be_is_one_line(run_of: Callable[..., Run]) -> None:
    with pytest.raises(UsageError, match="ogm needs a network whose last layer is dense"):
        run_of("ogm", network="small-early")
    with pytest.raises(UsageError, match=r"until 1\.5: give an alpha"):
        run_of("ogm", ogm={"until": 1.5})
