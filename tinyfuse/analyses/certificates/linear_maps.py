"""The linear part of an operator as a map of codes without their zero point, forth and back, with any weights.

Forth it gives the exact sums of intervals, back the coefficients of linear bounds. ``weights`` have the layout of the
map's own; what is computed has the type of what is given.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from tinyfuse.core.backend import tensorflow
from tinyfuse.integer.operators.convolution import Convolution
from tinyfuse.integer.operators.depthwise import Depthwise
from tinyfuse.integer.operators.fully_connected import FullyConnected
from tinyfuse.integer.operators.transpose_conv import TransposeConv


class LinearMap(Protocol):
    """From values [n, *given] to sums [n, *found]; ``weights`` are integers in any type, ``channels`` their last axis.

    ``weights``: int64, the outputs last but for a depthwise convolution.
    """

    weights: np.ndarray

    def forth(self, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Map values to sums."""

    def back(self, sums: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Map coefficients of the sums to those of the values: the adjoint."""


class ConvolutionMap:
    """A convolution over images that zeros surround."""

    def __init__(self, node: Convolution) -> None:
        self.node, self.weights = node, np.asarray(node.filter.numpy()).astype(np.int64)
        height, width, _ = node.input_shape
        self.inside = (slice(None), slice(node.top, node.top + height), slice(node.left, node.left + width))

    def forth(self, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        spread = np.zeros((len(values), *self.node.padded), values.dtype)
        target = spread[self.inside]
        target[...] = values[:, :target.shape[1], :target.shape[2]]
        return np.asarray(tensorflow().raw_ops.Conv2D(input=spread, filter=weights, padding="VALID",
                                                      strides=[1, *self.node.stride, 1]).numpy())

    def back(self, sums: np.ndarray, weights: np.ndarray) -> np.ndarray:
        spread = tensorflow().raw_ops.Conv2DBackpropInput(
            input_sizes=(len(sums), *self.node.padded), filter=weights, out_backprop=sums,
            strides=[1, *self.node.stride, 1], padding="VALID").numpy()
        reached = spread[self.inside]
        found = np.zeros((len(sums), *self.node.input_shape), sums.dtype)
        found[:, :reached.shape[1], :reached.shape[2]] = reached
        return found


class DenseMap:
    """A matrix [depth, outputs] on rows."""

    def __init__(self, node: FullyConnected) -> None:
        self.node, self.weights = node, node.matrix.astype(np.int64)

    def forth(self, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return np.asarray(values.reshape(-1, self.node.depth) @ weights).reshape(-1, *self.node.output_shape)

    def back(self, sums: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return np.asarray(sums.reshape(-1, weights.shape[1]) @ weights.T).reshape(-1, *self.node.input_shape)


class DepthwiseMap:
    """A depthwise convolution with weights [kh, kw, channels, multiplier]."""

    def __init__(self, node: Depthwise) -> None:
        self.node, self.weights = node, node.weights.astype(np.int64)

    def forth(self, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        repeated = np.repeat(values, weights.shape[3], axis=3)
        sums = np.zeros((len(values), *self.node.output_shape), values.dtype)
        for tap, read, served in self._taps():
            sums[served] += repeated[read] * weights[tap].reshape(-1)
        return sums

    def back(self, sums: np.ndarray, weights: np.ndarray) -> np.ndarray:
        found = np.zeros((len(sums), *self.node.input_shape), sums.dtype)
        for tap, read, served in self._taps():
            shares = sums[served] * weights[tap].reshape(-1)
            found[read] += shares.reshape(*shares.shape[:3], *weights.shape[2:]).sum(axis=4)
        return found

    def _taps(self) -> Any:
        return self.node.window.taps(self.node.input_shape, self.node.output_shape)


class TransposedMap:
    """A transposed convolution with weights [kh, kw, in, out]."""

    def __init__(self, node: TransposeConv) -> None:
        self.node, self.weights = node, node.kernel.astype(np.int64)

    def forth(self, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        sums = np.zeros((len(values), *self.node.output_shape), values.dtype)
        for tap, reached, given in self._taps():
            sums[reached] += values[given] @ weights[tap]
        return sums

    def back(self, sums: np.ndarray, weights: np.ndarray) -> np.ndarray:
        found = np.zeros((len(sums), *self.node.input_shape), sums.dtype)
        for tap, reached, given in self._taps():
            found[given] += sums[reached] @ weights[tap].T
        return found

    def _taps(self) -> Any:
        return self.node.window.taps(self.node.output_shape, self.node.input_shape)


MAPS: dict[str, Any] = {"CONV_2D": ConvolutionMap, "FULLY_CONNECTED": DenseMap, "DEPTHWISE_CONV_2D": DepthwiseMap,
                        "TRANSPOSE_CONV": TransposedMap}
"""Builtin name -> the map of its node."""


def positions(linear: LinearMap, name: str) -> int:
    """Return how many products make one sum at most."""
    shape = linear.weights.shape
    return int(np.prod(shape[:2] if name == "DEPTHWISE_CONV_2D" else shape[:-1]))
