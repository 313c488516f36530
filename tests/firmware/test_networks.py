"""Whole networks as C: those of MLPerf Tiny, and random wirings that share memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emitted import COMPILER, differing
from mlperf_tiny import NETWORKS, converted
from side_by_side import Net

from tinyfuse.firmware.operators.pointwise import Add
from tinyfuse.firmware.program import program_of
from tinyfuse.firmware.schedule import BlockStep
from tinyfuse.integer.model import load_model
from tinyfuse.quantize.convert import Baseline, convert
from tinyfuse.quantize.recipe import read_recipe

needs_compiler = pytest.mark.skipif(not COMPILER, reason="no C compiler (gcc or cc) on PATH")
SHAPE, GRID = [1, 4, 4, 4], {"scale": 0.1, "zero": 3}


@needs_compiler
@pytest.mark.parametrize("name, ends", [*((name, "int8") for name in NETWORKS), ("keyword_spotting", "int16"),
                                        ("image_classification", "int16")])
def test_mlperf_tiny(name: str, ends: str, tmp_path: Path) -> None:
    wrong = differing(load_model(converted(name, ends)[1], name=name), "ram", tmp_path / "net")
    assert set(wrong.values()) == {0}, wrong


@needs_compiler
@pytest.mark.parametrize("name, recipe", [
    ("early", "w6a6"), ("image", "w8a9"), ("late", "image-w6a7-audio-w9a9-shared-w8a8")])
def test_activations_of_6_to_9_bits(name: str, recipe: str, lively: Callable[[str], tuple[Any, Baseline]],
                                    tmp_path: Path) -> None:
    found = load_model(convert(lively(name)[1], read_recipe(recipe)).data, name=name)
    wrong = differing(found, "ram", tmp_path / "net")
    assert set(wrong.values()) == {0}, wrong


def wired(net: Net, operators: int) -> None:
    """Operators on random earlier tensors of one shape, so that some die early and some late."""
    alive = [net.input(SHAPE, **GRID), net.input(SHAPE, **GRID)]
    for _ in range(operators):
        a, b = (net.pick(*alive[-4:]) for _ in "ab")
        y = net.tensor(SHAPE, **GRID)
        name = str(net.rng.choice(["ADD", "ADD", "RESHAPE", "QUANTIZE", "MAX_POOL_2D", "CONV_2D"]))
        if name == "ADD":
            net.step(name, [a, b], y, "AddOptions")
        elif name == "MAX_POOL_2D":
            net.step(name, [a], y, "Pool2DOptions", {"padding": 0, "strideH": 1, "strideW": 1, "filterHeight": 2,
                                                     "filterWidth": 2})
        elif name == "CONV_2D":
            content = net.constant(net.rng.integers(-31, 32, (4, 3, 3, 4)), np.int8, [0.01] * 4, [0] * 4)
            dilation = net.pick(1, 1, 2)
            net.step(name, [a, content], y, "Conv2DOptions", {"padding": 0, "strideH": 1, "strideW": 1,
                                                              "dilationHFactor": dilation, "dilationWFactor": dilation})
        else:
            net.step(name, [a], y, {"RESHAPE": "ReshapeOptions", "QUANTIZE": "QuantizeOptions"}[name])
        alive.append(y)


@needs_compiler
@pytest.mark.parametrize("seed", range(6))
def test_memory_is_shared_only_by_what_is_not_needed_together(seed: int, tmp_path: Path) -> None:
    net = Net(np.random.default_rng(seed))
    wired(net, 24)
    wrong = differing(load_model(net.data(), name="wired"), ("ram", "speed")[seed % 2], tmp_path / "net")
    assert set(wrong.values()) == {0}, wrong


def test_an_addition_takes_the_place_of_an_operand_that_nothing_else_needs() -> None:
    """X + constant over x; then z = y + x would need both, so that nothing is in place."""
    for again, tensors in ((False, 1), (True, 2)):
        net = Net(np.random.default_rng(0))
        x, y = net.input([1, 64], **GRID), net.tensor([1, 64], **GRID)
        net.step("ADD", [x, net.constant(np.arange(64)[None], np.int8, [0.1], [0])], y, "AddOptions")
        if again:
            net.step("ADD", [x, y], net.tensor([1, 64], **GRID), "AddOptions")
        program = program_of(load_model(net.data(), name="sum"), "net")
        assert program.plan.arena_bytes == 64 * tensors
        assert all(isinstance(step, Add) for step in program.plan.steps)


def test_a_block_does_not_overwrite_what_was_reshaped() -> None:
    """The block's input is the memory of x, which is read once more afterwards."""
    net = Net(np.random.default_rng(0))
    x = net.input(SHAPE, **GRID)
    last = block = net.step("RESHAPE", [x], net.tensor(SHAPE, **GRID), "ReshapeOptions")
    for _ in "ab":
        content = net.constant(net.rng.integers(-31, 32, (4, 3, 3, 4)), np.int8, [0.01] * 4, [0] * 4)
        last = net.step("CONV_2D", [last, content], net.tensor(SHAPE, **GRID), "Conv2DOptions",
                        {"padding": 0, "strideH": 1, "strideW": 1})
    last = net.step("ADD", [last, block], net.tensor(SHAPE, **GRID), "AddOptions")
    net.step("ADD", [last, x], net.tensor(SHAPE, **GRID), "AddOptions")
    program = program_of(load_model(net.data(), name="reshaped"), "net")
    assert not any(isinstance(step, BlockStep) for step in program.plan.steps)
