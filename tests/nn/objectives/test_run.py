"""Objectives are put together from parts; training steps see what the parts make of a batch."""

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
from tinyfuse.nn import zoo
from tinyfuse.nn.objectives import TEMPLATE, parts_of
from tinyfuse.nn.objectives.objective import Forward, Step, Targets
from tinyfuse.nn.objectives.run import Run, cross_entropy
from tinyfuse.nn.objectives.training_threat import TrainingThreat, pgd
from tinyfuse.nn.train import TrainConfig, train
from tinyfuse.nn.train_or_load import train_or_load

tf = tensorflow()
SEED = np.array([3, 4], np.int32)


def batch_of(run: Run, count: int = 12) -> tuple[dict[str, Any], Any]:
    part = run.dataset.train.take(slice(0, count))
    return {name: tf.constant(values) for name, values in part.inputs.items()}, tf.constant(part.label)


def test_a_network_is_seen_as_branches_and_a_head(run_of: Callable[..., Run]) -> None:
    view, (batch, _) = run_of("plain").view, batch_of(run_of("plain"))
    assert view.branches == ("eye", "ear") and "eye_dense" in view.layers("eye") and "join" not in view.layers("eye")
    forward = view.forward(batch, training=False)
    kernel, bias = view.head.kernel.numpy(), view.head.bias.numpy()
    parts = [forward.features[branch].numpy() @ kernel[view.rows[branch]] for branch in view.branches]
    np.testing.assert_allclose(sum(parts) + bias, forward.logits, rtol=1e-5, atol=1e-6)
    early = run_of("plain", network="small-early").view
    with pytest.raises(UsageError, match=r"this needs a network .* reads features of eye and ear together"):
        early.need_branches("this")


def test_a_step_is_cross_entropy_without_parts_and_attacks_come_first(run_of: Callable[..., Run]) -> None:
    run = run_of("plain")
    batch, labels = batch_of(run)
    loss, gradients, scales = run.gradients(batch, labels, SEED)
    expected = tf.reduce_mean(cross_entropy(run.model(batch), Targets.of(labels)))
    assert float(loss) == float(expected) and scales == {} and len(gradients) == len(run.model.trainable_variables)


