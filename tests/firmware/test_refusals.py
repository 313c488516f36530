"""What the firmware does not compute is refused in one line when the program is planned."""

from __future__ import annotations

import numpy as np
import pytest
from side_by_side import Net

from tinyfuse.core.errors import ModelError
from tinyfuse.firmware.operators import BUILDERS
from tinyfuse.firmware.program import program_of
from tinyfuse.integer.model import load_model


def large_window(net: Net) -> None:
    weights = net.constant(np.ones((1, 1, 70_000, 1)), np.int8, [0.01], [0], 3)
    net.step("DEPTHWISE_CONV_2D", [net.input([1, 1, 70_000, 1]), weights], net.tensor([1, 1, 1, 1]),
             "DepthwiseConv2DOptions", {"padding": 1, "strideH": 1, "strideW": 1, "depthMultiplier": 1})


def test_a_window_that_is_too_large_is_refused() -> None:
    net = Net(np.random.default_rng(0))
    large_window(net)
    with pytest.raises(ModelError, match="kernel, stride, dilation or padding of 70000 are beyond the firmware's limit "
                                         "of 65535") as caught:
        program_of(load_model(net.data(), name="refused"), "net")
    assert "\n" not in str(caught.value)


def test_an_operator_without_kernel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(BUILDERS, "RELU")
    net = Net(np.random.default_rng(0))
    net.step("RELU", [net.input([1, 4])], net.tensor([1, 4]))
    with pytest.raises(ModelError, match=r"operator 0 .RELU. has no firmware kernel; supported: ABS, ADD, "):
        program_of(load_model(net.data(), name="refused"), "net")
