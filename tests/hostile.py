"""Small models with most operators, and ways to damage a ``.tflite``: its bytes, or the fields of its tables."""

from __future__ import annotations

import functools
import random
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from one_operator import Spec, Step, build

from tinyfuse.tflite import flatbuffer

NUMBERS = [0, 1, -1, 2, 3, 4, 5, 7, 8, 9, 16, 127, 128, 255, 4096, 4097, 32767, 65536, 1 << 24, 2**31 - 1, -2**31, -2]
REALS = [0.0, -1.0, 1e-45, 1e-30, 1e-12, 1e12, 1e30, 3e38, float("nan"), float("inf")]
NAMES = [b"", b"a", b"\xff\n\x1b[31m", b"x" * 300]


def constant(values: Any, dtype: type = np.int32) -> Spec:
    """A constant without quantisation."""
    return Spec(np.shape(values), dtype, [], [], data=np.asarray(values, dtype))


@functools.cache
def fusion() -> bytes:
    """Two inputs to CONCATENATION, CONV_2D, ADD, AVERAGE_POOL_2D, RESHAPE, FULLY_CONNECTED and SOFTMAX."""
    rng = np.random.default_rng(0)
    specs = [Spec((1, 6, 6, 2), scale=[0.02], zero_point=[-3], name="image"),
             Spec((1, 6, 6, 1), scale=[0.02], zero_point=[-3], name="audio"),
             Spec((1, 6, 6, 3), scale=[0.02], zero_point=[-3], name="both"),
             Spec((4, 3, 3, 3), scale=[0.01] * 4, zero_point=[0] * 4, data=rng.integers(-9, 9, (4, 3, 3, 3))),
             Spec((4,), np.int32, [2e-4] * 4, [0] * 4, data=rng.integers(-9, 9, 4)),
             Spec((1, 3, 3, 4), scale=[0.05]), Spec((1, 3, 3, 4), scale=[0.05]), Spec((1, 1, 1, 4), scale=[0.05]),
             constant([1, 4]), Spec((1, 4), scale=[0.05]),
             Spec((5, 4), scale=[0.01], data=rng.integers(-9, 9, (5, 4))),
             Spec((5,), np.int32, [5e-4], data=rng.integers(-9, 9, 5)),
             Spec((1, 5), scale=[0.05], zero_point=[3]), Spec((1, 5), scale=[1 / 256], zero_point=[-128], name="out")]
    slide = {"strideH": 2, "strideW": 2, "fusedActivationFunction": 1}
    pool = {"filterHeight": 3, "filterWidth": 3, "strideH": 1, "strideW": 1, "padding": 1}
    steps = [Step("CONCATENATION", [0, 1], [2], "ConcatenationOptions", {"axis": 3}),
             Step("CONV_2D", [2, 3, 4], [5], "Conv2DOptions", slide),
             Step("ADD", [5, 5], [6], "AddOptions"), Step("AVERAGE_POOL_2D", [6], [7], "Pool2DOptions", pool),
             Step("RESHAPE", [7, 8], [9], "ReshapeOptions"),
             Step("FULLY_CONNECTED", [9, 10, 11], [12], "FullyConnectedOptions"),
             Step("SOFTMAX", [12], [13], "SoftmaxOptions", {"beta": 1.0})]
    return build(specs, steps, [0, 1], [13])


@functools.cache
def chain() -> bytes:
    """PAD, TRANSPOSE, STRIDED_SLICE, QUANTIZE, LOGISTIC, TANH, LEAKY_RELU and DEQUANTIZE one after the other."""
    cut = (1, 4, 8)
    specs = [Spec((1, 6, 8), scale=[0.02], zero_point=[-3], name="image"), constant([[0, 0], [1, 2], [0, 1]]),
             Spec((1, 9, 9), scale=[0.02], zero_point=[-3]), constant([0, 2, 1]),
             Spec((1, 9, 9), scale=[0.02], zero_point=[-3]), constant([0, 1, 1]), constant([1, 9, 9]),
             constant([1, 2, 1]), Spec(cut, scale=[0.02], zero_point=[-3]), Spec(cut, scale=[0.1], zero_point=[3]),
             Spec(cut, scale=[1 / 256], zero_point=[-128]), Spec(cut, scale=[1 / 128]), Spec(cut, scale=[1 / 128]),
             Spec(cut, np.float32, [], [], name="out")]
    steps = [Step("PAD", [0, 1], [2], "PadOptions"), Step("TRANSPOSE", [2, 3], [4], "TransposeOptions"),
             Step("STRIDED_SLICE", [4, 5, 6, 7], [8], "StridedSliceOptions"), Step("QUANTIZE", [8], [9]),
             Step("LOGISTIC", [9], [10]), Step("TANH", [10], [11]),
             Step("LEAKY_RELU", [11], [12], "LeakyReluOptions", {"alpha": 0.1}), Step("DEQUANTIZE", [12], [13])]
    return build(specs, steps, [0], [13])


