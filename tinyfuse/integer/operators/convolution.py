"""CONV_2D: exact sums through a float convolution whose partial sums cannot round, then requantisation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import ModelError
from tinyfuse.integer.arithmetic import TYPE_RANGE, activation_range, quantize_multipliers
from tinyfuse.integer.operators.base import Node, register
from tinyfuse.integer.operators.checks import centred, one_scale
from tinyfuse.integer.operators.kernels import aligned, expand, requantize, requantize64, spread_masked
from tinyfuse.integer.operators.window import padding_before, window
from tinyfuse.integer.undouble import weight_types
from tinyfuse.tflite.graph import Graph, Operator, Tensor

_BIAS_TYPES = {np.dtype(np.int8): ("int32",), np.dtype(np.int16): ("int32", "int64")}
_MOST_TAPS = 1 << 24  # entries of a dilated kernel


class Convolution:
    """One CONV_2D. The weights are [kh, kw, in, out], dilated by zeros where the operator is."""

    def __init__(self, operator: Operator, graph: Graph) -> None:
        source, weights = graph.tensors[operator.inputs[0]], graph.tensors[operator.inputs[1]]
        target = graph.tensors[operator.outputs[0]]
        options = operator.options
        dilation = int(options["dilation_h_factor"]), int(options["dilation_w_factor"])
        _check_images(operator, source, target)
        content = _weights(operator, weights, source, target, dilation)
        window(operator, source, target, (weights.shape[1], weights.shape[2]), dilation)
        _check_bias(operator, graph, source, target)
        kernel = _dilated(content.astype(np.int64).transpose(1, 2, 3, 0), *dilation)
        given = int(options["stride_h"]), int(options["stride_w"])
        self.top, self.left = (padding_before(source.shape[1 + axis], kernel.shape[axis], given[axis],
                                              target.shape[1 + axis])[0] for axis in (0, 1))
        # Where one position is left there is no stride. TensorFlow's Conv2D computes garbage for unequal strides on an
        # axis shorter than its stride, so it never sees such a one.
        self.stride = tuple(1 if target.shape[1 + axis] == 1 else given[axis] for axis in (0, 1))
        self.padded = *((target.shape[1 + axis] - 1) * self.stride[axis] + kernel.shape[axis] for axis in (0, 1)), \
            source.shape[3]
        self.input_shape, self.output_shape, self.dtype = source.shape[1:], target.shape[1:], target.dtype
        self.zero_in, self.zero_out = int(source.zero_point[0]), int(target.zero_point[0])
        real = np.float64(source.scale[0]) * weights.scale.astype(np.float64) / np.float64(target.scale[0])
        channels = kernel.shape[3]
        self.multiplier, self.shift = quantize_multipliers(np.broadcast_to(real, (channels,)))
        self.bias, wide = constant_bias(operator, graph, channels)
        self.requantize = requantize64 if wide else requantize
        self.low, self.high = activation_range(str(options["fused_activation_function"]), float(target.scale[0]),
                                               self.zero_out, target.dtype)
        low, high = TYPE_RANGE[source.dtype]
        reach = np.abs(kernel).sum(axis=(0, 1, 2)) * max(self.zero_in - low, high - self.zero_in)
        self.sums = sum_dtype(int(reach.max()))
        tf = tensorflow()
        self.filter = tf.constant(kernel.astype(self.sums))
        slope = (kernel * self.multiplier * 2.0 ** (self.shift - 31)).astype(np.float32)
        # For stride 1 the gradient is itself a convolution, with the kernel turned around: faster than in general.
        self.turned = self.stride == (1, 1)
        self.slope = tf.constant(slope[::-1, ::-1].transpose(0, 1, 3, 2) if self.turned else slope)
        self.margin = kernel.shape[0] - 1 - self.top, kernel.shape[1] - 1 - self.left
        self.spread = source.shape[1] + kernel.shape[0] - 1, source.shape[2] + kernel.shape[1] - 1
        self._prove(weights.name, kernel, low, high)

    def _prove(self, name: str, kernel: np.ndarray, low: int, high: int) -> None:
        """The bound makes sums exact only if the library adds plain products: try it on the extreme codes."""
        codes = np.random.default_rng(0).choice([low, high], (1, *self.input_shape)).astype(self.dtype)
        spread = self._spread(codes)
        windows = np.lib.stride_tricks.sliding_window_view(spread[0].astype(np.int64), kernel.shape[:2], (0, 1))
        every = windows[::self.stride[0], ::self.stride[1]].transpose(0, 1, 3, 4, 2)
        if not np.array_equal(self._sums(spread)[0], np.tensordot(every, kernel, 3)):
            raise ModelError(f"'{name}': TensorFlow's convolution is not exact here (a fast-math or reduced-precision "
                             "mode?); switch off ONEDNN_DEFAULT_FPMATH_MODE and TF_SET_ONEDNN_FPMATH_MODE")

    def _spread(self, codes: np.ndarray) -> np.ndarray:
        """Codes minus their zero point, padded with zeros, as floats."""
        spread = aligned((len(codes), *self.padded), self.sums)
        expand(codes, self.zero_in, self.top, self.left, spread)
        return spread

    def _sums(self, spread: np.ndarray) -> np.ndarray:
        found: np.ndarray = tensorflow().raw_ops.Conv2D(input=spread, filter=self.filter, padding="VALID",
                                                        strides=[1, *self.stride, 1]).numpy()
        return found

    def forward(self, inputs: Sequence[np.ndarray], keep: bool) -> tuple[np.ndarray, Any]:
        sums = self._sums(self._spread(inputs[0]))
        out = np.empty((len(sums), *self.output_shape), self.dtype)
        inside = np.empty(out.shape if keep else (0, 0, 0, 0), np.uint8)
        channels = self.output_shape[2]
        self.requantize(sums.reshape(-1, channels), self.bias, self.multiplier, self.shift, self.zero_out, self.low,
                        self.high, out.reshape(-1, channels), inside.reshape(-1, channels))
        return out, inside

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        tf = tensorflow()
        if not self.turned:
            shape = (len(gradient), *self.padded)
            found = tf.raw_ops.Conv2DBackpropInput(input_sizes=shape, filter=self.slope, out_backprop=gradient * saved,
                                                   strides=[1, *self.stride, 1], padding="VALID").numpy()
            height, width, _ = self.input_shape
            part = found[:, self.top:self.top + height, self.left:self.left + width]
            whole = np.zeros((len(gradient), *self.input_shape), np.float32)
            whole[:, :part.shape[1], :part.shape[2]] = part  # what no window reaches keeps 0
            return [whole]
        spread = aligned((len(gradient), *self.spread, gradient.shape[3]), np.float32)
        spread_masked(gradient, saved, *self.margin, spread)
        return [tf.raw_ops.Conv2D(input=spread, filter=self.slope, strides=[1, 1, 1, 1], padding="VALID").numpy()]


def sum_dtype(reach: int) -> type:
    """The float type in which sums of integers up to ``reach`` in absolute value are exact in any order.

    Every partial sum is an integer of at most ``reach``; float32 holds all integers up to 2^24, float64 up to 2^53.
    """
    if reach >= 1 << 53:
        raise ModelError(f"sums up to {reach} do not fit float64")
    return np.float32 if reach < 1 << 24 else np.float64


def _check_images(operator: Operator, source: Tensor, target: Tensor) -> None:
    for tensor in (source, target):
        if tensor.dtype not in TYPE_RANGE or tensor.dtype != source.dtype or tensor.data is not None:
            raise ModelError(f"'{tensor.name}': {operator.name} {source.dtype} -> {target.dtype} is not supported; use "
                             "int8 or int16, computed, for both")
        if len(tensor.shape) != 4 or tensor.shape[0] != 1:
            raise ModelError(f"'{tensor.name}': {operator.name} needs shape [1, h, w, c], not {list(tensor.shape)}")
        one_scale(operator, tensor)
    centred(operator, source, target)


def _weights(operator: Operator, weights: Tensor, source: Tensor, target: Tensor,
             dilation: tuple[int, int]) -> np.ndarray:
    """The codes [o, kh, kw, i] of ``weights``, refused unless they fit ``source`` and ``target``."""
    if weights.data is None or weights.dtype not in weight_types(operator) or len(weights.shape) != 4:
        raise ModelError(f"'{weights.name}': {operator.name} needs constant int8 weights with four axes")
    if weights.shape[3] != source.shape[3] or weights.shape[0] != target.shape[3]:
        raise ModelError(f"'{weights.name}': {operator.name} of {list(source.shape)} by weights {list(weights.shape)} "
                         f"does not give {list(target.shape)}; a grouped one is not supported")
    if len(weights.scale) not in (1, weights.shape[0]) or (len(weights.scale) > 1 and weights.axis != 0):
        raise ModelError(f"'{weights.name}' has {len(weights.scale)} scales along axis {weights.axis}; "
                         f"{operator.name} needs 1, or {weights.shape[0]} along axis 0")
    if weights.zero_point.any():
        raise ModelError(f"'{weights.name}': {operator.name} needs weights with zero point 0")
    taps = math.prod((size - 1) * step + 1 for size, step in zip(weights.shape[1:3], dilation, strict=True))
    if taps * weights.shape[0] * weights.shape[3] > _MOST_TAPS:
        raise ModelError(f"'{weights.name}': {operator.name} of dilation {list(dilation)} is too wide")
    return weights.data


def _check_bias(operator: Operator, graph: Graph, source: Tensor, target: Tensor) -> None:
    if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
        bias, allowed = graph.tensors[operator.inputs[2]], _BIAS_TYPES[source.dtype]
        if str(bias.dtype) not in allowed or bias.shape != (target.shape[3],):
            raise ModelError(f"'{bias.name}': the bias of {operator.name} with {source.dtype} input must be "
                             f"{' or '.join(allowed)} [{target.shape[3]}], not {bias.dtype} {list(bias.shape)}")


def _dilated(kernel: np.ndarray, rows: int, columns: int) -> np.ndarray:
    height, width, *rest = kernel.shape
    spread = np.zeros(((height - 1) * rows + 1, (width - 1) * columns + 1, *rest), kernel.dtype)
    spread[::rows, ::columns] = kernel
    return spread


def constant_bias(operator: Operator, graph: Graph, channels: int) -> tuple[np.ndarray, bool]:
    """Int64 [channels] and whether the accumulator has 64 bits."""
    if len(operator.inputs) < 3 or operator.inputs[2] < 0:
        # Without a bias TFLite Micro takes its 64-bit path for 16-bit activations.
        return np.zeros(channels, np.int64), graph.tensors[operator.inputs[0]].dtype == np.int16
    bias = graph.tensors[operator.inputs[2]]
    if bias.data is None:
        raise ModelError(f"'{bias.name}': the bias must be constant")
    return bias.data.astype(np.int64), bias.dtype == np.int64


@register("CONV_2D")
def _build(operator: Operator, graph: Graph) -> Node:
    return Convolution(operator, graph)
