"""TRADES: its divergence in numbers, its start, its adversary and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tinyfuse.core.errors import UsageError
from tinyfuse.nn.objectives.objective import Targets
from tinyfuse.nn.objectives.run import Run, cross_entropy
from tinyfuse.nn.objectives.trades import NOISE, TradesWork, divergence, noisy

Make = Callable[..., Run]
SEED = tf.constant([3, 4])


def batch_of(run: Run, count: int = 12) -> tuple[dict[str, Any], Any]:
    samples = run.dataset.train.take(slice(0, count))
    return {name: tf.constant(values) for name, values in samples.inputs.items()}, tf.constant(samples.label)


def work_of(run: Run) -> TradesWork:
    [work] = [one for one in run.works if isinstance(one, TradesWork)]
    assert isinstance(work, TradesWork)
    return work


def test_divergence_is_that_of_clean_predictions_from_attacked_ones() -> None:
    logits, others = np.log([[0.5, 0.5]]), np.log([[0.9, 0.1]])
    assert divergence(logits, others).numpy()[0] == pytest.approx(0.510826, abs=1e-6)
    assert divergence(others, logits).numpy()[0] == pytest.approx(0.9 * np.log(1.8) + 0.1 * np.log(0.2))


def test_gradients_of_the_divergence_are_its_derivatives() -> None:
    logits, others = (tf.constant(np.random.default_rng(seed).normal(size=(4, 3))) for seed in (0, 1))
    with tf.GradientTape() as tape:
        tape.watch([logits, others])
        loss = tf.reduce_sum(divergence(logits, others) ** 2)
    found = tape.gradient(loss, [logits, others])
    for place in range(2):
        step = np.zeros((2, 4, 3))
        step[place, 2, 1] = 1e-6
        ahead, behind = (float(np.sum(divergence(logits + sign * step[0], others + sign * step[1]) ** 2))
                         for sign in (1, -1))
        assert float(found[place][2, 1]) == pytest.approx((ahead - behind) / 2e-6, rel=1e-5)


def test_divergence_has_no_gradient_where_the_start_has_no_noise(run_of: Make) -> None:
    run = run_of("trades")
    batch, _ = batch_of(run)
    before = run.logits(batch, training=False)
    with tf.GradientTape() as tape:
        tape.watch(batch)
        loss = tf.reduce_sum(divergence(before, run.logits(batch, training=False)))
    assert all(not np.any(gradient) for gradient in tape.gradient(loss, batch).values())
    moved = noisy(batch, work_of(run).threat, SEED)
    with tf.GradientTape() as tape:
        tape.watch(moved)
        loss = tf.reduce_sum(divergence(before, run.logits(moved, training=False)))
    assert all(np.any(gradient) for gradient in tape.gradient(loss, moved).values())


def test_start_is_normal_noise_within_ball_and_box(run_of: Make) -> None:
    threat = work_of(run_of("trades", trades={"budget": 0.03})).threat
    clean = {"eye": tf.fill([500, 4, 4, 1], 0.5), "ear": tf.zeros([500, 6])}
    moved = noisy(clean, threat, SEED)
    assert np.std(moved["eye"].numpy() - 0.5) == pytest.approx(NOISE, rel=0.05)
    assert moved["ear"].numpy().min() == 0 and np.mean(moved["ear"].numpy() == 0) == pytest.approx(0.5, abs=0.05)


def test_adversary_raises_the_divergence_in_the_ball(run_of: Make) -> None:
    run = run_of("trades", trades={"budget": {"eye": 0.1}})
    batch, _ = batch_of(run)
    moved = work_of(run).adversarial(batch, SEED)
    assert np.array_equal(moved["ear"], batch["ear"])
    assert 0.09 < np.abs(moved["eye"] - batch["eye"]).max() <= 0.1 + 1e-6
    start = noisy(batch, work_of(run).threat, SEED)
    logits = [run.logits(one, training=False) for one in (batch, start, moved)]
    assert np.mean(divergence(logits[0], logits[2])) > 100 * np.mean(divergence(logits[0], logits[1]))


def test_loss_is_cross_entropy_and_beta_times_the_mean_divergence(run_of: Make) -> None:
    run = run_of("trades", trades={"beta": 6.0, "budget": 0.1})
    batch, labels = batch_of(run)
    step = run.step(batch, labels, SEED)
    moved = work_of(run).adversarial(step.batch, step.seed)
    expected = (np.mean(cross_entropy(step.logits, Targets.of(labels)))
                + 6.0 * np.mean(divergence(step.logits, run.logits(moved, training=False))))
    assert float(run.loss(step)) == pytest.approx(float(expected), rel=1e-5)


def test_beside_awp_the_points_are_crafted_once(run_of: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of("trades+awp", trades={"budget": 0.1})
    work, crafted = work_of(run), []
    craft = work.adversarial
    monkeypatch.setattr(work, "adversarial", lambda clean, seed: crafted.append(1) or craft(clean, seed))
    batch, labels = batch_of(run)
    for _ in range(2):
        loss, updates, _ = run.gradients(batch, labels, tf.constant([3, 4]))
        assert np.isfinite(float(loss)) and all(np.isfinite(one).all() for one in updates)
    assert len(crafted) == 2  # one for each step


def test_refusals(run_of: Make) -> None:
    with pytest.raises(UsageError, match="trades has an adversary of its own"):
        run_of("adversarial+trades")
    with pytest.raises(UsageError, match="beta -1"):
        run_of("trades", trades={"beta": -1.0})