@functools.cache
def pairs() -> bytes:
    """DEPTHWISE_CONV_2D, MAX_POOL_2D, MUL, SUB, MAXIMUM, MINIMUM, RELU6 and MEAN one after the other."""
    rng = np.random.default_rng(0)
    wide, small = Spec((1, 5, 5, 4), scale=[0.05]), Spec((1, 3, 3, 4), scale=[0.05])
    specs = [Spec((1, 5, 5, 2), scale=[0.02], zero_point=[-3], name="image"),
             Spec((1, 3, 3, 4), scale=[0.01] * 4, zero_point=[0] * 4, axis=3, data=rng.integers(-9, 9, (1, 3, 3, 4))),
             Spec((4,), np.int32, [2e-4] * 4, [0] * 4, data=rng.integers(-9, 9, 4)), wide, small,
             Spec((1, 1, 1, 4), scale=[0.02], data=rng.integers(-9, 9, (1, 1, 1, 4))), small,
             small, small, small, small, constant([1, 2]), Spec((1, 4), scale=[0.05], name="out")]
    slide = {"strideH": 1, "strideW": 1, "depthMultiplier": 2}
    pool = {"filterHeight": 2, "filterWidth": 2, "strideH": 2, "strideW": 2}
    steps = [Step("DEPTHWISE_CONV_2D", [0, 1, 2], [3], "DepthwiseConv2DOptions", slide),
             Step("MAX_POOL_2D", [3], [4], "Pool2DOptions", pool), Step("MUL", [4, 5], [6], "MulOptions"),
             Step("SUB", [6, 4], [7], "SubOptions"), Step("MAXIMUM", [7, 4], [8], "MaximumMinimumOptions"),
             Step("MINIMUM", [8, 6], [9], "MaximumMinimumOptions"), Step("RELU6", [9], [10]),
             Step("MEAN", [10, 11], [12], "ReducerOptions")]
    return build(specs, steps, [0], [12])


@functools.cache
def edges_and_shapes() -> bytes:
    """Float input and uint8 output, Keras' Flatten of three samples, SPLIT, EXPAND_DIMS, SQUEEZE, FULLY_CONNECTED."""
    rng, grid = np.random.default_rng(0), {"scale": [0.02], "zero_point": [-3]}
    specs = [Spec((3, 4, 4), np.float32, [], [], name="image"), Spec((3, 4, 4), **grid), constant([0]), constant([1]),
             constant(-1), Spec((3,), np.int32, [], []), Spec((), np.int32, [], []), Spec((2,), np.int32, [], []),
             Spec((3, 16), **grid), constant(1), Spec((3, 8), **grid), Spec((3, 8), **grid), constant(2),
             Spec((3, 8, 1), **grid), Spec((3, 8), **grid), Spec((3, 8), scale=[0.05]),
             Spec((5, 8), scale=[0.01], data=rng.integers(-9, 9, (5, 8))), Spec((3, 5), scale=[0.05], zero_point=[3]),
             Spec((3, 5), np.uint8, [0.05], [131], name="out")]
    steps = [Step("QUANTIZE", [0], [1]), Step("SHAPE", [1], [5], "ShapeOptions"),
             Step("STRIDED_SLICE", [5, 2, 3, 3], [6], "StridedSliceOptions", {"shrinkAxisMask": 1}),
             Step("PACK", [6, 4], [7], "PackOptions", {"valuesCount": 2}), Step("RESHAPE", [1, 7], [8]),
             Step("SPLIT", [9, 8], [10, 11], "SplitOptions", {"numSplits": 2}), Step("EXPAND_DIMS", [10, 12], [13]),
             Step("SQUEEZE", [13], [14], "SqueezeOptions", {"squeezeDims": [2]}),
             Step("ADD", [14, 11], [15], "AddOptions"),
             Step("FULLY_CONNECTED", [15, 16], [17], "FullyConnectedOptions"), Step("QUANTIZE", [17], [18])]
    return build(specs, steps, [0], [18])


