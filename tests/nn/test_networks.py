"""The five networks are ResNet8 of MLPerf Tiny, fused at the depth their name says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import UsageError
from tinyfuse.data import Input
from tinyfuse.data.digits.load import INPUTS
from tinyfuse.nn import zoo
from tinyfuse.nn.origin import branch, origins, seen_inputs
from tinyfuse.nn.zoo.resnet8 import head, pooled, trunk

IC01_PARAMETERS = 78_666  # mlcommons/tiny, image classification with 16/32/64 filters


def random_inputs(n: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {name: generator.random((n, 28, 28, 1), np.float32) for name in ("image", "audio")}


def built(name: str, seed: int = 0) -> Any:
    return zoo.build(name, INPUTS, 10, seed=seed)


def logits(model: Any, inputs: dict[str, np.ndarray]) -> np.ndarray:
    return np.asarray(model(inputs, training=False))


def test_on_cifar_shape_it_is_the_reference_network() -> None:
    tensorflow()
    import tf_keras

    image = tf_keras.Input((32, 32, 3))
    network = tf_keras.Model(image, head(pooled(trunk(image, branch="image"), branch="image"), 10, branch="image"))
    assert network.count_params() == IC01_PARAMETERS
    shortcuts = [layer for layer in network.layers if "shortcut" in layer.name]
    assert [layer.kernel_size for layer in shortcuts] == [(1, 1), (1, 1)]
    assert all(type(layer.outbound_nodes[0].layer).__name__ == "Add" for layer in shortcuts)


@pytest.mark.parametrize("name", [*zoo.DIGIT_NETWORKS, "early-space"])
def test_takes_named_inputs_and_returns_logits(name: str) -> None:
    model = built(name, seed=3)
    assert set(model.input_names) == {"image", "audio"}
    found = logits(model, random_inputs())
    assert found.shape == (4, 10)
    assert not np.allclose(found.sum(axis=1), 1.0)
    assert np.array_equal(found, logits(built(name, seed=3), random_inputs()))
    assert not np.array_equal(found, logits(built(name, seed=4), random_inputs()))


@pytest.mark.parametrize("name", zoo.DIGIT_NETWORKS)
def test_looks_at_its_modalities_and_at_no_other(name: str) -> None:
    model, inputs = built(name), random_inputs()
    before = logits(model, inputs)
    assert seen_inputs(model) == ((name,) if name in ("image", "audio") else ("image", "audio"))
    for modality in ("image", "audio"):
        changed = logits(model, inputs | {modality: random_inputs(seed=1)[modality]})
        assert np.array_equal(before, changed) == (modality not in seen_inputs(model))


@pytest.mark.parametrize(("name", "private", "common"), [
    ("early", 0, 10), ("intermediate", 12, 4), ("late", 18, 1)])
def test_fusion_depth(name: str, private: int, common: int) -> None:
    model = built(name)
    weighted = [layer.name for layer in model.layers if type(layer).__name__ in ("Conv2D", "Dense")]
    reached = origins(model)
    assert sum(len(reached[layer]) == 1 for layer in weighted) == private
    assert sum(len(reached[layer]) == 2 for layer in weighted) == common
    assert all(layer.startswith(f"{branch(reached[layer])}_") for layer in weighted)


def test_fusion_takes_any_number_of_inputs_and_classes() -> None:
    sensors = tuple(Input(name, (20, 12, channels)) for name, channels in (("camera", 3), ("mic", 1), ("radar", 2)))
    inputs = {one.name: np.zeros((2, *one.shape), np.float32) for one in sensors}
    for name in ("early", "intermediate", "late"):
        model = zoo.build(name, sensors, 5)
        assert seen_inputs(model) == ("camera", "mic", "radar") and logits(model, inputs).shape == (2, 5)
    alone = zoo.build("late", sensors[:1], 7)
    assert logits(alone, {"camera": inputs["camera"]}).shape == (2, 7)


@pytest.mark.parametrize(("name", "inputs", "words"), [
    ("image", (Input("mic", (8, 8, 1)),), "the data has mic"),
    ("late", (Input("motion", (32, 6)),), "cannot take the inputs motion"),
    ("early", (Input("a", (8, 8, 1)), Input("b", (9, 8, 1))), "cannot take the inputs a "),
    ("late", (Input("a", (1 << 20, 1 << 20, 1)),), "at most 4096 classes")])
def test_inputs_that_do_not_fit_are_one_line(name: str, inputs: tuple[Input, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        zoo.build(name, inputs, 10)
    assert "\n" not in str(caught.value)


def test_unknown_network_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'early'"):
        built("erly")
