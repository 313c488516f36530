"""A user's network of three sensors with layers that people use, and data for it; built by tf_keras or by Keras 3."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyfuse.data import Dataset, Input, Samples

CLASSES = ("rest", "walk", "run", "fall")
INPUTS = (Input("camera", (12, 12, 3), 0.0, 255.0), Input("mic", (20, 4), -3.0, 3.0), Input("imu", (6,), -2.0, 2.0))


def samples(n: int, seed: int) -> Samples:
    """Samples of noise."""
    rng = np.random.default_rng(seed)
    values = {one.name: rng.uniform(one.low, one.high, (n, *one.shape)).astype(np.float32) for one in INPUTS}
    return Samples(values, np.arange(n) % len(CLASSES), np.arange(n) + 1000 * seed)


def dataset() -> Dataset:
    """40 samples in each part."""
    return Dataset("own", INPUTS, CLASSES, *(samples(40, seed) for seed in (1, 2, 3)), checksum="1" * 64)


def trio(keras: Any) -> Any:
    """Three inputs; two outputs, "kind" (probabilities) and "side"; every weight random, batch norms too."""
    layers = keras.layers
    keras.utils.set_random_seed(1)
    camera, mic, imu = (keras.Input(one.shape, name=one.name) for one in INPUTS)
    x = layers.Rescaling(1 / 127.5, -1.0, name="scaled")(camera)
    x = layers.Conv2D(6, 3, strides=2, padding="same", use_bias=False, name="see")(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization(name="see_norm")(x))
    x = layers.DepthwiseConv2D(3, padding="same", strides=2, name="deep")(x)
    x = layers.Activation("relu")(layers.Dropout(0.25)(layers.BatchNormalization(name="deep_norm")(x)))
    x = layers.SeparableConv2D(8, 3, padding="same", activation="relu", name="split")(x)
    x = layers.Add()([x, layers.Conv2D(8, 1, name="short")(x)])
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    ear = keras.Sequential([keras.Input((20, 4)), layers.Conv1D(6, 3, padding="causal", activation="relu", name="hear"),
                            layers.BatchNormalization(name="hear_norm"), layers.MaxPooling1D(2),
                            layers.Conv1D(6, 3, strides=2, activation="leaky_relu", name="hear2"),
                            layers.GlobalMaxPooling1D()], name="ear")
    z = layers.Multiply()([layers.Dense(6, activation="sigmoid", name="gate")(imu),
                           layers.Dense(6, activation="tanh", name="feel")(imu)])
    both = layers.BatchNormalization(name="lone")(layers.Concatenate()([x, ear(mic), z]))
    hidden = layers.Dense(12, activation="relu", name="hidden")(both)
    kind = layers.Dense(len(CLASSES), activation="softmax", name="kind")(hidden)
    model = keras.Model([camera, mic, imu], [kind, layers.Dense(2, name="side")(hidden)], name="trio")
    rng = np.random.default_rng(0)
    for layer in [*model.layers, *model.get_layer("ear").layers]:
        if type(layer).__name__ == "BatchNormalization":
            n = layer.gamma.shape[0]
            layer.set_weights([rng.uniform(0.5, 1.5, n), rng.normal(0, 0.3, n), rng.normal(0, 0.3, n),
                               rng.uniform(0.5, 2, n)])
    return model
