"""What each layer class of Keras 2 and 3 is made of here: one function for each kind, by the name of the class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.nn.plain.builder import Value
from tinyfuse.nn.plain.layer_call import Call

PASSING = ("Dropout", "SpatialDropout1D", "SpatialDropout2D", "GaussianNoise", "GaussianDropout")
IGNORED = ("ActivityRegularization", "InputLayer")
SAVE = "or save it with model.export(FOLDER) and give that SavedModel, whose graph is read instead"
KNOWN = ("convolutions (depthwise, separable, transposed), Dense, BatchNormalization, pooling, Add, Subtract, "
         "Multiply, Concatenate, Reshape and the activations relu, relu6, leaky_relu, sigmoid, tanh, hard_swish, "
         "swish, softmax")
WAYS_OUT = {
    "Lambda": f"code from a file is not run; use a layer of its own for what it does, {SAVE}",
    "LayerNormalization": "use BatchNormalization, which costs nothing on the chip",
    "GroupNormalization": "use BatchNormalization, which costs nothing on the chip",
    "PReLU": "use LeakyReLU", "ELU": "use ReLU or LeakyReLU",
    "TFOpLambda": f"use layers (Add, Multiply, ReLU, Concatenate, Reshape) in place of operations on tensors, {SAVE}",
    "SlicingOpLambda": f"use Cropping or separate inputs in place of slices, {SAVE}",
    **dict.fromkeys(("LSTM", "GRU", "SimpleRNN", "Bidirectional", "RNN"),
                    "use Conv1D layers with dilation or strides, which every microcontroller kernel has")}


Reader = Callable[[Call], Value]


def _decay(call: Call, name: str) -> dict[str, Any]:
    """Keep the weight decay l2, for training on."""
    given = call.setting(name)
    inner = given.get("config", {}) if isinstance(given, Mapping) else {}
    if not isinstance(inner, Mapping) or not isinstance(inner.get("l2"), (int, float)):
        return {}
    from tf_keras import regularizers

    return {name: regularizers.l2(float(inner["l2"]))}


def _sliding(call: Call) -> tuple[Value, dict[str, Any]]:
    """Read what slides: the map, and strides, padding and dilation."""
    if call.setting("data_format", "channels_last") != "channels_last":
        raise ModelError(f"layer '{call.name}' has channels first; build it with data_format='channels_last'")
    x = call.builder.as_line(call.x, call.name) if "1D" in call.kind else call.x
    settings = {"strides": call.pair("strides"), "padding": str(call.setting("padding", "valid"))}
    if max(call.pair("dilation_rate")) > 1:
        settings["dilation_rate"] = call.pair("dilation_rate")
    if settings["padding"] == "causal":
        before = (int(_kernel_size(call)[1]) - 1) * call.pair("dilation_rate")[1]
        x = call.builder.add("ZeroPadding2D", f"{call.name}_causal", x, padding=((0, 0), (before, 0)))
        settings["padding"] = "valid"
    return x, settings


def _kernel_size(call: Call) -> tuple[int, int]:
    return call.pair("kernel_size")


def _as_map(call: Call, kernel: np.ndarray) -> np.ndarray:
    """Bring the kernel of a one-dimensional layer to one row."""
    wanted = 3 if "1D" in call.kind else 4
    if kernel.ndim != wanted:
        raise ModelError(f"layer '{call.name}' ({call.kind}) has weights of the shape {list(kernel.shape)}; save the "
                         "model again")
    return kernel[None] if kernel.ndim == 3 else kernel


def _bias(call: Call) -> int:
    return int(bool(call.setting("use_bias", True)))


def _convolution(call: Call) -> Value:
    x, settings = _sliding(call)
    kernel, *bias = call.take(1 + _bias(call))
    made = call.builder.convolution(call.name, x, _as_map(call, kernel), bias[0] if bias else None, **settings,
                                    groups=int(call.setting("groups", 1)), **_decay(call, "kernel_regularizer"))
    return call.activated(made)


def _depthwise(call: Call) -> Value:
    x, settings = _sliding(call)
    kernel, *bias = call.take(1 + _bias(call))
    made = call.builder.depthwise(call.name, x, _as_map(call, kernel), bias[0] if bias else None, **settings,
                                  **_decay(call, "depthwise_regularizer"))
    return call.activated(made)


def _separable(call: Call) -> Value:
    x, settings = _sliding(call)
    depthwise, pointwise, *bias = call.take(2 + _bias(call))
    x = call.builder.depthwise(f"{call.name}_depthwise", x, _as_map(call, depthwise), None, **settings,
                               **_decay(call, "depthwise_regularizer"))
    return call.activated(call.builder.convolution(call.name, x, _as_map(call, pointwise), bias[0] if bias else None))


def _transposed(call: Call) -> Value:
    x, settings = _sliding(call)
    if call.setting("output_padding") is not None:
        raise ModelError(f"layer '{call.name}' sets output_padding, which no microcontroller kernel has; leave it out")
    kernel, *bias = call.take(1 + _bias(call))
    made = call.builder.transposed(call.name, x, _as_map(call, kernel), bias[0] if bias else None, **settings)
    return call.activated(made)


def _dense(call: Call) -> Value:
    kernel, *bias = call.take(1 + _bias(call))
    return call.activated(call.builder.dense(call.name, call.x, kernel, bias[0] if bias else None,
                                             **_decay(call, "kernel_regularizer")))


def _norm(call: Call) -> Value:
    x, axis = call.x, call.setting("axis", -1)
    axis = axis[0] if isinstance(axis, (list, tuple)) and len(axis) == 1 else axis
    if axis not in (-1, len(x.shape)):
        raise ModelError(f"layer '{call.name}' normalises along the axis {axis}; only channels, the last axis, can be "
                         "folded")
    settings = {name: bool(call.setting(name, True)) for name in ("center", "scale", "trainable")}
    weights = call.take(2 + settings["center"] + settings["scale"])
    return call.builder.add("BatchNormalization", call.name, x, weights=weights, **settings,
                            momentum=float(call.setting("momentum", 0.99)),
                            epsilon=float(call.setting("epsilon", 1e-3)))


def _rescaling(call: Call) -> Value:
    return call.builder.affine(call.name, call.x, call.setting("scale", 1.0), call.setting("offset", 0.0))


def _normalisation(call: Call) -> Value:
    if len(call.weights) >= 2:
        mean, variance = (np.asarray(one, np.float64).reshape(-1) for one in call.weights[:2])
    else:
        mean, variance = (np.asarray(call.setting(name, default), np.float64).reshape(-1)
                          for name, default in (("mean", 0.0), ("variance", 1.0)))
    deviation = np.maximum(np.sqrt(variance), 1e-7)
    if call.setting("invert", False):
        return call.builder.affine(call.name, call.x, deviation, mean)
    return call.builder.affine(call.name, call.x, 1 / deviation, -mean / deviation)


def _activation(call: Call) -> Value:
    return call.builder.activation(call.name, call.x, call.curve)


def _relu(call: Call) -> Value:
    most, slope = call.setting("max_value"), float(call.setting("negative_slope", 0.0))
    if call.setting("threshold", 0.0) or (most is not None and (slope or float(most) != 6)):
        raise ModelError(f"layer '{call.name}' (ReLU) cuts at {call.setting('threshold', 0.0)} and {most}; kernels cut "
                         "at 0, and at 6 or not at all")
    if slope:
        return call.builder.activation(call.name, call.x, "leaky_relu", slope=slope)
    return call.builder.activation(call.name, call.x, "relu" if most is None else "relu6")


def _leaky(call: Call) -> Value:
    slope = call.setting("alpha", call.setting("negative_slope", 0.3))
    return call.builder.activation(call.name, call.x, "leaky_relu", slope=slope)


def _softmax(call: Call) -> Value:
    if call.setting("axis", -1) not in (-1, len(call.x.shape)):
        raise ModelError(f"layer '{call.name}' is a softmax along the axis {call.setting('axis')}; give the last one")
    return call.builder.activation(call.name, call.x, "softmax")


def _pool(call: Call) -> Value:
    x, settings = _sliding(call)
    kind = "AveragePooling2D" if "Average" in call.kind else "MaxPooling2D"
    strides = call.pair("strides", 0)
    window = call.pair("pool_size", 2)
    return call.builder.add(kind, call.name, x, pool_size=window, padding=settings["padding"],
                            strides=window if strides[1] == 0 else strides)


def _whole_pool(call: Call) -> Value:
    x, keep = call.x, bool(call.setting("keepdims", False))
    if call.setting("data_format", "channels_last") != "channels_last":
        if "2D" in call.kind or keep:
            raise ModelError(f"layer '{call.name}' has channels first; build it with data_format='channels_last'")
        x = call.builder.add("Permute", f"{call.name}_turned", call.builder.plain(x, call.name), dims=(2, 1))
    x = call.builder.as_line(x, call.name) if "1D" in call.kind else x
    return call.builder.whole_pool(call.name, x, "Average" if "Average" in call.kind else "Max", keep=keep)


def _join(call: Call) -> Value:
    return call.builder.join(call.kind, call.name, call.read)


def _concatenate(call: Call) -> Value:
    axis, rank = int(call.setting("axis", -1)), len(call.read[0].shape) + 1
    axis = axis % rank if axis < 0 else axis
    values = list(call.read)
    if any(one.line for one in values):
        values = [call.builder.as_line(one, call.name) for one in values]
        axis, rank = axis + 1, 4
    return call.builder.join("Concatenate", call.name, values, axis=-1 if axis == rank - 1 else axis)


def _padding(call: Call) -> Value:
    x, given = call.x, call.setting("padding", 1)
    if "1D" in call.kind:
        x = call.builder.as_line(x, call.name)
        before, after = (given, given) if isinstance(given, int) else given
        given = ((0, 0), (int(before), int(after)))
    return call.builder.add("ZeroPadding2D", call.name, x,
                            padding=given if isinstance(given, int) else tuple(
                                one if isinstance(one, int) else tuple(one) for one in given))


def _upsampling(call: Call) -> Value:
    if call.setting("interpolation", "nearest") != "nearest":
        raise ModelError(f"layer '{call.name}' interpolates; give interpolation='nearest'")
    x = call.builder.as_line(call.x, call.name) if "1D" in call.kind else call.x
    return call.builder.add("UpSampling2D", call.name, x, size=call.pair("size", 2))


def _reshape(call: Call) -> Value:
    x = call.builder.plain(call.x, call.name)
    shape = [int(size) for size in call.setting("target_shape", ())]
    return call.builder.add("Reshape", call.name, x, target_shape=tuple(shape))


def _flatten(call: Call) -> Value:
    return call.builder.add("Flatten", call.name, Value(call.x.tensor))


def _permute(call: Call) -> Value:
    return call.builder.add("Permute", call.name, call.builder.plain(call.x, call.name),
                            dims=tuple(int(one) for one in call.setting("dims", ())))


def _passing(call: Call) -> Value:
    if call.kind == "GaussianNoise":
        return call.builder.add(call.kind, call.name, call.x, stddev=float(call.setting("stddev", 0.1)))
    spatial = call.kind.startswith("Spatial") and len(call.x.tensor.shape) == 4
    kind = "SpatialDropout2D" if spatial else "GaussianDropout" if call.kind.startswith("Gaussian") else "Dropout"
    return call.builder.add(kind, call.name, call.x, rate=float(call.setting("rate", 0.5)))


READERS: dict[str, Reader] = {
    **dict.fromkeys(("Conv2D", "Conv1D", "Convolution1D", "Convolution2D"), _convolution),
    **dict.fromkeys(("DepthwiseConv2D", "DepthwiseConv1D"), _depthwise),
    **dict.fromkeys(("SeparableConv2D", "SeparableConv1D"), _separable),
    **dict.fromkeys(("Conv2DTranspose", "Conv1DTranspose"), _transposed),
    **dict.fromkeys(("MaxPooling2D", "MaxPooling1D", "AveragePooling2D", "AveragePooling1D"), _pool),
    **dict.fromkeys((f"Global{kind}Pooling{rank}D" for kind in ("Average", "Max") for rank in (1, 2)), _whole_pool),
    **dict.fromkeys(("Add", "Subtract", "Multiply"), _join),
    **dict.fromkeys(("ZeroPadding2D", "ZeroPadding1D"), _padding),
    **dict.fromkeys(("UpSampling2D", "UpSampling1D"), _upsampling),
    **dict.fromkeys(PASSING, _passing),
    "Dense": _dense, "BatchNormalization": _norm, "Rescaling": _rescaling, "Normalization": _normalisation,
    "Activation": _activation, "ReLU": _relu, "LeakyReLU": _leaky, "Softmax": _softmax, "Concatenate": _concatenate,
    "Reshape": _reshape, "Flatten": _flatten, "Permute": _permute, "ActivityRegularization": lambda call: call.x,
    "HardSwish": lambda call: call.builder.activation(call.name, call.x, "hard_swish")}


def read_layer(call: Call) -> Value:
    """Add what the layer of ``call`` is made of; ModelError for one that is not known, with the nearest way out."""
    reader = READERS.get(call.kind)
    if reader is None:
        way = WAYS_OUT.get(call.kind, f"build it of {KNOWN}, {SAVE}")
        raise ModelError(f"layer '{call.name}' is of the kind {call.kind}, which is not known here: {way}")
    try:
        return reader(call)
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        raise ModelError(f"layer '{call.name}' ({call.kind}) has settings that cannot be read "
                         f"({' '.join(str(error).split())[:120]}); save the model again") from error
