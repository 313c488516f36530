"""Interval bounds of single layers as TensorFlow operations, through which a training can take gradients.

A layer with a kernel moves the centre of a box by the kernel and its radius by the kernel's absolute values (Gowal et
al. 2018, section 3, equations 4 and 5); a layer that never falls is taken at both ends. Layers that are wrapped for
training with rounded weights use the rounded kernel, and round both ends of what they return.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import UsageError
from tinyfuse.nn.kernels import DEPTHWISE, attribute

RISING_FUNCTIONS = ("linear", "relu", "relu6", "sigmoid", "hard_sigmoid", "tanh", "softplus", "softsign", "elu",
                    "selu", "exponential")
RISING = ("ReLU", "LeakyReLU", "ELU", "Flatten", "Reshape", "Permute", "ZeroPadding2D", "Cropping2D", "UpSampling2D",
          "MaxPooling2D", "AveragePooling2D", "GlobalMaxPooling2D", "GlobalAveragePooling2D")
JOINING = ("Add", "Concatenate", "Average", "Maximum", "Minimum")
UNCHANGED = ("Dropout", "SpatialDropout2D", "GaussianNoise", "GaussianDropout", "ActivityRegularization")


@dataclass(frozen=True, eq=False)
class Box:
    """Bounds ``low`` <= ``high`` of a tensor [n, ...]; ``point``: the tensor itself, where batch norms need it."""

    low: Any
    high: Any
    point: Any = None

    @property
    def center(self) -> Any:
        """The middle of the box."""
        return (self.low + self.high) / 2

    @property
    def radius(self) -> Any:
        """Half the width of the box."""
        return (self.high - self.low) / 2

    def apply_rising(self, change: Callable[[Any], Any]) -> Box:
        """Apply a ``change`` that never falls to both ends and to the point."""
        return Box(change(self.low), change(self.high), None if self.point is None else change(self.point))


Rule = Callable[[Any, Sequence[Box]], Box]
"""f(layer, boxes that it reads) -> box of what it returns."""


def affine(layer: Any, boxes: Sequence[Box]) -> Box:
    """Bound a convolution or dense layer and its activation."""
    (box,), kernel, inner = boxes, kernel_of(layer), inner_of(layer)
    apply, bias = LINEAR[type(inner).__name__], inner.bias if inner.use_bias else 0.0
    center = apply(inner, box.center, kernel) + bias
    radius = apply(inner, box.radius, tensorflow().abs(kernel))
    point = None if box.point is None else apply(inner, box.point, kernel) + bias
    return Box(center - radius, center + radius, point).apply_rising(inner.activation)


def batch_norm(layer: Any, boxes: Sequence[Box]) -> Box:
    """Bound a batch norm: with the statistics of the point where there is one, as in training, else its moving ones."""
    tf, (box,) = tensorflow(), boxes
    if box.point is None:
        mean, variance = layer.moving_mean, layer.moving_variance
    else:
        mean, variance = tf.nn.moments(box.point, list(range(len(box.point.shape) - 1)))
    gain = tf.math.rsqrt(variance + layer.epsilon) * (layer.gamma if layer.scale else 1.0)
    shift = (layer.beta if layer.center else 0.0) - mean * gain
    center, radius = box.center * gain + shift, box.radius * tf.abs(gain)
    return Box(center - radius, center + radius, None if box.point is None else box.point * gain + shift)


def rising(layer: Any, boxes: Sequence[Box]) -> Box:
    """Bound a layer none of whose outputs falls when an input rises: by its values at both ends."""
    inner = inner_of(layer)
    values = [[getattr(box, end) for box in boxes] for end in ("low", "high", "point")]
    low, high, point = (None if one[0] is None else inner(one if len(one) > 1 else one[0]) for one in values)
    return Box(low, high, point)


def unchanged(layer: Any, boxes: Sequence[Box]) -> Box:
    """Hand on what is read: these layers do nothing once the network is deployed."""
    return boxes[0]


def subtract(layer: Any, boxes: Sequence[Box]) -> Box:
    """Bound a difference."""
    first, second = boxes
    return Box(first.low - second.high, first.high - second.low,
               None if first.point is None else first.point - second.point)


def multiply(layer: Any, boxes: Sequence[Box]) -> Box:
    """Bound a product, factor by factor: its ends are among the products of ends."""
    tf, found = tensorflow(), boxes[0]
    for box in boxes[1:]:
        products = tf.stack([one * other for one in (found.low, found.high) for other in (box.low, box.high)])
        found = Box(tf.reduce_min(products, 0), tf.reduce_max(products, 0),
                    None if found.point is None else found.point * box.point)
    return found


def _dense(layer: Any, values: Any, kernel: Any) -> Any:
    return tensorflow().tensordot(values, kernel, 1)


def _convolution(layer: Any, values: Any, kernel: Any) -> Any:
    return layer.convolution_op(values, kernel)


def _depthwise(layer: Any, values: Any, kernel: Any) -> Any:
    return tensorflow().nn.depthwise_conv2d(values, kernel, (1, *layer.strides, 1), layer.padding.upper(),
                                            dilations=layer.dilation_rate)


LINEAR: dict[str, Callable[[Any, Any, Any], Any]] = {"Dense": _dense, "Conv2D": _convolution, DEPTHWISE: _depthwise}
RULES: dict[str, Rule] = {
    **dict.fromkeys(LINEAR, affine), **dict.fromkeys((*RISING, *JOINING, "Activation"), rising),
    **dict.fromkeys(UNCHANGED, unchanged), "BatchNormalization": batch_norm, "Subtract": subtract,
    "Multiply": multiply}
"""By class of a ``tf_keras`` layer how it is bounded."""


def is_rounded(layer: Any) -> bool:
    """Tell whether ``layer`` is wrapped for training with rounded weights or activations."""
    return hasattr(layer, "quantize_config")


def inner_of(layer: Any) -> Any:
    """Return the layer inside the wrapper, or ``layer`` itself."""
    return layer.layer if is_rounded(layer) else layer


def kernel_of(layer: Any) -> Any:
    """Return the kernel that a forward pass uses: the rounded one of a wrapped layer.

    Not the attribute of the layer inside, which is a tensor of the graph of the last call.
    """
    if is_rounded(layer):
        for variable, quantizer, state in layer._weight_vars:
            return quantizer(variable, training=False, weights=state)
    inner = inner_of(layer)
    return getattr(inner, attribute(type(inner).__name__))


def bound(layer: Any, boxes: Sequence[Box]) -> Box:
    """Bound what ``layer`` returns on ``boxes``, one for each tensor that it reads."""
    box = RULES[type(inner_of(layer)).__name__](layer, boxes)
    if not (is_rounded(layer) and layer._output_quantizers):
        return box
    quantizer, state = layer._output_quantizers[0], layer._output_quantizer_vars
    return box.apply_rising(lambda values: quantizer(values, training=False, weights=state))


def check(layer: Any, what: str) -> None:
    """Raise UsageError unless ``layer`` can be bounded for the part ``what``."""
    inner = inner_of(layer)
    kind, place = type(inner).__name__, f"{what}: layer '{layer.name}'"
    if kind not in RULES:
        raise UsageError(f"{place} is of a kind without interval bounds, {kind}; those with bounds: "
                         f"{', '.join(sorted(RULES))}")
    function = getattr(getattr(inner, "activation", None), "__name__", "linear")
    if kind in ("Activation", *LINEAR) and function not in RISING_FUNCTIONS:
        raise UsageError(f"{place} ends in {function}, which has no interval bounds; those with bounds: "
                         f"{', '.join(RISING_FUNCTIONS)}")
    if getattr(inner, "groups", 1) != 1 or getattr(inner, "data_format", "channels_last") != "channels_last":
        raise UsageError(f"{place} convolves in groups or has its channels first; bounds are there for channels_last "
                         "without groups")
    if len(layer.inbound_nodes) != 1:
        raise UsageError(f"{place} is used {len(layer.inbound_nodes)} times; bounds are there for layers used once")
