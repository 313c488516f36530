"""Float files with channels first, as PyTorch's networks have them: the same numbers, no axes reordered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from one_operator import Spec, Step, build

from tinyfuse.core.errors import ModelError
from tinyfuse.data import Dataset, Input, Samples
from tinyfuse.nn.batch_norm_folding import lone_norms
from tinyfuse.nn.network import Network, open_network

RNG = np.random.default_rng(5)
SOUND, PICTURE = (6, 4), (4, 6, 3)


def constant(*shape: int, name: str = "") -> Spec:
    return Spec(shape, np.float32, (), (), data=RNG.normal(0, 0.5, shape).astype(np.float32), name=name)


def integers(*values: int) -> Spec:
    return Spec([len(values)], np.int32, (), (), data=np.array(values, np.int32))


def floats(*shape: int, name: str = "") -> Spec:
    return Spec(shape, np.float32, (), (), name=name)


def opened(data: bytes, shape: tuple[int, ...], folder: Path) -> Network:
    (folder / "net.tflite").write_bytes(data)
    values = RNG.normal(0, 1, (9, *shape)).astype(np.float32)
    part = Samples({"x": values}, np.arange(9) % 2, np.arange(9))
    return open_network(folder / "net.tflite", Dataset("own", (Input("x", shape, -4.0, 4.0),), ("a", "b"), part, part,
                                                       part, checksum="3" * 64))


def kinds(network: Network) -> list[str]:
    return [type(layer).__name__ for layer in network.model.layers]


def test_a_norm_of_a_sequence_is_folded_and_a_flattened_one_needs_no_transpose(tmp_path: Path) -> None:
    """Convolution, batch norm and pooling over [channels, length] between transposes, then a dense layer."""
    inside = "Net/torch.nn.modules.container.Sequential_hear/torch.nn.modules"
    specs = [floats(1, *SOUND, name="x"), floats(1, 1, *SOUND), integers(1, 1, *SOUND),  # 0 to 2
             constant(5, 1, 1, 4, name=f"{inside}.activation.ReLU_2;;{inside}.conv.Conv1d_0;1"), constant(5),
             floats(1, 1, 6, 5), integers(0, 3, 1, 2), floats(1, 5, 1, 6), integers(1, 5, 6), floats(1, 5, 6),  # 5 to 9
             constant(1, 5, 1), floats(1, 5, 6), constant(5, 1), floats(1, 5, 6),  # 10 to 13
             integers(1, 5, 1, 6), floats(1, 5, 1, 6), integers(0, 2, 3, 1), floats(1, 1, 6, 5), floats(1, 1, 3, 5),
             floats(1, 5, 1, 3), integers(1, 15), floats(1, 15),  # 19 to 21
             constant(2, 15, name="Net/torch.nn.modules.linear.Linear_out_layer;1"), floats(1, 2, name="y")]
    steps = [Step("RESHAPE", [0, 2], [1]),
             Step("CONV_2D", [1, 3, 4], [5], "Conv2DOptions", {"strideH": 1, "strideW": 1, "padding": 1}),
             Step("TRANSPOSE", [5, 6], [7]), Step("RESHAPE", [7, 8], [9]), Step("MUL", [9, 10], [11], "MulOptions"),
             Step("ADD", [11, 12], [13], "AddOptions", {"fusedActivationFunction": 1}),
             Step("RESHAPE", [13, 14], [15]), Step("TRANSPOSE", [15, 16], [17]),
             Step("MAX_POOL_2D", [17], [18], "Pool2DOptions", {
                 "filterHeight": 1, "filterWidth": 2, "strideH": 1, "strideW": 2, "padding": 1}),
             Step("TRANSPOSE", [18, 6], [19]), Step("RESHAPE", [19, 20], [21]),
             Step("FULLY_CONNECTED", [21, 22, -1], [23], "FullyConnectedOptions")]
    network = opened(build(specs, steps, [0], [23]), SOUND, tmp_path)

    def content(place: int) -> np.ndarray:
        return np.asarray(specs[place].data, np.float64)

    x = RNG.normal(0, 1, (9, *SOUND))
    sums = (x @ content(3)[:, 0, 0].T + content(4)).transpose(0, 2, 1)
    normed = np.maximum(sums * content(10)[0] + content(12), 0)
    pooled = normed.reshape(9, 5, 3, 2).max(axis=3)
    expected = pooled.reshape(9, 15) @ content(22).T
    assert np.abs(np.asarray(network.model({"x": x.astype(np.float32)}, training=False)) - expected).max() < 1e-5
    assert "Permute" not in kinds(network) and not lone_norms(network.model)
    weighted = [layer.name for layer in network.model.layers if type(layer).__name__ in ("Conv2D", "Dense")]
    assert weighted == ["hear.0", "out_layer"]


@pytest.mark.parametrize("keep", [False, True])
def test_maps_are_enlarged_and_pooled_whatever_their_axes(keep: bool, tmp_path: Path) -> None:
    specs = [floats(1, *PICTURE, name="x"), integers(8, 12), floats(1, 8, 12, 3), integers(0, 3, 1, 2),
             floats(1, 3, 8, 12), integers(2, 3), floats(*((1, 3, 1, 1) if keep else (1, 3))), constant(2, 3),
             floats(1, 2, name="y")]
    steps = [Step("RESIZE_NEAREST_NEIGHBOR", [0, 1], [2], "ResizeNearestNeighborOptions"),
             Step("TRANSPOSE", [2, 3], [4]),
             Step("REDUCE_MAX", [4, 5], [6], "ReducerOptions", {"keepDims": keep}),
             Step("FULLY_CONNECTED", [6, 7, -1], [8], "FullyConnectedOptions")]
    network, x = opened(build(specs, steps, [0], [8]), PICTURE, tmp_path), RNG.normal(0, 1, (9, *PICTURE))
    expected = x.max(axis=(1, 2)) @ np.asarray(specs[7].data, np.float64).T
    assert np.abs(np.asarray(network.model({"x": x.astype(np.float32)}, training=False)) - expected).max() < 1e-5
    assert "Permute" not in kinds(network) and "UpSampling2D" in kinds(network)


@pytest.mark.parametrize(("place", "value", "words"), [
    (1, integers(9, 12), r"it brings \[4, 6\] to \[9, 12\]; only whole multiples"),
    (5, integers(1, 3), r"it goes along the axes \[1, 3\] of \[3, 8, 12\]; only rows and columns together")])
def test_what_is_no_such_layer_is_refused(place: int, value: Any, words: str, tmp_path: Path) -> None:
    specs = [floats(1, *PICTURE, name="x"), integers(8, 12), floats(1, 8, 12, 3), integers(0, 3, 1, 2),
             floats(1, 3, 8, 12), integers(2, 3), floats(1, 3)]
    specs[place] = value
    steps = [Step("RESIZE_NEAREST_NEIGHBOR", [0, 1], [2], "ResizeNearestNeighborOptions"),
             Step("TRANSPOSE", [2, 3], [4]),
             Step("REDUCE_MAX", [4, 5], [6], "ReducerOptions")]
    with pytest.raises(ModelError, match=words):
        opened(build(specs, steps, [0], [6]), PICTURE, tmp_path)
