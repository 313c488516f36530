"""Operators that become others when a file is read: what contradicts itself is refused, as by TFLite Micro."""

from __future__ import annotations

import numpy as np
import pytest
from one_operator import tflm
from side_by_side import Net

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.model import load_model


def squeeze(shape: list[int], axes: list[int], found: list[int]) -> bytes:
    net = Net(np.random.default_rng(0))
    net.step("SQUEEZE", [net.input(shape)], net.tensor(found), "SqueezeOptions",
             {"squeezeDims": np.array(axes, np.int32)})
    return net.data()


@pytest.mark.parametrize(("shape", "axes", "found"), [
    ([1, 1, 4, 1], [1], [1, 4, 1]), ([1, 1, 4, 1], [-1], [1, 1, 4]), ([1, 1, 4, 1], [1, 3], [1, 4])])
def test_squeezed_axes(shape: list[int], axes: list[int], found: list[int]) -> None:
    data = squeeze(shape, axes, found)
    assert load_model(data).output.shape == tflm(data, [np.ones(shape, np.int8)])[0][1].shape == tuple(found)


@pytest.mark.parametrize(("shape", "axes", "found"), [
    ([1, 1, 4, 1], [2], [1, 4, 1]), ([1, 1, 4, 1], [3], [1, 4, 1, 1]), ([1, 1, 4, 1], [], [1, 4]),
    ([1, 2, 4], [], [1, 2, 4])])
def test_axes_that_contradict_the_output_are_refused(shape: list[int], axes: list[int], found: list[int]) -> None:
    data = squeeze(shape, axes, found)
    with pytest.raises(ModelError, match=r"operator 0 \(SQUEEZE\): without the axes .* does not give"):
        load_model(data)
    with pytest.raises(RuntimeError):
        tflm(data, [np.ones(shape, np.int8)])
