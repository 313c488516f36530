"""MinSim: cosines in closed form, their gradient, the adversary that knows them, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tinyfuse.core.errors import UsageError
from tinyfuse.nn import zoo
from tinyfuse.nn.objectives.minsim import SimilarityWork, mean_cosine, projections
from tinyfuse.nn.objectives.objective import Targets
from tinyfuse.nn.objectives.run import Run, cross_entropy

Make = Callable[..., Run]


def work_of(run: Run) -> SimilarityWork:
    [work] = run.works
    assert isinstance(work, SimilarityWork)
    return work


def batch_of(run: Run) -> tuple[dict[str, Any], Any]:
    samples = run.dataset.train.take(slice(0, 12))
    return {name: tf.constant(values) for name, values in samples.inputs.items()}, tf.constant(samples.label)


def test_orthogonal_features_have_no_similarity_and_no_radial_gradient() -> None:
    first, second = tf.constant([[1.0, 0.0]]), tf.constant([[0.0, 1.0]])
    with tf.GradientTape() as tape:
        tape.watch([first, second])
        found = mean_cosine({"a": first, "b": second})
    gradients = tape.gradient(found, [first, second])
    assert float(found[0]) == 0
    assert float(tf.reduce_sum(gradients[0] * first)) == 0 and float(tf.reduce_sum(gradients[1] * second)) == 0
    np.testing.assert_array_equal(gradients[0], second)


def test_equal_features_have_similarity_one_and_pairs_are_averaged() -> None:
    ones, up = tf.constant([[2.0, 0.0]]), tf.constant([[0.0, 3.0]])
    assert float(mean_cosine({"a": ones, "b": 5 * ones})[0]) == pytest.approx(1)
    assert float(mean_cosine({"a": ones, "b": ones, "c": up})[0]) == pytest.approx(1 / 3)
    assert float(mean_cosine({"a": ones, "b": 0 * up})[0]) == 0


def test_projected_features_have_both_signs_and_one_seed_makes_them() -> None:
    features = np.abs(np.random.default_rng(0).normal(size=(200, 6))).astype(np.float32)
    drawn = projections({"a": 6, "b": 6}, 4, seed=1)
    cosines = mean_cosine({branch: features @ matrix for branch, matrix in drawn.items()}).numpy()
    assert -1 <= cosines.min() < 0 < cosines.max() <= 1
    np.testing.assert_array_equal(drawn["a"], projections({"a": 6, "b": 6}, 4, seed=1)["a"])
    assert not np.array_equal(drawn["a"], drawn["b"]) and projections({"a": 6}, 0, seed=1) == {}


@pytest.mark.parametrize("projection", [0, 4])
def test_loss_and_adversary_know_the_term(projection: int, run_of: Make) -> None:
    run = run_of("minsim", minsim={"weight": 0.8, "projection": projection})
    batch, labels = batch_of(run)
    step, targets = run.step(batch, labels, tf.constant([1, 2])), Targets.of(labels)
    features = {name: values @ work_of(run).projections[name] if projection else values
                for name, values in step.forward.features.items()}
    each = cross_entropy(step.logits, targets) + 0.8 * mean_cosine(features)
    assert float(run.loss(step)) == pytest.approx(float(tf.reduce_mean(each)), rel=1e-6)
    np.testing.assert_allclose(run.attack_loss(batch, targets), each, rtol=1e-6)


def test_refusals(run_of: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def uneven(inputs: Mapping[str, Any], classes: int) -> Any:
        layers = zoo.keras().layers
        return layers.Dense(classes)(layers.Concatenate()([
            layers.Dense(width)(layers.Flatten()(values))
            for width, values in zip((2, 3), inputs.values(), strict=True)]))

    with pytest.raises(UsageError, match="minsim needs a network whose last layer is dense"):
        run_of("minsim", "small-early")
    monkeypatch.setitem(zoo.ZOO, "uneven", uneven)
    with pytest.raises(UsageError, match="eye 2, ear 3 features, which do not compare; give a projection"):
        run_of("minsim", "uneven")
    assert work_of(run_of("minsim", "uneven", minsim={"projection": 4})).projections["ear"].shape == (3, 4)
    with pytest.raises(UsageError, match="weight -1"):
        run_of("minsim", minsim={"weight": -1.0})
