"""CRMT's head is orthogonal and folds; its loss and its composition with other parts are the paper's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import ModelError, UsageError
from tinyfuse.data import Dataset
from tinyfuse.nn.batch_norm_folding import folded
from tinyfuse.nn.network import Network, load_network
from tinyfuse.nn.objectives import parts_of
from tinyfuse.nn.objectives.crmt import margin_losses
from tinyfuse.nn.objectives.crmt_head import first_directions, orthonormal
from tinyfuse.nn.objectives.objective import Targets
from tinyfuse.nn.objectives.run import Run
from tinyfuse.nn.predict import predict
from tinyfuse.nn.train import TrainConfig, train
from tinyfuse.nn.train_or_load import train_or_load
from tinyfuse.quantize import fake_quantisation as fake
from tinyfuse.quantize import qat
from tinyfuse.quantize.recipe import Recipe

tf = tensorflow()
SHAPES = ("eye", "ear")
SEED = np.array([3, 4], np.int32)
CONFIG = TrainConfig(epochs=20, batch_size=20, learning_rate=0.02, objective="crmt")


def off_orthogonal(rows: Any) -> float:
    rows = np.asarray(rows, np.float64)
    return float(np.abs(rows @ rows.T - np.eye(len(rows))).max())


def batch_of(run: Run, count: int = 12) -> tuple[dict[str, Any], Any]:
    part = run.dataset.train.take(slice(0, count))
    return {name: tf.constant(values) for name, values in part.inputs.items()}, tf.constant(part.label)


def test_the_loss_on_margins() -> None:
    scores = {"v": tf.constant([[2.0, 0.0, -1.0]]), "a": tf.constant([[1.0, 0.5, 0.0]])}
    loss = float(margin_losses(scores, [0])[0])
    assert loss == pytest.approx(0.148017, abs=1e-6)
    assert -0.5 <= loss <= -0.5 + np.log(4)


def test_the_loss_neither_overflows_nor_cancels() -> None:
    large = {"v": tf.constant([[-500.0, 500.0, 0.0]]), "a": tf.constant([[100.0, 0.0, 0.0]])}
    assert float(margin_losses(large, [0])[0]) == 1000
    assert float(margin_losses(large, [1])[0]) == pytest.approx(100)
    apart = {one: tf.constant([[100.0, 0.0, 0.0]]) for one in ("v", "a", "b")}
    assert float(margin_losses(apart, [0])[0]) == pytest.approx(np.log(6) - 100, rel=1e-6)


@pytest.mark.parametrize("classes", [2, 10])
def test_rows_are_orthonormal_however_alike_their_directions(classes: int) -> None:
    draw = np.random.default_rng(0)
    alike = draw.standard_normal((classes, 64)) * 0.05 + draw.standard_normal(64)  # cosines about 0.998
    rows = orthonormal(tf.constant(alike, tf.float32))
    assert off_orthogonal(rows) < 1e-5
    np.testing.assert_allclose(orthonormal(rows), rows, atol=1e-6)
    span = np.linalg.lstsq(alike.T, rows.numpy().T, rcond=None)[0]
    np.testing.assert_allclose(alike.T @ span, rows.numpy().T, atol=1e-5)


def test_an_orthogonal_kernel_goes_on_as_it_is() -> None:
    rows = orthonormal(tf.constant(np.random.default_rng(1).standard_normal((3, 5)), tf.float32)).numpy()
    sizes = np.array([0.2, 1.0, 3.0], np.float32)
    directions, weights = first_directions((sizes[:, None] * rows).T, 0)
    np.testing.assert_allclose(weights[:, None] * orthonormal(directions), sizes[:, None] * rows, atol=1e-6)
    for kernel in (np.zeros((5, 3)), np.ones((5, 3))):
        directions, weights = first_directions(kernel, 0)
        assert off_orthogonal(orthonormal(directions)) < 1e-5 and set(weights) == {np.float32(0.1)}


def test_the_folded_layer_is_the_head(run_of: Callable[..., Run]) -> None:
    run = run_of("crmt")
    batch, _ = batch_of(run)
    weights = np.random.default_rng(2)
    for one in run.works[0].orthogonal.weights.values():  # type: ignore[attr-defined]
        one.assign(weights.uniform(0.5, 2, one.shape))
    run.publish()
    forward, logits = run.forward(batch, training=False)
    np.testing.assert_allclose(run.model(batch), logits, rtol=1e-6, atol=1e-6)
    scores = run.works[0].orthogonal.scores(forward.features)  # type: ignore[attr-defined]
    parts = [run.works[0].orthogonal.weights[name] * one for name, one in scores.items()]  # type: ignore[attr-defined]
    np.testing.assert_allclose(tf.add_n(parts) + run.model.get_layer("head").bias, logits, rtol=1e-5, atol=1e-5)


def test_a_step_adds_the_weighted_loss_of_the_batch_that_is_trained_on(run_of: Callable[..., Run]) -> None:
    run = run_of("crmt+adversarial", crmt={"weight": 3.0}, adversarial={"budget": 0.1})
    plain = run_of("crmt+adversarial", crmt={"weight": 0.0}, adversarial={"budget": 0.1})
    batch, labels = batch_of(run)
    step = run.step(batch, labels, SEED)
    assert not np.array_equal(step.batch["eye"], batch["eye"])
    work: Any = run.works[0]
    scores = work.orthogonal.scores(run.view.forward(step.batch, training=True).features)
    expected = 3.0 * float(tf.reduce_mean(margin_losses(scores, labels)))
    assert float(run.loss(step)) - float(plain.loss(plain.step(batch, labels, SEED))) == pytest.approx(expected,
                                                                                                        rel=1e-4)


def test_mixed_samples_have_the_mixed_loss(run_of: Callable[..., Run]) -> None:
    run = run_of("crmt+mixup")
    batch, labels = batch_of(run)
    step = run.step(batch, labels, SEED)
    (share, _), (_, others) = step.targets.parts
    work: Any = run.works[0]
    scores = work.orthogonal.scores(step.forward.features)
    each = [float(tf.reduce_mean(margin_losses(scores, of))) for of in (labels, others)]
    assert float(work.term(step)) == pytest.approx(2 * (float(share) * each[0] + (1 - float(share)) * each[1]),
                                                   rel=1e-5)
    assert isinstance(step.targets, Targets)


@pytest.fixture(scope="module")
def trained(senses: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Network:
    return train_or_load("small-late", senses, CONFIG, tmp_path_factory.mktemp("crmt"))


def test_training_ends_in_a_plain_layer_with_orthogonal_rows(trained: Network) -> None:
    layer = trained.model.get_layer("head")
    assert type(layer).__name__ == "Dense"
    halves = np.split(layer.kernel.numpy(), 2)
    assert max(off_orthogonal((rows / np.linalg.norm(rows, axis=0)).T) for rows in halves) < 1e-5
    facts = load_network(trained.path).table["objective"]["crmt"]
    before, after = facts["before"], facts["after"]
    assert after["joint_radius_mean"] > before["joint_radius_mean"]
    lengths = [np.linalg.norm([*one["weights"]["eye"], *one["weights"]["ear"]]) for one in (before, after)]
    assert lengths[0] == pytest.approx(lengths[1], rel=1e-4)
    np.testing.assert_allclose(np.linalg.norm(halves[0], axis=0), np.abs(after["weights"]["eye"]), atol=1e-5)


def test_an_interrupted_training_ends_alike(trained: Network, senses: Dataset, tmp_path: Path) -> None:
    class Interrupted(Exception):
        pass

    def stop(line: str) -> None:
        if "epoch 1/" in line:
            raise Interrupted

    with pytest.raises(Interrupted):
        train_or_load("small-late", senses, CONFIG, tmp_path, report=stop)
    assert train_or_load("small-late", senses, CONFIG, tmp_path).sha256 == trained.sha256


@pytest.mark.parametrize(("steps", "term", "second"), [("first", True, False), ("second", False, True),
                                                       ("head", False, False)])
def test_each_step_can_be_left_out(steps: str, term: bool, second: bool, run_of: Callable[..., Run]) -> None:
    run = run_of("crmt", crmt={"steps": steps})
    step = run.step(*batch_of(run), SEED)
    before = [one.numpy() for one in run.variables]
    assert (run.works[0].term(step) is not None) == term
    assert bool(run.finish()) == second
    head: Any = run.works[0]
    changed = [not np.array_equal(one, old) for one, old in zip(run.variables, before, strict=True)]
    names = {one.name for one, moved in zip(run.variables, changed, strict=True) if moved}
    assert names == {"head/kernel:0"} | ({one.name for one in head.orthogonal.weights.values()} if second else set())


def test_lipschitz_estimates_are_the_steepest_gradients(run_of: Callable[..., Run]) -> None:
    """A branch is relu(A x): on samples whose units are all on, the gradient of score k is (W A)_k.

    Inputs count in units of their budgets.
    """
    budget = {"eye": 0.5, "ear": 2.0}
    run = run_of("crmt", crmt={"budget": budget, "slope_samples": 6})
    for name in ("eye", "ear"):
        run.model.get_layer(f"{name}_dense").bias.assign(np.full(5, 100.0))
    work: Any = run.works[0]
    scored = work.scored(run.dataset.train)
    for place, name in enumerate(("eye", "ear")):
        rows = orthonormal(work.orthogonal.directions[name]).numpy()
        slopes = np.linalg.norm(rows @ run.model.get_layer(f"{name}_dense").kernel.numpy().T, axis=1)
        np.testing.assert_allclose(scored.slopes[place], budget[name] * slopes, rtol=1e-5)
    ahead = scored.ahead(np.full((2, 3), 0.1))
    run.publish()
    logits = predict(run.model, run.dataset.train.balanced(60, seed=0))
    np.testing.assert_allclose(ahead, logits[np.arange(60), scored.labels][:, None] - logits, rtol=1e-4, atol=1e-4)


def test_rounded_training_goes_on_with_the_rounded_folded_head(trained: Network, senses: Dataset,
                                                               tmp_path: Path) -> None:
    recipe = Recipe("w5", dict.fromkeys((*SHAPES, "shared"), 5), methods=("qat",))
    start = fake.fake_quantised(folded(trained.model), recipe, senses.train)
    run = Run(start, senses, parts_of("crmt", {}), 0, 1, 3, 20, 1e-3)
    batch, _ = batch_of(run)
    before = run.model(batch)
    np.testing.assert_allclose(run.logits(batch, training=False), before, rtol=1e-5, atol=1e-5)
    network = qat.train_or_load(trained, recipe, senses, tmp_path, epochs=1)
    kernel, old = (one.model.get_layer("head").kernel.numpy() for one in (network, trained))
    assert not np.array_equal(kernel, old)
    assert all(len(np.unique(np.abs(column))) <= 16 for column in kernel.T), "5 bits: 15 sizes and 0"
    for rows in np.split(kernel, 2):  # orthogonal up to rounding
        assert off_orthogonal((rows / np.linalg.norm(rows, axis=0)).T) < 0.3


@pytest.mark.parametrize(("network", "settings", "words"), [
    ("small-early", {}, "crmt needs a network whose last layer is dense and reads features of each input apart"),
    ("small-late", {"steps": "frist"}, "unknown steps 'frist' .did you mean 'first'"),
    ("small-late", {"radius": "single"}, "unknown radius 'single'.* joint, least, balanced"),
    ("small-late", {"weight": -1.0}, "weight -1.0"),
    ("small-late", {"budget": {"eye": 0.1}}, "step 2 measures radii in it, so give .* for each of eye, ear"),
    ("small-late", {"budget": {"eye": 0.1, "ears": 0.1}}, "budget for 'ears' .did you mean 'ear'"),
    ("small-late", {"samples": 0}, "at least one sample")])
def test_what_crmt_cannot_do_is_one_line(network: str, settings: Any, words: str, senses: Dataset) -> None:
    with pytest.raises(UsageError, match=words):
        train(network, senses, TrainConfig(epochs=1, batch_size=20, objective="crmt", settings={"crmt": settings}))


def test_too_few_features_are_one_line(senses: Dataset) -> None:
    many = replace(senses, classes=tuple("abcdef"))
    with pytest.raises(UsageError, match=r"branch 'eye' .* has 5 features for 6 classes"):
        train("small-late", many, TrainConfig(epochs=1, batch_size=20, objective="crmt"))


def test_training_that_diverges_says_so(senses: Dataset) -> None:
    part = senses.train
    broken = replace(part, inputs={name: np.full_like(values, np.nan) for name, values in part.inputs.items()})
    with pytest.raises(ModelError, match="diverged in epoch 1"):
        train("small-late", replace(senses, train=broken), TrainConfig(epochs=1, batch_size=20, objective="crmt"))
