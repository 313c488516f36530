"""Random cases of operators that few networks have, for graphs of many side by side."""

from __future__ import annotations

import numpy as np
from operator_cases import DTYPES
from side_by_side import Net


def shaped(net: Net, most: int = 4) -> list[int]:
    """A shape of two to ``most`` axes, of which the first is the batch."""
    return [1, *(int(size) for size in net.rng.integers(1, 6, net.pick(*range(1, most))))]


def smaller(net: Net, shape: list[int]) -> list[int]:
    """``shape`` with a size of 1 along some axes."""
    return [1 if net.pick(0, 0, 1) else size for size in shape]


def mirror_pad(net: Net) -> None:
    mode, shape = net.pick(0, 1), shaped(net)
    pads = [[0, 0], *([int(net.rng.integers(0, size + mode)) for _ in "ab"] for size in shape[1:])]
    net.step("MIRROR_PAD", [net.input(shape), net.constant(np.array(pads), np.int32)],
             net.tensor([size + sum(pair) for size, pair in zip(shape, pads, strict=True)]), "MirrorPadOptions",
             {"mode": mode})


def reverse(net: Net) -> None:
    shape, dtype = shaped(net), DTYPES[net.pick(0, 1)]
    first = net.pick(*range(1, len(shape)))
    axes = np.arange(first, net.pick(*range(first, len(shape))) + 1)
    net.step("REVERSE_V2", [net.input(shape, dtype), net.constant(axes, np.int32)], net.tensor(shape, dtype))


def broadcast_to(net: Net) -> None:
    shape, dtype = shaped(net, 5), DTYPES[net.pick(0, 1)]
    net.step("BROADCAST_TO", [net.input(smaller(net, shape), dtype), net.constant(np.array(shape), np.int32)],
             net.tensor(shape, dtype))


def arg_max(net: Net) -> None:
    shape, name = shaped(net), ("ARG_MAX", "ARG_MIN")[net.pick(0, 1)]
    axis = net.pick(*range(1, len(shape)))
    given = net.constant(np.array(net.pick(axis, axis - len(shape))), np.int32)
    net.step(name, [net.input(shape), given], net.tensor(shape[:axis] + shape[axis + 1:], np.int32, scale=1.0),
             "ArgMaxOptions" if name == "ARG_MAX" else "ArgMinOptions", {"outputType": 2})


def absolute(net: Net) -> None:
    dtype, scale = DTYPES[net.pick(0, 1)], float(np.exp(net.rng.uniform(-4, 0)))
    net.step("ABS", [net.input([1, 90], dtype, scale=scale, zero=net.zero(dtype))],
             net.tensor([1, 90], dtype, scale=scale * net.pick(1, 2) / net.pick(1, 3), zero=net.zero(dtype)),
             "AbsOptions")


def rsqrt(net: Net) -> None:
    net.step("RSQRT", [net.input([1, 300], scale=float(np.exp(net.rng.uniform(-9, 3))), zero=-128)],
             net.tensor([1, 300], scale=float(np.exp(net.rng.uniform(-7, 1))), zero=net.zero(np.int8)))


def l2_normalization(net: Net) -> None:
    shape = shaped(net)
    net.step("L2_NORMALIZATION", [net.input(shape, zero=net.zero(np.int8))], net.tensor(shape, scale=1 / 128),
             "L2NormOptions")


def reduce_min(net: Net) -> None:
    shape = shaped(net)
    net.step("REDUCE_MIN", [net.input(shape), net.constant(np.array([1]), np.int32)], net.tensor([1, 1, *shape[2:]]),
             "ReducerOptions", {"keepDims": True})


def wide_prelu(net: Net) -> None:
    """Slopes are int8 all the same."""
    shape = shaped(net)
    alpha = net.constant(net.rng.integers(-128, 128, smaller(net, shape)[1:]), np.int8, [0.01], [net.zero(np.int8)])
    net.step("PRELU", [net.input(shape, np.int16, scale=0.001), alpha],
             net.tensor(shape, np.int16, scale=float(net.rng.uniform(0.0005, 0.005))))


