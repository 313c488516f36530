"""Layer normalisation whose rows became channels: reductions over the batch of one sample leave it alone."""

from __future__ import annotations

import numpy as np
import pytest
from side_by_side import Net
from verdicts import judge

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.model import load_model
from tinyfuse.integer.twin import Twin


def normalised(*, behind: str = "", rows: int = 3) -> bytes:
    """The row means and deviations of a [rows, 4] input as a converter writes them, or an operator behind a mean."""
    net = Net(np.random.default_rng(0))
    axes, shape = net.constant(np.array([0, 1, 2]), np.int32), [1, 4, 1, rows]
    x = net.input(shape, scale=0.02, zero=5)
    mean = net.step("MEAN", [x, axes], net.tensor([rows], scale=0.01, zero=3), "ReducerOptions", {"keepDims": False})
    if behind:
        net.step(behind, [mean], net.tensor([rows]), "SoftmaxOptions", {"beta": 1.0})
        return net.data()
    square = net.step("SQUARED_DIFFERENCE", [x, mean], net.tensor(shape, scale=0.01, zero=-128),
                      "SquaredDifferenceOptions")
    variance = net.step("MEAN", [square, axes], net.tensor([rows], scale=0.005, zero=-128), "ReducerOptions",
                        {"keepDims": False})
    least = net.constant(np.array(-127), np.int8, [0.001], [-128])
    variance = net.step("ADD", [variance, least], net.tensor([rows], scale=0.005, zero=-128), "AddOptions")
    root = net.step("RSQRT", [variance], net.tensor([rows], scale=0.05, zero=-128))
    scaled = net.step("MUL", [x, root], net.tensor(shape, scale=0.04), "MulOptions")
    shift = net.step("MUL", [mean, root], net.tensor([rows], scale=0.04), "MulOptions")
    shift = net.step("SUB", [net.constant(np.zeros(rows), np.int8, [0.01], [0]), shift], net.tensor([rows], scale=0.04),
                     "SubOptions")
    net.step("ADD", [scaled, shift], net.tensor(shape, scale=0.04), "AddOptions")
    return net.data()


@pytest.mark.parametrize("rows", [1, 3])
def test_it_is_exact_and_has_a_gradient(rows: int) -> None:
    data = normalised(rows=rows)
    codes = [np.random.default_rng(1).integers(-128, 128, (5, 4, 1, rows)).astype(np.int8)]
    found = judge(data, codes)
    assert found.values and not found.wrong, found
    twin = Twin(load_model(data).graph)
    _, slopes = twin.gradient({"x1": codes[0]}, lambda out, part: np.ones(out.shape, np.float32), ["x1"])
    assert np.abs(slopes["x1"]).max() > 0


def test_who_counts_its_axes_is_refused() -> None:
    with pytest.raises(ModelError, match=r"operator 1 \(SOFTMAX\) counts the axes of what a reduction .* keep_dims"):
        load_model(normalised(behind="SOFTMAX"))
