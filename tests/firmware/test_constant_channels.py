"""Channels that are constant, or reach no output, are removed; every code that is left is what it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dead_networks import STRIDES, convolved, network
from emitted import COMPILER, differing
from side_by_side import Net

from tinyfuse.firmware import deploy
from tinyfuse.firmware.channels.ranges import ranges
from tinyfuse.firmware.channels.removal import without_constants
from tinyfuse.firmware.metadata import read_metadata
from tinyfuse.firmware.package import open_package
from tinyfuse.firmware.program import program_of
from tinyfuse.integer.model import load_model, random_codes
from tinyfuse.integer.twin import Twin


@pytest.mark.parametrize("seed, dtype", [(0, np.int8), (1, np.int8), (2, np.int8), (3, np.int16)])
def test_codes_that_are_left_are_the_same(seed: int, dtype: type) -> None:
    model = load_model(network(seed, dtype), name="net")
    whole = Twin(model.graph)
    less, left = without_constants(whole)
    codes = random_codes(model, 8, seed=seed)
    expected, found = whole.tensors(codes), less.tensors(codes)
    assert sum(len(one) for one in left.values()) < 0.8 * sum(model.graph.tensors[index].shape[-1] for index in left)
    for index, values in found.items():
        kept = left.get(index, np.arange(expected[index].shape[-1]))
        assert len(kept) % 4 == 0 or index in model.graph.outputs
        assert np.array_equal(expected[index][..., kept], values), model.graph.tensors[index].name


@pytest.mark.parametrize("seed", range(3))
def test_no_code_lies_outside_its_range(seed: int) -> None:
    model = load_model(network(seed), name="net")
    twin = Twin(model.graph)
    found = ranges(twin)
    tight = 0
    for index, values in twin.tensors(random_codes(model, 16, seed=seed)).items():
        low, high = found[index]
        flat = values.reshape(-1, values.shape[-1])
        assert np.all(low <= flat.min(axis=0)) and np.all(flat.max(axis=0) <= high)
        tight += int(np.sum(low == high))
    assert tight > 40


@pytest.mark.skipif(not COMPILER, reason="no C compiler (gcc or cc) on PATH")
@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_the_c_code_is_exact(dtype: type, tmp_path: Path) -> None:
    model = load_model(network(1, dtype), name="net")
    wrong = differing(model, "ram", tmp_path / "net")
    assert set(wrong.values()) == {0}, wrong


def test_constant_channels_stay_on_request() -> None:
    model = load_model(network(0), name="net")
    less, whole = (program_of(model, "net", keep_constant=kept) for kept in (False, True))
    macs = [sum(layer.macs for layer in program.weighted) for program in (less, whole)]
    assert macs[0] < 0.7 * macs[1] and not whole.left and less.left
    assert less.plan.arena_bytes < whole.plan.arena_bytes


def test_removal_never_takes_more_memory() -> None:
    """A convolution with more outputs than are left of its inputs cannot replace these."""
    net = Net(np.random.default_rng(0))
    a = convolved(net, net.input([1, 6, 6, 32], scale=0.05), 32, 1, np.int8)
    net.step("CONV_2D", [a, net.constant(net.rng.integers(-9, 10, (32, 1, 1, 32)), np.int8, [0.01] * 32, [0] * 32)],
             net.tensor([1, 6, 6, 32], scale=0.3), "Conv2DOptions", STRIDES)
    model = load_model(net.data(), name="net")
    arenas = [program_of(model, "net", optimize, keep_constant=kept).plan.arena_bytes
              for optimize, kept in (("ram", False), ("ram", True), ("size", False))]
    assert arenas[0] <= arenas[1] and program_of(model, "net", "size").left


def test_a_package_remembers_whether_they_stay(tmp_path: Path) -> None:
    (tmp_path / "net.tflite").write_bytes(network(0))
    for kept in (False, True):
        folder = deploy.export(tmp_path / "net.tflite", tmp_path / str(kept), vectors=2, keep_constant=kept)
        assert read_metadata(folder / "metadata.json").keep_constant_channels is kept
        assert bool(open_package(folder).program.left) is not kept
        assert any("constant channels" in line for line in deploy.removed_lines(folder)) is not kept


def test_where_padding_meets_a_constant_that_is_not_zero_it_stays() -> None:
    """Beyond the border a code counts as zero, so that what such a channel adds is not the same everywhere."""
    net = Net(np.random.default_rng(0))
    x = net.input([1, 6, 6, 8], scale=0.05)
    a = convolved(net, x, 8, 1, np.int8)
    net.step("CONV_2D", [a, net.constant(net.rng.integers(-9, 10, (4, 3, 3, 8)), np.int8, [0.01] * 4, [0] * 4)],
             net.tensor([1, 6, 6, 4], scale=0.3), "Conv2DOptions", STRIDES)
    _, left = without_constants(Twin(load_model(net.data(), name="net").graph))
    assert 1 in left[a] and not {0, 2, 4, 6} <= {*left[a]}


def test_sums_that_can_leave_32_bits_are_named(tmp_path: Path) -> None:
    net = Net(np.random.default_rng(0))
    x = net.input([1, 2, 2, 4], scale=0.05)
    weights = net.constant(np.full((4, 1, 1, 4), 100), np.int8, [0.01] * 4, [0] * 4)
    bias = np.array([0, 0, (1 << 31) - 1, 0])
    net.step("CONV_2D", [x, weights, net.constant(bias, np.int32, [0.0005] * 4, [0] * 4)],
             net.tensor([1, 2, 2, 4], scale=1e5), "Conv2DOptions", STRIDES)
    (tmp_path / "net.tflite").write_bytes(net.data())
    folder = deploy.export(tmp_path / "net.tflite", tmp_path / "out", vectors=2)
    (line,) = deploy.removed_lines(folder)
    assert f"channel 2: sums up to {(1 << 31) - 1 + 400 * 128} " in line and "\n" not in line




def test_a_tensor_of_the_batch_alone_has_no_channels() -> None:
    """One number for each sample: its only axis counts samples."""
    net = Net(np.random.default_rng(0))
    flat = net.step("RESHAPE", [net.input([1, 1]), net.constant(np.array([1]), np.int32)], net.tensor([1]))
    net.step("QUANTIZE", [flat], net.tensor([1], scale=0.2), "QuantizeOptions")
    twin = Twin(load_model(net.data(), name="one").graph)
    assert all(low.tolist() == [-128] and high.tolist() == [127] for low, high in ranges(twin).values())
