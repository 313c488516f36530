"""A small file that asks for hours or for more memory than there is is refused before anything is computed."""

from __future__ import annotations

import numpy as np
import pytest
from one_operator import Spec, Step, build, twin_of
from side_by_side import Net

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.work import MOST_PRODUCTS, MOST_TABLES, MOST_TAPS, MOST_WEIGHTS


def convolution(size: int, kernel: int, dilation: int = 1, channels: int = 1, copies: int = 1) -> bytes:
    """CONV_2D with SAME padding, several times on the same weights."""
    specs = [Spec((channels, kernel, kernel, channels), data=np.ones((channels, kernel, kernel, channels))),
             *(Spec((1, size, size, channels)) for _ in range(copies + 1))]
    options = {"strideH": 1, "strideW": 1, "dilationHFactor": dilation, "dilationWFactor": dilation}
    steps = [Step("CONV_2D", [place + 1, 0], [place + 2], "Conv2DOptions", options) for place in range(copies)]
    return build(specs, steps, [1], [copies + 1])


def pool(size: int, kernel: int, copies: int) -> bytes:
    options = {"strideH": size, "strideW": size, "filterHeight": kernel, "filterWidth": kernel}
    specs = [Spec((1, size, size, 1)), *(Spec((1, 1, 1, 1)) for _ in range(copies))]
    return build(specs, [Step("AVERAGE_POOL_2D", [0], [place + 1], "Pool2DOptions", options)
                         for place in range(copies)], [0], [copies])


def products(size: int, depth: int) -> bytes:
    specs = [Spec((1, size, depth)), Spec((1, depth, size)), Spec((1, size, size))]
    return build(specs, [Step("BATCH_MATMUL", [0, 1], [2], "BatchMatMulOptions")], [0, 1], [2])


def sequence(steps: int) -> bytes:
    """An LSTM of one unit."""
    net = Net(np.random.default_rng(0))
    weights = [net.constant(np.ones((1, 1)), np.int8, [0.01], [0]) for _ in range(8)]
    bias = [net.constant(np.ones(1), np.int32, [0.001], [0]) for _ in range(4)]
    hidden, cell = net.state([1, 1], np.int8, scale=0.01), net.state([1, 1], np.int16, scale=2.0**-12)
    net.step("UNIDIRECTIONAL_SEQUENCE_LSTM", [net.input([1, steps, 1]), *weights, -1, -1, -1, *bias, -1, -1, hidden,
                                              cell, -1, -1, -1, -1], net.tensor([1, steps, 1], scale=0.01),
             "UnidirectionalSequenceLSTMOptions", {"fusedActivationFunction": 4})
    return net.data()


def transposed(size: int, kernel: int) -> bytes:
    specs = [Spec((4,), np.int32, [], [], data=np.array([1, size, size, 1])), Spec((1, size, size, 1)),
             Spec((1, kernel, kernel, 1), data=np.ones((1, kernel, kernel, 1))), Spec((1, size, size, 1))]
    return build(specs, [Step("TRANSPOSE_CONV", [0, 2, 1], [3], "TransposeConvOptions",
                              {"strideH": 1, "strideW": 1})], [1], [3])


def functions(count: int) -> bytes:
    """Of int16 codes, each a table."""
    specs = [Spec((1, 4), np.int16) for _ in range(count + 1)]
    return build(specs, [Step("RELU", [place], [place + 1]) for place in range(count)], [0], [count])


@pytest.mark.parametrize("data, what, most", [
    (functions(MOST_TABLES), "tables of int16 codes", MOST_TABLES),
    (products(2000, 1500), "multiply-accumulates", MOST_PRODUCTS),
    (transposed(1024, 65), "multiply-accumulates", MOST_PRODUCTS),
    (transposed(2, 400), "taps of poolings", MOST_TAPS),
    (convolution(1024, 64), "multiply-accumulates", MOST_PRODUCTS),
    (convolution(512, 2, dilation=2000), "multiply-accumulates", MOST_PRODUCTS),
    (convolution(1, 17, dilation=4000), "weights", MOST_WEIGHTS),
    (sequence(20_000), "taps", MOST_TAPS),
    (convolution(2, 3, dilation=400, channels=16, copies=4), "weights", MOST_WEIGHTS),
    (pool(300, 300, 3), "taps of poolings", MOST_TAPS)])
def test_too_much_work_is_refused_from_the_shapes(data: bytes, what: str, most: int) -> None:
    with pytest.raises(ModelError, match=rf"test: operator \d+ .* takes \d+ {what}.* less than {most} are run"):
        twin_of(data)


def test_windows_that_are_mostly_padding_are_cheap() -> None:
    assert len(twin_of(pool(3, 4096, 60)).steps) == 60


def test_padding_has_sixteen_bits() -> None:
    specs = [Spec((1, 1, 2, 1)), Spec((1, 1, 18, 1), data=np.ones((1, 1, 18, 1))), Spec((1, 1, 2, 1))]
    options = {"strideH": 1, "strideW": 1, "dilationWFactor": 4000}
    with pytest.raises(ModelError, match="padding of 34000; at most 32767 fit TFLite Micro's 16 bits"):
        twin_of(build(specs, [Step("CONV_2D", [0, 1], [2], "Conv2DOptions", options)], [0], [2]))
