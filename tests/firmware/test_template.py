"""The template of an operator is a working operator: compiled for this machine, it gives TFLite Micro's codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from emitted import COMPILER, values_of
from side_by_side import Net

from tinyfuse.firmware.operators import BUILDERS
from tinyfuse.firmware.operators.TEMPLATE import absolute
from tinyfuse.firmware.program import program_of
from tinyfuse.integer.executors import open_executor
from tinyfuse.integer.model import load_model, random_codes
from tinyfuse.integer.operators import OPERATORS
from tinyfuse.integer.operators.TEMPLATE import Absolute


@pytest.mark.skipif(not COMPILER, reason="no C compiler (gcc or cc) on PATH")
def test_every_value_is_tflite_micros_and_the_twins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight layers of random scales and zero points."""
    monkeypatch.setitem(OPERATORS, "ABS", Absolute)
    monkeypatch.setitem(BUILDERS, "ABS", absolute)
    net = Net(np.random.default_rng(0))
    for _ in range(8):
        source = net.input([1, 256], scale=float(10 ** net.rng.uniform(-3, 1)), zero=net.zero(np.int8))
        target = net.tensor([1, 256], scale=float(10 ** net.rng.uniform(-3, 1)), zero=net.zero(np.int8))
        net.step("ABS", [source], target, "AbsOptions")
    model = load_model(net.data(), name="absolute")
    codes = random_codes(model, 4, seed=1)
    output, tensors = values_of(program_of(model, "net"), codes, tmp_path / "net")
    for name in ("tflm", "twin"):
        executor = open_executor(model, name)
        expected = executor.tensors(codes)
        assert np.array_equal(output, executor.run(codes)) and len(tensors) == 8
        assert all(np.array_equal(values, expected[index]) for index, values in tensors.items())
