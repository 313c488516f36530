"""FULLY_CONNECTED: exact sums through a float matrix product whose partial sums cannot round."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.arithmetic import TYPE_RANGE, activation_range, quantize_multipliers
from tinyfuse.integer.operators.base import Node, register
from tinyfuse.integer.operators.checks import centred, same_type, source_and_target
from tinyfuse.integer.operators.convolution import constant_bias, sum_dtype
from tinyfuse.integer.operators.kernels import requantize, requantize64
from tinyfuse.integer.undouble import weight_types
from tinyfuse.tflite.graph import Graph, Operator, Tensor

BIAS_TYPES = {np.dtype(np.int8): ("int32",), np.dtype(np.int16): ("int32", "int64")}
_BIAS_SCALE_TOLERANCE = 0.02  # of the output scale; TFLite Micro refuses what lies beyond


class FullyConnected:
    """One FULLY_CONNECTED: weights [outputs, depth] on rows of ``depth`` codes, however these lie in the input.

    Reference: ``micro/kernels/fully_connected_common.cc``, ``kernel_util.cc``.
    """

    def __init__(self, operator: Operator, graph: Graph) -> None:
        source, target = source_and_target(operator, graph, same_type("int8", "int16"))
        centred(operator, source, target)
        weights, content = _weights(operator, graph, source, target)
        _check_bias(operator, graph, source, weights, target)
        outputs, self.depth = content.shape
        self.dtype, self.source_shape, self.target_shape = target.dtype, source.shape[1:], target.shape[1:]
        matrix = content.astype(np.int64).T - int(weights.zero_point[0])
        self.zero_in, self.zero_out = int(source.zero_point[0]), int(target.zero_point[0])
        real = np.float64(source.scale[0]) * weights.scale.astype(np.float64) / np.float64(target.scale[0])
        self.multiplier, self.shift = quantize_multipliers(np.broadcast_to(real, (outputs,)))
        self.bias, wide = constant_bias(operator, graph, outputs)
        self.requantize = requantize64 if wide else requantize
        self.low, self.high = activation_range(str(operator.options["fused_activation_function"]),
                                               float(target.scale[0]), self.zero_out, target.dtype)
        low, high = TYPE_RANGE[source.dtype]
        reach = np.abs(matrix).sum(axis=0).max() * max(self.zero_in - low, high - self.zero_in)
        self.matrix: np.ndarray = matrix.astype(sum_dtype(int(reach)))
        self.slope = np.ascontiguousarray((matrix * self.multiplier * 2.0 ** (self.shift - 31)).T.astype(np.float32))

    def forward(self, inputs: Sequence[np.ndarray], keep: bool) -> tuple[np.ndarray, Any]:
        codes = inputs[0].reshape(-1, self.depth)
        sums = (codes.astype(self.matrix.dtype) - self.matrix.dtype.type(self.zero_in)) @ self.matrix
        out = np.empty(sums.shape, self.dtype)
        inside = np.empty(out.shape if keep else (0, 0), np.uint8)
        self.requantize(sums, self.bias, self.multiplier, self.shift, self.zero_out, self.low, self.high, out, inside)
        return out.reshape(len(inputs[0]), *self.target_shape), inside

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        masked = gradient.reshape(saved.shape) * saved
        return [(masked @ self.slope).reshape(len(gradient), *self.source_shape)]


def _weights(operator: Operator, graph: Graph, source: Tensor, target: Tensor) -> tuple[Tensor, np.ndarray]:
    """The weights and their codes [outputs, depth], refused unless they fit ``source`` and ``target``."""
    weights = graph.tensors[operator.inputs[1]]
    if weights.data is None or weights.dtype not in weight_types(operator) or len(weights.shape) != 2:
        raise ModelError(f"'{weights.name}': {operator.name} needs constant int8 weights with two axes")
    outputs, depth = weights.shape
    rows, left = divmod(int(np.prod(source.shape)), depth)
    if left or len(target.shape) < 2 or target.shape[-1] != outputs or np.prod(target.shape) != rows * outputs:
        raise ModelError(f"'{weights.name}': {operator.name} of {list(source.shape)} by weights "
                         f"{list(weights.shape)} does not give {list(target.shape)}")
    channels = len(weights.scale)
    if channels not in (1, outputs) or len(weights.zero_point) != channels or (channels > 1 and weights.axis != 0):
        raise ModelError(f"'{weights.name}' has {channels} scales along axis {weights.axis}; {operator.name} needs 1, "
                         f"or {outputs} along axis 0")
    if channels > 1 and weights.zero_point.any():
        raise ModelError(f"'{weights.name}': {operator.name} with a scale per output needs zero point 0")
    return weights, weights.data


def _check_bias(operator: Operator, graph: Graph, source: Tensor, weights: Tensor, target: Tensor) -> None:
    """Refuse a bias that TFLite Micro refuses, or reads as another type."""
    if len(operator.inputs) < 3 or operator.inputs[2] < 0:
        return
    bias, outputs, allowed = graph.tensors[operator.inputs[2]], weights.shape[0], BIAS_TYPES[source.dtype]
    if str(bias.dtype) not in allowed or bias.shape != (outputs,):
        raise ModelError(f"'{bias.name}': the bias of {operator.name} with {source.dtype} input must be "
                         f"{' or '.join(allowed)} [{outputs}], not {bias.dtype} {list(bias.shape)}")
    product, given = float(source.scale[0]) * float(weights.scale[0]), float(bias.scale[0]) if len(bias.scale) else 0.0
    if len(weights.scale) == 1 and abs(product - given) / float(target.scale[0]) > _BIAS_SCALE_TOLERANCE:
        raise ModelError(f"'{bias.name}' has scale {given:.6g}, but {operator.name} needs input scale times weight "
                         f"scale, {product:.6g}")


@register("FULLY_CONNECTED")
def _build(operator: Operator, graph: Graph) -> Node:
    return FullyConnected(operator, graph)
