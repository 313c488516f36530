"""The operators of random graphs. To add one, write one function with :func:`graph_net.entry`."""

from __future__ import annotations

import numpy as np
from graph_net import GraphNet, entry

_BIAS_BITS = {np.int32: (8, 14, 20, 30), np.int64: (8, 20, 34, 46, 48, 61)}


def _slide(net: GraphNet, x: int, *, dilated: bool) -> tuple[list[int], list[int], dict[str, object]] | None:
    """A kernel, the size of its output, and the options of stride, padding and dilation."""
    if len(net.specs[x].shape) != 4:
        return None
    size, same = [int(one) for one in net.specs[x].shape[1:3]], net.pick(0, 1)
    kernel, stride = [net.pick(1, 1, 2, 3) for _ in size], [net.pick(1, 1, 2, 3) for _ in size]
    dilation = [net.pick(1, 1, 1, 2, 3) if dilated else 1 for _ in size]
    reach = [(taps - 1) * step + 1 for taps, step in zip(kernel, dilation, strict=True)]
    out = [-(-n // s) if same else (n - r) // s + 1 for n, s, r in zip(size, stride, reach, strict=True)]
    if min(out) < 1:
        return None
    options = {"padding": 1 - same, "strideH": stride[0], "strideW": stride[1],
               "fusedActivationFunction": net.activation()}
    return out, kernel, options | ({"dilationHFactor": dilation[0], "dilationWFactor": dilation[1]} if dilated else {})


def _weights(net: GraphNet, shape: list[int], axis: int, *, packs: bool = False) -> tuple[int, np.ndarray]:
    """Constant weights of 2 to 8 bits, some channels dead; one scale or one for each channel.

    ``packs``: those of 4 bits may lie two in a byte.
    """
    channels, most = shape[axis], (1 << net.pick(1, 3, 5, 7, 7)) - 1
    content = net.rng.integers(-most, most + 1, shape)
    if net.chance(0.1):
        content[(slice(None),) * axis + (net.rng.integers(channels),)] = 0
    scale = 10.0 ** net.rng.uniform(-6, 2, channels) if net.chance(0.3) else 10.0 ** net.rng.uniform(-3, -1, channels)
    if net.chance(0.3):
        scale = scale[:1]
    found = net.constant(content, np.int8, scale, [0] * len(scale), axis)
    net.specs[found].four_bits = packs and most < 8 and net.chance(0.3)
    return found, scale.astype(np.float32)


def _bias(net: GraphNet, channels: int, dtype: type, scale: np.ndarray) -> int:
    bits = net.pick(*_BIAS_BITS[dtype])
    return net.constant(net.rng.integers(-1 << bits, 1 << bits, channels), dtype, scale, [0] * len(scale))


def _fitting(net: GraphNet, x: int, weights: np.ndarray, taps: int) -> float:
    """An output scale at which the sums of ``taps`` products mostly lie inside the codes, or any scale."""
    if net.chance(0.25):
        return net.scale()
    most = np.iinfo(net.specs[x].dtype).max
    real = float(net.specs[x].scale[0]) * float(weights.max()) * 40 * most * taps ** 0.5
    return float(np.clip(real / most * 2.0 ** net.rng.uniform(-3, 2), 1e-15, 1e15))


@entry("CONV_2D")
def _convolution(net: GraphNet, x: int) -> int | None:
    slide = _slide(net, x, dilated=True)
    if slide is None:
        return None
    (out, kernel, options), source = slide, net.specs[x]
    channels = net.pick(1, 2, 4, 8)
    groups = net.pick(1, 1, 2) if channels > 1 and source.shape[3] % 2 == 0 else 1
    w, scale = _weights(net, [channels, *kernel, source.shape[3] // groups], 0, packs=source.dtype == np.int8)
    types = [np.int32] if source.dtype == np.int8 else [np.int32, np.int64]
    bias = [_bias(net, channels, types[net.pick(0, -1)], scale * source.scale[0])] if net.chance(0.7) else []
    y = net.beside(x, [1, *out, channels], scale=_fitting(net, x, scale, int(np.prod(kernel)) * source.shape[3]))
    return net.step("CONV_2D", [x, w, *bias], y, "Conv2DOptions", options)


@entry("DEPTHWISE_CONV_2D")
def _depthwise(net: GraphNet, x: int) -> int | None:
    slide = _slide(net, x, dilated=True)
    if slide is None:
        return None
    (out, kernel, options), source, multiplier = slide, net.specs[x], net.pick(1, 1, 2, 3)
    channels = source.shape[3] * multiplier
    w, scale = _weights(net, [1, *kernel, channels], 3, packs=source.dtype == np.int8)
    dtype = np.int32 if source.dtype == np.int8 else np.int64
    bias = [_bias(net, channels, dtype, scale * source.scale[0])] if net.chance(0.8) else []
    y = net.beside(x, [1, *out, channels], scale=_fitting(net, x, scale, int(np.prod(kernel))))
    return net.step("DEPTHWISE_CONV_2D", [x, w, *bias], y, "DepthwiseConv2DOptions",
                    {**options, "depthMultiplier": multiplier})


@entry("FULLY_CONNECTED")
def _fully_connected(net: GraphNet, x: int) -> int | None:
    source, outputs = net.specs[x], net.pick(1, 3, 8)
    depth = int(source.shape[-1]) if net.chance(0.5) else int(np.prod(source.shape))
    rows = int(np.prod(source.shape)) // depth
    w, scale = _weights(net, [outputs, depth], 0, packs=source.dtype == np.int8)
    if len(scale) == 1 and net.chance(0.3):
        net.specs[w].zero_point = [net.pick(-128, -3, 77, 127)]
    types = [np.int32] if source.dtype == np.int8 else [np.int32, np.int64]
    bias = [_bias(net, outputs, types[net.pick(0, -1)], scale * source.scale[0])] if net.chance(0.7) else []
    y = net.beside(x, [rows, outputs] if rows == 1 else [1, rows, outputs], scale=_fitting(net, x, scale, depth))
    return net.step("FULLY_CONNECTED", [x, w, *bias], y, "FullyConnectedOptions",
                    {"fusedActivationFunction": net.activation(), "keepNumDims": rows > 1})


@entry("AVERAGE_POOL_2D", "MAX_POOL_2D")
def _pool(net: GraphNet, x: int, name: str) -> int | None:
    slide = _slide(net, x, dilated=False)
    if slide is None:
        return None
    out, kernel, options = slide
    return net.step(name, [x], net.same_grid(x, [1, *out, net.specs[x].shape[3]]), "Pool2DOptions",
                    {**options, "filterHeight": kernel[0], "filterWidth": kernel[1]})


def _second(net: GraphNet, x: int) -> int:
    """Another operand for ``x``: itself, an input, or a constant that may broadcast."""
    like, kind = net.specs[x], net.rng.random()
    if kind < 0.2:
        return x
    shape = [1, *(1 if net.chance(0.3) else size for size in like.shape[1:])]
    if kind < 0.5:
        return net.input(list(like.shape), like.dtype, scale=net.scale(), zero=net.zero(like.dtype))
    shape = shape[1:] if len(shape) > 1 and net.chance(0.3) else shape
    return net.constant(net.codes(shape, like.dtype), like.dtype, [net.scale()], [net.zero(like.dtype)])


@entry("ADD", "SUB", "MUL", "MINIMUM", "MAXIMUM")
def _binary(net: GraphNet, x: int, name: str) -> int:
    pair = [x, _second(net, x)]
    if net.chance(0.3):
        pair = pair[::-1]
    options = {"ADD": "AddOptions", "SUB": "SubOptions", "MUL": "MulOptions"}.get(name, "MaximumMinimumOptions")
    scales = [float(net.specs[one].scale[0]) for one in pair]
    real = scales[0] * scales[1] * 100 if name == "MUL" else max(scales)
    y = net.beside(x, scale=net.scale() if net.chance(0.2) else float(np.clip(real * 2.0 ** net.rng.uniform(-4, 4),
                                                                             1e-15, 1e15)))
    values = {} if "Maximum" in options else {"fusedActivationFunction": net.activation()}
    return net.step(name, pair, y, options, values)


@entry("MEAN", "SUM", "REDUCE_MAX")
def _reduction(net: GraphNet, x: int, name: str) -> int | None:
    source = net.specs[x]
    if name == "REDUCE_MAX" and source.dtype != np.int8:
        return None
    axes = [axis for axis in range(1, len(source.shape)) if net.chance(0.5)]
    if not axes:
        return None
    keep = net.chance(0.5)
    shape = [1 if axis in axes else size for axis, size in enumerate(source.shape) if keep or axis not in axes]
    scale = net.scale() if net.chance(0.4) else float(source.scale[0]) * 2.0 ** float(net.rng.uniform(-4, 2))
    y = net.same_grid(x, shape) if name == "REDUCE_MAX" else net.beside(x, shape, scale=scale)
    return net.step(name, [x, net.constant(np.array(axes), np.int32)], y, "ReducerOptions", {"keepDims": keep})


@entry("SOFTMAX")
def _softmax(net: GraphNet, x: int) -> int:
    source = net.specs[x]
    target = np.int16 if source.dtype == np.int16 or net.chance(0.2) else np.int8
    scale, zero = ((2.0**-8, -128) if target == np.int8 else
                   (2.0**-15, 0) if source.dtype == np.int16 else (2.0**-16, -32768))
    return net.step("SOFTMAX", [x], net.beside(x, dtype=target, scale=scale, zero=zero), "SoftmaxOptions",
                    {"beta": net.pick(1, 1, 1, 3)})


@entry("LOGISTIC", "TANH")
def _sigmoid(net: GraphNet, x: int, name: str) -> int:
    if net.specs[x].dtype == np.int16:
        y = net.beside(x, scale=2.0**-15)
    else:
        y = net.beside(x, scale=2.0**-8 if name == "LOGISTIC" else 2.0**-7, zero=-128 if name == "LOGISTIC" else 0)
    return net.step(name, [x], y)


@entry("RELU", "RELU6", "LEAKY_RELU", "QUANTIZE")
def _unary(net: GraphNet, x: int, name: str) -> int:
    source = net.specs[x]
    if name == "RELU6":
        return net.step(name, [x], net.same_grid(x, list(source.shape)))
    dtype = (np.int8, np.int16)[net.pick(0, 1)] if name == "QUANTIZE" else source.dtype
    scale = net.scale() if net.chance(0.3) else float(np.clip(source.scale[0] * 2.0 ** net.rng.uniform(-9, 9), 1e-15,
                                                             1e15))
    y = net.beside(x, dtype=dtype, scale=scale)
    options = ("LeakyReluOptions", {"alpha": float(net.rng.uniform(0, 2))}) if name == "LEAKY_RELU" else ("", {})
    return net.step(name, [x], y, *options)


@entry("HARD_SWISH", "ELU", "LOG_SOFTMAX")
def _int8_function(net: GraphNet, x: int, name: str) -> int | None:
    if net.specs[x].dtype != np.int8:
        return None
    scale = net.scale() if net.chance(0.3) else float(net.specs[x].scale[0]) * 2.0 ** float(net.rng.uniform(-3, 3))
    y = net.beside(x, scale=1 / 16, zero=127) if name == "LOG_SOFTMAX" else net.beside(x, scale=scale)
    options = {"HARD_SWISH": "HardSwishOptions", "LOG_SOFTMAX": "LogSoftmaxOptions"}.get(name, "")
    return net.step(name, [x], y, options)


@entry("PRELU", "SQUARED_DIFFERENCE")
def _pairs(net: GraphNet, x: int, name: str) -> int | None:
    like = net.specs[x]
    if name == "PRELU" and like.dtype != np.int8:
        return None
    other, scale = _second(net, x), float(like.scale[0])
    real = scale * (float(net.specs[other].scale[0]) if name == "PRELU" else scale) * 64
    y = net.beside(x, scale=net.scale() if net.chance(0.3) else float(np.clip(real, 1e-15, 1e15)))
    return net.step(name, [x, other], y, "SquaredDifferenceOptions" if name == "SQUARED_DIFFERENCE" else "")


@entry("BATCH_MATMUL")
def _matmul(net: GraphNet, x: int) -> int | None:
    source = net.specs[x]
    if not 3 <= len(source.shape) <= 5:
        return None
    *ahead, rows, depth = source.shape
    columns, turned = net.pick(1, 2, 5), net.chance(0.5)
    other = [columns, depth] if turned else [depth, columns]
    second = (net.constant(net.codes(other, source.dtype), source.dtype, [net.scale()], [net.zero(source.dtype)])
              if net.chance(0.5) else
              net.input([*ahead, *other], source.dtype, scale=net.scale(), zero=net.zero(source.dtype)))
    y = net.beside(x, [*ahead, rows, columns], scale=_fitting(net, x, np.asarray(net.specs[second].scale), depth))
    return net.step("BATCH_MATMUL", [x, second], y, "BatchMatMulOptions", {"adjX": False, "adjY": turned})


@entry("TRANSPOSE_CONV")
def _transpose_conv(net: GraphNet, x: int) -> int | None:
    source = net.specs[x]
    if len(source.shape) != 4:
        return None
    same, kernel, stride = net.pick(0, 1), [net.pick(1, 2, 3) for _ in "hw"], [net.pick(1, 2) for _ in "hw"]
    out = [int(size) * step if same else (int(size) - 1) * step + taps for size, step, taps in
           zip(source.shape[1:3], stride, kernel, strict=True)]
    channels = net.pick(1, 2, 4)
    w, scale = _weights(net, [channels, *kernel, source.shape[3]], 0)
    dtype = np.int32 if source.dtype == np.int8 else np.int64
    bias = [_bias(net, channels, dtype, scale * source.scale[0])] if source.dtype == np.int16 or net.chance(0.5) else []
    shape = net.constant(np.array([1, *out, channels]), np.int32)
    y = net.beside(x, [1, *out, channels], scale=_fitting(net, x, scale, int(np.prod(kernel)) * source.shape[3]))
    return net.step("TRANSPOSE_CONV", [shape, w, x, *bias], y, "TransposeConvOptions",
                    {"padding": 1 - same, "strideH": stride[0], "strideW": stride[1]})


@entry("UNIDIRECTIONAL_SEQUENCE_LSTM")
def _lstm(net: GraphNet, x: int) -> int | None:
    source, units = net.specs[x], net.pick(1, 2, 5)
    if source.dtype != np.int8 or len(source.shape) != 3:
        return None
    weights = [net.constant(net.rng.integers(-127, 128, (units, size)), np.int8, [10.0 ** net.rng.uniform(-4, 0)], [0])
               for size in [source.shape[2]] * 4 + [units] * 4]
    bias = [_bias(net, units, np.int32, np.array([0.001])) for _ in range(4)]
    y = net.beside(x, [1, source.shape[1], units])
    hidden = net.state([1, units], np.int8, scale=net.specs[y].scale[0], zero=net.specs[y].zero_point[0])
    cell = net.state([1, units], np.int16, scale=2.0 ** -net.pick(0, 8, 11, 12, 15))
    return net.step("UNIDIRECTIONAL_SEQUENCE_LSTM", [x, *weights, -1, -1, -1, *bias, -1, -1, hidden, cell, *[-1] * 4],
                    y, "UnidirectionalSequenceLSTMOptions",
                    {"fusedActivationFunction": 4, "cellClip": float(net.pick(0, 0, 1, 9))})


@entry("SVDF")
def _svdf(net: GraphNet, x: int) -> int | None:
    source, rank, units, memory = net.specs[x], net.pick(1, 2), net.pick(1, 3), net.pick(1, 2, 4)
    if source.dtype != np.int8 or len(source.shape) != 2:
        return None
    dtype = (np.int8, np.int16)[net.pick(0, 1)]
    scales = [float(np.float32(10.0 ** net.rng.uniform(-4, -1))) for _ in "ab"]
    features = net.constant(net.rng.integers(-127, 128, (rank * units, source.shape[1])), np.int8,
                            [10.0 ** net.rng.uniform(-4, 0)], [0])
    times = net.constant(net.codes([rank * units, memory], dtype), dtype, scales[:1], [0])
    bias = _bias(net, units, np.int32, np.array([np.float32(scales[0]) * np.float32(scales[1])]))
    state = net.state([1, rank * units * memory], dtype, scale=scales[1], zero=net.zero(dtype))
    net.states.append(state)
    return net.step("SVDF", [x, features, times, bias, state], net.beside(x, [1, units]), "SVDFOptions",
                    {"rank": rank, "fusedActivationFunction": 1})
