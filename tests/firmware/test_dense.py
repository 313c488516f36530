"""Fully connected layers of one pixel read 8-bit weights where they are stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from emitted import COMPILER, differing
from one_operator import build
from side_by_side import Net

from tinyfuse.firmware.cores import CORES
from tinyfuse.firmware.measure import measure, setups
from tinyfuse.firmware.operators.convolution import Conv
from tinyfuse.firmware.program import program_of
from tinyfuse.integer.model import IntegerModel, load_model, random_codes

SETUPS = setups([CORES["m4"], CORES["m55"]])


@pytest.fixture(scope="module")
def model() -> IntegerModel:
    """Depths around whole chunks, odd numbers of outputs, clamps and scales of all kinds; one layer of 6 bits."""
    net = Net(np.random.default_rng(0))
    for number, (depth, outputs) in enumerate([(5, 1), (16, 2), (17, 7), (64, 5), (68, 3), (130, 8), (16, 16)]):
        x = net.input([1, depth], np.int8, scale=0.1, zero=int(net.rng.integers(-128, 128)))
        most = 31 if number == 6 else 127
        content = net.rng.integers(-most, most + 1, (outputs, depth))
        content[0, 0] = most
        scale = 0.01 * 4.0 ** (number % 4)
        w = net.constant(content, np.int8, [scale], [0])
        bias = net.constant(net.rng.integers(-70_000, 70_000, outputs), np.int32, [0.1 * scale], [0])
        y = net.tensor([1, outputs], np.int8, scale=float(net.rng.uniform(0.2, 2)), zero=(-128, 3)[number % 2])
        net.step("FULLY_CONNECTED", [x, w, bias], y, "FullyConnectedOptions",
                 {"fusedActivationFunction": (0, 1, 3)[number % 3], "keepNumDims": True})
    data = build(net.specs, net.steps, net.inputs, [step.outputs[0] for step in net.steps])
    return load_model(data, name="dense", output=f"t{net.steps[0].outputs[0]}")


def test_whole_bytes_need_no_memory_for_decoding(model: IntegerModel) -> None:
    program = program_of(model, "net")
    dense = [layer.dense for layer in program.layers if isinstance(layer, Conv)]
    assert dense == [True] * 6 + [False]
    assert [name for name in program.plan.buffers if "scratch" in name] == ["scratch6"]


@pytest.mark.parametrize("core", SETUPS)
def test_codes_on_cores(model: IntegerModel, core: str) -> None:
    assert measure(model, random_codes(model, 3, seed=1), [SETUPS[core]], "ram")[core].differing == 0


@pytest.mark.skipif(not COMPILER, reason="no C compiler (gcc or cc) on PATH")
def test_codes_on_this_machine(model: IntegerModel, tmp_path: Path) -> None:
    wrong = differing(model, "speed", tmp_path / "net")
    assert set(wrong.values()) == {0}, wrong