def unscaled(net: Net, shape: list[int], dtype: type) -> int:
    """A tensor without a scale."""
    index = net.tensor(shape, dtype)
    net.specs[index].scale = net.specs[index].zero_point = []
    return index


def truth(net: Net, shape: list[int]) -> int:
    """Truth values of ``shape``."""
    return unscaled(net, shape, np.bool_)


def plain_inputs() -> bytes:
    """A count (int32) and a switch (bool) beside codes: the switch chooses between the codes and the count."""
    net = Net(np.random.default_rng(0))
    count, codes = net.input([1, 6], np.int32), net.input([1, 6])
    net.specs[count].scale = net.specs[count].zero_point = []
    switch = truth(net, [1, 6])
    net.specs[switch].name = "switch"
    net.inputs.append(switch)
    small = net.step("CAST", [count], net.tensor([1, 6]), "CastOptions")
    net.step("SELECT_V2", [switch, codes, small], net.tensor([1, 6]), "SelectV2Options")
    return net.data()


def compared(net: Net, shape: list[int]) -> int:
    """Truth values that a comparison makes."""
    name = str(net.rng.choice(["EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"]))
    scales = [float(scale) for scale in net.rng.uniform(0.01, 0.9, 2)]
    first = net.input(shape, scale=scales[0], zero=net.zero(np.int8))
    second = net.input(smaller(net, shape), scale=scales[net.pick(0, 1)], zero=net.zero(np.int8))
    return net.step(name, [first, second], truth(net, shape))


def select(net: Net) -> None:
    """Two comparisons, or one turned round, choose; one choice may be constant."""
    shape, dtype = shaped(net), DTYPES[net.pick(0, 1)]
    chosen = compared(net, shape)
    if net.pick(0, 1):
        chosen = net.step("LOGICAL_NOT", [chosen], truth(net, shape))
    else:
        chosen = net.step(("LOGICAL_AND", "LOGICAL_OR")[net.pick(0, 1)], [chosen, compared(net, shape)],
                          truth(net, shape))
    small = smaller(net, shape)
    either = [net.input(shape, dtype), net.constant(net.rng.integers(-128, 128, small), dtype, [0.1], [0])
              if net.pick(0, 1) else net.input(small, dtype)]
    net.step("SELECT_V2", [chosen, *either[::net.pick(1, -1)]], net.tensor(shape, dtype), "SelectV2Options")


def add_n(net: Net) -> None:
    shape, zero = shaped(net), net.zero(np.int8)
    parts = [net.input(shape, zero=zero) for _ in range(net.pick(2, 3))]
    if net.pick(0, 1):
        parts.append(net.constant(net.rng.integers(-128, 128, shape), np.int8, [0.1], [zero]))
    net.step("ADD_N", parts, net.tensor(shape, scale=float(net.rng.uniform(0.05, 0.5)), zero=net.zero(np.int8)),
             "AddNOptions")


def cumsum(net: Net) -> None:
    shape = shaped(net)
    axis = net.constant(np.array(net.pick(*range(1, len(shape)))), np.int32)
    net.step("CUMSUM", [net.input(shape, zero=net.zero(np.int8)), axis],
             net.tensor(shape, scale=float(net.rng.uniform(0.05, 0.5)), zero=net.zero(np.int8)), "CumsumOptions",
             {"exclusive": bool(net.pick(0, 1)), "reverse": bool(net.pick(0, 1))})


def slice_of_five(net: Net) -> None:
    """One axis more than STRIDED_SLICE takes."""
    begins, sizes = (net.constant(np.array(values), np.int32) for values in ([0, 1, 1, 0, 1], [1, 1, 2, 2, 2]))
    net.step("SLICE", [net.input([1, 2, 3, 2, 3]), begins, sizes], net.tensor([1, 1, 2, 2, 2]), "SliceOptions")


