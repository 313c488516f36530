"""Every operator of the firmware on random shapes, scales and options: each tensor is the twin's, under sanitizers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from emitted import COMPILER, differing
from side_by_side import Net

from tinyfuse.integer.model import load_model

DTYPES = (np.int8, np.int16)
CASES = 8
"""Of each operator, in one program."""


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
    w = net.constant(content, np.int8, [0.01], [net.pick(-127, 0, 0, 77)])
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
    shape = [1, *(int(size) for size in net.rng.integers(1, 6, net.pick(1, 2, 3)))]
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


@pytest.mark.skipif(not COMPILER, reason="no C compiler (gcc or cc) on PATH")
@pytest.mark.parametrize("case", [convolution, depthwise, fully_connected, pool, mean, pad, softmax, unary, quantize,
                                  add, concatenation])
@pytest.mark.parametrize("seed", range(2))
def test_random_cases(case: Callable[[Net], None], seed: int, tmp_path: Path) -> None:
    net = Net(np.random.default_rng(seed))
    for _ in range(CASES):
        case(net)
    wrong = differing(load_model(net.data(), name=case.__name__), "ram", tmp_path / "net", samples=10)
    assert len(wrong) == CASES + 1 and set(wrong.values()) == {0}, wrong
