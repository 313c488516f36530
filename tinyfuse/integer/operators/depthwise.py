"""DEPTHWISE_CONV_2D: every input channel meets its own filters, summed in the integers of TFLite Micro."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.arithmetic import activation_range, quantize_multipliers
from tinyfuse.integer.operators.base import Node, register
from tinyfuse.integer.operators.checks import centred, same_type, source_and_target
from tinyfuse.integer.operators.convolution import constant_bias
from tinyfuse.integer.operators.kernels import requantize, requantize64
from tinyfuse.integer.operators.window import window
from tinyfuse.tflite.graph import Graph, Operator, Tensor

BIAS_TYPES = {np.dtype(np.int8): np.dtype(np.int32), np.dtype(np.int16): np.dtype(np.int64)}
"""TFLite Micro reads the bias as this type, whatever the model says."""


@numba.njit(nogil=True, cache=True)
def _sums(codes, zero_point, weights, sliding, sums):  # type: ignore[no-untyped-def]
    """Write sum w * (x - zero_point) over the taps inside the image to ``sums`` [n, h, w, c * m].

    ``weights`` [kh, kw, c, m]. 32-bit sums wrap as C's do.
    """
    kh, kw, sh, sw, dh, dw, top, left = sliding
    n, height, width, channels = codes.shape
    many = weights.shape[3]
    for i in range(n):
        for y in range(sums.shape[1]):
            for x in range(sums.shape[2]):
                total = sums[i, y, x]
                total[:] = 0
                for v in range(kh):
                    row = y * sh - top + v * dh
                    if row < 0 or row >= height:
                        continue
                    for u in range(kw):
                        column = x * sw - left + u * dw
                        if column < 0 or column >= width:
                            continue
                        source = codes[i, row, column]
                        if many == 1:
                            tap = weights[v, u, :, 0]
                            for c in range(channels):
                                total[c] += (np.int32(source[c]) - zero_point) * tap[c]
                        else:
                            for c in range(channels):
                                value = np.int32(source[c]) - zero_point
                                for m in range(many):
                                    total[c * many + m] += value * weights[v, u, c, m]


@numba.njit(nogil=True, cache=True)
def _spread(gradient, inside, slope, sliding, out):  # type: ignore[no-untyped-def]
    """Add gradient * inside * slope to the inputs ``out`` [n, h, w, c] that each output [n, h, w, c * m] read."""
    kh, kw, sh, sw, dh, dw, top, left = sliding
    n, height, width, channels = out.shape
    many = slope.shape[3]
    masked = np.empty(channels * many, np.float32)
    for i in range(n):
        for y in range(gradient.shape[1]):
            for x in range(gradient.shape[2]):
                for c in range(channels * many):
                    masked[c] = gradient[i, y, x, c] * inside[i, y, x, c]
                for v in range(kh):
                    row = y * sh - top + v * dh
                    if row < 0 or row >= height:
                        continue
                    for u in range(kw):
                        column = x * sw - left + u * dw
                        if column < 0 or column >= width:
                            continue
                        target, tap = out[i, row, column], slope[v, u]
                        for c in range(channels):
                            for m in range(many):
                                target[c] += masked[c * many + m] * tap[c, m]


class Depthwise:
    """One DEPTHWISE_CONV_2D. Reference: ``reference/integer_ops/depthwise_conv.h``."""

    def __init__(self, operator: Operator, graph: Graph) -> None:
        source, target = source_and_target(operator, graph, same_type("int8", "int16"))
        centred(operator, source, target)
        weights, content = _weights(operator, graph, source, target)
        options, channels = operator.options, target.shape[3]
        self.window = window(operator, source, target, (weights.shape[1], weights.shape[2]),
                             (int(options["dilation_h_factor"]), int(options["dilation_w_factor"])))
        wide = source.dtype == np.int16
        kernel = content.reshape(*weights.shape[1:3], source.shape[3], -1)
        self.sums: type = np.int64 if wide else np.int32
        self.weights = np.ascontiguousarray(kernel, self.sums)
        self.input_shape, self.output_shape, self.dtype = source.shape[1:], target.shape[1:], target.dtype
        self.zero_in, self.zero_out = np.int32(source.zero_point[0]), int(target.zero_point[0])
        real = np.float64(source.scale[0]) * weights.scale.astype(np.float64) / np.float64(target.scale[0])
        self.multiplier, self.shift = quantize_multipliers(np.broadcast_to(real, (channels,)))
        self.bias = _bias(operator, graph, source, channels)
        self.requantize = requantize64 if wide else requantize
        self.low, self.high = activation_range(str(options["fused_activation_function"]), float(target.scale[0]),
                                               self.zero_out, target.dtype)
        slope = (self.multiplier * 2.0 ** (self.shift - 31)).reshape(source.shape[3], -1)
        self.slope = (kernel * slope).astype(np.float32)

    def forward(self, inputs: Sequence[np.ndarray], keep: bool) -> tuple[np.ndarray, Any]:
        sums: np.ndarray = np.empty((len(inputs[0]), *self.output_shape), self.sums)
        _sums(np.ascontiguousarray(inputs[0]), self.zero_in, self.weights, self.window, sums)
        out = np.empty(sums.shape, self.dtype)
        inside = np.empty(out.shape if keep else (0, 0, 0, 0), np.uint8)
        channels = self.output_shape[2]
        self.requantize(sums.reshape(-1, channels), self.bias, self.multiplier, self.shift, self.zero_out, self.low,
                        self.high, out.reshape(-1, channels), inside.reshape(-1, channels))
        return out, inside

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        found = np.zeros((len(gradient), *self.input_shape), np.float32)
        _spread(np.ascontiguousarray(gradient), saved, self.slope, self.window, found)
        return [found]


def _weights(operator: Operator, graph: Graph, source: Tensor, target: Tensor) -> tuple[Tensor, np.ndarray]:
    """The weights and their codes [1, kh, kw, c * m], refused unless they fit ``source`` and ``target``."""
    weights = graph.tensors[operator.inputs[1]]
    if weights.data is None or weights.dtype != np.int8 or len(weights.shape) != 4:
        raise ModelError(f"'{weights.name}': {operator.name} needs constant int8 weights with four axes")
    given, multiplier = source.shape[-1], int(operator.options["depth_multiplier"])
    if not weights.shape[0] == 1 or not weights.shape[3] == given * multiplier == target.shape[-1]:
        raise ModelError(f"'{weights.name}' has shape {list(weights.shape)}; {given} channels with multiplier "
                         f"{multiplier} to {target.shape[-1]} need [1, h, w, {given * multiplier}]")
    if len(weights.scale) not in (1, weights.shape[3]) or (len(weights.scale) > 1 and weights.axis != 3):
        raise ModelError(f"'{weights.name}' has {len(weights.scale)} scales along axis {weights.axis}; "
                         f"{operator.name} needs 1, or {weights.shape[3]} along axis 3")
    if weights.zero_point.any():
        raise ModelError(f"'{weights.name}': {operator.name} needs weights with zero point 0")
    return weights, weights.data


def _bias(operator: Operator, graph: Graph, source: Tensor, channels: int) -> np.ndarray:
    """Int64 [channels]; TFLite Micro crashes on a third input that is not given."""
    if len(operator.inputs) > 2:
        index = operator.inputs[2]
        if index < 0:
            raise ModelError(f"'{graph.tensors[operator.outputs[0]].name}': {operator.name} with an absent third "
                             "input; give a bias, or two inputs")
        bias, needed = graph.tensors[index], BIAS_TYPES[source.dtype]
        if bias.dtype != needed or bias.shape != (channels,):
            raise ModelError(f"'{bias.name}': the bias of {operator.name} with {source.dtype} input must be {needed} "
                             f"[{channels}], not {bias.dtype} {list(bias.shape)}")
    return constant_bias(operator, graph, channels)[0]


@register("DEPTHWISE_CONV_2D")
def _build(operator: Operator, graph: Graph) -> Node:
    return Depthwise(operator, graph)
