"""The memory of features: soft thresholds, ISTA as layers, ridge in closed form, and gradients that are replaced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tinyfuse.core.errors import UsageError
from tinyfuse.nn.objectives import memory
from tinyfuse.nn.objectives.run import Run

Make = Callable[..., Run]


def codes(model: Any, prefix: str, steps: int) -> Any:
    """The model that returns what the memory reads, its code after each step, and what it hands on."""
    import tf_keras

    layers = [model.get_layer(f"{prefix}_memory_code_{step}") for step in range(1, steps + 1)]
    last = model.get_layer(f"{prefix}_memory_sum")
    return tf_keras.Model(model.input, [last.input[0], *(layer.output for layer in layers), last.output])


def filled(run: Run, dictionary: np.ndarray, penalty: float, share: float, steps: int) -> Any:
    model = memory.with_memory(run.model, dictionary.shape[1], steps)
    for prefix in memory.memories(model):
        memory.fill(model, prefix, dictionary, penalty, share)
    return model


def batch_of(run: Run) -> dict[str, Any]:
    return {name: tf.constant(values) for name, values in run.dataset.train.take(slice(0, 20)).inputs.items()}


@pytest.mark.parametrize("steps", [1, 3])
def test_code_of_the_identity_is_the_soft_threshold(steps: int) -> None:
    import tf_keras

    inputs = {name: tf_keras.Input((3,), name=name) for name in ("a", "b")}
    head = tf_keras.layers.Dense(2)(tf_keras.layers.Concatenate()(
        [tf_keras.layers.Reshape((3,))(one) for one in inputs.values()]))
    model = memory.with_memory(tf_keras.Model(inputs, head), 3, steps)
    memory.fill(model, "a", np.eye(3), 0.1, 0.5)
    phi = np.array([[0.5, -0.05, 0.2], [-0.5, 0.1, 0.0]], np.float32)
    *_, code, handed_on = codes(model, "a", steps)({"a": phi, "b": phi})
    np.testing.assert_allclose(code, [[0.4, 0, 0.1], [-0.4, 0, 0]], atol=1e-7)
    np.testing.assert_allclose(0.5 * handed_on, 0.5 * code + 0.5 * phi, atol=1e-7)


def test_steps_lower_the_objective_and_are_those_of_ista(run_of: Make) -> None:
    run, penalty, steps = run_of("plain"), 0.05, 12
    dictionary = memory.unit_columns(np.random.default_rng(0).normal(size=(9, 5)))
    phi, *found, _ = (np.asarray(one, np.float64) for one in
                      codes(filled(run, dictionary, penalty, 0.5, steps), "eye", steps)(batch_of(run)))
    step, code, values = 1 / np.linalg.norm(dictionary, 2) ** 2, np.zeros((20, 9)), []
    for place in range(steps):
        moved = code + step * (phi - code @ dictionary.T) @ dictionary
        code = np.sign(moved) * np.maximum(np.abs(moved) - step * penalty, 0)
        np.testing.assert_allclose(found[place], code, atol=1e-5)
        values.append(((phi - found[place] @ dictionary.T) ** 2).sum(1) / 2 + penalty * np.abs(found[place]).sum(1))
    assert (np.diff(values, axis=0) <= 1e-6).all() and (values[0] <= (phi ** 2).sum(1) / 2 + 1e-6).all()


def test_an_empty_memory_and_a_share_of_zero_are_the_plain_network_to_the_bit(run_of: Make) -> None:
    run, batch = run_of("plain"), batch_of(run_of("plain"))
    empty = memory.with_memory(run.model, 4, 2)
    np.testing.assert_array_equal(empty(batch), run.model(batch))
    assert not memory.is_filled(empty)
    without = filled(run, memory.unit_columns(np.ones((4, 5))), 0.1, 0.0, 2)
    np.testing.assert_array_equal(without(batch), run.model(batch))


def test_fill_and_head_hand_on_the_blend_of_rebuilt_and_own_features(run_of: Make) -> None:
    run, share = run_of("plain"), 0.6
    dictionary = memory.unit_columns(np.random.default_rng(1).random((7, 5)))
    model = filled(run, dictionary, 0.01, share, 4)
    memory.scale_head(model, 1 - share)
    batch, logits = batch_of(run), run.model.get_layer("head").get_weights()[1].astype(np.float64)
    kernel = run.model.get_layer("head").get_weights()[0]
    for branch, rows in run.view.rows.items():
        phi, *_, code, _ = codes(model, branch, 4)(batch)
        logits = logits + (share * np.asarray(code) @ dictionary.T + (1 - share) * np.asarray(phi)) @ kernel[rows]
    np.testing.assert_allclose(model(batch), logits, atol=1e-5)
    assert {type(layer).__name__ for layer in model.layers} <= {
        "InputLayer", "Flatten", "Dense", "ReLU", "Add", "Subtract", "Concatenate"}
    assert all(not layer.trainable_weights for layer in model.layers if "_memory_" in layer.name)


def test_the_adaptive_attacker_goes_through_the_code_and_the_identity_attacker_around_it(run_of: Make) -> None:
    run = run_of("plain")
    model = filled(run, memory.unit_columns(np.random.default_rng(2).random((7, 5))), 0.05, 0.5, 3)
    around, batch = memory.with_identity_gradient(model), batch_of(run)
    np.testing.assert_array_equal(around(batch), model(batch))
    gradients = []
    for network in (model, around, run.model):
        with tf.GradientTape() as tape:
            tape.watch(batch)
            logits = network(batch)[:, 0]
        gradients.append(tape.gradient(logits, batch)["eye"].numpy())
    assert np.abs(gradients[0] - gradients[1]).max() > 1e-3
    np.testing.assert_allclose(gradients[1], gradients[2], rtol=1e-5, atol=1e-7)
    with pytest.raises(UsageError, match="has no memory of features"):
        memory.with_identity_gradient(run.model)


def test_ridge_is_the_projection_where_columns_are_orthogonal() -> None:
    columns = np.linalg.qr(np.random.default_rng(3).normal(size=(6, 3)))[0]
    matrix = memory.ridge(columns, 0.1)
    np.testing.assert_allclose(matrix, columns @ columns.T / 1.1, atol=1e-12)
    np.testing.assert_array_equal(memory.blended(matrix, 0.0), np.eye(6))
    many = memory.ridge(memory.unit_columns(np.random.default_rng(4).normal(size=(600, 6))), 0.1)
    assert np.trace(many) / 6 > 0.99  # many columns denoise nothing


def test_columns_have_length_one_and_zeros_stay() -> None:
    found = memory.unit_columns(np.array([[3.0, 4.0], [0.0, 0.0]]))
    np.testing.assert_allclose(found, [[0.6, 0.0], [0.8, 0.0]])
