"""Batches of parts of one picture: exact as dilated convolutions, or refused."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import Case
from side_by_side import Net
from verdicts import judge

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.model import load_model


def batched(*, batch: int = 4, stride: int = 1, inner: str = "", crop: int = 2) -> bytes:
    """A 6x4 picture as 2x2 parts, a 2x2 convolution, RELU if asked for, and back."""
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
    net.step("BATCH_TO_SPACE_ND", [x, sizes, crops], net.tensor([1, 5, 4 - crop, 3], scale=0.3))
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


@pytest.mark.parametrize(("data", "words"), [
    (batched(batch=1), "TFLite Micro computes garbage: convert the model with inputs of batch size 1"),
    (batched(stride=2), "a CONV_2D with strides or padding follows it"),
    (batched(inner="MAX_POOL_2D"), "MAX_POOL_2D follows it; between it and BATCH_TO_SPACE_ND only"),
    (batched(crop=-1), "convert the model again")])
def test_what_is_no_dilation_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(ModelError) as caught:
        load_model(data, name="net")
    assert "operator 0 (SPACE_TO_BATCH_ND)" in str(caught.value) and words in str(caught.value)
