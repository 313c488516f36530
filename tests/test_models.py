"""The committed networks are whole, belong together and do what their cards say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tinyfuse import data
from tinyfuse.core import toml
from tinyfuse.core.errors import ModelError
from tinyfuse.core.files import sha256_hex
from tinyfuse.integer.interpreters import Interpreter, load
from tinyfuse.nn import network_file
from tinyfuse.nn.zoo.fusion import MODELS
from tinyfuse.quantize.readback import written_codes
from tinyfuse.quantize.recipe import precision
from tinyfuse.quantize.weight_codes import container_level
from tinyfuse.study.samples import Samples

FOLDER = Path(__file__).resolve().parent.parent / "models" / "digits"
SELECTED = FOLDER.parent / "selected"
FILES = sorted([*FOLDER.glob("*.tflite"), *SELECTED.glob("*.tflite")])


@pytest.fixture(scope="module")
def digits(real_data: Path) -> Samples:
    pairs = data.load(real_data).test.balanced(60, seed=1)
    return Samples(pairs.inputs(), pairs.label)


def test_every_network_has_float_and_integer_files() -> None:
    assert {path.stem for path in FOLDER.glob("*.keras")} == set(MODELS)
    assert {path.stem.split("__")[0] for path in FOLDER.glob("*.tflite")} == set(MODELS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_integer_file_is_what_its_table_says(path: Path) -> None:
    table = toml.read(path.with_suffix(".toml"), ModelError)
    content = path.read_bytes()
    assert table["sha256"] == sha256_hex(content)
    assert table["float_sha256"] == sha256_hex((FOLDER / f"{table['model']}.keras").read_bytes())
    codes = written_codes(content, path.name)
    for layer in table["layers"]:
        assert np.abs(codes[layer["name"]][0]).max() <= container_level(set(layer["branches"].values()))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_integer_file_reads_real_digits(path: Path, digits: Samples) -> None:
    model = load(path)
    codes = {name: grid.quantise(digits.inputs[name]) for name, grid in model.grids.items()}
    outputs = {executor: Interpreter(model, executor).run(codes) for executor in ("tflm", "twin")}
    assert np.array_equal(outputs["tflm"], outputs["twin"])
    assert (outputs["tflm"].argmax(1) == digits.label).mean() >= 0.95


@pytest.mark.parametrize("path", sorted(SELECTED.glob("*.tflite")), ids=lambda path: path.stem)
def test_a_selected_file_keeps_its_budget_and_has_its_recipe(path: Path) -> None:
    table = toml.read(path.with_suffix(".toml"), ModelError)
    budget = int(path.stem.rpartition("flash")[2])
    assert table["packed_bytes"] <= budget
    chosen = precision(SELECTED / "recipes" / f"{path.stem}.toml")
    assert chosen.to_table() == table["precision"]
    for layer in table["layers"]:
        assert all(chosen.bits_for(layer["name"], branch) == bits for branch, bits in layer["branches"].items())


def test_three_fusions_are_selected_at_two_budgets() -> None:
    assert sorted(path.stem.split("__")[0] for path in SELECTED.glob("*.tflite")) == sorted(
        2 * ["early", "intermediate", "late"])


def test_a_float_network_loads_from_its_file() -> None:
    model, table = network_file.load(FOLDER / "late.keras")
    assert model.name == "late"
    assert table["accuracy"]["test"] > 0.99
