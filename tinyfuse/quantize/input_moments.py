"""What the weights of each layer are multiplied with: mean and second moment of its input patches.

Rounding errors of weights matter as far as inputs carry them on: E[(x^T (w - q))^2] = (w - q)^T H (w - q) with
H = E[x x^T] over all patches x that a kernel is applied to (GPTQ, Frantar et al. 2023, eq. 1), and the mean error is
(q - w)^T m with m = E[x] (Nagel et al. 2019, section 4.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyfuse.core.backend import tensorflow
from tinyfuse.data import Pairs

BATCH = 20  # pairs whose patches are held at once


@dataclass(frozen=True)
class Moments:
    """Input patches x of one layer: ``mean`` m = E[x] float64 [k] and ``second`` H = E[x x^T] float64 [k, k].

    k = kh * kw * i in the order of a flattened kernel [kh, kw, i]; the zeros of SAME padding count.
    """

    mean: np.ndarray
    second: np.ndarray

    @property
    def covariance(self) -> np.ndarray:
        """H - m m^T, float64 [k, k]: what is left of H once biases make up for the mean error."""
        return self.second - np.outer(self.mean, self.mean)


def input_moments(model: Any, pairs: Pairs, *, inputs: tuple[str, ...]) -> dict[str, Moments]:
    """Moments of each convolution and dense layer of a ``tf_keras`` network, in inference mode, by layer name.

    ``inputs`` are the modalities that the network looks at; others are zeros.
    """
    from tf_keras import Model

    layers = [layer for layer in model.layers if type(layer).__name__ in ("Conv2D", "Dense")]
    features = Model(model.input, [layer.input for layer in layers])
    sums = [_Sum() for _ in layers]
    given = pairs.inputs()
    for start in range(0, len(pairs), BATCH):
        rows = slice(start, start + BATCH)
        n = len(pairs.label[rows])
        batch = {name: given[name][rows] if name in inputs else np.zeros((n, *shape[1:]), np.float32)
                 for name, shape in model.input_shape.items()}
        found = features(batch, training=False)
        for layer, values, total in zip(layers, found if len(layers) > 1 else [found], sums, strict=True):
            total.add(_patches(layer, values))
    return {layer.name: total.moments() for layer, total in zip(layers, sums, strict=True)}


class _Sum:
    """Running sums over patches."""

    def __init__(self) -> None:
        self.count, self.first, self.second = 0, np.zeros(()), np.zeros(())

    def add(self, patches: np.ndarray) -> None:
        self.count += len(patches)
        self.first = self.first + patches.sum(axis=0)
        self.second = self.second + patches.T @ patches

    def moments(self) -> Moments:
        return Moments(self.first / self.count, self.second / self.count)


def _patches(layer: Any, values: Any) -> np.ndarray:
    """What the kernel of ``layer`` sees of its input ``values``: float64 [positions, k]."""
    if type(layer).__name__ == "Dense":
        return np.asarray(values, np.float64).reshape(-1, values.shape[-1])
    patches = tensorflow().image.extract_patches(
        values, sizes=(1, *layer.kernel_size, 1), strides=(1, *layer.strides, 1), rates=(1, *layer.dilation_rate, 1),
        padding=layer.padding.upper())
    return np.asarray(patches, np.float64).reshape(-1, patches.shape[-1])
