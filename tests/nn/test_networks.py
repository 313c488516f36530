"""The five networks are ResNet8 of MLPerf Tiny, fused at the depth their name says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import UsageError
from tinyfuse.nn.zoo.fusion import MODELS, build, modalities_of
from tinyfuse.nn.zoo.resnet8 import head, pooled, trunk

IC01_PARAMETERS = 78_666  # mlcommons/tiny, image classification with 16/32/64 filters


def random_inputs(n: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {name: generator.random((n, 28, 28, 1), np.float32) for name in ("image", "audio")}


def logits(model: Any, inputs: dict[str, np.ndarray]) -> np.ndarray:
    return np.asarray(model(inputs, training=False))


def test_on_cifar_shape_it_is_the_reference_network() -> None:
    tensorflow()
    import tf_keras

    image = tf_keras.Input((32, 32, 3))
    network = tf_keras.Model(image, head(pooled(trunk(image, branch="image"), branch="image"), branch="image"))
    assert network.count_params() == IC01_PARAMETERS
    shortcuts = [layer for layer in network.layers if "shortcut" in layer.name]
    assert [layer.kernel_size for layer in shortcuts] == [(1, 1), (1, 1)]
    assert all(type(layer.outbound_nodes[0].layer).__name__ == "Add" for layer in shortcuts)


@pytest.mark.parametrize("name", MODELS)
def test_takes_named_inputs_and_returns_logits(name: str) -> None:
    model = build(name, seed=3)
    assert set(model.input_names) == {"image", "audio"}
    found = logits(model, random_inputs())
    assert found.shape == (4, 10)
    assert not np.allclose(found.sum(axis=1), 1.0)
    assert np.array_equal(found, logits(build(name, seed=3), random_inputs()))
    assert not np.array_equal(found, logits(build(name, seed=4), random_inputs()))


@pytest.mark.parametrize("name", MODELS)
def test_looks_at_its_modalities_and_at_no_other(name: str) -> None:
    model, inputs = build(name), random_inputs()
    before = logits(model, inputs)
    for modality in ("image", "audio"):
        changed = logits(model, inputs | {modality: random_inputs(seed=1)[modality]})
        assert np.array_equal(before, changed) == (modality not in modalities_of(name))


@pytest.mark.parametrize(("name", "private", "common"), [
    ("early", 0, 10), ("intermediate", 12, 4), ("late", 18, 1)])
def test_fusion_depth(name: str, private: int, common: int) -> None:
    weighted = [layer.name for layer in build(name).layers if type(layer).__name__ in ("Conv2D", "Dense")]
    assert sum(not layer.startswith("shared_") for layer in weighted) == private
    assert sum(layer.startswith("shared_") for layer in weighted) == common


def test_unknown_network_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'early'"):
        build("erly")
