"""A loss on what each input says alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import UsageError
from tinyfuse.nn.objectives.branch_scores import branch_logits
from tinyfuse.nn.objectives.objective import Targets
from tinyfuse.nn.objectives.run import Run, cross_entropy

tf = tensorflow()
SEED = np.array([3, 4], np.int32)


def batch_of(run: Run, count: int = 12) -> tuple[dict[str, Any], Any]:
    part = run.dataset.train.take(slice(0, count))
    return {name: tf.constant(values) for name, values in part.inputs.items()}, tf.constant(part.label)


def test_logits_of_the_branches_add_up_to_those_of_the_network(run_of: Callable[..., Run]) -> None:
    run = run_of("plain")
    run.view.head.bias.assign([1.0, -2.0, 3.0])
    forward = run.view.forward(batch_of(run)[0], training=False)
    found = branch_logits(run, forward.features)
    np.testing.assert_allclose(sum(found.values()), forward.logits, atol=1e-5)
    kernel = run.view.head.kernel.numpy()[run.view.rows["ear"]]
    np.testing.assert_allclose(found["ear"], forward.features["ear"] @ kernel + np.array([0.5, -1.0, 1.5]), atol=1e-5)


@pytest.mark.parametrize("in_attack", [False, True])
def test_the_cross_entropy_of_each_input_is_added(in_attack: bool, run_of: Callable[..., Run]) -> None:
    plain, run = run_of("plain"), run_of("single", single={"weight": 0.25, "in_attack": in_attack})
    batch, labels = batch_of(run)
    alone = branch_logits(run, run.view.forward(batch, training=False).features)
    extra = 0.25 * sum(cross_entropy(one, Targets.of(labels)) for one in alone.values())
    loss, base = run.gradients(batch, labels, SEED)[0], plain.gradients(batch, labels, SEED)[0]
    np.testing.assert_allclose(loss, base + tf.reduce_mean(extra), rtol=1e-6)
    attack = run.attack_loss(batch, Targets.of(labels)) - plain.attack_loss(batch, Targets.of(labels))
    np.testing.assert_allclose(attack, extra if in_attack else 0 * extra, atol=1e-6)


def test_without_weight_it_is_joint_training(run_of: Callable[..., Run]) -> None:
    plain, run = run_of("plain"), run_of("single", single={"weight": 0.0})
    batch, labels = batch_of(run)
    for one, other in zip(plain.gradients(batch, labels, SEED)[1], run.gradients(batch, labels, SEED)[1], strict=True):
        np.testing.assert_array_equal(one, other)


def test_mixed_labels_count_by_their_weights(run_of: Callable[..., Run]) -> None:
    run = run_of("single")
    batch, labels = batch_of(run)
    forward = run.view.forward(batch, training=False)

    def terms(targets: Targets) -> Any:
        return run.works[0].attack_term(batch, targets, forward)

    other = labels[::-1]
    mixed = terms(Targets(((0.3, labels), (0.7, other))))
    np.testing.assert_allclose(mixed, 0.3 * terms(Targets.of(labels)) + 0.7 * terms(Targets.of(other)), rtol=1e-5)


def test_what_cannot_be_is_one_line(run_of: Callable[..., Run]) -> None:
    with pytest.raises(UsageError, match="single needs a network whose last layer is dense"):
        run_of("single", network="small-early")
    with pytest.raises(UsageError, match="weight is -1"):
        run_of("single", single={"weight": -1.0})
