"""Layers with a kernel: which attribute of a ``tf_keras`` layer holds it, and its one form here, [kh, kw, i, o].

In that form (dense layers: [i, o]) the last axis is what a layer hands on, and the one before it what each of these
outputs sums over: a depthwise convolution sums over one channel, so i is 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyfuse.core.backend import tensorflow

DEPTHWISE, TRANSPOSED = "DepthwiseConv2D", "Conv2DTranspose"
WEIGHTED = ("Conv2D", "Dense", DEPTHWISE, TRANSPOSED)


def attribute(kind: str) -> str:
    """Name the attribute that holds the kernel of a layer of this ``kind`` (a class of ``tf_keras``)."""
    return "depthwise_kernel" if kind == DEPTHWISE else "kernel"


def columns(kind: str, values: Any) -> Any:
    """Bring an array or tensor from the axes of ``tf_keras`` to [kh, kw, i, o]."""
    library = np if isinstance(values, np.ndarray) else tensorflow()
    if kind == DEPTHWISE:  # [kh, kw, channels, multiplier]: the outputs of a channel follow each other
        height, width, channels, multiplier = values.shape
        return library.reshape(values, (height, width, 1, channels * multiplier))
    return library.transpose(values, (0, 1, 3, 2)) if kind == TRANSPOSED else values


def own_axes(kind: str, values: Any, shape: tuple[int, ...]) -> Any:
    """Bring an array or tensor back from [kh, kw, i, o] to the axes of ``tf_keras``, where it has this ``shape``."""
    library = np if isinstance(values, np.ndarray) else tensorflow()
    if kind == DEPTHWISE:
        return library.reshape(values, shape)
    return library.transpose(values, (0, 1, 3, 2)) if kind == TRANSPOSED else values


def kernel_of(layer: Any) -> np.ndarray:
    """Read the kernel of a ``tf_keras`` layer, float64 [kh, kw, i, o] or [i, o]."""
    kind = type(layer).__name__
    return np.asarray(columns(kind, np.asarray(getattr(layer, attribute(kind)))), np.float64)


def set_kernel(layer: Any, kernel: np.ndarray, bias: np.ndarray) -> None:
    """Give a layer with a bias the ``kernel`` [kh, kw, i, o] or [i, o] and the ``bias`` [o]."""
    kind = type(layer).__name__
    shape = tuple(getattr(layer, attribute(kind)).shape)
    layer.set_weights([np.asarray(own_axes(kind, kernel, shape), np.float32), np.asarray(bias, np.float32)])