def damaged(data: bytes, rng: random.Random) -> bytes:
    """``data`` with 1 to 8 bytes or words replaced, a piece copied elsewhere, or its end cut off."""
    found, way = bytearray(data), rng.random()
    for _ in range(rng.randint(1, rng.choice([1, 2, 8]))):
        # Tables lie at both ends of a file that flatbuffer.write wrote, weights between them.
        near = rng.randrange(min(len(data), 12000))
        place = rng.choice([rng.randrange(len(data)), near, len(data) - 1 - near])
        if way < 0.4:
            found[place] = rng.randrange(256)
        elif way < 0.7:
            found[place // 4 * 4:place // 4 * 4 + 4] = struct.pack("<i", rng.choice(NUMBERS))
        elif way < 0.85:
            source, size = rng.randrange(len(data)), rng.randrange(1, 64)
            piece = found[source:source + size]
            found[place:place + len(piece)] = piece
    return bytes(found[:rng.randrange(len(found))] if way >= 0.85 else found)


def edited(data: bytes, rng: random.Random) -> bytes | None:
    """``data`` with 1 to 3 fields of its tables made absurd or slightly wrong; None if they cannot be written."""
    model = flatbuffer.read(data, "base")
    graph = model.subgraphs[0]
    for _ in range(rng.randint(1, 3)):
        owner, key = rng.choice(list(_fields(graph if rng.random() < 0.9 else model)))
        setattr(owner, key, _absurd(getattr(owner, key), rng))
    try:
        return flatbuffer.write(model)
    except (TypeError, struct.error):
        return None


def _fields(table: Any) -> Iterator[tuple[Any, str]]:
    """Every field below ``table`` that holds something."""
    for key, value in vars(table).items():
        if isinstance(value, (int, float, bytes, np.ndarray)):
            yield table, key
        elif isinstance(value, list):
            yield table, key
            for entry in value:
                yield from _fields(entry)
        elif value is not None:
            yield table, key
            yield from _fields(value)


def _absurd(value: Any, rng: random.Random) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return rng.choice([*NUMBERS, value + 1, value - 1])
    if isinstance(value, float):
        return rng.choice(REALS)
    if isinstance(value, bytes):
        return rng.choice(NAMES)
    if isinstance(value, list):
        return rng.choice([value[:-1], [*value, *value[:1]], value[::-1], None])
    return _absurd_vector(value, rng) if isinstance(value, np.ndarray) else None


def _absurd_vector(values: np.ndarray, rng: random.Random) -> np.ndarray | None:
    found = values.copy()
    if values.size and rng.random() < 0.6:
        place, one = rng.randrange(values.size), values[rng.randrange(values.size)]
        if values.dtype.kind == "f":
            found[place] = rng.choice(REALS)
        else:
            found[place] = np.array(rng.choice([*NUMBERS, int(one) + 1, int(one) * 2])).astype(values.dtype)
        return found
    return rng.choice([found[:-1], np.append(found, found[:1]), found[::-1].copy(), None])


def mutant(data: bytes, rng: random.Random) -> bytes | None:
    """``data`` damaged in its bytes, edited in its tables, or on other grids; None if that cannot be written."""
    kind = rng.random()
    return damaged(data, rng) if kind < 0.25 else edited(data, rng) if kind < 0.6 else regridded(data, rng)


def regridded(data: bytes, rng: random.Random) -> bytes:
    """``data`` with some scales, zero points and bits of constants changed: mostly still a sound file."""
    model = flatbuffer.read(data, "base")
    for _ in range(rng.randint(1, 4)):
        tensor = rng.choice(model.subgraphs[0].tensors)
        content, grid = model.buffers[tensor.buffer].data, tensor.quantization
        if content is not None and rng.random() < 0.5:
            changed = np.array(content, np.uint8)
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
            model.buffers[tensor.buffer].data = changed
        elif grid is not None and grid.scale is not None and rng.random() < 0.8:
            grid.scale = np.asarray(grid.scale * 10.0 ** rng.uniform(-6, 6), np.float32)
        elif grid is not None and grid.zeroPoint is not None:
            grid.zeroPoint = np.full(len(grid.zeroPoint), rng.choice([-128, -1, 0, 1, 127]), np.int64)
    return flatbuffer.write(model)
