"""A network of two small branches on two inputs, and data that it half knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyfuse.analyses import AnalysisSubject
from tinyfuse.attacks.targets.twin_target import TwinTarget
from tinyfuse.core.backend import tensorflow
from tinyfuse.data import Dataset
from tinyfuse.integer.model import load_model
from tinyfuse.nn.network import open_network
from tinyfuse.quantize.convert import baseline, convert
from tinyfuse.quantize.recipe import read_recipe

SHAPES = {"cam": (8, 8, 1), "mic": (6, 4, 2)}
CLASSES = ("a", "b", "c")


def small_network(seed: int = 0) -> Any:
    """Convolution, batch norm, a residual block and pooling in each branch, whose statistics are not trivial."""
    tensorflow()
    import tf_keras
    from tf_keras import layers

    inputs = {name: tf_keras.Input(shape, name=name) for name, shape in SHAPES.items()}
    ends = []
    for name, tensor in inputs.items():
        x = layers.Conv2D(4, 3, strides=2, padding="same", name=f"{name}_stem")(tensor)
        x = layers.ReLU(name=f"{name}_stem_relu")(layers.BatchNormalization(name=f"{name}_norm")(x))
        y = layers.Conv2D(4, 3, padding="same", activation="relu", name=f"{name}_conv1")(x)
        y = layers.Conv2D(4, 3, padding="same", name=f"{name}_conv2")(y)
        x = layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([x, y]))
        x = layers.AveragePooling2D(tuple(x.shape[1:3]), name=f"{name}_pool")(x)
        ends.append(layers.Flatten(name=f"{name}_flatten")(x))
    model = tf_keras.Model(inputs, layers.Dense(3, name="head")(layers.Concatenate(name="joined")(ends)), name="small")
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        low = 0.5 if "variance" in weight.name or "gamma" in weight.name else -0.7
        weight.assign(rng.uniform(low, 0.9, weight.shape))
    return model


@pytest.fixture(scope="session")
def small() -> Any:
    return small_network()


@pytest.fixture(scope="session")
def half_known(small: Any) -> Dataset:
    """Samples whose labels are those of the network, but for every fifth."""
    rng = np.random.default_rng(1)
    inputs = {name: rng.uniform(0, 1, (160, *shape)).astype(np.float32) for name, shape in SHAPES.items()}
    logits = np.asarray(small(inputs))
    label = (logits - np.median(logits, axis=0)).argmax(axis=1)  # classes of about the same size
    small.get_layer("head").bias.assign(np.asarray(small.get_layer("head").bias) - np.median(logits, axis=0))
    label[::5] = (label[::5] + 1) % 3
    return Dataset.from_arrays(inputs, label, classes=CLASSES, low=0.0, high=1.0, name="half",
                               part=np.repeat(["train", "validation", "test"], [100, 20, 40]))


@pytest.fixture(scope="session")
def small_file(small: Any, half_known: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network as somebody saved it."""
    path = tmp_path_factory.mktemp("small") / "small.keras"
    small.save(path)
    return path


@pytest.fixture(scope="session")
def subject(small_file: Path, half_known: Dataset) -> AnalysisSubject:
    return AnalysisSubject.of_network(open_network(small_file, half_known), half_known)


@pytest.fixture(scope="session")
def small_twin(small_file: Path, half_known: Dataset) -> AnalysisSubject:
    """The same network in 8-bit integers."""
    network = open_network(small_file, half_known)
    model = load_model(convert(baseline(network, half_known.train), read_recipe("w8")).data, name="small")
    return AnalysisSubject("small", "w8", "0" * 64, 0, network.inputs, half_known, TwinTarget(model))