def to_int32(net: Net) -> None:
    dtype = DTYPES[net.pick(0, 1)]
    net.step("QUANTIZE", [net.input([1, 9], dtype)], net.tensor([1, 9], np.int32, scale=float(net.rng.uniform(
        1e-5, 1e-2)), zero=net.pick(0, 70000)), "QuantizeOptions")


def division(net: Net) -> None:
    """By a tensor, by constants without 0, or of a constant; codes of the divisor that stand for 0 among them."""
    shape, kind = shaped(net), net.pick(0, 1, 2)
    first = net.input(shape, zero=net.zero(np.int8)) if kind < 2 else net.constant(
        net.rng.integers(-128, 128, smaller(net, shape)), np.int8, [0.1], [net.zero(np.int8)])
    second = net.input(shape if kind == 2 else smaller(net, shape), scale=0.05, zero=net.zero(np.int8))
    if kind == 1:
        net.inputs.pop()
        second = net.constant(net.rng.integers(1, 100, smaller(net, shape)), np.int8, [0.05], [net.pick(0, -20)])
    y = net.tensor(shape, scale=float(net.rng.uniform(0.001, 0.015)), zero=net.zero(np.int8))
    net.step("DIV", [first, second], y, "DivOptions", {"fusedActivationFunction": net.pick(0, 1)})


def gather_nd(net: Net) -> None:
    shape = [1, *(int(size) for size in net.rng.integers(1, 5, net.pick(1, 2, 3)))]
    axes, many = net.pick(*range(1, len(shape) + 1)), [1, net.pick(1, 2, 4)]
    places = np.stack([net.rng.integers(0, size, many) for size in shape[:axes]], axis=-1)
    net.step("GATHER_ND", [net.input(shape), net.constant(places, np.int32)], net.tensor([*many, *shape[axes:]]),
             "GatherNdOptions")


def lookup(net: Net) -> None:
    """GATHER at computed places: of a constant table, of the tensor itself, or of rows that truth values choose."""
    shape = [1, *(int(size) for size in net.rng.integers(1, 5, net.pick(1, 2, 3)))]
    x, axis = net.input(shape), net.pick(*range(1, len(shape)))
    kind, sizes = net.pick(0, 1, 2), [*shape[:axis], *shape[axis + 1:]]
    places = net.tensor(shape if kind == 2 else sizes, np.int32)
    net.specs[places].scale = net.specs[places].zero_point = []
    if kind == 2:
        net.step("CAST", [compared(net, shape)], places, "CastOptions")
    else:
        net.step(("ARG_MAX", "ARG_MIN")[net.pick(0, 1)], [x, net.constant(np.array([axis]), np.int32)], places,
                 "ArgMaxOptions")
    if kind == 1:
        net.step("GATHER", [x, places], net.tensor([*shape[:axis], *sizes, *shape[axis + 1:]]), "GatherOptions",
                 {"axis": axis})
        return
    rows = 2 if kind == 2 else shape[axis]
    table = net.constant(net.rng.integers(-128, 128, (rows + net.pick(0, 1), net.pick(1, 3))), np.int8, [0.1], [0])
    net.step("GATHER", [table, places], net.tensor([*net.specs[places].shape, *net.specs[table].shape[1:]]),
             "GatherOptions", {"axis": 0})


def embedding(rows: int = 7) -> bytes:
    """Four words (int32) as the rows of a constant table of ``rows``, and their sum with codes."""
    net = Net(np.random.default_rng(0))
    words = net.input([1, 4], np.int32)
    net.specs[words].scale = net.specs[words].zero_point = []
    table = net.constant(net.rng.integers(-128, 128, (rows, 3)), np.int8, [0.1], [3])
    found = net.step("GATHER", [table, words], net.tensor([1, 4, 3], scale=0.1, zero=3), "GatherOptions", {"axis": 0})
    net.step("ADD", [found, net.input([1, 4, 3])], net.tensor([1, 4, 3], scale=0.2), "AddOptions")
    return net.data()


