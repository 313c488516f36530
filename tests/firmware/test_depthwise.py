"""Depthwise convolutions four channels at a time, and along the longer side, where they really run."""

from __future__ import annotations

import numpy as np
import pytest
from one_operator import Spec, Step, build

from tinyfuse.firmware.cores import CORES
from tinyfuse.firmware.measure import measure, setups
from tinyfuse.firmware.operators.depthwise import (
    DirectDepthwise,
    QuickDepthwise,
    TurnedChannelConv,
    TurnedDirectDepthwise,
    TurnedQuickDepthwise,
)
from tinyfuse.firmware.program import program_of
from tinyfuse.integer.model import load_model, random_codes

SETUPS = setups([CORES["m4"], CORES["m55"]])
"""DSP and MVE; without a toolchain test_verify.py fails."""


def depthwise(rng: np.random.Generator, kernel: tuple[int, int] = (3, 3), size: tuple[int, int] | None = None,
              channels: int | None = None, stride: int | None = None) -> bytes:
    """Any size, padding, zero points (that of the output often -128, as behind a RELU) and clamp."""
    channels, stride = channels or int(rng.integers(4, 14)), stride or int(rng.integers(1, 3))
    sides, same = np.array(size or rng.integers(3, 20, 2)), bool(rng.integers(2))
    out = -(-sides // stride) if same else (sides - kernel) // stride + 1
    scale, zeros = np.exp(rng.uniform(-9, -4, channels)), [0] * channels
    most = int(rng.choice([3, 31, 127]))
    options = {"padding": 0 if same else 1, "strideH": stride, "strideW": stride, "depthMultiplier": 1,
               "dilationHFactor": 1, "dilationWFactor": 1, "fusedActivationFunction": int(rng.choice([0, 1, 3]))}
    zero = int(rng.choice([-128, int(rng.integers(-128, 128))]))
    return build([Spec([1, *sides, channels], zero_point=[int(rng.integers(-128, 128))], name="x"),
                  Spec([1, *kernel, channels], scale=scale, zero_point=zeros,
                       data=rng.integers(-most, most + 1, (1, *kernel, channels)), axis=3),
                  Spec([channels], np.int32, scale=scale, zero_point=zeros, data=rng.integers(-9000, 9000, channels)),
                  Spec([1, *out, channels], scale=[rng.uniform(0.5, 3)], zero_point=[zero])],
                 [Step("DEPTHWISE_CONV_2D", [0, 1, 2], [3], "DepthwiseConv2DOptions", options)], [0], [3])


@pytest.mark.parametrize("core", SETUPS)
@pytest.mark.parametrize("seed", range(5))
def test_three_by_three(seed: int, core: str) -> None:
    model = load_model(depthwise(np.random.default_rng(seed)), name="one")
    assert isinstance(program_of(model, "net").layers[0], QuickDepthwise)
    found = measure(model, random_codes(model, 2, seed=1), [SETUPS[core]], "ram")
    assert found[core].differing == 0


@pytest.mark.parametrize("core", SETUPS)
def test_what_is_higher_than_wide_is_turned(core: str) -> None:
    kinds = set()
    for seed, kernel, size in ((0, (3, 3), (15, 4)), (0, (5, 1), (19, 1)), (1, (5, 1), (19, 1)), (2, (5, 4), (12, 9))):
        model = load_model(depthwise(np.random.default_rng(seed), kernel, size, stride=1), name="high")
        kinds.add(type(program_of(model, "net").layers[0]))
        assert measure(model, random_codes(model, 2, seed=1), [SETUPS[core]], "ram")[core].differing == 0
    assert TurnedQuickDepthwise in kinds and kinds & {TurnedChannelConv, DirectDepthwise, TurnedDirectDepthwise}


@pytest.mark.parametrize("core, most", [("m4", 2.3), ("m55", 0.75)])
def test_few_instructions_for_each_product(core: str, most: float) -> None:
    """Instructions are exact: this is no timing."""
    if core not in SETUPS:
        pytest.skip(f"no toolchain for {core}")
    model = load_model(depthwise(np.random.default_rng(3), size=(48, 48), channels=8, stride=1), name="wide")
    cost = measure(model, random_codes(model, 1, seed=1), [SETUPS[core]], "ram")[core]
    macs = sum(layer.macs for layer in program_of(model, "net").weighted)
    assert cost.differing == 0 and cost.instructions < most * macs
