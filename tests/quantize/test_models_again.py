"""The committed ``.tflite`` files are made again from the committed networks.

Byte for byte where the features of the recordings are those the files were made of; these may differ in the last bit of
a float32 between processors and libraries, and then so may the scales of activations: their sixth digit, and no weight.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tinyfuse.core.files import sha256_hex
from tinyfuse.data import Dataset
from tinyfuse.integer.model import load_model
from tinyfuse.nn.network import load_network
from tinyfuse.quantize.convert import Baseline, baseline, convert
from tinyfuse.quantize.recipe import read_recipe

FOLDER = Path(__file__).resolve().parents[2] / "models" / "digits"
FILES = sorted(FOLDER.glob("*.tflite"))


FEATURES_SHA256 = "b2c8e432a49f47676751497febff65fdc21736c29fc537c15c4ee82228b9004f"
"""Of the 200 calibration samples of spoken digits that the files were made with."""


@pytest.fixture(scope="module")
def same_features(real_digits: Dataset) -> bool:
    """Whether the calibration samples are to the last bit those that the files were made with."""
    table = load_network(FOLDER / "audio.keras").table
    samples = real_digits.as_trained(table, "audio").train.balanced(200, seed=0)
    return sha256_hex(np.ascontiguousarray(samples.inputs["audio"]).tobytes()) == FEATURES_SHA256


@pytest.fixture(scope="module")
def graph(real_digits: Dataset) -> Callable[[str], Baseline]:
    """The int8 graph of a committed network, made once for all recipes."""

    @functools.cache
    def make(name: str) -> Baseline:
        network = load_network(FOLDER / f"{name}.keras")
        samples = real_digits.as_trained(network.table, name).train.balanced(200, seed=0)
        return baseline(network, samples)

    return make


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_committed_file_is_made_again(path: Path, graph: Callable[[str], Baseline], same_features: bool) -> None:
    model, _, recipe = path.stem.partition("__")
    data = convert(graph(model), read_recipe(recipe)).data
    if same_features or model == "image":
        assert data == path.read_bytes()
    for made, held in zip(load_model(data).graph.tensors, load_model(path).graph.tensors, strict=True):
        assert (made.name, made.shape, made.dtype) == (held.name, held.shape, held.dtype)
        assert np.allclose(made.scale, held.scale, rtol=1e-5, atol=0)
        if made.data is not None and made.dtype == np.int8:
            assert np.array_equal(made.data, held.data)


def test_all_networks_are_covered() -> None:
    assert len(FILES) == 13
