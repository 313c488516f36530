"""Targets for the attack tests: a linear model in numpy with known answers, and a small tf_keras network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import analytic
import numpy as np
import pytest

from tinyfuse.attacks import Batch, DifferentiableTarget, Gradient, InputGrid

SHAPE = (28, 28, 1)


class Linear:
    """logits = sum over inputs of x @ weights[input] + bias, in float64, with the exact gradient."""

    executor = "numpy"

    def __init__(self, weights: dict[str, np.ndarray], bias: np.ndarray) -> None:
        self.name, self.weights, self.bias = "linear", weights, bias
        self.inputs = tuple(weights)
        self.grids: Mapping[str, InputGrid] | None = None
        self.gradient_calls = 0

    def logits(self, batch: Batch) -> np.ndarray:
        parts = [batch[name].reshape(len(batch[name]), -1).astype(np.float64) @ w for name, w in self.weights.items()]
        return np.asarray(sum(parts) + self.bias)

    def gradient(self, batch: Batch, labels: np.ndarray, wrt: tuple[str, ...],
                 loss: str = "cross-entropy") -> Gradient:
        self.gradient_calls += 1
        logits = self.logits(batch)
        shifted = logits - logits.max(axis=1, keepdims=True)
        probability = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
        error = probability - np.eye(logits.shape[1])[labels]
        gradients = {name: (error @ self.weights[name].T).reshape(batch[name].shape).astype(np.float32) for name in wrt}
        return Gradient(logits, -np.log(probability[np.arange(len(labels)), labels]), gradients)


@pytest.fixture(scope="session")
def linear() -> Callable[..., DifferentiableTarget]:
    """Build a random linear target of two inputs; ``scale`` sets how steep it is."""

    def build(classes: int = 10, seed: int = 0, scale: float = 0.3) -> DifferentiableTarget:
        random = np.random.default_rng(seed)
        weights = {name: random.normal(0, scale, (784, classes)) for name in ("image", "audio")}
        return Linear(weights, random.normal(0, 1, classes))

    return build


@pytest.fixture(scope="session")
def linear_of() -> Callable[..., DifferentiableTarget]:
    """The linear target with weights and bias of the test's choice."""
    return Linear


@pytest.fixture(scope="session")
def samples() -> Callable[..., tuple[dict[str, np.ndarray], np.ndarray]]:
    """Draw (batch, labels) of n samples."""
    return analytic.samples


@pytest.fixture(scope="session")
def network() -> Any:
    """A two-input tf_keras network (convolution, batch norm, ReLU, pooling) with logits that vary by sample."""
    import tf_keras as keras

    keras.utils.set_random_seed(1)
    inputs = {name: keras.Input(SHAPE, name=name) for name in ("image", "audio")}
    branches = []
    for name, tensor in inputs.items():
        branch = keras.layers.Conv2D(8, 3, strides=2, padding="same", name=f"{name}_conv")(tensor)
        branch = keras.layers.BatchNormalization(name=f"{name}_norm")(branch)
        branches.append(keras.layers.AveragePooling2D(2)(keras.layers.ReLU()(branch)))
    features = keras.layers.Flatten()(keras.layers.Concatenate()(branches))
    model = keras.Model(inputs=list(inputs.values()), outputs=keras.layers.Dense(10)(features), name="small")
    random = np.random.default_rng(2)
    for layer in model.layers:
        if layer.name.endswith("_norm"):
            layer.set_weights(
                [
                    random.uniform(0.5, 1.5, 8),
                    random.normal(0, 0.2, 8),
                    random.normal(0, 0.2, 8),
                    random.uniform(0.1, 0.3, 8),
                ]
            )
    return model
