"""PMR: prototypes, who lags behind, and what that adds to the loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import UsageError
from tinyfuse.nn.objectives.objective import Forward, Step, Targets
from tinyfuse.nn.objectives.ogm import Ogm
from tinyfuse.nn.objectives.pmr import Pmr, PmrPaper, PmrPaperWork, PmrWork, class_means, entropy, similarities
from tinyfuse.nn.objectives.run import Run, cross_entropy

tf = tensorflow()
SEED = np.array([3, 4], np.int32)
ALL = np.array([True, True])


def test_the_loss_of_a_feature_on_its_prototype() -> None:
    """Distances 0 and 5: log(1 + e^-5), and the gradient is finite where a distance is 0."""
    feature, prototypes = tf.constant([[0.0, 0.0]]), tf.constant([[0.0, 0.0], [3.0, 4.0]])
    with tf.GradientTape() as tape:
        tape.watch((feature, prototypes))
        loss = cross_entropy(similarities(feature, prototypes, ALL), Targets.of(tf.constant([0])))
    assert float(loss[0]) == pytest.approx(0.006715, abs=2e-6)
    gradient, of_prototypes = tape.gradient(loss, (feature, prototypes))
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0
    assert of_prototypes is None  # constants


def test_classes_that_are_absent(run_of: Callable[..., Run]) -> None:
    means, found = class_means(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([2, 2]), 3)
    np.testing.assert_array_equal(means, [[0, 0], [0, 0], [2, 3]])
    np.testing.assert_array_equal(found, [False, False, True])
    shares = tf.nn.softmax(similarities(tf.zeros([1, 2]), tf.zeros([2, 2]), np.array([True, False])))
    np.testing.assert_array_equal(shares, [[1.0, 0.0]])
    run = run_of("pmr")
    work, train = run.works[0], run.dataset.train
    assert isinstance(work, PmrWork)
    work.update(train.take(train.label != 1))
    assert work.seen.numpy().tolist() == [True, False, True] and not work.prototypes["ear"][1].numpy().any()
    before = work.prototypes["ear"].numpy()
    work.update(train.take(train.label == 1))
    np.testing.assert_array_equal(work.prototypes["ear"].numpy()[[0, 2]], before[[0, 2]])
    assert work.seen.numpy().all() and work.prototypes["ear"][1].numpy().any()


def test_prototypes_are_smoothed_means_of_features_in_inference_mode(run_of: Callable[..., Run]) -> None:
    run = run_of("pmr", pmr={"share": 1.0, "smoothing": 0.25})
    work, train = run.works[0], run.dataset.train
    assert isinstance(work, PmrWork)
    work.epoch_start(0)
    features = run.view.forward(dict(train.inputs), training=False).features["eye"].numpy()
    first = np.stack([features[train.label == label].mean(0) for label in range(3)])
    np.testing.assert_allclose(work.prototypes["eye"], first, rtol=1e-5, atol=1e-6)
    run.model.get_layer("eye_dense").kernel.assign_add(np.full((16, 5), 0.1))
    features = run.view.forward(dict(train.inputs), training=False).features["eye"].numpy()
    fresh = np.stack([features[train.label == label].mean(0) for label in range(3)])
    work.epoch_start(1)
    np.testing.assert_allclose(work.prototypes["eye"], 0.75 * fresh + 0.25 * first, rtol=1e-5, atol=1e-6)


def step_of(run: Run, eye: float, ear: float) -> tuple[Any, Step]:
    """Two samples of classes 0 and 1, both at (x, 0) for each branch; prototypes (-1, 0), (1, 0), the third far off."""
    work: Any = run.works[0]
    for prototypes in work.prototypes.values():
        prototypes.assign(np.pad([[-1.0], [1.0], [1e6]], ((0, 0), (0, 4))))
    work.seen.assign([True, True, True])
    features = {name: tf.constant(np.pad([[-x], [x]], ((0, 0), (0, 4))), "float32")
                for name, x in {"eye": eye, "ear": ear}.items()}
    targets, logits = Targets.of(tf.constant([0, 1])), tf.zeros([2, 3])
    return work, Step({}, targets, {}, targets, Forward(logits, features), logits, SEED)


def losses(x: float) -> tuple[float, float]:
    """Share of the right class and cross-entropy where the distances are 1 - x and 1 + x."""
    share = 1 / (1 + np.exp(-2 * x))
    return float(share), float(-np.log(share))


def test_only_the_branch_that_lags_behind_has_a_loss(run_of: Callable[..., Run]) -> None:
    run = run_of("pmr", pmr={"alpha": 2.0})
    for eye, ear in ((0.2, 0.9), (0.9, 0.2)):
        work, step = step_of(run, eye, ear)
        assert float(work.term(step)) == pytest.approx(2 * losses(0.2)[1], rel=1e-5)
    work, step = step_of(run, 0.5, 0.5)
    assert float(work.term(step)) == 0.0
    run.progress.assign(0.51)
    assert float(work.term(step_of(run, 0.2, 0.9)[1])) == 0.0


def test_the_paper_weighs_continuously(run_of: Callable[..., Run]) -> None:
    run = run_of("pmr-paper", pmr_paper={"entropy": 0.5})
    work, step = step_of(run, 0.2, 0.9)
    assert isinstance(work, PmrPaperWork)
    (weak, loss), (strong, _) = losses(0.2), losses(0.9)
    spread = -(strong * np.log(strong) + (1 - strong) * np.log(1 - strong))
    expected = (strong / weak - 1) * (loss - 0.5 * spread)
    assert float(work.term(step)) == pytest.approx(expected, rel=1e-4)
    run.progress.assign(0.21)
    assert float(work.term(step)) == pytest.approx((strong / weak - 1) * loss, rel=1e-4)
    assert float(work.term(step_of(run, 0.5, 0.5)[1])) == 0.0
    assert float(work.urgency(tf.constant(0.1))) == 1.0
    assert float(entropy(tf.zeros([1, 8]))[0]) == pytest.approx(np.log(8))


@pytest.mark.parametrize("objective", ["pmr", "pmr-paper"])
def test_a_training_step_sees_it(objective: str, run_of: Callable[..., Run]) -> None:
    plain, run = run_of("plain"), run_of(objective)
    part = run.dataset.train.take(slice(0, 12))
    batch = {name: tf.constant(values) for name, values in part.inputs.items()}
    run.works[0].epoch_start(0)
    step = run.step(batch, part.label, SEED)
    loss, gradients, _ = run.gradients(batch, part.label, SEED)
    base = plain.gradients(batch, part.label, SEED)[0]
    np.testing.assert_allclose(loss, base + run.works[0].term(step), rtol=1e-6)
    assert float(loss) != float(base) and all(np.isfinite(one).all() for one in gradients)
    mixed = replace(step, targets=Targets(((0.5, step.targets.labels), (0.5, step.targets.labels))))
    assert float(run.works[0].term(mixed)) == pytest.approx(float(run.works[0].term(step)), rel=1e-5)


def test_what_cannot_be_is_one_line(run_of: Callable[..., Run]) -> None:
    with pytest.raises(UsageError, match="pmr needs a network whose last layer is dense"):
        run_of("pmr", network="small-early")
    with pytest.raises(UsageError, match=r"pmr: alpha is -1\.0; give a number of at least 0"):
        run_of("pmr", pmr={"alpha": -1.0})
    with pytest.raises(UsageError, match=r"pmr-paper: entropy_until is 2\.0; give a share from 0 to 1"):
        run_of("pmr-paper", pmr_paper={"entropy_until": 2.0})


def test_what_was_over_in_the_first_training_is_not_begun_again() -> None:
    """Quantisation-aware training goes on where the first one ended."""
    assert Pmr().further({}) == {"alpha": 0.0} and Pmr(until=1.0).further({}) == {}
    assert PmrPaper().further({}) == {"alpha": 0.0, "entropy": 0.0}
    assert PmrPaper(until=1.0).further({}) == {"entropy": 0.0}
    assert Ogm().further({}) == {"alpha": 0.0, "noise": False} and Ogm(until=1.0).further({}) == {}
