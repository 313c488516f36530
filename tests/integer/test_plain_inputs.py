"""Inputs of numbers and truth values, which stand for themselves: exact in the twin and in the firmware."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from emitted import COMPILER, differing
from rare_cases import truth
from side_by_side import Net
from verdicts import judge

from tinyfuse.integer.model import load_model, random_codes


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


def test_the_twin_is_exact() -> None:
    model = load_model(plain_inputs(), name="plain")
    assert [(port.name, port.dtype, port.grid.low, port.grid.high, port.scale) for port in model.inputs] == [
        ("x1", "int32", -2**31, 2**31 - 1, 1.0), ("x2", "int8", -128, 127, pytest.approx(0.1)),
        ("switch", "bool", 0, 1, 1.0)]
    codes = random_codes(model, 9, seed=0)
    found = judge(model.source, [codes[port.name] for port in model.inputs])
    assert found.values and not found.wrong, found


@pytest.mark.skipif(not COMPILER, reason="no C compiler (gcc or cc) on PATH")
def test_the_firmware_is_exact(tmp_path: Path) -> None:
    wrong = differing(load_model(plain_inputs(), name="plain"), "speed", tmp_path / "net", samples=8)
    assert set(wrong.values()) == {0}, wrong
