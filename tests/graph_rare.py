"""The operators of random graphs that few networks have."""

from __future__ import annotations

import numpy as np
from graph_net import GraphNet, entry


def _axis(net: GraphNet, shape: list[int]) -> int:
    return net.pick(*range(1, len(shape)))


@entry("MIRROR_PAD", "REVERSE_V2", "BROADCAST_TO")
def _moved(net: GraphNet, x: int, name: str) -> int | None:
    source, shape = net.specs[x], [int(size) for size in net.specs[x].shape]
    if len(shape) < 2 or len(shape) > 5 or (name == "MIRROR_PAD" and source.dtype != np.int8):
        return None
    if name == "MIRROR_PAD":
        mode = net.pick(0, 1)
        pads = [[0, 0], *([int(net.rng.integers(0, size + mode)) for _ in "ab"] for size in shape[1:])]
        if any(sum(pair) > 8 for pair in pads):
            return None
        return net.step(name, [x, net.constant(np.array(pads), np.int32)],
                        net.same_grid(x, [size + sum(pair) for size, pair in zip(shape, pads, strict=True)]),
                        "MirrorPadOptions", {"mode": mode})
    if name == "REVERSE_V2":
        return net.step(name, [x, net.constant(np.array([_axis(net, shape)]), np.int32)], net.same_grid(x, shape))
    wanted = [1, *(net.pick(1, 2, 3) if size == 1 else size for size in shape[1:])]
    return net.step(name, [x, net.constant(np.array(wanted), np.int32)], net.same_grid(x, wanted))


@entry("REDUCE_MIN")
def _smallest(net: GraphNet, x: int) -> int | None:
    shape = [int(size) for size in net.specs[x].shape]
    if len(shape) < 2 or net.specs[x].dtype != np.int8:
        return None
    axis = _axis(net, shape)
    return net.step("REDUCE_MIN", [x, net.constant(np.array([axis]), np.int32)],
                    net.same_grid(x, [1 if place == axis else size for place, size in enumerate(shape)]),
                    "ReducerOptions", {"keepDims": True})


@entry("ABS")
def _absolute(net: GraphNet, x: int) -> int:
    scale = net.scale() if net.chance(0.3) else float(net.specs[x].scale[0]) * 2.0 ** float(net.rng.uniform(-4, 4))
    return net.step("ABS", [x], net.beside(x, scale=scale), "AbsOptions")


@entry("RSQRT")
def _rsqrt(net: GraphNet, x: int) -> int | None:
    if net.specs[x].dtype != np.int8 or (net.specs[x].zero_point[0] != -128 and net.chance(0.9)):
        return None
    return net.step("RSQRT", [x], net.beside(x))


@entry("L2_NORMALIZATION")
def _length(net: GraphNet, x: int) -> int | None:
    if net.specs[x].dtype != np.int8 or not 2 <= len(net.specs[x].shape) <= 4:
        return None
    return net.step("L2_NORMALIZATION", [x], net.beside(x, scale=1 / 128, zero=0), "L2NormOptions")


@entry("ADD_N", "CUMSUM")
def _sum(net: GraphNet, x: int, name: str) -> int | None:
    source, shape = net.specs[x], [int(size) for size in net.specs[x].shape]
    if source.dtype != np.int8 or len(shape) < 2:
        return None
    scale = net.scale() if net.chance(0.3) else float(source.scale[0]) * 2.0 ** float(net.rng.uniform(-3, 4))
    if name == "ADD_N":
        other = net.constant(net.codes(shape, np.int8), np.int8, source.scale, source.zero_point)
        return net.step(name, [x, other, x][:net.pick(2, 3)], net.beside(x, scale=scale), "AddNOptions")
    return net.step(name, [x, net.constant(np.array(_axis(net, shape)), np.int32)], net.beside(x, scale=scale),
                    "CumsumOptions", {"exclusive": net.chance(0.5), "reverse": net.chance(0.5)})


@entry("SELECT_V2")
def _select(net: GraphNet, x: int) -> int | None:
    """The larger of two, or what a comparison says."""
    source, shape = net.specs[x], [int(size) for size in net.specs[x].shape]
    if source.dtype != np.int8 or len(shape) > 4:
        return None
    other = net.constant(net.codes(shape, np.int8), np.int8, [net.scale()], [net.zero(np.int8)])
    name = ("EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL")[net.pick(*range(6))]
    chosen = net.tensor(shape, np.bool_)
    net.specs[chosen].scale = net.specs[chosen].zero_point = []
    net.step(name, [x, other], chosen)
    return net.step("SELECT_V2", [chosen, x, other], net.same_grid(x, shape), "SelectV2Options")
