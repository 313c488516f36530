"""GradAlign: cosines of gradients in closed form, its weight, and second derivatives through a network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from tinyfuse.core.errors import UsageError
from tinyfuse.nn.objectives.grad_align import LARGEST, GradAlignWork, misalignment, published_weight
from tinyfuse.nn.objectives.objective import Step
from tinyfuse.nn.objectives.run import Run, cross_entropy

Make = Callable[..., Run]
SEED = tf.constant([3, 4])


def work_of(run: Run) -> GradAlignWork:
    [work] = [one for one in run.works if isinstance(one, GradAlignWork)]
    return work


def term_free(run: Run, step: Step) -> float:
    return float(np.mean(cross_entropy(step.logits, step.targets)))


def test_misalignment_is_one_minus_the_cosine_of_samples_with_gradients() -> None:
    here = tf.constant([[1.0, 0.0], [3.0, 4.0], [1.0, 1.0], [0.0, 0.0]])
    there = tf.constant([[0.0, 2.0], [6.0, 8.0], [-1.0, -1.0], [1.0, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch([here, there])
        found = misalignment(here, there)
    assert float(found) == pytest.approx((1 + 0 + 2) / 3, abs=1e-6)  # the last has no gradient and is left out
    assert all(np.isfinite(one).all() for one in tape.gradient(found, [here, there]))
    assert float(misalignment(tf.zeros([2, 3]), tf.zeros([2, 3]))) == 0


@pytest.mark.parametrize(("epsilon", "expected"), [(8 / 255, 0.2), (16 / 255, 2.0), (0.1, 2.0), (0.0, 0.02)])
def test_published_weight(epsilon: float, expected: float) -> None:
    assert published_weight(epsilon) == pytest.approx(expected)
    assert pytest.approx(16 / 255) == LARGEST


def test_term_is_zero_for_a_linear_loss_and_trains_where_the_network_bends(run_of: Make,
                                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of("adversarial+grad-align", adversarial={"budget": {"eye": 0.3}}, grad_align={"weight": 2.0})
    samples = run.dataset.train.take(slice(0, 12))
    batch = {name: tf.constant(values) for name, values in samples.inputs.items()}
    step, work = run.step(batch, tf.constant(samples.label), SEED), work_of(run)
    loss, updates, _ = tf.function(run.gradients)(batch, tf.constant(samples.label), SEED)
    assert float(loss) > float(term_free(run, step)) and all(np.isfinite(one).all() for one in updates)
    with tf.GradientTape() as tape:
        term = work.term(step)
    gradients = tape.gradient(term, run.model.trainable_variables, unconnected_gradients="zero")
    assert 0 < float(term) < 2 * 2.0
    assert sum(bool(np.any(gradient)) for gradient in gradients) >= 2  # second derivatives reach kernels below
    slope = tf.random.stateless_normal([4, 4, 1], SEED)
    monkeypatch.setattr(run, "attack_loss", lambda point, targets: tf.reduce_sum(point["eye"] * slope, [1, 2, 3]))
    assert float(work.term(step)) == pytest.approx(0, abs=1e-6)


def test_weight_follows_the_largest_budget_of_the_adversary(run_of: Make) -> None:
    run = run_of("adversarial+grad-align", adversarial={"budget": {"eye": 4 / 255, "ear": 8 / 255}})
    assert work_of(run).weight == pytest.approx(0.2)


def test_noise_has_the_ramp_and_the_inputs_of_the_adversary(run_of: Make) -> None:
    """At the beginning of a ramp the ball is empty; where an input is drawn, half of the samples count."""
    run = run_of("adversarial+grad-align", adversarial={"budget": 0.3, "ramp": 0.5}, grad_align={"weight": 2.0})
    samples = run.dataset.train.take(slice(0, 12))
    batch = {name: tf.constant(values) for name, values in samples.inputs.items()}
    assert float(work_of(run).term(run.step(batch, tf.constant(samples.label), SEED))) == pytest.approx(0, abs=1e-6)
    here, there = tf.constant([[1.0, 0.0], [1.0, 0.0]]), tf.constant([[0.0, 1.0], [-1.0, 0.0]])
    assert float(misalignment(here, there, tf.constant([True, False]))) == pytest.approx(1.0)
    assert float(misalignment(here, there, tf.constant([False, False]))) == 0


def test_refusals(run_of: Make) -> None:
    with pytest.raises(UsageError, match="grad-align needs adversarial training beside it"):
        run_of("grad-align")
    with pytest.raises(UsageError, match="weight is -1"):
        run_of("adversarial+grad-align", grad_align={"weight": -1.0})
