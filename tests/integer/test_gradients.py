"""Gradients of operators: as steep as the codes themselves over 40 codes, which no rounding hides."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from side_by_side import Net

from tinyfuse.integer.model import load_model
from tinyfuse.integer.twin import Twin

STEP = 20
"""Codes that one value of an input moves, to both sides."""


def image(net: Net, *shape: int) -> int:
    return net.input([1, *shape])


def transpose_conv(net: Net) -> None:
    w = net.constant(net.rng.integers(-127, 128, (2, 3, 2, 3)), np.int8, [0.01], [0])
    bias = net.constant(np.array([300, -200]), np.int32, [0.001], [0])
    shape = net.constant(np.array([1, 5, 4, 2]), np.int32)
    net.step("TRANSPOSE_CONV", [shape, w, image(net, 3, 2, 3), bias], net.tensor([1, 5, 4, 2], scale=0.3),
             "TransposeConvOptions", {"padding": 0, "strideH": 2, "strideW": 2})


def grouped(net: Net) -> None:
    w = net.constant(net.rng.integers(-127, 128, (4, 2, 2, 2)), np.int8, [0.01], [0])
    net.step("CONV_2D", [image(net, 2, 3, 4), w], net.tensor([1, 1, 2, 4], scale=0.2), "Conv2DOptions",
             {"padding": 1, "strideH": 1, "strideW": 1})


def matmul(net: Net) -> None:
    net.step("BATCH_MATMUL", [image(net, 1, 2, 3), image(net, 2, 4, 3)], net.tensor([1, 2, 2, 4], scale=1.5),
             "BatchMatMulOptions", {"adjX": False, "adjY": True})


def matmul_turned(net: Net) -> None:
    w = net.constant(net.rng.integers(-100, 100, (3, 4)), np.int8, [0.02], [5])
    net.step("BATCH_MATMUL", [image(net, 3, 2), w], net.tensor([1, 2, 4], scale=0.3), "BatchMatMulOptions",
             {"adjX": True, "adjY": False})


def prelu(net: Net) -> None:
    alpha = net.constant(net.rng.integers(-100, 100, (1, 1, 3)), np.int8, [0.01], [0])
    net.step("PRELU", [image(net, 2, 2, 3), alpha], net.tensor([1, 2, 2, 3]))


def squared_difference(net: Net) -> None:
    net.step("SQUARED_DIFFERENCE", [image(net, 2, 3), image(net, 1, 3)], net.tensor([1, 2, 3], scale=1.5, zero=-128),
             "SquaredDifferenceOptions")


def hard_swish(net: Net) -> None:
    net.step("HARD_SWISH", [net.input([1, 12], scale=0.02)], net.tensor([1, 12], scale=0.015), "HardSwishOptions")


def elu(net: Net) -> None:
    net.step("ELU", [net.input([1, 12], scale=0.02)], net.tensor([1, 12], scale=0.02))


def log_softmax(net: Net) -> None:
    net.step("LOG_SOFTMAX", [net.input([1, 3, 4], scale=0.03)], net.tensor([1, 3, 4], scale=1 / 16, zero=127),
             "LogSoftmaxOptions")


def resize_nearest(net: Net) -> None:
    sizes = net.constant(np.array([5, 3]), np.int32)
    net.step("RESIZE_NEAREST_NEIGHBOR", [image(net, 3, 4, 2), sizes], net.tensor([1, 5, 3, 2]),
             "ResizeNearestNeighborOptions")


def resize_bilinear(net: Net) -> None:
    sizes = net.constant(np.array([5, 3]), np.int32)
    net.step("RESIZE_BILINEAR", [image(net, 3, 4, 2), sizes], net.tensor([1, 5, 3, 2]), "ResizeBilinearOptions",
             {"halfPixelCenters": True})


def gather(net: Net) -> None:
    places = net.constant(np.array([[2, 0], [2, 1]]), np.int32)
    net.step("GATHER", [image(net, 2, 3, 2), places], net.tensor([1, 2, 2, 2, 2]), "GatherOptions", {"axis": 2})


def lookup(net: Net) -> None:
    """Twice the same row, or not, as other codes say."""
    places = net.tensor([1, 2], np.int32)
    net.specs[places].scale = net.specs[places].zero_point = []
    net.step("ARG_MAX", [image(net, 2, 2), net.constant(np.array([2]), np.int32)], places, "ArgMaxOptions")
    net.step("GATHER", [image(net, 3, 4), places], net.tensor([1, 1, 2, 4]), "GatherOptions", {"axis": 1})


def depth_to_space(net: Net) -> None:
    net.step("DEPTH_TO_SPACE", [image(net, 2, 1, 8)], net.tensor([1, 4, 2, 2]), "DepthToSpaceOptions", {"blockSize": 2})


def pack(net: Net) -> None:
    net.step("PACK", [image(net, 2, 3), image(net, 2, 3)], net.tensor([1, 2, 2, 3]), "PackOptions",
             {"axis": 2, "valuesCount": 2})


def total(net: Net) -> None:
    axes = net.constant(np.array([1, 3]), np.int32)
    net.step("SUM", [image(net, 2, 3, 2), axes], net.tensor([1, 3], scale=0.4), "ReducerOptions", {"keepDims": False})


def reduce_max(net: Net) -> None:
    axes = net.constant(np.array([1, 3]), np.int32)
    net.step("REDUCE_MAX", [image(net, 2, 2, 1), axes], net.tensor([1, 2]), "ReducerOptions", {"keepDims": False})


def lstm(net: Net) -> None:
    """Gates far from their limits, so that 40 codes are nearly a straight line."""
    weights = [net.constant(net.rng.integers(-127, 128, (2, 2)), np.int8, [0.006], [0]) for _ in range(8)]
    bias = [net.constant(net.rng.integers(-90, 90, 2), np.int32, [0.001], [0]) for _ in range(4)]
    hidden, cell = (net.state([1, 2], dtype, scale=scale) for dtype, scale in ((np.int8, 0.002), (np.int16, 2.0**-12)))
    net.step("UNIDIRECTIONAL_SEQUENCE_LSTM", [net.input([1, 3, 2], scale=0.01), *weights, -1, -1, -1, *bias, -1, -1,
                                              hidden, cell, -1, -1, -1, -1], net.tensor([1, 3, 2], scale=0.002),
             "UnidirectionalSequenceLSTMOptions", {"fusedActivationFunction": 4})


def svdf(net: Net) -> None:
    features = net.constant(net.rng.integers(-127, 128, (4, 3)), np.int8, [0.003], [0])
    times = net.constant(net.rng.integers(-127, 128, (4, 3)), np.int8, [0.01], [0])
    bias = net.constant(np.array([30, -20]), np.int32, [0.002], [0])
    net.step("SVDF", [net.input([1, 3]), features, times, bias, net.state([1, 12], np.int8, scale=0.2)],
             net.tensor([1, 2], scale=0.4), "SVDFOptions", {"rank": 2, "fusedActivationFunction": 1})


def mirror_pad(net: Net) -> None:
    pads = net.constant(np.array([[0, 0], [1, 2], [2, 0]]), np.int32)
    net.step("MIRROR_PAD", [image(net, 3, 3), pads], net.tensor([1, 6, 5]), "MirrorPadOptions", {"mode": 0})


def broadcast_to(net: Net) -> None:
    shape = net.constant(np.array([1, 2, 3, 2]), np.int32)
    net.step("BROADCAST_TO", [image(net, 2, 1, 2), shape], net.tensor([1, 2, 3, 2]))


def l2_normalization(net: Net) -> None:
    net.step("L2_NORMALIZATION", [image(net, 2, 4)], net.tensor([1, 2, 4], scale=1 / 128), "L2NormOptions")


def cumsum(net: Net) -> None:
    axis = net.constant(np.array(1), np.int32)
    net.step("CUMSUM", [image(net, 4, 2), axis], net.tensor([1, 4, 2], scale=0.4), "CumsumOptions",
             {"exclusive": True, "reverse": True})


def add_n(net: Net) -> None:
    net.step("ADD_N", [image(net, 2, 2), image(net, 2, 2)], net.tensor([1, 2, 2], scale=0.2), "AddNOptions")


def select(net: Net) -> None:
    condition = net.constant(np.array([True, False, False, True]), np.bool_)
    net.step("SELECT_V2", [condition, image(net, 3, 4), image(net, 3, 4)], net.tensor([1, 3, 4]), "SelectV2Options")


def division(net: Net) -> None:
    divisor = net.constant(np.array([90, -70, 50, 110]), np.int8, [0.1], [0])
    net.step("DIV", [image(net, 3, 4), divisor], net.tensor([1, 3, 4], scale=0.0155), "DivOptions")


def gather_nd(net: Net) -> None:
    places = net.constant(np.array([[[0, 2], [0, 0], [0, 2]]]), np.int32)
    net.step("GATHER_ND", [image(net, 3, 4), places], net.tensor([1, 3, 4]), "GatherNdOptions")


def cast(net: Net) -> None:
    net.step("CAST", [image(net, 3, 4)], net.tensor([1, 3, 4], np.int16), "CastOptions")


CASES = [division, gather_nd, cast, transpose_conv, grouped, matmul, matmul_turned, prelu, squared_difference,
         hard_swish, elu, log_softmax,
         resize_nearest, resize_bilinear, gather, lookup, depth_to_space, pack, total, reduce_max,
         lstm, svdf, mirror_pad, broadcast_to, l2_normalization, cumsum, add_n, select]


@pytest.mark.parametrize("case", CASES)
def test_it_is_the_slope_of_the_codes(case: Callable[[Net], None]) -> None:
    """Every value of every input moves alone; functions with a kink or a largest value get codes far from them."""
    net = Net(np.random.default_rng(3))
    case(net)
    twin = Twin(load_model(net.data(), name="net").graph)
    codes = {name: _spread(net, twin.graph.tensors[index].shape) for name, index in twin.inputs.items()}
    weights = net.rng.normal(size=net.specs[net.steps[-1].outputs[0]].shape[1:]).astype(np.float32)
    _, found = twin.gradient(codes, lambda out, rows: np.broadcast_to(weights, out.shape), [*codes])
    for name, gradient in found.items():
        for place in np.ndindex(*gradient.shape):
            above, below = (twin.run({**codes, name: _moved(codes[name], place, step)}) for step in (STEP, -STEP))
            expected = ((above.astype(int) - below) * weights).sum() / (2 * STEP)
            assert abs(gradient[place] - expected) < 0.03 * np.abs(weights).sum() ** 0.5 + 0.08 * abs(expected)


def _spread(net: Net, shape: tuple[int, ...]) -> np.ndarray:
    """Different codes, none within a step of 0 or, up to four, of another one."""
    choices = np.array([-75, -50, 25, 50, 75, -25, 30, -30, 35, -35, 40, -40, 45, -45, 55, -55, 60, -60, 65, -65, 70,
                        -70, 72, -72, 27, -27, 33])
    size = int(np.prod(shape))
    return net.rng.permutation(choices[:size]).reshape(shape).astype(np.int8)


def _moved(codes: np.ndarray, place: tuple[int, ...], step: int) -> np.ndarray:
    moved = codes.copy()
    moved[place] += step
    return moved
