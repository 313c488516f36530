"""Random cases of each operator, for graphs of many side by side: shapes, scales, zero points and options."""

from __future__ import annotations

from typing import Any

import numpy as np
from side_by_side import Net

DTYPES = (np.int8, np.int16)


def sliding(net: Net, *, dilated: bool) -> tuple[list[int], list[int], dict[str, object]]:
    """A random input size, the output size it gives, and the options of stride, padding and dilation."""
    kernel, stride = [net.pick(1, 2, 3, 4) for _ in "hw"], [net.pick(1, 2, 3) for _ in "hw"]
    dilation = [net.pick(1, 2) for _ in "hw"] if dilated and stride == [1, 1] else [1, 1]
    size, same = [net.pick(7, 8, 9, 10) for _ in "hw"], net.pick(0, 1)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    out = [-(-n // s) if same else (n - r) // s + 1 for n, s, r in zip(size, stride, reach, strict=True)]
    options: dict[str, object] = {"padding": 1 - same, "strideH": stride[0], "strideW": stride[1],
                                  "fusedActivationFunction": net.pick(0, 1, 2, 3)}
    if dilated:
        options |= {"dilationHFactor": dilation[0], "dilationWFactor": dilation[1]}
    return [*size, *out], kernel, options


def weights(net: Net, shape: tuple[int, ...], axis: int) -> tuple[int, np.ndarray]:
    """Constant weights of 2 to 8 bits with a scale for each channel; also these scales."""
    most = (1 << net.pick(1, 2, 3, 4, 5, 6, 7)) - 1
    channels = shape[axis]
    scale = np.exp(net.rng.uniform(-9, 0, channels))
    return net.constant(net.rng.integers(-most, most + 1, shape), np.int8, scale, [0] * channels, axis), scale


def biases(net: Net, channels: int, dtype: type, scale: np.ndarray) -> int:
    return net.constant(net.rng.integers(-9000, 9000, channels), dtype, 0.1 * scale, [0] * channels)


def convolution(net: Net) -> None:
    """16-bit: a bias of 32 or of 64 bits, or none."""
    (height, width, *out), kernel, options = sliding(net, dilated=True)
    in_c, out_c = net.pick(1, 3, 4, 6), net.pick(1, 2, 5)
    x = net.input([1, height, width, in_c], np.int16)
    w, scale = weights(net, (out_c, *kernel, in_c), 0)
    bias = [biases(net, out_c, dtype, scale) for dtype in (np.int32, np.int64)[net.pick(0, 1):][:net.pick(0, 1, 1)]]
    y = net.tensor([1, *out, out_c], np.int16, scale=float(net.rng.uniform(0.5, 30)))
    net.step("CONV_2D", [x, w, *bias], y, "Conv2DOptions", options)


def depthwise(net: Net) -> None:
    dtype = DTYPES[net.pick(0, 1)]
    (height, width, *out), kernel, options = sliding(net, dilated=True)
    in_c, multiplier = net.pick(1, 3, 4), net.pick(1, 1, 2, 3)
    x = net.input([1, height, width, in_c], dtype, zero=net.zero(dtype))
    w, scale = weights(net, (1, *kernel, in_c * multiplier), 3)
    bias = biases(net, in_c * multiplier, np.int32 if dtype == np.int8 else np.int64, scale)
    y = net.tensor([1, *out, in_c * multiplier], dtype, scale=float(net.rng.uniform(0.2, 9)), zero=net.zero(dtype))
    net.step("DEPTHWISE_CONV_2D", [x, w, bias], y, "DepthwiseConv2DOptions", {**options, "depthMultiplier": multiplier})


def fully_connected(net: Net) -> None:
    """One or more rows; weights with a zero point have one scale."""
    dtype, rows, depth, outputs = DTYPES[net.pick(0, 1)], net.pick(1, 2, 3, 4), net.pick(5, 8, 16), net.pick(1, 3, 6)
    x = net.input([1, rows, depth], dtype, zero=net.zero(dtype))
    content = net.rng.integers(-128, 128, (outputs, depth))
    w = net.constant(content, np.int8, [0.01], [net.pick(-128, -127, 0, 0, 77)])
    bias = net.constant(net.rng.integers(-9000, 9000, outputs), np.int32, [0.001], [0])
    y = net.tensor([1, rows, outputs], dtype, scale=float(net.rng.uniform(0.2, 2)), zero=net.zero(dtype))
    net.step("FULLY_CONNECTED", [x, w, bias], y, "FullyConnectedOptions",
             {"fusedActivationFunction": net.pick(0, 1), "keepNumDims": True})


def pool(net: Net) -> None:
    dtype = DTYPES[net.pick(0, 1)]
    (height, width, *out), kernel, options = sliding(net, dilated=False)
    zero, channels = net.zero(dtype), net.pick(1, 3, 4)
    x = net.input([1, height, width, channels], dtype, zero=zero)
    y = net.tensor([1, *out, channels], dtype, zero=zero)
    net.step(("AVERAGE_POOL_2D", "MAX_POOL_2D")[net.pick(0, 1)], [x], y, "Pool2DOptions",
             {**options, "filterHeight": kernel[0], "filterWidth": kernel[1]})


def mean(net: Net) -> None:
    dtype, shape = DTYPES[net.pick(0, 1)], [1, *(int(size) for size in net.rng.integers(1, 7, 3))]
    axes = [[1, 2], [1, 2], [1], [2], [2, 3], [1, 2, 3], [3]][net.pick(*range(7))]
    x = net.input(shape, dtype, zero=net.zero(dtype))
    place = net.constant(np.array(axes), np.int32)
    y = net.tensor([1 if axis in axes else size for axis, size in enumerate(shape)], dtype, zero=net.zero(dtype),
                   scale=float(net.rng.uniform(0.03, 0.3)))
    net.step("MEAN", [x, place], y, "ReducerOptions", {"keepDims": True})


def pad(net: Net) -> None:
    dtype, zero = DTYPES[net.pick(0, 1)], net.zero(np.int8)
    zero = zero if dtype == np.int8 else 0
    shape = [1, *(int(size) for size in net.rng.integers(1, 6, net.pick(1, 2, 3, 4)))]
    paddings = np.array([[0, 0], *net.rng.integers(0, 4, (len(shape) - 1, 2))])
    x = net.input(shape, dtype, zero=zero)
    inputs = [x, net.constant(paddings, np.int32)]
    if net.pick(0, 1):
        inputs.append(net.constant(np.array([net.pick(-128, 5, 127)]), dtype, [0.1], [zero]))
    y = net.tensor([size + int(sum(pair)) for size, pair in zip(shape, paddings, strict=True)], dtype, zero=zero)
    name = "PAD" if len(inputs) == 2 else "PADV2"
    net.step(name, inputs, y, "PadOptions" if name == "PAD" else "PadV2Options")


def softmax(net: Net) -> None:
    source, target = [(np.int8, np.int8), (np.int8, np.int16), (np.int16, np.int16)][net.pick(0, 1, 2)]
    shape = [1, *(int(size) for size in net.rng.integers(1, 12, net.pick(1, 2)))]
    steepness = float(np.exp(net.rng.uniform(-6, 0)))
    x = net.input(shape, source, zero=net.zero(source), scale=steepness * (1 if source == np.int8 else 1 / 200))
    scale, zero = {(np.int8, np.int8): (2**-8, -128), (np.int8, np.int16): (2**-16, -32768),
                   (np.int16, np.int16): (2**-15, 0)}[source, target]
    net.step("SOFTMAX", [x], net.tensor(shape, target, scale=scale, zero=zero), "SoftmaxOptions",
             {"beta": float(net.rng.choice([1.0, 0.7, 2.5]))})


def unary(net: Net) -> None:
    name = str(net.rng.choice(["RELU", "RELU6", "LEAKY_RELU", "LOGISTIC", "TANH"]))
    x = net.input([1, 3, 70], zero=net.zero(np.int8), scale=0.05)
    scale, zero = {"LOGISTIC": (1 / 256, -128), "TANH": (1 / 128, 0)}.get(name, (0.07, net.zero(np.int8)))
    options = {"LEAKY_RELU": ("LeakyReluOptions", {"alpha": 0.3})}.get(name, ("", {}))
    net.step(name, [x], net.tensor([1, 3, 70], scale=scale, zero=zero), *options)


def quantize(net: Net) -> None:
    source, target = DTYPES[net.pick(0, 1)], DTYPES[net.pick(0, 1)]
    shape = [1, *(int(size) for size in net.rng.integers(1, 40, net.pick(1, 2)))]
    x = net.input(shape, source, zero=net.zero(source), scale=float(np.exp(net.rng.uniform(-3, 3))))
    net.step("QUANTIZE", [x], net.tensor(shape, target, zero=net.zero(target), scale=float(
        np.exp(net.rng.uniform(-3, 3)))), "QuantizeOptions")


def add(net: Net) -> None:
    """Of two tensors, of one with itself or with a constant."""
    dtype, shape = DTYPES[net.pick(0, 1)], [1, *(int(size) for size in net.rng.integers(1, 9, 3))]
    scales = np.exp(net.rng.uniform(-3, 1, 3))
    x = net.input(shape, dtype, zero=net.zero(dtype), scale=float(scales[0]))
    other = [lambda: net.input(shape, dtype, zero=net.zero(dtype), scale=float(scales[1])), lambda: x,
             lambda: net.constant(net.rng.integers(-128, 128, shape), dtype, [float(scales[1])], [net.zero(dtype)])]
    y = net.tensor(shape, dtype, zero=net.zero(dtype), scale=float(scales[2]))
    net.step("ADD", [x, other[net.pick(0, 1, 2)]()][::net.pick(-1, 1)], y, "AddOptions",
             {"fusedActivationFunction": net.pick(0, 1, 3)})


def concatenation(net: Net) -> None:
    dtype, shape = DTYPES[net.pick(0, 1)], [1, *(int(size) for size in net.rng.integers(1, 6, 3))]
    axis, zero = net.pick(1, 2, 3, -1), net.zero(np.int8)
    zero = zero if dtype == np.int8 else 0
    parts, sizes = [], net.rng.integers(1, 5, 3)
    for number, size in enumerate(sizes):
        part = [int(size) if place == axis % 4 else whole for place, whole in enumerate(shape)]
        parts.append(net.input(part, dtype, zero=zero) if number else
                     net.constant(net.rng.integers(-128, 128, part), dtype, [0.1], [zero]))
    whole = [int(sizes.sum()) if place == axis % 4 else size for place, size in enumerate(shape)]
    net.step("CONCATENATION", parts[::net.pick(-1, 1)], net.tensor(whole, dtype, zero=zero), "ConcatenationOptions",
             {"axis": axis})


def grouped(net: Net) -> None:
    """Groups of input channels; int8 or 16-bit."""
    dtype, (groups, depth, share) = DTYPES[net.pick(0, 1)], (net.pick(2, 3), net.pick(1, 2, 3), net.pick(1, 2))
    (height, width, *out), kernel, options = sliding(net, dilated=True)
    x = net.input([1, height, width, groups * depth], dtype, zero=net.zero(dtype))
    w, scale = weights(net, (groups * share, *kernel, depth), 0)
    bias = biases(net, groups * share, np.int32 if dtype == np.int8 else np.int64, scale)
    y = net.tensor([1, *out, groups * share], dtype, scale=float(net.rng.uniform(0.5, 30)), zero=net.zero(dtype))
    net.step("CONV_2D", [x, w, bias], y, "Conv2DOptions", options)


def extreme(net: Net) -> None:
    """Dead channels, large biases and scales with which 32-bit sums wrap around."""
    outputs, rows = net.pick(1, 3), net.pick(1, 2, 3)
    x = net.input([1, rows, 2, 4], zero=net.zero(np.int8), scale=1.0)
    scale = np.exp(net.rng.uniform(-3, 8, outputs))
    w = net.constant(net.rng.integers(-127, 128, (outputs, 1, 1, 4)), np.int8, scale, [0] * outputs)
    bias = net.constant(net.rng.integers(-(1 << 31), 1 << 31, outputs), np.int32, scale, [0] * outputs)
    y = net.tensor([1, rows, 2, outputs], scale=float(np.exp(net.rng.uniform(-3, 3))), zero=net.zero(np.int8))
    net.step("CONV_2D", [x, w, bias], y, "Conv2DOptions", {"padding": 1, "strideH": 1, "strideW": 1})


def transpose_conv(net: Net) -> None:
    """The window slides over the output; TFLite Micro reads 64-bit biases for 16-bit tensors."""
    dtype = DTYPES[net.pick(0, 1)]
    (height, width, *small), kernel, options = sliding(net, dilated=False)
    in_c, out_c = net.pick(1, 3, 4), net.pick(1, 2, 5)
    x = net.input([1, *small, in_c], dtype, zero=net.zero(dtype))
    w, scale = weights(net, (out_c, *kernel, in_c), 0)
    bias = [biases(net, out_c, np.int32 if dtype == np.int8 else np.int64, scale)]
    shape = net.constant(np.array([1, height, width, out_c]), np.int32)
    y = net.tensor([1, height, width, out_c], dtype, scale=float(net.rng.uniform(0.5, 30)), zero=net.zero(dtype))
    options = {name: options[name] for name in ("padding", "strideH", "strideW")}
    net.step("TRANSPOSE_CONV", [shape, w, x, *bias[:1 if dtype == np.int16 else net.pick(0, 1)]], y,
             "TransposeConvOptions", options)


def broadcasting(net: Net, name: str, options: str, *, dtypes: tuple[type, ...] = DTYPES, centred: bool = False,
                 most: int = 5) -> None:
    """Two operands, of which one may be constant, may lack axes, and may have size 1 along others."""
    dtype = dtypes[net.pick(*range(len(dtypes)))]
    whole = [1, *(int(size) for size in net.rng.integers(1, 5, net.pick(*range(1, most))))]
    small = [1 if net.pick(0, 0, 1) else size for size in whole]
    scales = np.exp(net.rng.uniform(-3, 1, 3))
    zeros = [0 if centred and dtype == np.int16 else net.zero(dtype) for _ in range(3)]
    operands = [net.input(whole, dtype, scale=float(scales[0]), zero=zeros[0])]
    if net.pick(0, 1):
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max + 1
        small = small[net.pick(*range(len(small))):]
        operands.append(net.constant(net.rng.integers(low, high, small), dtype, [float(scales[1])], [zeros[1]]))
    else:
        operands.append(net.input(small, dtype, scale=float(scales[1]), zero=zeros[1]))
    turn = 1 if name == "PRELU" else net.pick(-1, 1)
    net.step(name, operands[::turn], net.tensor(whole, dtype, scale=float(scales[2]), zero=zeros[2]), options,
             {"fusedActivationFunction": net.pick(0, 1, 3)} if name in ("ADD", "SUB", "MUL") else {})


def elementwise(net: Net) -> None:
    name, options = [("ADD", "AddOptions"), ("SUB", "SubOptions"), ("MUL", "MulOptions"),
                     ("MINIMUM", "MaximumMinimumOptions"), ("MAXIMUM", "MaximumMinimumOptions")][net.pick(*range(5))]
    broadcasting(net, name, options, centred=name == "MUL")


def squared_difference(net: Net) -> None:
    broadcasting(net, "SQUARED_DIFFERENCE", "SquaredDifferenceOptions", centred=True)


def prelu(net: Net) -> None:
    broadcasting(net, "PRELU", "", dtypes=(np.int8,))


def wide_function(net: Net) -> None:
    name = str(net.rng.choice(["RELU", "RELU6", "LEAKY_RELU", "LOGISTIC", "TANH"]))
    scale = float(np.exp(net.rng.uniform(-9, -1))) if net.pick(0, 1, 1) else 2.0 ** -net.pick(11, 12)
    x = net.input([1, 3, 70], np.int16, scale=scale)
    out = 2.0**-15 if name in ("LOGISTIC", "TANH") else scale * float(np.exp(net.rng.uniform(-1, 1)))
    options = {"LEAKY_RELU": ("LeakyReluOptions", {"alpha": 0.3})}.get(name, ("", {}))
    net.step(name, [x], net.tensor([1, 3, 70], np.int16, scale=out), *options)


def every_code(net: Net, name: str, options: str = "") -> None:
    """A constant cannot be an operand, so the codes are random ones: many."""
    x = net.input([1, 500], zero=net.zero(np.int8), scale=float(np.exp(net.rng.uniform(-5, 0))))
    net.step(name, [x], net.tensor([1, 500], scale=float(np.exp(net.rng.uniform(-4, 0))), zero=net.zero(np.int8)),
             options)


def elu(net: Net) -> None:
    every_code(net, "ELU")


def hard_swish(net: Net) -> None:
    every_code(net, "HARD_SWISH", "HardSwishOptions")


def log_softmax(net: Net) -> None:
    shape = [1, *(int(size) for size in net.rng.integers(1, 12, net.pick(1, 2)))]
    x = net.input(shape, zero=net.zero(np.int8), scale=float(np.exp(net.rng.uniform(-6, 1))))
    net.step("LOG_SOFTMAX", [x], net.tensor(shape, scale=1 / 16, zero=127), "LogSoftmaxOptions")


def transpose(net: Net) -> None:
    dtype, shape = DTYPES[net.pick(0, 1)], [1, *(int(size) for size in net.rng.integers(1, 5, net.pick(1, 2, 3, 4)))]
    axes = [0, *(net.rng.permutation(len(shape) - 1) + 1)]
    x, order = net.input(shape, dtype), net.constant(np.array(axes), np.int32)
    net.step("TRANSPOSE", [x, order], net.tensor([shape[axis] for axis in axes], dtype), "TransposeOptions")


def strided_slice(net: Net) -> None:
    """Steps forwards and backwards; a third of the axes is left out."""
    dtype, shape = DTYPES[net.pick(0, 1)], [1, *(int(size) for size in net.rng.integers(1, 7, net.pick(1, 2, 3)))]
    cuts, kept, mask = [(0, 1, 1)], [1], 0
    for axis, size in enumerate(shape[1:], 1):
        first, last = (int(place) for place in sorted(net.rng.integers(0, size, 2)))
        step = net.pick(1, 2, -1, -2)
        if net.pick(0, 0, 1):
            mask |= 1 << axis
            cuts.append((first, first + 1, 1))
        else:
            cuts.append((first, last + 1, step) if step > 0 else (last, first - 1 - size, step))
            kept.append(len(range(first, last + 1, abs(step))))
    x = net.input(shape, dtype)
    places = [net.constant(np.array(values), np.int32) for values in zip(*cuts, strict=True)]
    net.step("STRIDED_SLICE", [x, *places], net.tensor(kept, dtype), "StridedSliceOptions", {"shrinkAxisMask": mask})


def slice_of(net: Net) -> None:
    dtype, shape = DTYPES[net.pick(0, 1)], [1, *(int(size) for size in net.rng.integers(1, 7, net.pick(1, 2, 3)))]
    begins = [0, *(int(net.rng.integers(size)) for size in shape[1:])]
    sizes = [1, *(int(net.rng.integers(1, size - begin + 1))
                  for begin, size in zip(begins[1:], shape[1:], strict=True))]
    given = [-1 if begin + size == whole and net.pick(0, 1) else size
             for begin, size, whole in zip(begins, sizes, shape, strict=True)]
    places = [net.constant(np.array(values), np.int32) for values in (begins, given)]
    net.step("SLICE", [net.input(shape, dtype), *places], net.tensor(sizes, dtype), "SliceOptions")


def blocks(net: Net) -> None:
    size, (height, width, depth) = net.pick(2, 3), (int(one) for one in net.rng.integers(1, 4, 3))
    small, large = [1, height, width, depth * size * size], [1, height * size, width * size, depth]
    if net.pick(0, 1):
        net.step("DEPTH_TO_SPACE", [net.input(small)], net.tensor(large), "DepthToSpaceOptions", {"blockSize": size})
    else:
        net.step("SPACE_TO_DEPTH", [net.input(large)], net.tensor(small), "SpaceToDepthOptions", {"blockSize": size})


def gather(net: Net) -> None:
    shape = [1, *(int(size) for size in net.rng.integers(1, 6, net.pick(1, 2, 3)))]
    axis = net.pick(*range(1, len(shape)))
    places = net.rng.integers(0, shape[axis], net.rng.integers(1, 4, net.pick(1, 2)))
    found = [*shape[:axis], *places.shape, *shape[axis + 1:]]
    net.step("GATHER", [net.input(shape), net.constant(places, np.int32)], net.tensor(found), "GatherOptions",
             {"axis": axis})


def pack(net: Net) -> None:
    dtype, shape = DTYPES[net.pick(0, 1)], [1, *(int(size) for size in net.rng.integers(1, 6, net.pick(0, 1, 2)))]
    parts = [net.input(shape, dtype), net.input(shape, dtype),
             net.constant(net.rng.integers(-128, 128, shape), dtype, [0.1], [0])]
    parts, axis = parts[:net.pick(1, 2, 3)], net.pick(*range(1, len(shape) + 1))
    net.step("PACK", parts, net.tensor([*shape[:axis], len(parts), *shape[axis:]], dtype), "PackOptions",
             {"axis": axis, "valuesCount": len(parts)})


def resize(net: Net, name: str, dtype: type) -> None:
    shape = [1, *(int(size) for size in net.rng.integers(1, 8, 3))]
    wanted, mode = net.rng.integers(1, 14, 2), net.pick(0, 1, 2)
    sizes = net.constant(wanted, np.int32)
    net.step(name, [net.input(shape, dtype), sizes], net.tensor([1, *map(int, wanted), shape[3]], dtype),
             {"RESIZE_BILINEAR": "ResizeBilinearOptions"}.get(name, "ResizeNearestNeighborOptions"),
             {"alignCorners": mode == 1, "halfPixelCenters": mode == 2})


def resize_nearest(net: Net) -> None:
    resize(net, "RESIZE_NEAREST_NEIGHBOR", DTYPES[net.pick(0, 1)])


def resize_bilinear(net: Net) -> None:
    resize(net, "RESIZE_BILINEAR", np.int8)


def reduction(net: Net) -> None:
    """MEAN and SUM over any axes, REDUCE_MAX of int8 codes."""
    name = str(net.rng.choice(["MEAN", "SUM", "REDUCE_MAX"]))
    dtype = np.int8 if name == "REDUCE_MAX" else DTYPES[net.pick(0, 1)]
    shape, keep = [1, *(int(size) for size in net.rng.integers(1, 6, 3))], bool(net.pick(0, 1))
    axes = [[1], [1, 2], [1, 3], [3, 1], [-1], [1, 2, 3], [2, 3]][net.pick(*range(7))]
    gone = {axis % 4 for axis in axes}
    found = [1 if axis in gone else size for axis, size in enumerate(shape) if keep or axis not in gone]
    zero, scale = net.zero(dtype), 0.1
    x, places = net.input(shape, dtype, zero=zero, scale=scale), net.constant(np.array(axes), np.int32)
    if name != "REDUCE_MAX":
        zero, scale = net.zero(dtype), float(net.rng.uniform(0.03, 2))
    net.step(name, [x, places], net.tensor(found, dtype, zero=zero, scale=scale), "ReducerOptions", {"keepDims": keep})


def matmul(net: Net) -> None:
    """Both computed, or the second one constant and perhaps without the first axes."""
    dtype, (m, k, n) = DTYPES[net.pick(0, 1)], (int(size) for size in net.rng.integers(1, 6, 3))
    ahead = [1, *(int(size) for size in net.rng.integers(1, 4, net.pick(0, 1)))]
    turned = net.pick(0, 1), net.pick(0, 1)
    shapes = [[k, m] if turned[0] else [m, k], [n, k] if turned[1] else [k, n]]
    zeros, few = [net.zero(dtype) for _ in range(3)], [1 if net.pick(0, 0, 1) else size for size in ahead]
    x = net.input([*ahead, *shapes[0]], dtype, scale=0.05, zero=zeros[0])
    if net.pick(0, 1):
        other = net.input([*few, *shapes[1]], dtype, scale=0.02, zero=zeros[1])
    else:
        shape = [*few[net.pick(*range(len(few) + 1)):], *shapes[1]]
        other = net.constant(net.rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max + 1, shape), dtype, [0.02],
                             [zeros[1]])
    y = net.tensor([*ahead, m, n], dtype, scale=float(net.rng.uniform(0.01, 3)), zero=zeros[2])
    net.step("BATCH_MATMUL", [x, other], y, "BatchMatMulOptions", {"adjX": bool(turned[0]), "adjY": bool(turned[1])})


def lstm(net: Net) -> None:
    """Cell states on both sides of the scale at which they are arguments; some bounded."""
    steps, depth, units = net.pick(1, 3, 5), net.pick(1, 4, 7), net.pick(1, 3, 6)
    x = net.input([1, steps, depth], zero=net.zero(np.int8), scale=float(np.exp(net.rng.uniform(-5, -1))))
    grid: dict[str, Any] = {"scale": float(np.exp(net.rng.uniform(-6, -3.5))), "zero": net.zero(np.int8)}
    weights = [net.constant(net.rng.integers(-127, 128, [units, size]), np.int8,
                            [float(np.exp(net.rng.uniform(-7, -3)))], [0]) for size in [depth] * 4 + [units] * 4]
    bias = [net.constant(net.rng.integers(-9000, 9000, units), np.int32, [0.001], [0]) for _ in range(4)]
    hidden = net.state([1, units], np.int8, **grid)
    cell = net.state([1, units], np.int16, scale=2.0 ** -net.pick(6, 11, 12, 13, 15))
    net.step("UNIDIRECTIONAL_SEQUENCE_LSTM", [x, *weights, -1, -1, -1, *bias, -1, -1, hidden, cell, -1, -1, -1, -1],
             net.tensor([1, steps, units], **grid), "UnidirectionalSequenceLSTMOptions",
             {"fusedActivationFunction": 4, "cellClip": float(net.rng.choice([0, 0, 1.5]))})


def svdf(net: Net) -> None:
    """The state is an input, and another one an output."""
    depth, rank, units, memory = net.pick(1, 5, 9), net.pick(1, 2), net.pick(1, 3, 4), net.pick(1, 2, 5)
    dtype = DTYPES[net.pick(0, 1, 1)]
    x = net.input([1, depth], zero=net.zero(np.int8), scale=float(np.exp(net.rng.uniform(-5, -1))))
    features = net.constant(net.rng.integers(-127, 128, (rank * units, depth)), np.int8, [0.01], [0])
    most, unit = np.iinfo(dtype).max, 0.01 if dtype == np.int8 else 1e-4
    times = net.constant(net.rng.integers(-most, most + 1, (rank * units, memory)), dtype, [unit], [0])
    state = net.state([1, rank * units * memory], dtype, scale=unit, zero=net.pick(0, -7) if dtype == np.int8 else 0)
    bias = net.constant(net.rng.integers(-90000, 90000, units), np.int32, [unit * unit], [0])
    y = net.tensor([1, units], scale=float(np.exp(net.rng.uniform(-4, 0))), zero=net.zero(np.int8))
    net.step("SVDF", [x, features, times, bias, state], y, "SVDFOptions", {"rank": rank, "fusedActivationFunction": 1})


ALL = [convolution, grouped, extreme, depthwise, transpose_conv, fully_connected, pool, mean, reduction, pad, softmax,
       log_softmax, unary, wide_function, elu, hard_swish, quantize, add, elementwise, squared_difference, prelu,
       concatenation, pack, transpose, strided_slice, slice_of, blocks, gather, resize_nearest, resize_bilinear, matmul,
       lstm]
STREAMING = [svdf]
"""Operators whose state becomes an input and an output of the model."""
