"""Small late-fusion networks for tests of objectives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from tinyfuse.data import Dataset, Input, Samples
from tinyfuse.nn import zoo
from tinyfuse.nn.objectives import parts_of
from tinyfuse.nn.objectives.run import Run

SHAPES = {"eye": (4, 4, 1), "ear": (6,)}
CLASSES = 3


def make_samples(count: int, seed: int) -> Samples:
    """Samples whose inputs each show their class, by a prototype with noise, in [0, 1]."""
    rng, prototypes = np.random.default_rng(seed), np.random.default_rng(99)
    label = np.arange(count) % CLASSES
    inputs = {name: np.clip(0.6 * prototypes.random((CLASSES, *shape))[label] + 0.4 * rng.random((count, *shape)), 0, 1)
              .astype(np.float32) for name, shape in SHAPES.items()}
    return Samples(inputs, label.astype(np.int64), np.arange(count) + 1000 * seed)


def small_late(inputs: Mapping[str, Any], classes: int) -> Any:
    """One dense layer with ReLU for each input, concatenated before a dense head."""
    layers = zoo.keras().layers
    features = [layers.Dense(5, activation="relu", name=f"{name}_dense")(layers.Flatten()(values))
                for name, values in inputs.items()]
    return layers.Dense(classes, name="head")(layers.Concatenate(name="join")(features))


def small_early(inputs: Mapping[str, Any], classes: int) -> Any:
    """All inputs together from the first layer on."""
    layers = zoo.keras().layers
    joined = layers.Concatenate()([layers.Flatten()(values) for values in inputs.values()])
    return layers.Dense(classes, name="head")(layers.Dense(6, activation="relu")(joined))


@pytest.fixture(scope="session")
def senses() -> Dataset:
    """Data of two inputs and three classes: 60 training samples, 30 for validation and test each."""
    zoo.register("small-late", small_late)
    zoo.register("small-early", small_early)
    return Dataset("senses", tuple(Input(name, shape) for name, shape in SHAPES.items()),
                   tuple("abc"), make_samples(60, 1), make_samples(30, 2), make_samples(30, 3), "5" * 64)


@pytest.fixture
def run_of(senses: Dataset) -> Callable[..., Run]:
    """f(objective, network="small-late", seed=0, **settings of its parts): the run of a training on ``senses``."""
    def made(objective: str, network: str = "small-late", seed: int = 0, **settings: Mapping[str, Any]) -> Run:
        model = zoo.build(network, senses.inputs, CLASSES, seed=seed)
        named = {name.replace("_", "-"): table for name, table in settings.items()}
        return Run(model, senses, parts_of(objective, named), seed, 2, 3)

    return made
