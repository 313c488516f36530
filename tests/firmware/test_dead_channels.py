"""Channels with one code for every input keep a convolution on the quick kernels; the C code stays the twin's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from emitted import COMPILER, differing
from one_operator import Spec, Step, build

from tinyfuse.firmware.operators.convolution import Conv
from tinyfuse.firmware.operators.plain_conv import ChannelConv
from tinyfuse.firmware.program import program_of
from tinyfuse.integer.model import load_model


def model_of(operator: str, bias: list[int], live: int = 9) -> bytes:
    """Four channels whose second one has a huge bias, and weights only if ``live``."""
    rng = np.random.default_rng(0)
    deep = operator == "CONV_2D"
    weights = rng.integers(-live, live + 1, (4, 3, 3, 4) if deep else (1, 3, 3, 4))
    scale = [0.01, 1e-9, 0.02, 0.03]
    options = {"padding": 0, "strideH": 1, "strideW": 1} | ({} if deep else {"depthMultiplier": 1})
    specs = [Spec((1, 5, 5, 4), scale=[0.05], zero_point=[-7], name="x"),
             Spec(weights.shape, scale=scale, zero_point=[0] * 4, axis=0 if deep else 3, data=weights),
             Spec((4,), np.int32, [0.05 * one for one in scale], [0] * 4, data=np.array(bias)),
             Spec((1, 5, 5, 4), scale=[0.04], zero_point=[11], name="y")]
    name = "Conv2DOptions" if deep else "DepthwiseConv2DOptions"
    return build(specs, [Step(operator, [0, 1, 2], [3], name, options)], [0], [3])


@pytest.mark.skipif(not COMPILER, reason="no C compiler (gcc or cc) on PATH")
@pytest.mark.parametrize("operator, kind", [("CONV_2D", Conv), ("DEPTHWISE_CONV_2D", ChannelConv)])
@pytest.mark.parametrize("huge", [1 << 30, -(1 << 30), (1 << 31) - 1 - (1 << 18), -(1 << 31) + (1 << 18)])
def test_a_huge_bias_of_a_dead_channel(operator: str, kind: type, huge: int, tmp_path: Path) -> None:
    model = load_model(model_of(operator, [300, huge, -200, 10]))
    (layer,) = program_of(model, "net").layers
    assert isinstance(layer, kind) and abs(int(layer.bias[1])) < 1 << 20  # type: ignore[attr-defined]
    assert not layer.weights[1].any() and layer.weights[0].any()  # type: ignore[attr-defined]
    wrong = differing(model, "ram", tmp_path / "net", samples=6)
    assert set(wrong.values()) == {0}, wrong


def test_channels_that_live_are_left_alone() -> None:
    model = load_model(model_of("CONV_2D", [300, 1 << 20, -200, 10]))
    (layer,) = program_of(model, "net").layers
    assert isinstance(layer, Conv) and layer.bias.tolist() == [300, 1 << 20, -200, 10] and layer.weights[1].any()
