"""The committed ``.tflite`` files are made again from the committed networks: every integer in them, scales to 4 ulp.

The files were made when a recording's features still depended, in their last bits, on what was computed beside it.
Ranges of activations follow the features, so their scales differ in the last bits; those of the image networks do not,
and these files come out byte for byte.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tinyfuse.data import Dataset
from tinyfuse.integer.model import load_model
from tinyfuse.nn.network import load_network
from tinyfuse.quantize.convert import Baseline, baseline, convert
from tinyfuse.quantize.recipe import read_recipe

FOLDER = Path(__file__).resolve().parents[2] / "models" / "digits"
FILES = sorted(FOLDER.glob("*.tflite"))
FOUR_ULP = 2.0**-21


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
def test_a_committed_file_is_made_again(path: Path, graph: Callable[[str], Baseline]) -> None:
    name, _, recipe = path.stem.partition("__")
    data = convert(graph(name), read_recipe(recipe)).data
    if name == "image":
        assert data == path.read_bytes()
    made, held = load_model(data).graph, load_model(path).graph
    assert made.operators == held.operators
    for new, old in zip(made.tensors, held.tensors, strict=True):
        assert (new.name, new.shape, new.dtype, new.axis) == (old.name, old.shape, old.dtype, old.axis)
        assert np.array_equal(new.zero_point, old.zero_point)
        assert np.allclose(new.scale, old.scale, rtol=FOUR_ULP, atol=0)
        assert (new.data is None) == (old.data is None)
        assert new.data is None or np.array_equal(new.data, old.data)


def test_all_networks_are_covered() -> None:
    assert len(FILES) == 13
