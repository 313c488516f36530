"""An autoencoder learns normal samples and tells anomalies by their error."""

from __future__ import annotations

import dataclasses

import autoencoders
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tinyfuse.core.errors import UsageError
from tinyfuse.data import Dataset, Input
from tinyfuse.nn.objectives.reconstruction import anomaly_scores, auc
from tinyfuse.nn.predict import predict
from tinyfuse.nn.train import TrainConfig, train

CONFIG = TrainConfig(epochs=4, batch_size=20, learning_rate=0.01, objective="reconstruction")


@pytest.fixture(scope="module")
def machine() -> Dataset:
    return autoencoders.machine(every=4, spread=1.0)


def test_it_learns_what_is_normal(machine: Dataset) -> None:
    trained = train("anomaly-detection", machine, CONFIG)
    scores = anomaly_scores(predict(trained.model, machine.test), machine.test.inputs)
    assert trained.test_accuracy == auc(scores, machine.test.label) > 0.9
    assert np.median(scores[machine.test.label == 1]) > 3 * np.median(scores[machine.test.label == 0])


@pytest.mark.parametrize("seed", range(5))
def test_the_auc_is_the_one_of_the_field(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, labels = rng.integers(0, 9, 50) / 3, rng.integers(0, 2, 50)
    assert auc(scores, labels) == pytest.approx(roc_auc_score(labels, scores))


@pytest.mark.parametrize("labels", [np.zeros(3, int), np.ones(3, int)])
def test_both_kinds_are_needed(labels: np.ndarray) -> None:
    with pytest.raises(UsageError, match="need both kinds"):
        auc(np.arange(3), labels)


def test_networks_and_objectives_that_do_not_fit_are_one_line(machine: Dataset) -> None:
    with pytest.raises(UsageError, match=r"returns 24 values, but the objective 'plain' needs the 2 classes"):
        train("anomaly-detection", machine, dataclasses.replace(CONFIG, objective="plain"))
    flat = dataclasses.replace(machine, inputs=(Input("spectrum", (4, 6, 1)),))
    with pytest.raises(UsageError, match=r"returns 2 values, but the objective 'reconstruction' needs the 24 values"):
        train("late", flat, CONFIG)
    for objective in ("reconstruction+adversarial", "mixup+reconstruction"):
        with pytest.raises(UsageError, match="an autoencoder returns no classes"):
            train("anomaly-detection", machine, dataclasses.replace(CONFIG, objective=objective))
