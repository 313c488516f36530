"""Random whole graphs: operators in a row with side inputs and constants, of any scale that a file can hold.

Scales span twenty decades, zero points lie at the ends as often as inside, biases reach the ends of their types, and
inputs saturate. Most graphs are sound and some are absurd: the twin has to be exact or refuse. To add an operator,
write one function with :func:`entry`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from one_operator import Spec
from side_by_side import Net

MOST_STEPS = 4
SAMPLES = 5
_OFTEN = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED") * 3
_BIAS_BITS = {np.int32: (8, 14, 20, 30), np.int64: (8, 20, 34, 46, 48, 61)}

Entry = Callable[["GraphNet", int], "int | None"]
ENTRIES: dict[str, Entry] = {}
"""Builtin name -> what adds the operator behind a tensor and returns its output, None where it does not fit."""


def entry(*names: str) -> Callable[[Callable[..., int | None]], Callable[..., int | None]]:
    """Enter a function under ``names``; one that serves several takes the name as its third argument."""

    def add(function: Callable[..., int | None]) -> Callable[..., int | None]:
        for name in names:
            ENTRIES[name] = (lambda net, x, name=name: function(net, x, name)) if len(names) > 1 else function
        return function

    return add


@dataclass(frozen=True)
class Case:
    """A ``.tflite`` and input codes [n, ...] by position."""

    seed: int
    data: bytes
    codes: list[np.ndarray]
    operators: tuple[str, ...]


class GraphNet(Net):
    """A :class:`Net` that draws scales, zero points and constants as they can stand in a file."""

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def scale(self) -> float:
        """Mostly as converters write it; else anywhere in twenty decades, or a power of two."""
        kind = self.rng.random()
        if kind < 0.7:
            return float(np.float32(10.0 ** self.rng.uniform(-3, 0)))
        return float(np.float32(10.0 ** self.rng.uniform(-10, 10) if kind < 0.9 else 2.0 ** self.rng.integers(-16, 3)))

    def zero(self, dtype: type) -> int:
        if dtype != np.int8:
            return 0
        return self.pick(-128, 127, -127, 0) if self.chance(0.5) else int(self.rng.integers(-128, 128))

    def codes(self, shape: list[int], dtype: type) -> np.ndarray:
        """Codes over the whole type, or its ends alone."""
        limits = np.iinfo(dtype)
        if self.chance(0.3):
            return self.rng.choice([limits.min, limits.max], shape).astype(dtype)
        return self.rng.integers(limits.min, limits.max + 1, shape).astype(dtype)

    def beside(self, x: int, shape: list[int] | None = None, dtype: type | None = None, *,
               scale: float | None = None, zero: int | None = None) -> int:
        """A tensor that an operator makes of ``x``: its shape and type unless given; a grid of its own."""
        like = self.specs[x]
        kind = like.dtype if dtype is None else dtype
        return self.tensor(like.shape if shape is None else shape, kind, scale=self.scale() if scale is None else scale,
                           zero=self.zero(kind) if zero is None else zero)

    def same_grid(self, x: int, shape: list[int]) -> int:
        """A tensor of another shape on the grid of ``x``."""
        like = self.specs[x]
        return self.tensor(shape, like.dtype, scale=like.scale[0], zero=like.zero_point[0])

    def activation(self) -> int:
        return self.pick(0, 0, 1, 2, 3)


def make_case(seed: int) -> Case:
    """Draw the graph of one seed, and its inputs: all low, all high, ends at random, uniform codes."""
    net = GraphNet(np.random.default_rng(seed))
    dtype = (np.int8, np.int16)[net.pick(0, 0, 1)]
    shape = [1, *(int(size) for size in net.rng.integers(1, 9, net.pick(1, 2, 3, 3, 3, 4)))]
    x = net.input(shape, dtype, scale=net.scale(), zero=net.zero(dtype))
    names, steps = [*ENTRIES, *_OFTEN], net.pick(*range(1, MOST_STEPS + 1))
    while len(net.steps) < steps:
        made = ENTRIES[names[net.rng.integers(len(names))]](net, x)
        x = x if made is None else made
    return Case(seed, net.data(), [_inputs(net, net.specs[place]) for place in net.inputs],
                tuple(step.name for step in net.steps))


def _inputs(net: GraphNet, spec: Spec) -> np.ndarray:
    limits = np.iinfo(spec.dtype)
    found = net.rng.integers(limits.min, limits.max + 1, (SAMPLES, *spec.shape[1:]))
    found[0], found[1] = limits.min, limits.max
    found[2] = net.rng.choice([limits.min, limits.max], spec.shape[1:])
    return found.astype(spec.dtype)


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


def _weights(net: GraphNet, shape: list[int], axis: int) -> tuple[int, np.ndarray]:
    """Constant int8 weights of 2 to 8 bits, some channels dead; one scale or one for each channel."""
    channels, most = shape[axis], (1 << net.pick(1, 3, 5, 7, 7)) - 1
    content = net.rng.integers(-most, most + 1, shape)
    if net.chance(0.1):
        content[(slice(None),) * axis + (net.rng.integers(channels),)] = 0
    scale = 10.0 ** net.rng.uniform(-6, 2, channels) if net.chance(0.3) else 10.0 ** net.rng.uniform(-3, -1, channels)
    if net.chance(0.3):
        scale = scale[:1]
    return net.constant(content, np.int8, scale, [0] * len(scale), axis), scale.astype(np.float32)


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
    w, scale = _weights(net, [channels, *kernel, source.shape[3] // groups], 0)
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
    w, scale = _weights(net, [1, *kernel, channels], 3)
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
    w, scale = _weights(net, [outputs, depth], 0)
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


@entry("MEAN")
def _mean(net: GraphNet, x: int) -> int | None:
    source = net.specs[x]
    axes = [axis for axis in range(1, len(source.shape)) if net.chance(0.5)]
    if not axes:
        return None
    keep = net.chance(0.5)
    shape = [1 if axis in axes else size for axis, size in enumerate(source.shape) if keep or axis not in axes]
    scale = net.scale() if net.chance(0.4) else float(source.scale[0]) * 2.0 ** float(net.rng.uniform(-4, 2))
    return net.step("MEAN", [x, net.constant(np.array(axes), np.int32)], net.beside(x, shape, scale=scale),
                    "ReducerOptions", {"keepDims": keep})


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


@entry("PAD", "PADV2")
def _pad(net: GraphNet, x: int, name: str) -> int:
    source = net.specs[x]
    pairs = net.rng.integers(0, 3, (len(source.shape), 2)) * (np.arange(len(source.shape)) > 0)[:, None]
    y = net.same_grid(x, [int(size + sum(pair)) for size, pair in zip(source.shape, pairs, strict=True)])
    value = [net.constant(net.codes([1], source.dtype), source.dtype, source.scale, source.zero_point)]
    return net.step(name, [x, net.constant(pairs, np.int32), *(value if name == "PADV2" else [])], y)


@entry("RESHAPE")
def _reshape(net: GraphNet, x: int) -> int:
    sizes = [int(size) for size in net.specs[x].shape[1:]]
    shape = [1, int(np.prod(sizes))] if net.chance(0.5) else [1, *sizes[::-1]]
    return net.step("RESHAPE", [x, net.constant(np.array(shape), np.int32)], net.same_grid(x, shape))


@entry("TRANSPOSE")
def _transpose(net: GraphNet, x: int) -> int:
    shape = net.specs[x].shape
    axes = [0, *(int(axis) for axis in 1 + net.rng.permutation(len(shape) - 1))]
    return net.step("TRANSPOSE", [x, net.constant(np.array(axes), np.int32)],
                    net.same_grid(x, [shape[axis] for axis in axes]))


@entry("STRIDED_SLICE")
def _strided_slice(net: GraphNet, x: int) -> int:
    shape = net.specs[x].shape
    begins = [0, *(int(net.rng.integers(size)) for size in shape[1:])]
    ends = [1, *(int(net.rng.integers(begin + 1, size + 1)) for begin, size in
                 zip(begins[1:], shape[1:], strict=True))]
    strides = [1, *(net.pick(1, 1, 2) for _ in shape[1:])]
    y = net.same_grid(x, [len(range(*cut)) for cut in zip(begins, ends, strides, strict=True)])
    return net.step("STRIDED_SLICE", [x, *(net.constant(np.array(one), np.int32) for one in (begins, ends, strides))],
                    y, "StridedSliceOptions")


@entry("CONCATENATION")
def _concatenation(net: GraphNet, x: int) -> int | None:
    if len(net.specs[x].shape) < 2:
        return None
    source, axis = net.specs[x], net.pick(*range(1, len(net.specs[x].shape)))
    part = [int(net.rng.integers(1, 4)) if place == axis else size for place, size in enumerate(source.shape)]
    other = (net.constant(net.codes(part, source.dtype), source.dtype, source.scale, source.zero_point)
             if net.chance(0.5) else net.input(part, source.dtype, scale=source.scale[0], zero=source.zero_point[0]))
    y = net.same_grid(x, [size + part[axis] if place == axis else size for place, size in enumerate(source.shape)])
    return net.step("CONCATENATION", [x, other], y, "ConcatenationOptions", {"axis": axis})


@entry("SQUARED_DIFFERENCE", "PRELU")
def _squares(net: GraphNet, x: int, name: str) -> int | None:
    if net.specs[x].dtype != np.int8 and name == "PRELU":
        return None
    pair = [x, _second(net, x)]
    scales = [float(net.specs[one].scale[0]) for one in pair]
    real = max(scales) ** 2 * 100 if name == "SQUARED_DIFFERENCE" else max(scales)
    y = net.beside(x, scale=net.scale() if net.chance(0.2) else float(np.clip(real * 2.0 ** net.rng.uniform(-4, 4),
                                                                             1e-15, 1e15)))
    return net.step(name, pair, y, "SquaredDifferenceOptions" if name == "SQUARED_DIFFERENCE" else "")


@entry("ELU", "HARD_SWISH")
def _table(net: GraphNet, x: int, name: str) -> int:
    scale = net.scale() if net.chance(0.3) else float(net.specs[x].scale[0]) * 2.0 ** float(net.rng.uniform(-4, 4))
    y = net.beside(x, scale=float(np.clip(scale, 1e-15, 1e15)))
    return net.step(name, [x], y, "HardSwishOptions" if name == "HARD_SWISH" else "")


@entry("LOG_SOFTMAX")
def _log_softmax(net: GraphNet, x: int) -> int:
    return net.step("LOG_SOFTMAX", [x], net.beside(x, scale=1 / 16, zero=127), "LogSoftmaxOptions")


@entry("SUM", "REDUCE_MAX")
def _reduction(net: GraphNet, x: int, name: str) -> int | None:
    source = net.specs[x]
    axes = [axis for axis in range(1, len(source.shape)) if net.chance(0.5)]
    if not axes or (source.dtype != np.int8 and name == "REDUCE_MAX"):
        return None
    keep = net.chance(0.5)
    shape = [1 if axis in axes else size for axis, size in enumerate(source.shape) if keep or axis not in axes]
    scale = net.scale() if net.chance(0.3) else float(source.scale[0]) * 2.0 ** float(net.rng.uniform(-4, 6))
    y = net.same_grid(x, shape) if name == "REDUCE_MAX" else net.beside(x, shape, scale=scale)
    return net.step(name, [x, net.constant(np.array(axes), np.int32)], y, "ReducerOptions", {"keepDims": keep})


@entry("GATHER")
def _gather(net: GraphNet, x: int) -> int | None:
    shape = list(net.specs[x].shape)
    axis = net.pick(*range(1, len(shape)))
    places = net.rng.integers(0, shape[axis], net.pick(1, 2, 3))
    return net.step("GATHER", [x, net.constant(places, np.int32)],
                    net.same_grid(x, [*shape[:axis], len(places), *shape[axis + 1:]]), "GatherOptions", {"axis": axis})


@entry("PACK")
def _pack(net: GraphNet, x: int) -> int | None:
    shape, axis = list(net.specs[x].shape), net.pick(*range(1, len(net.specs[x].shape) + 1))
    if len(shape) > 4:
        return None
    return net.step("PACK", [x, x], net.same_grid(x, [*shape[:axis], 2, *shape[axis:]]), "PackOptions",
                    {"axis": axis, "valuesCount": 2})


@entry("RESIZE_NEAREST_NEIGHBOR", "RESIZE_BILINEAR")
def _resize(net: GraphNet, x: int, name: str) -> int | None:
    shape = net.specs[x].shape
    if len(shape) != 4:
        return None
    wanted, mode = net.rng.integers(1, net.pick(4, 20, 80), 2), net.pick(0, 1, 2)
    options = "ResizeBilinearOptions" if name == "RESIZE_BILINEAR" else "ResizeNearestNeighborOptions"
    return net.step(name, [x, net.constant(wanted, np.int32)], net.same_grid(x, [1, *map(int, wanted), shape[3]]),
                    options, {"alignCorners": mode == 1, "halfPixelCenters": mode == 2})


@entry("TRANSPOSE_CONV")
def _transpose_conv(net: GraphNet, x: int) -> int | None:
    source = net.specs[x]
    if len(source.shape) != 4:
        return None
    same, kernel, stride = net.pick(0, 1), [net.pick(1, 2, 3), net.pick(1, 2, 3)], [net.pick(1, 2), net.pick(1, 2)]
    size = [n * s if same else (n - 1) * s + k for n, s, k in zip(source.shape[1:3], stride, kernel, strict=True)]
    outputs = net.pick(1, 2, 3)
    w, scale = _weights(net, [outputs, *kernel, source.shape[3]], 0)
    bias = _bias(net, outputs, np.int32 if source.dtype == np.int8 else np.int64, scale * source.scale[0])
    taps = int(np.prod(kernel)) * source.shape[3]
    y = net.beside(x, [1, *size, outputs], scale=_fitting(net, x, scale, taps))
    return net.step("TRANSPOSE_CONV", [net.constant(np.array([1, *size, outputs]), np.int32), w, x, bias], y,
                    "TransposeConvOptions", {"padding": 1 - same, "strideH": stride[0], "strideW": stride[1]})


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
    y = net.beside(x, [*ahead, rows, columns], scale=_fitting(net, x, net.specs[second].scale, depth))
    return net.step("BATCH_MATMUL", [x, second], y, "BatchMatMulOptions", {"adjX": False, "adjY": turned})
