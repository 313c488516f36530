"""The committed ``.tflite`` files are made again from the committed networks, byte for byte."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest

from tinyfuse.data import Dataset
from tinyfuse.nn.network import load_network
from tinyfuse.quantize.convert import Baseline, baseline, convert
from tinyfuse.quantize.recipe import read_recipe

FOLDER = Path(__file__).resolve().parents[2] / "models" / "digits"
FILES = sorted(FOLDER.glob("*.tflite"))


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
    model, _, recipe = path.stem.partition("__")
    assert convert(graph(model), read_recipe(recipe)).data == path.read_bytes()


def test_all_networks_are_covered() -> None:
    assert len(FILES) == 13
