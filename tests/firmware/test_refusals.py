"""What the firmware does not compute is refused in one line when the program is planned."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from side_by_side import Net

from tinyfuse.core.errors import ModelError
from tinyfuse.firmware.program import program_of
from tinyfuse.integer.model import load_model


def unknown_operator(net: Net) -> None:
    net.step("MUL", [net.input([1, 4]), net.input([1, 4])], net.tensor([1, 4]), "MulOptions")


def wide_function(net: Net) -> None:
    net.step("TANH", [net.input([1, 4], np.int16)], net.tensor([1, 4], np.int16, scale=2**-15))


def broadcast(net: Net) -> None:
    other = net.constant(np.zeros((1, 1, 1, 4)), np.int8, [0.1], [0])
    net.step("ADD", [net.input([1, 2, 3, 4]), other], net.tensor([1, 2, 3, 4]), "AddOptions")


def mean_over_distant_axes(net: Net) -> None:
    inputs = [net.input([1, 2, 3, 4]), net.constant(np.array([1, 3]), np.int32)]
    net.step("MEAN", inputs, net.tensor([1, 1, 3, 1]), "ReducerOptions", {"keepDims": True})


def large_window(net: Net) -> None:
    options = {"padding": 1, "strideH": 1, "strideW": 1, "filterHeight": 300, "filterWidth": 1}
    net.step("MAX_POOL_2D", [net.input([1, 300, 2, 1])], net.tensor([1, 1, 2, 1]), "Pool2DOptions", options)


def large_image(net: Net) -> None:
    options = {"padding": 1, "strideH": 1, "strideW": 1, "filterHeight": 1, "filterWidth": 1}
    net.step("MAX_POOL_2D", [net.input([1, 1, 70000, 1])], net.tensor([1, 1, 70000, 1]), "Pool2DOptions", options)


def int32_tensor(net: Net) -> None:
    x = net.input([1, 4])
    net.step("QUANTIZE", [x], net.tensor([1, 4], np.int32), "QuantizeOptions")
    net.step("QUANTIZE", [x], net.tensor([1, 4]), "QuantizeOptions")


def long_sums(net: Net) -> None:
    """Beyond 2^47 TFLite Micro's own rescaling is not defined."""
    weights = net.constant(np.ones((1, 1, 1, 1)), np.int8, [0.01], [0], 3)
    bias = net.constant(np.array([1 << 47]), np.int64, [0.001], [0])
    x, y = net.input([1, 2, 2, 1], np.int16), net.tensor([1, 2, 2, 1], np.int16)
    net.step("DEPTHWISE_CONV_2D", [x, weights, bias], y, "DepthwiseConv2DOptions",
             {"depthMultiplier": 1, "strideH": 1, "strideW": 1})


def large_bias(net: Net) -> None:
    """The quick rescaling of int8 convolutions needs sums below 2^30."""
    weights = net.constant(np.ones((1, 1, 1, 1)), np.int8, [0.01], [0])
    bias = net.constant(np.array([1 << 30]), np.int32, [0.001], [0])
    net.step("CONV_2D", [net.input([1, 2, 2, 1]), weights, bias], net.tensor([1, 2, 2, 1]), "Conv2DOptions",
             {"padding": 0, "strideH": 1, "strideW": 1})


@pytest.mark.parametrize("case, match", [
    (unknown_operator, "operator MUL has no firmware kernel; supported: ADD, AVERAGE_POOL_2D, CONCATENATION, CONV_2D, "
                       "DEPTHWISE_CONV_2D, FULLY_CONNECTED, LEAKY_RELU, LOGISTIC, MAX_POOL_2D, MEAN, PAD, PADV2, "
                       "QUANTIZE, RELU, RELU6, RESHAPE, SOFTMAX, TANH"),
    (wide_function, "TANH of int16 tensors has no firmware kernel"),
    (broadcast, "ADD with broadcasting, of .1, 2, 3, 4. and .1, 1, 1, 4., has no firmware kernel"),
    (mean_over_distant_axes, "MEAN over the axes .1, 3. has no firmware kernel; they must be neighbours"),
    (large_window, "kernel, stride or padding of 300 are beyond the firmware's limit of 255"),
    (large_image, "sizes of 70000 are beyond the firmware's limit of 65535"),
    (int32_tensor, "is int32; the firmware computes int8 and int16 tensors"),
    (long_sums, "beyond what TFLite Micro's 64-bit rescaling is defined for"),
    (large_bias, "can leave 32 bits when rescaled")])
def test_it_is_refused(case: Callable[[Net], None], match: str) -> None:
    net = Net(np.random.default_rng(0))
    case(net)
    with pytest.raises(ModelError, match=match) as caught:
        program_of(load_model(net.data(), name="refused"), "net")
    assert "\n" not in str(caught.value)