def reduce_all(net: Net) -> None:
    """Of a comparison of few codes, so that both answers occur."""
    shape = shaped(net)
    chosen = net.step("REDUCE_ALL", [compared(net, shape), net.constant(np.array([len(shape) - 1]), np.int32)],
                      truth(net, [*shape[:-1], 1]), "ReducerOptions", {"keepDims": True})
    net.step("SELECT_V2", [chosen, net.input(shape), net.input(shape)], net.tensor(shape), "SelectV2Options")


def cast(net: Net) -> None:
    """Between widths, through truth values or from them."""
    dtype, shape = DTYPES[net.pick(0, 1)], shaped(net)
    kind = net.pick(0, 1, 2)
    x = compared(net, shape) if kind == 0 else net.input(shape, dtype)
    if kind == 2:
        x = net.step("QUANTIZE", [x], net.tensor(shape, np.int32, scale=1e-4), "QuantizeOptions")
    if kind and net.pick(0, 1):
        x = net.step("CAST", [x], truth(net, shape), "CastOptions")
    net.step("CAST", [x], net.tensor(shape, (np.int8, np.int16)[net.pick(0, 1)]), "CastOptions")



def real_numbers(net: Net) -> None:
    """Codes, numbers and truth values that are float32 for a while; constants beside them lie between codes."""
    kind, shape = net.pick(0, 1, 2, 3), shaped(net)
    dtype, scale = DTYPES[net.pick(0, 1) if kind > 1 else 0], float(np.float32(np.exp(net.rng.uniform(-9, 2))))
    x = compared(net, shape) if kind == 0 else net.input(shape, dtype, scale=scale, zero=net.zero(dtype))
    if kind == 1:
        axis = net.constant(np.array([len(shape) - 1]), np.int32)
        shape = shape[:-1]
        x = net.step("ARG_MAX", [x, axis], unscaled(net, shape, np.int32), "ArgMaxOptions")
    name = "Dequantize" if kind == 3 else "Cast"
    found = net.step(name.upper(), [x], unscaled(net, shape, np.float32), f"{name}Options")
    if len(shape) > 1 and net.pick(0, 1):
        beside = net.constant(net.rng.choice([-0.5, 1e-3, 1.5, 0.0, 7.25], shape), np.float32)
        shape = [*shape[:-1], 2 * shape[-1]]
        found = net.step("CONCATENATION", [found, beside], unscaled(net, shape, np.float32), "ConcatenationOptions",
                         {"axis": len(shape) - 1})
        pads = net.constant(np.array([[0, 0]] * (len(shape) - 1) + [[0, 1]]), np.int32)
        shape = [*shape[:-1], shape[-1] + 1]
        found = net.step("PADV2", [found, pads, net.constant(np.array(-0.75), np.float32)],
                         unscaled(net, shape, np.float32))
    to = DTYPES[net.pick(0, 1)]
    made = net.tensor(shape, to, scale=2 * scale if kind == 3 else net.pick(1, 2) / 3, zero=net.zero(to))
    net.step("QUANTIZE", [found], made, "QuantizeOptions")


def filled(net: Net) -> None:
    """Codes that no input changes, beside one that does."""
    shape = shaped(net)
    x = net.input(shape)
    made = (net.step("ZEROS_LIKE", [x], net.tensor(shape), "ZerosLikeOptions") if net.pick(0, 1) else
            net.step("FILL", [net.constant(np.array(shape), np.int32),
                              net.constant(np.array(net.pick(-90, 3)), np.int8, [0.1], [0])], net.tensor(shape)))
    net.step("ADD", [x, made], net.tensor(shape), "AddOptions")


RARE = [absolute, rsqrt, mirror_pad, reverse, broadcast_to, arg_max, l2_normalization, reduce_min, wide_prelu,
        select, add_n, cumsum, slice_of_five, to_int32, division, gather_nd, reduce_all, cast, filled,
        lookup, real_numbers]
