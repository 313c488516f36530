"""The hot kernels where they really run: random convolutions and MLPerf Tiny's networks on emulated cores."""

from __future__ import annotations

import numpy as np
import pytest
from mlperf_tiny import NETWORKS, converted
from one_operator import Spec, Step, build
from operator_cases import ALL
from side_by_side import Net

from tinyfuse.firmware.cores import CORES
from tinyfuse.firmware.measure import Setup, measure, setups
from tinyfuse.firmware.operators.convolution import Conv
from tinyfuse.firmware.operators.plain_conv import PlainConv
from tinyfuse.firmware.program import program_of
from tinyfuse.firmware.toolchain import OPTIMIZE
from tinyfuse.integer.model import IntegerModel, load_model, random_codes

SETUPS = setups([CORES["m4"], CORES["m55"]])
"""DSP and MVE; without a toolchain test_verify.py fails."""
PORTABLE = setups([CORES["m0+"], CORES["m3"], CORES["rv32"]])

WIDE = ((7, (3, 3), 1, 1, np.int64, 127), (4, (1, 1), 1, 1, np.int32, 127), (5, (4, 5), 2, 1, np.int64, 15),
        (9, (3, 2), 1, 2, np.int32, 127), (2, (9, 3), 1, 1, np.int64, 127))
"""Channels, window, stride, distance of rows, type of biases and largest weight of int16 convolutions."""


def differing(model: IntegerModel, optimize: str, chosen: list[Setup]) -> dict[str, int]:
    """Output codes that are not TFLite Micro's, by core; the first inputs are lowest and highest codes."""
    found = measure(model, random_codes(model, 3, seed=1), chosen, optimize)
    return {core: cost.differing for core, cost in found.items()}


