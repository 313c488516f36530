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
    chosen = net.step(name, [x, other], _truth(net, shape))
    return net.step("SELECT_V2", [chosen, x, other], net.same_grid(x, shape), "SelectV2Options")


@entry("DIV")
def _division(net: GraphNet, x: int) -> int | None:
    """Mostly on scales whose shifts C defines."""
    source, shape = net.specs[x], [int(size) for size in net.specs[x].shape]
    if source.dtype != np.int8 or len(shape) > 5:
        return None
    other = (net.input(shape, scale=net.scale(), zero=net.zero(np.int8)) if net.chance(0.5) else
             net.constant(net.codes(shape, np.int8), np.int8, [net.scale()], [net.zero(np.int8)]))
    pair = [x, other][::net.pick(1, -1)]
    real = float(net.specs[pair[0]].scale[0]) / float(net.specs[pair[1]].scale[0])
    scale = net.scale() if net.chance(0.2) else float(np.clip(real / 2.0 ** net.rng.uniform(7, 20), 1e-15, 1e15))
    return net.step("DIV", pair, net.beside(x, scale=scale), "DivOptions",
                    {"fusedActivationFunction": net.activation()})


@entry("GATHER_ND")
def _gather_nd(net: GraphNet, x: int) -> int | None:
    source, shape = net.specs[x], [int(size) for size in net.specs[x].shape]
    if source.dtype != np.int8:
        return None
    axes, many = net.pick(*range(1, len(shape) + 1)), [1, net.pick(1, 2, 3)]
    places = np.stack([net.rng.integers(0, size, many) for size in shape[:axes]], axis=-1)
    return net.step("GATHER_ND", [x, net.constant(places, np.int32)], net.same_grid(x, [*many, *shape[axes:]]),
                    "GatherNdOptions")


@entry("CAST", "REDUCE_ALL")
def _truths(net: GraphNet, x: int, name: str) -> int | None:
    """Codes as numbers of another width, or through truth values."""
    source, shape = net.specs[x], [int(size) for size in net.specs[x].shape]
    dtype = (np.int8, np.int16)[net.pick(0, 1)]
    if name == "CAST" and net.chance(0.5):
        return net.step("CAST", [x], net.beside(x, dtype=dtype), "CastOptions")
    if len(shape) < 2 or len(shape) > 5:
        return None
    chosen = net.step("CAST", [x], _truth(net, shape), "CastOptions")
    if name == "REDUCE_ALL":
        axis, shape = _axis(net, shape), list(shape)
        shape[axis] = 1
        chosen = net.step("REDUCE_ALL", [chosen, net.constant(np.array([axis]), np.int32)], _truth(net, shape),
                          "ReducerOptions", {"keepDims": True})
    return net.step("CAST", [chosen], net.beside(x, shape, dtype=source.dtype), "CastOptions")


def _unscaled(net: GraphNet, shape: list[int], dtype: type) -> int:
    index = net.tensor(shape, dtype)
    net.specs[index].scale = net.specs[index].zero_point = []
    return index


def _truth(net: GraphNet, shape: list[int]) -> int:
    return _unscaled(net, shape, np.bool_)


@entry("DEQUANTIZE")
def _real(net: GraphNet, x: int) -> int | None:
    """Codes or numbers as float32 for a while, and perhaps in another shape."""
    shape = [int(size) for size in net.specs[x].shape]
    made = net.step(*(("DEQUANTIZE", [x], _unscaled(net, shape, np.float32), "DequantizeOptions") if net.chance(0.6)
                      else ("CAST", [x], _unscaled(net, shape, np.float32), "CastOptions")))
    if net.chance(0.3):
        shape = [1, int(np.prod(shape))]
        made = net.step("RESHAPE", [made, net.constant(np.array(shape), np.int32)], _unscaled(net, shape, np.float32))
    return net.step("QUANTIZE", [made], net.beside(x, shape, (np.int8, np.int16)[net.pick(0, 1)]))


@entry("ZEROS_LIKE", "FILL")
def _filled(net: GraphNet, x: int, name: str) -> int | None:
    source, shape = net.specs[x], [int(size) for size in net.specs[x].shape]
    if source.dtype != np.int8:
        return None
    made = net.same_grid(x, shape)
    if name == "ZEROS_LIKE":
        net.step(name, [x], made, "ZerosLikeOptions")
    else:
        value = net.constant(net.codes([], np.int8), np.int8, source.scale, source.zero_point)
        net.step(name, [net.constant(np.array(shape), np.int32), value], made)
    return net.step("MAXIMUM", [x, made], net.same_grid(x, shape), "MaximumMinimumOptions")
