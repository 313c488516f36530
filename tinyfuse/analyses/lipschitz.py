"""Sound global Lipschitz constants (L2) of the features of each branch, layer by layer through the graph.

Batch norm is folded first. A constant of a layer bounds how much faster its output moves than its inputs; along the
graph constants multiply, an addition adds those of its inputs, and a concatenation takes the root of their squares' sum
(all move with the same input). They hold for the network in real arithmetic, everywhere; ordinary training makes
them large.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tinyfuse.analyses.spectral_norms import (
    ROUNDING,
    convolution_norm,
    dense_norm,
    depthwise_norm,
    overlaps,
    pooling_norm,
)
from tinyfuse.nn.batch_norm_folding import folded
from tinyfuse.nn.kernels import kernel_of
from tinyfuse.nn.objectives.view import View
from tinyfuse.nn.origin import parents

ACTIVATIONS = {"linear": 1.0, "relu": 1.0, "relu6": 1.0, "tanh": 1.0, "sigmoid": 0.25, "hard_sigmoid": 0.2,
               "softplus": 1.0, "softsign": 1.0, "elu": 1.0, "selu": 1.7582, "softmax": 1.0, "swish": 1.0999,
               "silu": 1.0999, "gelu": 1.13}
"""Largest slope of each activation, rounded up; of softmax a bound of the norm of its Jacobian."""


class UnboundedError(Exception):
    """A layer for which no sound constant is known; its text is the kind of layer and its name."""


def branch_constants(model: Any) -> dict[str, float]:
    """Compute by branch of :class:`View` a constant L: its features move at most L times as far as its inputs.

    Raises :class:`UnboundedError` for a layer that nothing is known about.
    """
    deployed = folded(model)
    view = View(deployed)
    last = view.model.output._keras_history.layer
    own = [node for node in deployed.layers if node is not last]
    found: dict[str, dict[str, float]] = {branch: {} for branch in view.branches}
    for branch, constants in found.items():
        inputs = view.inputs_of(branch)
        for layer in own:
            before = [constants[parent.name] for parent in parents(layer)]
            constants[layer.name] = _constant(layer, before) if before else float(layer.name in inputs)
    joined = last.input._keras_history.layer.name
    return {branch: constants[joined] for branch, constants in found.items()}


def _constant(layer: Any, before: Sequence[float]) -> float:
    """Bound how fast the output of ``layer`` moves, its inputs moving at most as fast as ``before`` says."""
    if not any(before):  # the branch does not reach it
        return 0.0
    kind = type(layer).__name__
    if kind == "Concatenate":
        return math.hypot(*before) * ROUNDING
    if kind in _JOINING:
        return _JOINING[kind](_spread(layer, before))
    if len(before) != 1 or kind not in _CONSTANTS:
        raise UnboundedError(f"{kind} '{layer.name}'")
    return before[0] * _CONSTANTS[kind](layer) * _slope(layer)


def _spread(layer: Any, before: Sequence[float]) -> list[float]:
    """Bound how fast the inputs of ``layer`` move once they are all copied to the shape of its output."""
    size = math.prod(layer.output_shape[1:])
    return [one * math.sqrt(size / math.prod(shape[1:])) * ROUNDING
            for one, shape in zip(before, layer.input_shape, strict=True)]


def _slope(layer: Any) -> float:
    name = getattr(getattr(layer, "activation", None), "__name__", "linear")
    if name not in ACTIVATIONS:
        raise UnboundedError(f"activation {name} of '{layer.name}'")
    return ACTIVATIONS[name]


def _of_convolution(layer: Any) -> float:
    kernel, size = kernel_of(layer), tuple(layer.input_shape[1:3])
    groups = int(getattr(layer, "groups", 1))
    return max(convolution_norm(part, size, layer.strides, layer.dilation_rate)
               for part in np.split(kernel, groups, axis=-1))


def _of_depthwise(layer: Any) -> float:
    kernel = np.asarray(layer.depthwise_kernel, np.float64)
    return depthwise_norm(kernel, tuple(layer.input_shape[1:3]), layer.strides, layer.dilation_rate)


def _of_transposed(layer: Any) -> float:
    """Bound a transposed convolution: the adjoint of a convolution of its output."""
    if tuple(layer.dilation_rate) != (1, 1):
        raise UnboundedError(f"dilated Conv2DTranspose '{layer.name}'")
    return convolution_norm(kernel_of(layer).transpose(0, 1, 3, 2), tuple(layer.output_shape[1:3]), layer.strides)


def _of_average(layer: Any) -> float:
    return pooling_norm(tuple(layer.input_shape[1:3]), layer.pool_size, layer.strides, same=layer.padding == "same")


def _of_maximum(layer: Any) -> float:
    return math.sqrt(overlaps(layer.pool_size, layer.strides))


def _of_norm(layer: Any) -> float:
    gamma = np.asarray(layer.gamma, np.float64) if layer.scale else np.ones(1)
    return float(np.max(np.abs(gamma) / np.sqrt(np.asarray(layer.moving_variance, np.float64) + layer.epsilon)))


def _of_slope(layer: Any) -> float:
    """Bound LeakyReLU, PReLU and ELU: the slope below 0 may be the larger one."""
    alpha = np.asarray(getattr(layer, "alpha", getattr(layer, "negative_slope", 1.0)), np.float64)
    return max(1.0, float(np.max(np.abs(alpha))))


def _of_relu(layer: Any) -> float:
    if layer.threshold:
        raise UnboundedError(f"ReLU '{layer.name}', which jumps at its threshold")
    return max(1.0, abs(float(layer.negative_slope)))


def _of_copies(layer: Any) -> float:
    if layer.interpolation != "nearest":
        raise UnboundedError(f"UpSampling2D '{layer.name}' with {layer.interpolation} interpolation")
    return math.sqrt(math.prod(layer.size)) * ROUNDING


def _one(layer: Any) -> float:
    return 1.0


_JOINING: Mapping[str, Callable[[Sequence[float]], float]] = {
    "Add": sum, "Subtract": sum, "Average": lambda before: sum(before) / len(before),
    "Maximum": lambda before: math.hypot(*before), "Minimum": lambda before: math.hypot(*before)}
_CONSTANTS: Mapping[str, Callable[[Any], float]] = {
    "Conv2D": _of_convolution, "DepthwiseConv2D": _of_depthwise, "Conv2DTranspose": _of_transposed,
    "Dense": lambda layer: dense_norm(kernel_of(layer)), "AveragePooling2D": _of_average, "MaxPooling2D": _of_maximum,
    "GlobalAveragePooling2D": lambda layer: 1 / math.sqrt(math.prod(layer.input_shape[1:3])) * ROUNDING,
    "GlobalMaxPooling2D": _one, "BatchNormalization": _of_norm, "LeakyReLU": _of_slope, "PReLU": _of_slope,
    "ELU": _of_slope, "ReLU": _of_relu, "Softmax": _one,
    "UpSampling2D": _of_copies,
    **dict.fromkeys(("Activation", "Flatten", "Reshape", "Permute", "Cropping2D", "ZeroPadding2D", "Dropout",
                     "SpatialDropout2D", "GaussianNoise", "GaussianDropout", "ActivityRegularization"), _one)}
