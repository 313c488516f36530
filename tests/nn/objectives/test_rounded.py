"""Training with rounded weights goes on with the objective that the network was trained with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyfuse.data import Dataset
from tinyfuse.nn.network import Network
from tinyfuse.nn.objectives import gradient_blending
from tinyfuse.nn.objectives.adversarial import AdversarialWork
from tinyfuse.nn.train import TrainConfig
from tinyfuse.nn.train_or_load import train_or_load
from tinyfuse.quantize import qat
from tinyfuse.quantize.folded_layers import folded_layers
from tinyfuse.quantize.recipe import read_recipe
from tinyfuse.quantize.weight_codes import quantize


def test_rounded_weights_are_trained_against_the_same_adversary(senses: Dataset, tmp_path: Path,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"adversarial": {"budget": {"eye": 0.1, "ear": 0.05}, "attacked": "drawn", "ramp": 0.5}}
    config = TrainConfig(epochs=1, batch_size=20, objective="adversarial", settings=settings)
    network = train_or_load("small-late", senses, config, tmp_path / "float")
    rounded, seen = [], AdversarialWork.batch

    def batch(work: Any, batch: Any, targets: Any, seed: Any) -> Any:
        rounded.append(any("quantize_wrapper" in type(layer).__name__.lower() or hasattr(layer, "quantize_config")
                           for layer in work.run.model.layers))
        return seen(work, batch, targets, seed)

    monkeypatch.setattr(AdversarialWork, "batch", batch)
    found: Network = qat.train_or_load(network, read_recipe("w4-qat"), senses, tmp_path / "rounded", epochs=1)
    assert rounded == [True]  # traced once, on the rounded network
    assert found.table["qat"]["objective"] == "adversarial"
    assert found.table["qat"]["settings"]["adversarial"]["budget"] == {"eye": 0.1, "ear": 0.05}
    assert found.table["qat"]["settings"]["adversarial"]["ramp"] == 0.0  # it has met the whole budget already
    for layer in folded_layers(found.model):
        codes = quantize(layer.kernel, layer.slices(read_recipe("w4-qat")), least_scale=np.zeros(len(layer.bias)))
        assert np.abs(codes.values).max() <= 7


def test_blended_losses_keep_their_weights_and_start_from_what_is_learnt(senses: Dataset, tmp_path: Path,
                                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads that start anew would seem to learn fastest, and take the weight from the network's own loss."""
    config = TrainConfig(epochs=1, batch_size=20, objective="gblend", settings={"gblend": {"epochs": 1}})
    network = train_or_load("small-late", senses, config, tmp_path / "float")
    first: list[Any] = []
    made = gradient_blending._new_heads

    def new_heads(run: Any) -> Any:
        heads = made(run)
        first.append({branch: [np.asarray(one) for one in head] for branch, head in heads.items()})
        return heads

    monkeypatch.setattr(gradient_blending, "_new_heads", new_heads)
    found = qat.train_or_load(network, read_recipe("w8-qat"), senses, tmp_path / "rounded", epochs=1)
    weights = network.table["objective"]["gblend"]["weights"]
    assert found.table["objective"]["gblend"]["weights"] == pytest.approx(weights, abs=2e-4)
    kernel, bias = network.model.get_layer("head").get_weights()
    np.testing.assert_array_equal(first[0]["eye"][0], kernel[:5])
    np.testing.assert_array_equal(first[0]["ear"][0], kernel[5:])
    np.testing.assert_array_equal(first[0]["eye"][1] + first[0]["ear"][1], bias)
