"""Almost orthogonal kernels: closed forms, a bound that torus spectra confirm, and a network that converts as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tinyfuse.analyses.certificates.ball import Ball
from tinyfuse.analyses.certificates.certify import Certifier
from tinyfuse.analyses.lipschitz import branch_constants
from tinyfuse.analyses.spectral_norms import convolution_norm, dense_norm
from tinyfuse.attacks.adversarial import misclassified
from tinyfuse.attacks.targets.twin_target import TwinTarget
from tinyfuse.core.errors import UsageError
from tinyfuse.data import Dataset, Input
from tinyfuse.integer.model import load_model
from tinyfuse.nn import zoo
from tinyfuse.nn.network import Network
from tinyfuse.nn.objectives import parts_of
from tinyfuse.nn.objectives.aol import _check, of_layer, scaled_kernel
from tinyfuse.nn.objectives.run import Run
from tinyfuse.nn.train import TrainConfig
from tinyfuse.nn.train_or_load import train_or_load
from tinyfuse.quantize.convert import baseline, convert
from tinyfuse.quantize.recipe import read_recipe
from tinyfuse.threats.norms import NORMS
from tinyfuse.threats.threat import Threat

WIDER = 1 + 1e-5  # float32


def scaled(kernel: np.ndarray, strides: tuple[int, int] = (1, 1)) -> np.ndarray:
    return np.asarray(scaled_kernel(tf.constant(kernel, tf.float32), strides))


@pytest.mark.parametrize("shape", [(7, 7), (9, 4), (4, 9)])
def test_an_orthogonal_matrix_is_returned(shape: tuple[int, int]) -> None:
    square = np.linalg.qr(np.random.default_rng(0).normal(size=(max(shape),) * 2))[0]
    kernel = square[:shape[0], :shape[1]]
    np.testing.assert_allclose(scaled(3 * kernel), kernel, atol=1e-5)


@pytest.mark.parametrize(("shape", "strides"), [
    ((3, 3, 4, 6), (1, 1)), ((3, 3, 6, 4), (2, 2)), ((5, 3, 2, 9), (2, 1)), ((2, 2, 1, 3), (2, 2)),
    ((1, 1, 8, 5), (1, 1))])
def test_torus_spectra_are_at_most_one(shape: tuple[int, ...], strides: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    for kernel in (rng.normal(size=shape), rng.random(shape), 100 * rng.normal(size=shape)):
        found = scaled(kernel, strides)
        assert 0.3 < convolution_norm(found, (9, 8), strides) <= WIDER
    moved = rng.normal(size=(1000, shape[2]))
    kernel = scaled(rng.normal(size=shape[2:]))
    assert (np.linalg.norm(moved @ kernel, axis=1) <= WIDER * np.linalg.norm(moved, axis=1)).all()
    assert dense_norm(kernel) <= WIDER


def test_gradients_reach_the_free_kernels(run_of: Callable[..., Run]) -> None:
    run = run_of("aol", aol={"budget": 0.1})
    batch = {name: tf.constant(values[:20]) for name, values in run.dataset.train.inputs.items()}
    labels, seed, (work,) = tf.constant(run.dataset.train.label[:20]), tf.constant([0, 1]), run.works
    loss, gradients, _ = run.gradients(batch, labels, seed)
    free: Any = work.variables[0]
    place = next(number for number, one in enumerate(run.variables) if one is free)
    direction = np.asarray(gradients[place])
    free.assign_sub(tf.constant(1e-3 * direction))
    after = run.gradients(batch, labels, seed)[0]
    expected = 1e-3 * float((direction**2).sum())
    assert float(loss - after) == pytest.approx(expected, rel=0.1)
    layer = run.model.layers[[layer.name for layer in run.model.layers].index("eye_dense")]
    np.testing.assert_array_equal(layer.kernel, of_layer(layer, free))


def test_a_trained_network_moves_no_further_than_its_inputs(senses: Dataset, tmp_path: Path) -> None:
    config = TrainConfig(epochs=4, batch_size=20, learning_rate=0.02, objective="aol",
                         settings={"aol": {"budget": 0.05}})
    network = train_or_load("small-late", senses, config, tmp_path)
    assert all(0.1 < one <= 1 + 1e-4 for one in branch_constants(network.model).values())
    assert {type(layer).__name__ for layer in network.model.layers} <= {"InputLayer", "Dense", "Flatten", "Concatenate"}
    assert dense_norm(np.asarray(network.model.get_layer("head").kernel)) <= WIDER
    check_integers(network, senses)


def check_integers(network: Network, senses: Dataset) -> None:
    """Its ``.tflite`` has plain layers, a constant near that of the weights, and radii that no point contradicts."""
    data = convert(baseline(network, senses.train), read_recipe("w8")).data
    target = TwinTarget(load_model(data, name="small"))
    graph = target.twin.graph
    plain = {"FULLY_CONNECTED", "RESHAPE", "CONCATENATION", "QUANTIZE"}
    assert {operator.name for operator in graph.operators} <= plain
    certifier = Certifier(target)
    movement, grids = certifier.movement, target.grids or {}
    assert movement is not None
    unit = graph.tensors[target.logit_tensor].unit
    assert all(0.05 < rate * unit / grids[name].scale <= 1.03 for name, rate in movement.logits.rates.items())
    batch = target.model.codes_of(senses.test.inputs)
    clean = {name: codes.astype(np.float32) for name, codes in batch.items()}
    labels = target.logits(clean).argmax(axis=1)
    box = {name: (float(grid.low), float(grid.high)) for name, grid in grids.items()}
    threat = Threat(NORMS["l2-joint"], {"eye": 1.0, "ear": 1.0}, box, {}, lattice=True)
    radii = movement.radii(Ball.of(threat, clean, grids), labels)
    assert (radii > 0).mean() > 0.2
    proved = certifier.proved(Ball.of(threat, clean, grids), labels) > 0
    assert proved[radii > 1].all()
    rng = np.random.default_rng(3)
    for _ in range(30):
        way = {name: rng.normal(size=values.shape) for name, values in clean.items()}
        length = np.sqrt(sum((one.reshape(len(labels), -1) ** 2).sum(axis=1) for one in way.values()))
        share = radii / length
        moved = {name: np.clip(clean[name] + np.trunc(one * share.reshape(-1, *[1] * (one.ndim - 1))), *box[name])
                 .astype(np.float32) for name, one in way.items()}
        assert not misclassified(target.logits(moved), labels)[radii > 0].any()


def test_layers_with_gains_and_bad_settings_are_refused() -> None:
    for settings in ({"budget": -1.0}, {"temperature": 0.0}):
        with pytest.raises(UsageError, match="give a length of at least 0"):
            parts_of("aol", {"aol": settings})
    model = zoo.build("plain-image", (Input("image", (8, 8, 1)),), 3)
    with pytest.raises(UsageError, match=r"'image_conv1_bn' \(BatchNormalization\) may move further"):
        _check(model.get_layer("image_conv1_bn"))
    smooth = zoo.build("lipschitz-image", (Input("image", (8, 8, 1)),), 3)
    for layer in smooth.layers:
        _check(layer)
