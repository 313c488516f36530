"""Networks whose builder names the features of each input, though all inputs reach them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import UsageError
from tinyfuse.nn import zoo
from tinyfuse.nn.objectives.run import Run
from tinyfuse.nn.objectives.view import View
from tinyfuse.nn.zoo.transformer import STREAM

tf = tensorflow()


def mingled(inputs: Mapping[str, Any], classes: int) -> Any:
    """Features of each input that depend on all; the head reads them in another order than that of the inputs."""
    layers = zoo.keras().layers
    every = layers.Concatenate()([layers.Flatten()(values) for values in inputs.values()])
    found = [layers.Dense(width, activation="relu", name=STREAM.format(name))(every)
             for name, width in zip(reversed(inputs), (4, 5), strict=True)]
    return layers.Dense(classes, name="head")(layers.Concatenate()(found))


@pytest.fixture
def run(run_of: Callable[..., Run]) -> Run:
    """A run of CRMT's first step."""
    zoo.register("mingled", mingled)
    return run_of("crmt", "mingled", crmt={"steps": "first"})


def batch_of(run: Run) -> dict[str, Any]:
    return {name: tf.constant(values) for name, values in run.dataset.train.take(slice(0, 8)).inputs.items()}


def test_features_by_stream_are_what_the_named_layers_hand_on(run: Run) -> None:
    view = run.view
    assert list(view.streams) == ["ear", "eye"] and view.branches == ("eye+ear",)
    batch = batch_of(run)
    found = view.of_streams(view.forward(batch, training=False).features)
    for name, features in found.items():
        layer = view.model.get_layer(STREAM.format(name))
        assert np.array_equal(features, zoo.keras().Model(view.model.input, layer.output)(batch))


def test_of_branches_apart_the_streams_are_the_branches(run_of: Callable[..., Run]) -> None:
    view = run_of("plain").view
    features = view.forward(batch_of(run_of("plain")), training=False).features
    assert view.streams is view.rows and view.of_streams(features) is features


def test_the_first_step_of_crmt_folds_into_the_head(run: Run) -> None:
    batch = batch_of(run)
    before = np.asarray(run.logits(batch, training=False))
    for work in run.works:
        work.publish()
    assert np.allclose(run.view.model(batch, training=False), before, atol=1e-5)


def test_the_second_step_needs_branches_apart(run_of: Callable[..., Run], run: Run) -> None:
    with pytest.raises(UsageError, match=r"step 2 needs features that depend on one input each.*set crmt\.steps=first"):
        run_of("crmt", "mingled")


def test_no_streams_where_the_head_reads_something_else(run_of: Callable[..., Run]) -> None:
    view = run_of("plain", "small-early").view
    assert view.streams is view.rows
    with pytest.raises(UsageError, match="reads features of eye and ear together"):
        view.need_streams("crmt")


def test_the_transformer_has_a_stream_for_each_input(run: Run) -> None:
    view = View(zoo.build("mmt", run.dataset.inputs, 3))
    assert {name: (rows[0], rows[-1]) for name, rows in view.streams.items()} == {"eye": (0, 31), "ear": (32, 63)}
