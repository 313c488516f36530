"""Accepted means exact: where TFLite Micro's integers wrap the twin's do, and beyond what C defines it refuses."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from one_operator import Spec, Step, build
from verdicts import Verdict, judge

FLOAT_BELOW_1 = float(np.nextafter(np.float32(1), np.float32(0)))
"""The largest float32 below 1: its multiplier is 2^31 - 128."""


def one(name: str, dtype: type, scales: tuple[float, float], size: int = 64, zeros: tuple[int, int] = (0, 0),
        options: str = "", values: dict[str, object] | None = None) -> bytes:
    """One operator from [1, size] to the same shape."""
    specs = [Spec((1, size), dtype, [scale], [zero]) for scale, zero in zip(scales, zeros, strict=True)]
    return build(specs, [Step(name, [0], [1], options, values or {})], [0], [1])


def fully_connected(effective: float, depth: int, *, dtype: type = np.int8, zero_out: int = 0,
                    bias: np.ndarray | None = None) -> bytes:
    """Weights at the ends of their type; ``effective``: what one unit of a sum adds to the output code."""
    weights = np.random.default_rng(0).choice([-127, 127], (2, depth))
    specs = [Spec((1, depth), dtype), Spec((2, depth), np.int8, [1.0, 1.0], [0, 0], data=weights),
             Spec((1, 2), dtype, [1 / effective], [zero_out])]
    if bias is not None:
        specs.append(Spec((2,), bias.dtype.type, [1.0, 1.0], [0, 0], data=bias))
    return build(specs, [Step("FULLY_CONNECTED", [0, 1, *([3] if bias is not None else [])], [2],
                              "FullyConnectedOptions")], [0], [2])


def depthwise(effective: float, *, bias: int | None = None) -> bytes:
    """An int16 DEPTHWISE_CONV_2D of 3x3 taps with a 64-bit bias."""
    weights = np.random.default_rng(0).choice([-127, 127], (1, 3, 3, 2))
    specs = [Spec((1, 5, 5, 2), np.int16), Spec((1, 3, 3, 2), np.int8, [1.0], [0], data=weights),
             Spec((1, 5, 5, 2), np.int16, [1 / effective]),
             Spec((2,), np.int64, [1.0], data=np.array([bias or 0, -(bias or 0)]))]
    return build(specs, [Step("DEPTHWISE_CONV_2D", [0, 1, 3], [2], "DepthwiseConv2DOptions",
                              {"strideH": 1, "strideW": 1, "depthMultiplier": 1})], [0], [2])


def convolution(effective: float, dtype: type) -> bytes:
    weights = np.random.default_rng(0).choice([-127, 127], (2, 3, 3, 4))
    specs = [Spec((1, 5, 5, 4), dtype), Spec((2, 3, 3, 4), np.int8, [1.0, 0.5], [0, 0], data=weights),
             Spec((1, 5, 5, 2), dtype, [1 / effective])]
    return build(specs, [Step("CONV_2D", [0, 1], [2], "Conv2DOptions", {"strideH": 1, "strideW": 1})], [0], [2])


def mean(ratio: float, count: int, dtype: type, zeros: tuple[int, int] = (0, 0)) -> bytes:
    specs = [Spec((1, count, 3), dtype, [ratio], [zeros[0]]), Spec((1,), np.int32, [], [], data=np.array([1])),
             Spec((1, 3), dtype, [1.0], [zeros[1]])]
    return build(specs, [Step("MEAN", [0, 1], [2], "ReducerOptions")], [0], [2])


def accepted(data: bytes) -> Verdict:
    found = judge(data)
    assert not found.refused and not found.crashed
    return found


WRAPPING: dict[str, Callable[[], bytes]] = {
    "shift of 8": lambda: convolution(200.0, np.int8),
    "shift of 20": lambda: convolution(1e6, np.int8),
    "largest shift": lambda: convolution(2.0**30 * FLOAT_BELOW_1, np.int8),
    "zero point": lambda: fully_connected(2.0**30 * FLOAT_BELOW_1, 3, zero_out=-128),
    "other zero point": lambda: fully_connected(2.0**30 * FLOAT_BELOW_1, 3, zero_out=127),
    "int16 beyond 32 bits": lambda: fully_connected(5.7, 240, dtype=np.int16),
    "int16 convolution by 2^10": lambda: convolution(1500.0, np.int16),
    "int16 depthwise by 2^13": lambda: depthwise(9000.0),
    "int16 largest shift": lambda: depthwise(2.0**14 * FLOAT_BELOW_1),
    "bias beyond 2^47": lambda: depthwise(0.01, bias=(1 << 47) + 12345),
    "bias of 2^62": lambda: depthwise(0.7, bias=1 << 62),
    "sum beyond 2^31": lambda: fully_connected(0.001, 5, bias=np.array([2**31 - 1, -(2**31)], np.int32)),
    "int32 bias on int16": lambda: fully_connected(0.001, 5, dtype=np.int16, bias=np.array([2**31 - 1, 9], np.int32)),
    "mean": lambda: mean(2.0**29 * FLOAT_BELOW_1, 1, np.int8, (-128, 127)),
    "mean of many int16": lambda: mean(2.0**20, 70001, np.int16),
    "logistic of a large scale": lambda: one("LOGISTIC", np.int8, (8.0, 1 / 256), zeros=(3, -128)),
    "logistic of a huge scale": lambda: one("LOGISTIC", np.int8, (1e9, 1 / 256), zeros=(-128, -128)),
}


@pytest.mark.parametrize("case", WRAPPING)
def test_what_wraps_in_tflite_micro_wraps_in_the_twin(case: str) -> None:
    assert accepted(WRAPPING[case]()).differing == 0


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "a shift of 31": (lambda: convolution(2.0**30, np.int8),
                      r"operator 0 \(CONV_2D\): 't1': a rescaling by .* overflows"),
    "a shift of 15 of 64 bits": (lambda: depthwise(2.0**14),
                                 "DEPTHWISE_CONV_2D.*'t1': a rescaling of channel 0 by 16384"),
    "six leaves int32": (lambda: one("RELU6", np.int16, (2e-9, 2e-9)),
                         "RELU6.* the bound 6 of an activation is 3e.09 codes"),
    "tanh of nothing": (lambda: one("TANH", np.int16, (1e-15, 2.0**-15)), "TANH cannot use the input scale"),
    "logistic of nothing": (lambda: one("LOGISTIC", np.int16, (1e-15, 2.0**-15)),
                            "LOGISTIC cannot use the input scale"),
    "mean": (lambda: mean(2.0**30, 4, np.int8), "MEAN.*a rescaling by .* overflows 32 bits"),
    "requantized": (lambda: one("QUANTIZE", np.int8, (2.0**25, 1.0)),
                    "a rescaling of 128 by .* overflows 32 bits in QUANTIZE"),
    "no number": (lambda: build(
        [Spec([1, 3], name="x"), Spec([1, 3], np.float32, [], []), Spec([1, 1], np.float32, [], [], data=[[np.nan]]),
         Spec([1, 4], np.float32, [], []), Spec([1, 4])],
        [Step("DEQUANTIZE", [0], [1]), Step("CONCATENATION", [1, 2], [3], "ConcatenationOptions", {"axis": 1}),
         Step("QUANTIZE", [3], [4])], [0], [4]), "operator 2 .QUANTIZE.: 't4': QUANTIZE of numbers up to inf"),
    "real numbers": (lambda: build(
        [Spec([1, 3], name="x"), Spec([1, 3], np.float32, [], []), Spec([1, 3], scale=[1e-7])],
        [Step("DEQUANTIZE", [0], [1]), Step("QUANTIZE", [1], [2])], [0], [2]),
        "operator 1 .QUANTIZE.: 't2': QUANTIZE of numbers up to 128, 1.28e.09 codes of its scale 1e-07"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_c_does_not_define_is_refused(case: str) -> None:
    make, message = REFUSED[case]
    found = judge(make())
    assert re.search(message, found.refused), found


def test_the_scales_are_multiplied_in_float64() -> None:
    """A product rounded to float32 moves one in some thousand codes of 16 bits."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        a, b = (np.float32(10 ** rng.uniform(-3, 0)) for _ in range(2))
        specs = [Spec((1, 300, 8), np.int16, [a]), Spec((16, 8), scale=[b], data=rng.integers(-127, 128, (16, 8))),
                 Spec((16,), np.int32, [a * b], data=rng.integers(-9, 9, 16)),
                 Spec((1, 300, 16), np.int16, [float(a) * float(b) * 29.37114])]
        data = build(specs, [Step("FULLY_CONNECTED", [0, 1, 2], [3], "FullyConnectedOptions", {"keepNumDims": True})],
                     [0], [3])
        found = judge(data, [rng.integers(-2000, 2000, (5, 300, 8)).astype(np.int16)])
        assert found.values and not found.wrong
