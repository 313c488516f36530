"""Density-convexity mixup: which classes are mixed, and that nothing else changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import UsageError
from tinyfuse.nn.density import convexity, density
from tinyfuse.nn.objectives.density_mixup import DensityMixupWork, classes_to_mix, partners
from tinyfuse.nn.objectives.run import Run

tf = tensorflow()
SEED = np.array([3, 4], np.int32)
NAN = float("nan")


def batch_of(run: Run, count: int = 30) -> tuple[dict[str, Any], Any]:
    part = run.dataset.train.take(slice(0, count))
    return {name: tf.constant(values) for name, values in part.inputs.items()}, tf.constant(part.label)


@pytest.mark.parametrize(("least_density", "most_convexity", "expected"), [
    (None, None, [2]),  # the medians of the four that are known: 2.5 and .75
    (1.5, None, [2]), (None, 0.95, [2, 3]), (1.5, 0.95, [1, 2, 3]), (0.0, 2.0, [0, 1, 2, 3]), (0.0, 0.0, [])])
def test_dense_classes_that_are_not_convex(least_density: Any, most_convexity: Any, expected: list[int]) -> None:
    densities, convexities = np.array([1.0, 2.0, 3.0, 4.0, NAN, 9.0]), np.array([0.6, 0.8, 0.7, 0.9, 0.1, NAN])
    found = classes_to_mix(densities, convexities, least_density, most_convexity)
    assert np.flatnonzero(found).tolist() == expected


def test_nothing_known_is_nothing_mixed() -> None:
    assert not classes_to_mix(np.array([1.0, NAN]), np.array([NAN, 0.5]), None, None).any()


def test_partners_are_drawn_among_those_allowed() -> None:
    allowed = np.arange(50) % 3 > 0
    found = partners(tf.constant(allowed), SEED).numpy()
    np.testing.assert_array_equal(np.sort(found), np.arange(50))
    np.testing.assert_array_equal(found[~allowed], np.arange(50)[~allowed])
    assert np.mean(found[allowed] != np.arange(50)[allowed]) > 0.8
    np.testing.assert_array_equal(partners(tf.zeros(5, "bool"), SEED), np.arange(5))


def test_only_pairs_of_two_allowed_classes_are_mixed(run_of: Callable[..., Run]) -> None:
    run = run_of("density-mixup")
    work, (batch, labels) = run.works[0], batch_of(run_of("plain"))
    assert isinstance(work, DensityMixupWork)
    work.allowed.assign([True, False, True])
    step = tf.function(lambda: run.step(batch, labels, SEED).targets.parts)()  # as a training step: compiled
    (share, first), (rest, second) = step
    share, second, labels = share.numpy(), second.numpy(), labels.numpy()
    np.testing.assert_array_equal(first, labels)
    np.testing.assert_allclose(share + rest, 1, rtol=1e-6)
    mixed = share < 1
    assert 5 < mixed.sum() < 20 and len(np.unique(share[mixed])) == 1
    assert (labels[mixed] != second[mixed]).all() and not {*labels[mixed], *second[mixed]} & {1}
    assert (labels[~mixed] == second[~mixed]).all()
    found = run.step(batch, tf.constant(labels), SEED).batch
    for name, values in batch.items():
        np.testing.assert_array_equal(found[name][~mixed], values[~mixed])
        assert np.abs(found[name][mixed] - values[mixed]).max() > 0.01


def test_a_threshold_of_0_is_joint_training_to_the_bit(run_of: Callable[..., Run]) -> None:
    plain, run = run_of("plain"), run_of("density-mixup", density_mixup={"convexity": 0.0})
    run.works[0].epoch_start(0)
    batch, labels = batch_of(run)
    for one, other in zip(plain.gradients(batch, labels, SEED)[1], run.gradients(batch, labels, SEED)[1], strict=True):
        np.testing.assert_array_equal(one, other)
    assert "mixed nothing" in str(run.works[0].epoch_end(0))


def learn(run: Run) -> None:
    """Let the hidden layers see nothing but class prototypes: gradient descent for a few steps."""
    import tf_keras

    optimizer, (batch, labels) = tf_keras.optimizers.Adam(0.05), batch_of(run, 60)
    step = tf.function(lambda: run.gradients(batch, labels, SEED)[1])
    optimizer.build(run.variables)
    for _ in range(30):
        optimizer.apply_gradients(zip(step(), run.variables, strict=True))


def test_classes_are_measured_on_the_weights_as_they_are(run_of: Callable[..., Run]) -> None:
    run = run_of("density-mixup", density_mixup={"convexity": 1.5, "density": 0.0, "samples": 60})
    work, train = run.works[0], run.dataset.train
    assert isinstance(work, DensityMixupWork)
    learn(run)
    densities, convexities = work.measured(60, 50, 7)
    features = np.concatenate(list(run.view.forward(dict(train.inputs), training=False).features.values()), axis=1)
    assert densities[2] == pytest.approx(density(features[train.label == 2]) / 20, rel=1e-4)
    own = train.take(train.label == 2).inputs
    expected = convexity(lambda values: run.model(values).numpy().argmax(1), own, 2, pairs=50, seed=7)
    assert convexities[2] == expected > 0.5
    work.epoch_start(0)
    assert work.allowed.numpy().all() and work.epoch_end(0) == "density-mixup mixed the classes a, b, c"


def test_what_a_linear_head_reads_is_convex(run_of: Callable[..., Run]) -> None:
    run = run_of("density-mixup", density_mixup={"at": ["eye_dense", "ear_dense"]})
    work = run.works[0]
    assert isinstance(work, DensityMixupWork)
    learn(run)
    np.testing.assert_array_equal(work.measured(60, 50, 7)[1], [1.0, 1.0, 1.0])


@pytest.mark.parametrize(("settings", "words"), [
    ({"alpha": 0.0}, r"density-mixup: alpha is 0\.0; give a number above 0"),
    ({"samples": 1}, "samples 1, pairs 200: give at least 2 samples"),
    ({"at": ["eye_dens"]}, "has no layer 'eye_dens' .did you mean 'eye_dense'"),
    ({"at": ["eye_dense"]}, "the layers eye_dense do not cut 'small-late' in two")])
def test_what_cannot_be_is_one_line(settings: Any, words: str, run_of: Callable[..., Run]) -> None:
    with pytest.raises(UsageError, match=words):
        run_of("density-mixup", density_mixup=settings)
