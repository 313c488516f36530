"""Catastrophic overfitting: found by what it is, named in a line and in facts, kept by a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tinyfuse.nn.objectives.overfitting import Monitor
from tinyfuse.nn.objectives.run import Run
from tinyfuse.nn.objectives.training_threat import TrainingThreat

Make = Callable[..., Run]


@pytest.fixture
def monitor(run_of: Make) -> Monitor:
    run = run_of("plain")
    return Monitor(run, TrainingThreat.of(run.inputs, 0.3, "linf", (), "monitor"))


def test_a_fall_under_pgd_alone_is_named_with_its_epoch(monitor: Monitor) -> None:
    for epoch, (fgsm, pgd) in enumerate([(0.5, 0.45), (0.7, 0.6), (0.75, 0.41)]):
        assert monitor.judge(epoch, fgsm, pgd) is None  # up, then down by no more than 0.2
    assert monitor.facts() == {}
    said = monitor.judge(3, 0.95, 0.05)
    assert said is not None and "catastrophic overfitting in epoch 4" in said and "fell from 0.41 to 0.05" in said
    assert monitor.judge(4, 0.97, 0.3) is None
    assert monitor.judge(5, 0.97, 0.0) is not None
    assert monitor.facts() == {"catastrophic_overfitting": 4}  # the first one


def test_a_network_that_loses_both_accuracies_is_not_called_so(monitor: Monitor) -> None:
    monitor.judge(0, 0.8, 0.7)
    assert monitor.judge(1, 0.3, 0.2) is None and monitor.facts() == {}


def test_its_state_goes_on_after_an_interruption(monitor: Monitor) -> None:
    monitor.judge(0, 0.8, 0.7)
    other = Monitor(monitor.run, monitor.threat)
    for variable, value in zip(other.state, monitor.state, strict=True):
        variable.assign(value)
    assert other.judge(1, 0.9, 0.1) is not None


def test_accuracies_are_those_of_attacks_on_training_samples(monitor: Monitor,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    # The network is wrong in a pocket that one step of epsilon leaps over and that shorter steps meet.
    samples = monitor.run.dataset.train.balanced(60, seed=0)

    def logits(batch: Any, training: bool) -> Any:
        change = tf.reduce_max(batch["ear"] - samples.inputs["ear"], 1)
        wrong = tf.logical_and(change > 0.02, change < 0.1)
        return tf.one_hot(tf.where(wrong, (samples.label + 1) % 3, samples.label), 3)

    monkeypatch.setattr(monitor.run, "logits", logits)
    monkeypatch.setattr(monitor.run, "attack_loss", lambda batch, targets: tf.reduce_sum(batch["ear"], 1))
    assert monitor.accuracies() == (1.0, 0.0)


def test_training_reports_it_and_the_table_holds_it(run_of: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of("adversarial")
    said: list[str] = []
    monkeypatch.setattr(run, "report", said.append)
    accuracies = iter([(0.8, 0.7), (0.9, 0.1)])
    monkeypatch.setattr(Monitor, "accuracies", lambda self: next(accuracies))
    for epoch in range(2):
        run.epoch_end(epoch)
    assert len(said) == 1 and said[0].startswith("catastrophic overfitting in epoch 2")
    assert run.finish() == {"adversarial": {"catastrophic_overfitting": 2}}
    assert len(run.state) == 3 and np.isclose(float(run.state[0]), 0.1)