@pytest.mark.parametrize("method", ["fgsm", "n-fgsm", "pgd"])
def test_no_budget_is_joint_training_to_the_bit(method: str, run_of: Callable[..., Run]) -> None:
    plain, attacked = run_of("plain"), run_of("adversarial", adversarial={"budget": 0.0, "method": method})
    batch, labels = batch_of(plain)
    for one, other in zip(plain.gradients(batch, labels, SEED)[1], attacked.gradients(batch, labels, SEED)[1],
                          strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_input_without_a_budget_stays_as_it_is(run_of: Callable[..., Run]) -> None:
    run = run_of("adversarial", adversarial={"budget": {"eye": 0.1, "ear": 0.0}})
    batch, labels = batch_of(run)
    step = run.step(batch, labels, SEED)
    np.testing.assert_array_equal(step.batch["ear"], batch["ear"])
    change = np.abs(step.batch["eye"] - batch["eye"])
    assert 0.05 < change.max() <= 0.1 + 1e-6
    assert float(tf.reduce_min(step.batch["eye"])) >= 0 and float(tf.reduce_max(step.batch["eye"])) <= 1


def threat(norm: str = "linf", **budget: float) -> TrainingThreat:
    names = tuple(budget)
    return TrainingThreat(norm, budget, dict.fromkeys(names, -1e6), dict.fromkeys(names, 1e6))


def test_fgsm_from_a_random_start_against_a_linear_loss() -> None:
    """Of all coordinates 5/8 end on the surface, the mean change along the gradient is .8595, its square .789."""
    clean, ball, sizes = {"x": tf.zeros([200, 1000])}, threat(x=1.0), {"x": tf.ones([200])}
    start = ball.random_start(clean, SEED, sizes)
    change = pgd(lambda point: tf.reduce_sum(point["x"]), clean, ball, 1, 1.25, sizes, start)["x"].numpy()
    assert np.mean(change == 1.0) == pytest.approx(0.625, abs=0.005)
    assert change.mean() == pytest.approx(0.8595, abs=0.005)
    assert np.mean(change**2) == pytest.approx(0.789, abs=0.005)


def test_n_fgsm_is_not_projected(run_of: Callable[..., Run]) -> None:
    """E delta^2 = (1 + 4/3) epsilon^2 for noise of twice the ball and a whole step."""
    from tinyfuse.nn.objectives.adversarial import AdversarialWork

    work: Any = run_of("adversarial", adversarial={"method": "n-fgsm"}).works[0]
    assert isinstance(work, AdversarialWork)
    work.threat, clean = threat(x=1.0), {"x": tf.zeros([200, 1000])}
    found = work.attack(lambda point: tf.reduce_sum(point["x"]), clean, {"x": tf.ones([200])}, SEED)["x"]
    assert float(tf.reduce_mean(found**2)) == pytest.approx(1 + 4 / 3, abs=0.01)


def test_a_joint_ball_is_one_ball_and_its_start_is_uniform() -> None:
    clean = {"x": tf.zeros([4000, 2]), "y": tf.zeros([4000, 1])}
    sizes = dict.fromkeys(clean, tf.ones([4000]))
    for norm in ("l2", "l2-joint"):
        found = threat(norm, x=2.0, y=1.0).random_start(clean, SEED, sizes)
        lengths = {name: np.linalg.norm(values, axis=1) for name, values in found.items()}
        joint = np.hypot(lengths["x"] / 2, lengths["y"])
        if norm == "l2":
            assert max(lengths["x"].max() / 2, lengths["y"].max()) <= 1 + 1e-6 < joint.max()
            assert np.mean(lengths["x"] < 1) == pytest.approx(1 / 4, abs=0.03)
        else:
            assert joint.max() <= 1 + 1e-6
            assert np.mean(joint < 0.5) == pytest.approx(1 / 8, abs=0.02)


def test_the_step_of_a_joint_ball_goes_where_the_gradient_is() -> None:
    clean, ball = {"x": tf.zeros([1, 2]), "y": tf.zeros([1, 1])}, threat("l2-joint", x=1.0, y=1.0)
    sizes = dict.fromkeys(clean, tf.ones([1]))
    found = pgd(lambda point: 3 * point["x"][0, 0] + 4 * point["y"][0, 0], clean, ball, 3, 1.0, sizes, clean)
    np.testing.assert_allclose(np.append(found["x"], found["y"]), [0.6, 0.0, 0.8], atol=1e-6)


def test_mixup_with_a_share_of_one_or_none(run_of: Callable[..., Run]) -> None:
    from tinyfuse.nn.objectives.mixup import mixed

    batch, labels = batch_of(run_of("plain"), 5)
    order = np.array([1, 2, 3, 4, 0])
    same, targets = mixed(batch, Targets.of(labels), order, tf.constant(1.0))
    other, swapped = mixed(batch, Targets.of(labels), order, tf.constant(0.0))
    for name, values in batch.items():
        np.testing.assert_array_equal(same[name], values)
        np.testing.assert_array_equal(other[name], values.numpy()[order])
    logits = tf.constant(np.eye(3, dtype=np.float32)[labels])
    np.testing.assert_array_equal(cross_entropy(logits, targets), cross_entropy(logits, Targets.of(labels)))
    np.testing.assert_array_equal(cross_entropy(logits, swapped),
                                  cross_entropy(logits, Targets.of(labels.numpy()[order])))


def test_each_label_of_a_mixed_sample_has_the_weight_of_its_class() -> None:
    from tinyfuse.nn.objectives.class_weights import ClassWeightsWork

    logits, one, other = tf.constant([[2.0, 0.0, -1.0]]), tf.constant([0], "int64"), tf.constant([1], "int64")
    targets = Targets(((tf.constant(0.25), one), (tf.constant(0.75), other)))
    losses = [float(cross_entropy(logits, Targets.of(labels))[0]) for labels in (one, other)]
    step = Step({}, targets, {}, targets, Forward(logits), logits, SEED)
    found = ClassWeightsWork(np.array([4.0, 0.5, 1.0])).base(step)
    assert float(found) == pytest.approx(0.25 * 4.0 * losses[0] + 0.75 * 0.5 * losses[1], rel=1e-6)


def test_a_joint_step_goes_whole_to_the_only_input_that_is_attacked() -> None:
    """Also where the gradient is tiny, as it is of samples that a network is sure of."""
    clean, ball = {"x": tf.zeros([2, 2]), "y": tf.zeros([2, 1])}, threat("l2-joint", x=1.0, y=1.0)
    sizes = {"x": tf.constant([1.0, 1.0]), "y": tf.constant([0.0, 1.0])}
    found = pgd(lambda point: 1e-9 * tf.reduce_sum(3 * point["x"][:, 0] + 4 * point["y"][:, 0]), clean, ball, 1, 0.5,
                sizes, clean)
    np.testing.assert_allclose(found["x"], [[0.5, 0.0], [0.3, 0.0]], atol=1e-6)
    np.testing.assert_allclose(found["y"], [[0.0], [0.4]], atol=1e-6)


def test_the_checkpoint_of_other_settings_is_not_lost(senses: Dataset, tmp_path: Path) -> None:
    class Interrupted(Exception):
        pass

    def stop(line: str) -> None:
        raise Interrupted

    path, config = tmp_path / "small-late.checkpoint.npz", TrainConfig(epochs=2, batch_size=20)
    with pytest.raises(Interrupted):
        train_or_load("small-late", senses, config, tmp_path, report=stop)
    before = path.read_bytes()
    with pytest.raises(UsageError, match="holds an interrupted training with epochs = 2, but 3 is asked for"):
        train_or_load("small-late", senses, replace(config, epochs=3), tmp_path)
    assert path.read_bytes() == before


def test_parts_train_together_and_an_interrupted_run_ends_alike(senses: Dataset, tmp_path: Path) -> None:
    settings = {"adversarial": {"budget": {"eye": 0.05, "ear": 0.02}, "attacked": "drawn", "ramp": 0.5}}
    config = TrainConfig(epochs=2, batch_size=20, objective="mixup+adversarial", settings=settings)

    class Interrupted(Exception):
        pass

    def stop(line: str) -> None:
        if "epoch 1/" in line:
            raise Interrupted

    once = train_or_load("small-late", senses, config, tmp_path / "once")
    with pytest.raises(Interrupted):
        train_or_load("small-late", senses, config, tmp_path / "twice", report=stop)
    assert train_or_load("small-late", senses, config, tmp_path / "twice").sha256 == once.sha256
    table = once.table["training"]
    assert table["objective"] == "mixup+adversarial" and table["settings"]["adversarial"]["method"] == "fgsm"
    assert table["settings"]["adversarial"]["budget"] == {"eye": 0.05, "ear": 0.02}


def test_what_needs_several_inputs_says_so_of_a_network_with_one(senses: Dataset) -> None:
    model = zoo.build("small-late", senses.inputs[:1], 3)
    for name in ("crmt", "gblend", "ogm", "pmr", "pmr-paper", "minsim", "exfmem", "single"):
        with pytest.raises(UsageError, match=rf"^{name} needs .* of 'small-late' the only input is eye$"):
            for part in parts_of(name, {}):
                Run(part.rebuild(model) if hasattr(part, "rebuild") else model, senses, (part,), 0, 1, 3)


def test_adversarial_training_withstands_more(senses: Dataset) -> None:
    def robust(objective: str, settings: Any) -> float:
        config = TrainConfig(epochs=30, batch_size=20, learning_rate=0.02, objective=objective, settings=settings)
        model = train("small-late", senses, config).model
        judge = Run(model, senses, parts_of("adversarial", {"adversarial": {"budget": 0.25}}), 0, 1, 3)
        return judge.score(senses.test)

    assert robust("adversarial", {"adversarial": {"budget": 0.25}}) > robust("plain", {}) + 0.1


@pytest.mark.parametrize(("objective", "settings", "words"), [
    ("adversarialy", {}, "unknown objective 'adversarialy' .did you mean 'adversarial'"),
    ("mixup+mixup", {}, "names 'mixup' twice"),
    ("mixup", {"mixup": {"alhpa": 1.0}}, "settings of 'mixup': unknown key 'alhpa' .did you mean 'alpha'"),
    ("mixup", {"adversarial": {}}, "settings for 'adversarial', which the objective 'mixup' does not have"),
    ("mixup", {"mixup": {"alpha": -1.0}}, "alpha is -1.0; give a number above 0"),
    ("adversarial", {"adversarial": {"method": "fgms"}}, "unknown method 'fgms' .did you mean 'fgsm'"),
    ("adversarial", {"adversarial": {"budget": {"eyes": 0.1}}}, "budget for 'eyes' .did you mean 'eye'"),
    ("adversarial", {"adversarial": {"budget": 1.0}}, "covers its whole range of 1; give less"),
    ("adversarial", {"adversarial": {"norm": "l3"}}, "unknown norm 'l3'"),
    ("label-smoothing+class-weights", {}, "each replaces the same thing"),
    ("plain+mixup", {}, "'plain' has no parts, so it stands alone"),
    ("mixup+density-mixup", {}, "^an objective can mix its samples once only")])
def test_objectives_that_make_no_sense_are_one_line(objective: str, settings: Any, words: str,
                                                    senses: Dataset) -> None:
    assert TEMPLATE.LabelSmoothing.name == "label-smoothing"
    with pytest.raises(UsageError, match=words):
        train("small-late", senses, TrainConfig(epochs=1, batch_size=20, objective=objective, settings=settings))
