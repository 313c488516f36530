"""Samples that show one input only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import UsageError
from tinyfuse.data import Samples
from tinyfuse.nn.objectives.objective import Targets
from tinyfuse.nn.objectives.run import Run
from tinyfuse.nn.predict import predict

tf = tensorflow()
SEED = np.array([3, 4], np.int32)


def test_a_share_of_the_samples_shows_one_input_and_the_means_of_the_others(run_of: Callable[..., Run]) -> None:
    run = run_of("input-dropout", input_dropout={"share": 0.6})
    values = {"eye": tf.random.stateless_uniform([2000, 4, 4, 1], SEED),
              "ear": tf.random.stateless_uniform([2000, 6], SEED)}
    found, _ = run.works[0].batch(values, Targets.of(tf.zeros([2000], tf.int64)), SEED)
    means = run.dataset.train.means(("eye", "ear"))
    kept = {name: np.all(found[name] == values[name], axis=tuple(range(1, values[name].ndim))) for name in values}
    for name, mean in means.items():
        assert np.array_equal(found[name][~kept[name]], np.broadcast_to(mean, found[name].shape)[~kept[name]])
    assert np.all(kept["eye"] | kept["ear"])
    assert abs(np.mean(kept["eye"] & kept["ear"]) - 0.4) < 0.05 and abs(np.mean(~kept["eye"]) - 0.3) < 0.05
    other, _ = run.works[0].batch(values, Targets.of(tf.zeros([2000], tf.int64)), SEED + 1)
    assert not np.array_equal(found["eye"], other["eye"])


def test_it_is_scored_by_each_input_alone(run_of: Callable[..., Run]) -> None:
    run = run_of("input-dropout", network="small-early")
    samples = run.dataset.validation
    shares = []
    for name in samples.inputs:
        alone: dict[str, Any] = {other: samples.inputs[other] if other == name else np.stack([mean] * len(samples))
                                 for other, mean in run.dataset.train.means(("eye", "ear")).items()}
        heard = predict(run.model, Samples(alone, samples.label, samples.group))
        shares.append(np.mean(heard.argmax(1) == samples.label))
    assert run.score(samples) == pytest.approx(np.mean(shares))


def test_what_it_cannot_do_is_said(run_of: Callable[..., Run]) -> None:
    with pytest.raises(UsageError, match="share is 0"):
        run_of("input-dropout", input_dropout={"share": 0})
