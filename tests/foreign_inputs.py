"""Two data sets and networks that have nothing to do with digits: three sensors, and one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tinyfuse.data import Axis, Dataset, Input, Samples

CLASSES = ("still", "walk", "run", "jump", "fall")
CAMERA = Input("camera", (16, 20, 3), axes={"rows": Axis(60, 16), "columns": Axis(3, 20)})
MIC = Input("mic", (24, 12, 1), low=-2.0, high=2.0, unit="z-score",
            axes={"frames": Axis(12, 24), "bands": Axis(1, 12)}, valid=((0, 264),))
IMU = Input("imu", (32, 6), low=-4.0, high=4.0, unit="g", axes={"time": Axis(6, 32), "channels": Axis(1, 6)})


def samples(inputs: Sequence[Input], n: int, seed: int) -> Samples:
    """Samples of which each input shows its class: a prototype with noise, 0 where an input is padding."""
    rng, label = np.random.default_rng(seed), np.arange(n) % len(CLASSES)
    values = {}
    for number, one in enumerate(inputs):
        prototypes = np.random.default_rng(number).uniform(one.low, one.high, (len(CLASSES), *one.shape))
        noisy = 0.6 * prototypes[label] + 0.4 * rng.uniform(one.low, one.high, (n, *one.shape))
        values[one.name] = (noisy * one.valid_mask()).astype(np.float32)
    return Samples(values, label.astype(np.int64), np.arange(n) + 10_000 * seed)


def source(name: str, inputs: tuple[Input, ...]) -> Callable[..., Dataset]:
    """A loader of a data set with ``inputs``, as a user would register one."""
    def load(source: str | None, *, seed: int = 0, limit: int | None = None) -> Dataset:
        del source
        sizes = [min(n, limit or n) for n in (200, 60, 60)]
        parts = [samples(inputs, n, 10 * seed + part) for part, n in enumerate(sizes)]
        return Dataset(name, inputs, CLASSES, *parts, checksum=f"{name}-{seed}-{limit}", seed=seed)

    return load


def trio(inputs: Mapping[str, Any], classes: int) -> Any:
    """Camera and microphone meet after one convolution each; the motion sensor joins before the last layer.

    Layer names are chosen to mislead: which input a layer belongs to has to follow from the data flow.
    """
    from tf_keras import layers

    def block(x: Any, name: str, **settings: Any) -> Any:
        x = layers.Conv2D(8, name=name, **settings)(x)
        return layers.ReLU(name=f"{name}_relu")(layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x))

    eye = block(inputs["camera"], "mic_first", kernel_size=3, strides=4, padding="same")
    ear = block(inputs["mic"], "camera_first", kernel_size=(6, 4), strides=(6, 2))
    x = block(layers.Concatenate(name="early")([eye, ear]), "imu_like", kernel_size=3, padding="same")
    seen = layers.Flatten(name="seen")(layers.AveragePooling2D((4, 5), name="seen_pool")(x))
    y = block(layers.Reshape((32, 1, 6), name="as_map")(inputs["imu"]), "rows", kernel_size=(5, 1), strides=(2, 1),
              padding="same")
    felt = layers.Flatten(name="felt")(layers.AveragePooling2D((16, 1), name="felt_pool")(y))
    return layers.Dense(classes, name="head")(layers.Concatenate(name="late")([seen, felt]))


def solo(inputs: Mapping[str, Any], classes: int) -> Any:
    """A network of one input."""
    from tf_keras import layers

    x = layers.Conv2D(8, 3, strides=2, padding="same", name="first")(inputs["mic"])
    x = layers.ReLU(name="first_relu")(layers.BatchNormalization(momentum=0.9, name="first_bn")(x))
    x = layers.AveragePooling2D((3, 3), name="pool")(x)
    return layers.Dense(classes, name="head")(layers.Flatten(name="flat")(x))


KINDS = {"trio": ((CAMERA, MIC, IMU), trio), "solo": ((MIC,), solo)}
"""By name of the data set and the network: inputs and builder."""
