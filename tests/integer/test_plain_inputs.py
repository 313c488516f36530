"""Inputs of numbers and truth values, which stand for themselves: exact in the twin and in the firmware."""

from __future__ import annotations

from pathlib import Path

import pytest
from emitted import COMPILER, differing
from rare_cases import plain_inputs
from verdicts import judge

from tinyfuse.integer.model import load_model, random_codes


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
