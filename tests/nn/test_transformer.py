"""The multimodal transformer: tokens of any input, and what reaches a class token."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from random_weights import stir

from tinyfuse.data import Input
from tinyfuse.data.digits.load import INPUTS
from tinyfuse.nn import zoo
from tinyfuse.nn.origin import seen_inputs
from tinyfuse.nn.zoo.token_layout import TokenLayout, token_layout
from tinyfuse.nn.zoo.transformer import STREAM, WIDTH

SENSORS = Input("camera", (8, 8, 1)), Input("motion", (32, 3))


@pytest.fixture(scope="module")
def model() -> Any:
    """Two small inputs; batch norms are random, positions large enough to matter."""
    return stir(zoo.build("mmt", SENSORS, 4))


def batch(seed: int = 5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {one.name: rng.random((3, *one.shape), np.float32) for one in SENSORS}


def values(model: Any, inputs: dict[str, np.ndarray], layer: str = "shared_head") -> np.ndarray:
    import tf_keras

    return np.asarray(tf_keras.Model(model.input, model.get_layer(layer).output)(inputs, training=False))


def test_patches_may_be_permuted_with_their_positions(model: Any) -> None:
    inputs, order = batch(), np.random.default_rng(6).permutation(16)
    before = values(model, inputs)
    patches = inputs["camera"].reshape(3, 4, 2, 4, 2).transpose(0, 1, 3, 2, 4).reshape(3, 16, 2, 2)
    moved = patches[:, order].reshape(3, 4, 4, 2, 2).transpose(0, 1, 3, 2, 4).reshape(3, 8, 8, 1)
    changed = inputs | {"camera": moved}
    assert not np.allclose(values(model, changed), before, atol=1e-3)
    layer = model.get_layer("camera_positions")
    table = layer.table.numpy()
    try:
        layer.set_weights([np.concatenate([table[:, :1], table[:, 1:][:, order]], axis=1)])
        assert np.allclose(values(model, changed), before, rtol=1e-4, atol=1e-5)
    finally:
        layer.set_weights([table])


def test_a_class_token_knows_the_others_only_through_values(model: Any) -> None:
    """Without the values of the last layer no class token depends on another input."""
    inputs = batch()
    others = inputs | {"camera": batch(7)["camera"]}
    token = STREAM.format("motion")
    assert not np.allclose(values(model, inputs, token), values(model, others, token), atol=1e-3)
    norms = [model.get_layer(f"shared_layer_value{number}_bn") for number in (1, 2)]
    kept = [norm.get_weights() for norm in norms]
    try:
        for norm, (gamma, beta, *rest) in zip(norms, kept, strict=True):
            norm.set_weights([0 * gamma, 0 * beta, *rest])
        assert np.array_equal(values(model, inputs, token), values(model, others, token))
        camera = STREAM.format("camera")
        assert not np.allclose(values(model, inputs, camera), values(model, others, camera), atol=1e-3)
    finally:
        for norm, weights in zip(norms, kept, strict=True):
            norm.set_weights(weights)


def test_attention_is_softmax_of_scaled_products(model: Any) -> None:
    """One head, against its formula in numpy."""
    inputs, name = batch(), "shared_layer"
    query, key, value = (values(model, inputs, f"{name}_{what}2_rows") for what in ("query", "key", "value"))
    assert (query.shape[1], key.shape[1]) == (2, 17 + 17)
    score = np.exp(query @ key.swapaxes(1, 2))
    expected = score / score.sum(axis=-1, keepdims=True) @ value
    assert np.allclose(values(model, inputs, f"{name}_head2_map")[:, 0], expected, rtol=1e-4, atol=1e-5)


def test_queries_begin_with_the_scale_of_a_head() -> None:
    found = zoo.build("mmt", SENSORS, 4)
    gains = {what: np.asarray(found.get_layer(f"camera_layer1_{what}1_bn").gamma) for what in ("query", "key")}
    assert np.allclose(gains["query"], (WIDTH / 2) ** -0.5) and np.allclose(gains["key"], 1)


@pytest.mark.parametrize(("one", "layout", "count"), [
    (INPUTS[0], TokenLayout(784, (28, 28, 1), (7, 7)), 16), (INPUTS[1], TokenLayout(507, (39, 1, 13), (3, 1)), 13),
    (Input("mic", (49, 10, 1)), TokenLayout(490, (49, 10, 1), (13, 3)), 16),
    (Input("motion", (100, 6)), TokenLayout(600, (100, 1, 6), (7, 1)), 15),
    (Input("gas", (5,)), TokenLayout(5, (5, 1, 1), (1, 1)), 5)])
def test_tokens_follow_what_the_values_are(one: Input, layout: TokenLayout, count: int) -> None:
    found = token_layout(one)
    assert (found, found.count) == (layout, count)


def test_padding_behind_the_values_is_no_token() -> None:
    found, rng = zoo.build("mmt", INPUTS, 10), np.random.default_rng(0)
    inputs = {name: rng.random((2, 28, 28, 1), np.float32) for name in ("image", "audio")}
    changed = {**inputs, "audio": inputs["audio"].copy()}
    changed["audio"].reshape(2, -1)[:, 507:] = 0
    assert np.array_equal(found(inputs, training=False), found(changed, training=False))


@pytest.mark.parametrize("count", [1, 3])
def test_any_number_of_inputs(count: int) -> None:
    sensors = (*SENSORS, Input("gas", (5,)))[:count]
    found = zoo.build("mmt", sensors, 4)
    assert seen_inputs(found) == tuple(one.name for one in sensors)
    inputs = {one.name: np.zeros((2, *one.shape), np.float32) for one in sensors}
    assert np.asarray(found(inputs, training=False)).shape == (2, 4)
