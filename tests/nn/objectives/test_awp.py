"""AWP: the perturbation of a loss in closed form, weights that come back bit for bit, statistics that move once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tinyfuse.core.errors import UsageError
from tinyfuse.nn import zoo
from tinyfuse.nn.objectives.awp import AwpWork, perturbation
from tinyfuse.nn.objectives.run import Run

Make = Callable[..., Run]


def work_of(run: Run) -> AwpWork:
    [work] = run.works
    assert isinstance(work, AwpWork)
    return work


def half_square(variables: list[Any], seen: list[Any]) -> Callable[[], Any]:
    def compute() -> Any:
        with tf.GradientTape() as tape:
            loss = tf.add_n([tf.reduce_sum(one ** 2) / 2 for one in variables])
        seen.append([one.numpy() for one in variables])
        return loss, tape.gradient(loss, variables), {}

    return compute


def test_gradient_of_half_the_square_is_taken_at_one_plus_gamma_times_the_weights(run_of: Make) -> None:
    kernel, bias = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32), np.ones(5, np.float32)
    variables, seen = [tf.Variable(kernel), tf.Variable(bias)], []
    _, gradients, _ = work_of(run_of("awp", awp={"gamma": 0.1})).gradients(half_square(variables, seen), variables)
    np.testing.assert_allclose(gradients[0], 1.1 * kernel, rtol=1e-6)
    np.testing.assert_array_equal(gradients[1], bias)  # vectors stay where they are
    np.testing.assert_array_equal(seen[0][0], kernel)
    assert variables[0].numpy().tobytes() == kernel.tobytes()


def test_perturbation_has_gamma_times_the_norm_of_each_kernel_along_its_gradient() -> None:
    rng = np.random.default_rng(1)
    kernels = [tf.Variable(rng.normal(size=shape).astype(np.float32)) for shape in ((3, 3, 2, 4), (6, 2))]
    gradients = [1e-3 * rng.normal(size=one.shape).astype(np.float32) for one in kernels]
    for kernel, gradient, change in zip(kernels, gradients, perturbation(kernels, gradients, 0.02), strict=True):
        assert np.linalg.norm(change) == pytest.approx(0.02 * np.linalg.norm(kernel), rel=1e-5)
        np.testing.assert_allclose(change / np.linalg.norm(change), gradient / np.linalg.norm(gradient), rtol=1e-4)
    [still] = perturbation(kernels[:1], [np.zeros((3, 3, 2, 4), np.float32)], 0.02)
    assert not np.any(still)


def test_nothing_moves_before_its_share_of_the_training(run_of: Make) -> None:
    run = run_of("awp", awp={"gamma": 0.1, "after": 0.5})
    variables, seen = [tf.Variable([[3.0, 4.0]])], []
    for progress, expected in ((0.4, 3.0), (0.5, 3.3)):
        run.progress.assign(progress)
        _, gradients, _ = work_of(run).gradients(half_square(variables, seen), variables)
        assert float(gradients[0][0, 0]) == pytest.approx(expected)


def test_step_on_a_network_restores_weights_and_moves_statistics_once(run_of: Make,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    def with_norm(inputs: Any, classes: int) -> Any:
        layers = zoo.keras().layers
        return layers.Dense(classes)(layers.BatchNormalization(name="norm")(layers.Flatten()(inputs["eye"])))

    monkeypatch.setitem(zoo.ZOO, "with-norm", with_norm)
    runs = {name: run_of(name, "with-norm") for name in ("plain", "awp", "adversarial+awp")}
    samples = runs["plain"].dataset.train.take(slice(0, 20))
    batch = {name: tf.constant(values) for name, values in samples.inputs.items()}
    results = {}
    for name, run in runs.items():
        before = [one.numpy() for one in run.model.trainable_variables]
        results[name] = tf.function(run.gradients)(batch, tf.constant(samples.label), tf.constant([1, 2]))
        for old, new in zip(before, run.model.trainable_variables, strict=True):
            assert old.tobytes() == new.numpy().tobytes()
    means = {name: run.model.get_layer("norm").moving_mean.numpy() for name, run in runs.items()}
    np.testing.assert_array_equal(means["plain"], means["awp"])
    assert float(results["awp"][0]) > float(results["plain"][0])  # the loss where the weights are worse


def test_refusal(run_of: Make) -> None:
    with pytest.raises(UsageError, match="gamma 2"):
        run_of("awp", awp={"gamma": 2})
