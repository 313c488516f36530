"""Batches of parts of one picture: exact as dilated convolutions, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from emitted import COMPILER, differing
from graphs import Case
from side_by_side import Net
from verdicts import judge

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.model import load_model


def batched(*, batch: int = 4, stride: int = 1, inner: str = "", crop: int = 2,
            turned: bool = False) -> bytes:
    """A 6x4 picture as 2x2 parts, a 2x2 convolution, RELU if asked for, and back; ``turned``: damaged."""
    net = Net(np.random.default_rng(0))
    sizes, pads = net.constant(np.array([2, 2]), np.int32), net.constant(np.array([[1, 1], [2, 0]]), np.int32)
    x = net.step("SPACE_TO_BATCH_ND", [net.input([1, 6, 4, 2], zero=-9), sizes, pads],
                 net.tensor([batch, 4, 3, 2], zero=-9))
    weights = net.constant(net.rng.integers(-127, 128, (3, 2, 2, 2)), np.int8, [0.01], [0])
    x = net.step("CONV_2D", [x, weights], net.tensor([batch, 3, 2, 3], scale=0.3), "Conv2DOptions",
                 {"padding": 1, "strideH": stride, "strideW": stride, "dilationHFactor": 1, "dilationWFactor": 1})
    if inner:
        x = net.step(inner, [x], net.tensor([batch, 3, 2, 3], scale=0.3), "Pool2DOptions" if "POOL" in inner else "",
                     {"strideH": 1, "strideW": 1, "filterHeight": 1, "filterWidth": 1} if "POOL" in inner else {})
    crops = net.constant(np.array([[1, 0], [0, crop]]), np.int32)
    net.step("BATCH_TO_SPACE_ND", [crops, sizes, x] if turned else [x, sizes, crops],
             net.tensor([1, 5, 4 - crop, 3], scale=0.3))
    return net.data()


@pytest.mark.parametrize("inner", ["", "RELU"])
def test_it_is_exact(inner: str) -> None:
    data = batched(inner=inner)
    codes = [np.random.default_rng(1).integers(-128, 128, (4, 6, 4, 2)).astype(np.int8)]
    case = Case(0, data, codes, ())
    found = judge(case.data, case.codes)
    assert found.values > 900 and not found.wrong, found
    kernels = [operator.name for operator in load_model(data).graph.operators]
    assert kernels[:2] == ["PAD", "CONV_2D"] and load_model(data).graph.operators[1].options["dilation_h_factor"] == 2


def partwise(seed: int) -> tuple[bytes, list[int]]:
    """A picture as parts, a convolution with strides or padding, a pooling layer, RELU and a gain, and back."""
    net = Net(np.random.default_rng(seed))
    rows, columns, height, width = (net.pick(1, 2, 3), net.pick(1, 2), net.pick(4, 5), net.pick(4, 6))
    whole, parts = [rows * height, columns * width], rows * columns
    pads = [[int(net.rng.integers(0, 2)), 0], [0, int(net.rng.integers(0, 2))]]
    shape = [1, *(size - sum(pair) for size, pair in zip(whole, pads, strict=True)), 2]
    sizes = net.constant(np.array([rows, columns]), np.int32)
    x = net.step("SPACE_TO_BATCH_ND", [net.input(shape, zero=-9), sizes, net.constant(np.array(pads), np.int32)],
                 net.tensor([parts, height, width, 2], zero=-9))
    stride, same = net.pick(1, 2), net.pick(0, 1)
    height, width = (-(-(size if same else size - 1) // stride) for size in (height, width))
    weights = net.constant(net.rng.integers(-127, 128, (3, 2, 2, 2)), np.int8, [0.01], [0])
    x = net.step("CONV_2D", [x, weights], net.tensor([parts, height, width, 3], scale=0.3), "Conv2DOptions",
                 {"padding": 1 - same, "strideH": stride, "strideW": stride, "dilationHFactor": 1,
                  "dilationWFactor": 1})
    name = ("MAX_POOL_2D", "AVERAGE_POOL_2D")[net.pick(0, 1)]
    x = net.step(name, [x], net.tensor([parts, height, width, 3], scale=0.3), "Pool2DOptions",
                 {"strideH": 1, "strideW": 1, "filterHeight": 2, "filterWidth": 2, "padding": 0})
    x = net.step("RELU", [x], net.tensor([parts, height, width, 3], scale=0.3))
    gain = net.constant(net.rng.integers(-127, 128, (1, 1, 1, 3)), np.int8, [0.05], [0])
    x = net.step("MUL", [x, gain], net.tensor([parts, height, width, 3], scale=0.4), "MulOptions")
    crops = net.constant(np.array([[0, 1], [1, 0]]), np.int32)
    net.step("BATCH_TO_SPACE_ND", [x, sizes, crops],
             net.tensor([1, rows * height - 1, columns * width - 1, 3], scale=0.4))
    return net.data(), shape


@pytest.mark.parametrize("seed", range(12))
def test_pooling_and_strides_are_computed_part_by_part(seed: int, tmp_path: Path) -> None:
    """Each tensor of the rewritten graph, and the output of the file itself, as TFLite Micro computes them."""
    data, shape = partwise(seed)
    codes = np.random.default_rng(seed).integers(-128, 128, (3, *shape[1:])).astype(np.int8)
    found = judge(data, [codes])
    assert found.values and not found.wrong, found
    if seed == 0 and COMPILER:
        assert set(differing(load_model(data, name="net"), "speed", tmp_path / "net").values()) == {0}


@pytest.mark.parametrize(("data", "words"), [
    (batched(batch=1), "TFLite Micro computes garbage: convert the model with inputs of batch size 1"),
    (batched(inner="SOFTMAX"), "SOFTMAX follows it; between it and BATCH_TO_SPACE_ND only"),
    (batched(inner="MAX_POOL_2D", turned=True), "or one behind it is damaged"),
    (batched(crop=-1), "convert the model again")])
def test_what_is_no_dilation_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(ModelError) as caught:
        load_model(data, name="net")
    assert "operator 0 (SPACE_TO_BATCH_ND)" in str(caught.value) and words in str(caught.value)