def convolution(rng: np.random.Generator) -> bytes:
    """Few and many channels, odd numbers of outputs, kernels up to 5, strides, dilation, clamps, 3 to 9 bits."""
    in_c, out_c = int(rng.choice([1, 3, 4, 8, 16, 20])), int(rng.integers(1, 14))
    kernel, stride = rng.integers(1, 6, 2), int(rng.integers(1, 3))
    dilation = int(rng.choice([1, 1, 2])) if stride == 1 else 1
    size, same = rng.integers(9, 14, 2), bool(rng.integers(2))
    out = -(-size // stride) if same else (size - (kernel - 1) * dilation - 1) // stride + 1
    most = int(rng.choice([3, 31, 127]))
    weights = rng.integers(-most, most + 1, (out_c, *kernel, in_c))
    scale, zeros = np.exp(rng.uniform(-9, 1, out_c)), [0] * out_c
    options = {"padding": 0 if same else 1, "strideH": stride, "strideW": stride, "dilationHFactor": dilation,
               "dilationWFactor": dilation, "fusedActivationFunction": int(rng.choice([0, 1, 3]))}
    return build([Spec([1, *size, in_c], zero_point=[int(rng.integers(-128, 128))], name="x"),
                  Spec(weights.shape, scale=scale, zero_point=zeros, data=weights),
                  Spec([out_c], np.int32, scale=scale, zero_point=zeros, data=rng.integers(-90_000, 90_000, out_c)),
                  Spec([1, *out, out_c], scale=[rng.uniform(0.5, 30)], zero_point=[int(rng.integers(-128, 128))])],
                 [Step("CONV_2D", [0, 1, 2], [3], "Conv2DOptions", options)], [0], [3])


@pytest.mark.parametrize("core", SETUPS)
@pytest.mark.parametrize("seed", range(9))
def test_random_convolutions(seed: int, core: str) -> None:
    model = load_model(convolution(np.random.default_rng(seed)), name="one")
    assert differing(model, list(OPTIMIZE)[seed % len(OPTIMIZE)], [SETUPS[core]]) == {core: 0}


@pytest.mark.parametrize("core", SETUPS)
def test_int16_windows(core: str) -> None:
    """Clipped at every side, strides, rows apart, odd numbers of channels, biases of 32 and 64 bits, 5 and 8 bits."""
    rng, steps = np.random.default_rng(7), []
    specs = [Spec([1, 9, 10, 16], np.int16, name="x")]
    for out_c, kernel, stride, dilation, bias, most in WIDE:
        weights, scale = rng.integers(-most, most + 1, (out_c, *kernel, 16)), np.full(out_c, 0.01)
        first, out = len(specs), [-(-side // stride) for side in (9, 10)]
        specs += [Spec(weights.shape, scale=scale, zero_point=[0] * out_c, data=weights),
                  Spec([out_c], bias, scale=scale, zero_point=[0] * out_c, data=rng.integers(-90_000, 90_000, out_c)),
                  Spec([1, *out, out_c], np.int16, scale=[0.2 * most])]
        options = {"padding": 0, "strideH": stride, "strideW": stride, "dilationHFactor": dilation,
                   "dilationWFactor": 1, "fusedActivationFunction": 1}
        steps.append(Step("CONV_2D", [0, first, first + 1], [first + 2], "Conv2DOptions", options))
    data = build(specs, steps, [0], [step.outputs[0] for step in steps])
    model = load_model(data, name="wide", output="t3")
    assert all(layer.runs for layer in program_of(model, "wide").layers if isinstance(layer, PlainConv))
    assert differing(model, "ram", [SETUPS[core]]) == {core: 0}


@pytest.mark.parametrize("core", PORTABLE)
def test_sums_of_two_channels_at_their_limits(core: str) -> None:
    """Every weight is as large as 8, 4, 2 or 1 products in 16 bits allow, and codes go down to -128."""
    rng, steps = np.random.default_rng(5), []
    specs = [Spec([1, 5, 6, 8], zero_point=[-128], name="x")]
    for least, most in ((-31, 31), (-63, 63), (-127, 127), (-128, 127)):
        weights = np.where(rng.integers(0, 2, (5, 3, 3, 8)), least, most)
        weights[0], weights[1] = least, most
        first, scale = len(specs), np.full(5, 0.01)
        specs += [Spec(weights.shape, scale=scale, zero_point=[0] * 5, data=weights),
                  Spec([5], np.int32, scale=scale, zero_point=[0] * 5, data=rng.integers(-90_000, 90_000, 5)),
                  Spec([1, 3, 4, 5], scale=[0.7 * most], zero_point=[3])]
        options = {"padding": 1, "strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}
        steps.append(Step("CONV_2D", [0, first, first + 1], [first + 2], "Conv2DOptions", options))
    data = build(specs, steps, [0], [step.outputs[0] for step in steps])
    model = load_model(data, name="pairs", output="t3")
    layers = program_of(model, "pairs").layers
    assert [layer.together for layer in layers if isinstance(layer, Conv)] == [8, 4, 2, 1]
    assert differing(model, "ram", [PORTABLE[core]]) == {core: 0}


@pytest.mark.parametrize("core", SETUPS)
def test_every_operator(core: str) -> None:
    """One random case of each; all results are outputs."""
    net = Net(np.random.default_rng(2))
    for case in ALL:
        case(net)
    data = build(net.specs, net.steps, net.inputs, [step.outputs[0] for step in net.steps])
    model = load_model(data, name="every", output=f"t{net.steps[0].outputs[0]}")
    assert differing(model, "speed", [SETUPS[core]]) == {core: 0}


@pytest.mark.parametrize("core", SETUPS)
@pytest.mark.parametrize("name, ends", [*((name, "int8") for name in NETWORKS), ("keyword_spotting", "int16")])
def test_mlperf_tiny(name: str, ends: str, core: str) -> None:
    assert differing(load_model(converted(name, ends)[1], name=name), "ram", [SETUPS[core]]) == {core: 0}
