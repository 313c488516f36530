"""Fusion operators compute what their equations say, for any number of inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import UsageError
from tinyfuse.data import Input
from tinyfuse.nn import zoo
from tinyfuse.nn.zoo.fusion_operators import Operator, feature_sum, film, gated, logit_sum
from tinyfuse.nn.zoo.resnet8 import head, joined

WIDTH, CLASSES = 6, 3
RNG = np.random.default_rng(1)
FEATURES = {name: RNG.normal(size=(4, WIDTH)).astype(np.float32) for name in ("image", "audio", "radar")}
F, G = FEATURES["image"], FEATURES["audio"]


def built(operator: Operator, count: int = 2) -> Any:
    """The operator alone, as a network of features."""
    tensorflow()
    import tf_keras

    inputs = {name: tf_keras.Input((WIDTH,), name=name) for name in list(FEATURES)[:count]}
    return tf_keras.Model(inputs, operator(inputs, CLASSES))


def logits(model: Any) -> np.ndarray:
    return np.asarray(model({name: FEATURES[name] for name in model.input_shape}, training=False))


def random_weights(model: Any, *names: str) -> list[np.ndarray]:
    """Give dense layers random weights; return their kernels and biases."""
    rng, found = np.random.default_rng(2), []
    for name in names:
        layer = model.get_layer(name)
        layer.set_weights([rng.normal(size=one.shape) for one in layer.get_weights()])
        found += layer.get_weights()
    return found


def without_kernel(model: Any, name: str, bias: float) -> None:
    layer = model.get_layer(name)
    layer.set_weights([np.zeros(layer.kernel.shape), np.full(layer.bias.shape, bias)])


def same(found: np.ndarray, expected: np.ndarray) -> bool:
    return np.allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_film_without_condition_is_one_dense_layer() -> None:
    """U = 0 and (gamma, beta) = (1, 0): W f + b."""
    model = built(film)
    weights, bias = random_weights(model, "shared_head")
    without_kernel(model, "shared_gamma", 1.0)
    without_kernel(model, "shared_beta", 0.0)
    assert same(logits(model), F @ weights + bias)


def test_film_scales_and_shifts_the_first_input() -> None:
    model = built(film)
    weights, bias, gain, one, shift, zero = random_weights(model, "shared_head", "shared_gamma", "shared_beta")
    assert same(logits(model), ((G @ gain + one) * F + G @ shift + zero) @ weights + bias)


def test_gate_without_condition_is_half_open() -> None:
    """U = 0: W (V f / 2) + b."""
    model = built(gated)
    weights, bias, values, offset = random_weights(model, "shared_head", "shared_values")
    without_kernel(model, "shared_gate_values", 0.0)
    assert same(logits(model), 0.5 * (F @ values + offset) @ weights + bias)


def test_gate_lets_through_what_the_others_say() -> None:
    model = built(gated, 3)
    weights, bias, values, offset, gate, threshold = random_weights(
        model, "shared_head", "shared_values", "shared_gate_values")
    opened = 1 / (1 + np.exp(-(np.concatenate([G, FEATURES["radar"]], axis=1) @ gate + threshold)))
    assert same(logits(model), (opened * (F @ values + offset)) @ weights + bias)


@pytest.mark.parametrize("count", [2, 3])
def test_sum_is_concatenation_with_the_same_weights(count: int) -> None:
    late = built(lambda features, classes: head(joined(features.values()), classes, branch="shared"), count)
    total = built(logit_sum, count)
    weights, bias = random_weights(late, "shared_head")
    for part, name in zip(np.split(weights, count), FEATURES, strict=False):
        total.get_layer(f"{name}_head").set_weights([part, bias / count])
    assert same(logits(late), logits(total))


def test_feature_sum_shares_one_dense_layer() -> None:
    model = built(feature_sum, 3)
    weights, bias = random_weights(model, "shared_head")
    assert same(logits(model), sum(FEATURES.values()) @ weights + bias)


def test_sums_of_one_input_are_one_dense_layer() -> None:
    for operator in (logit_sum, feature_sum):
        assert logits(built(operator, 1)).shape == (4, CLASSES)


@pytest.mark.parametrize("name", ["late-film", "late-gated"])
def test_one_input_has_no_other_to_be_changed_by(name: str) -> None:
    with pytest.raises(UsageError, match="the data has image alone: give data with two inputs") as caught:
        zoo.build(name, [Input("image", (8, 8, 1))], 3)
    assert "\n" not in str(caught.value)
