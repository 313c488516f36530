"""The committed networks are whole, belong together and do what their cards say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tinyfuse.analyses.certificates.certify import Certifier, verdicts
from tinyfuse.attacks import TwinTarget
from tinyfuse.core import toml
from tinyfuse.core.errors import ModelError
from tinyfuse.core.files import sha256_hex
from tinyfuse.core.strict import decode
from tinyfuse.data import Dataset, Input, Samples
from tinyfuse.integer.executors import open_executor
from tinyfuse.integer.model import load_model
from tinyfuse.nn import zoo
from tinyfuse.nn.network import load_network
from tinyfuse.quantize.readback import written_codes
from tinyfuse.quantize.recipe import read_recipe
from tinyfuse.quantize.weight_codes import container_level
from tinyfuse.threats.code_threats import code_problem
from tinyfuse.threats.threat import Threat

FOLDER = Path(__file__).resolve().parent.parent / "models" / "digits"
SELECTED = FOLDER.parent / "selected"
ROBUST = FOLDER.parent / "robust"
CERTIFIED = FOLDER.parent / "certified"
FILES = sorted(path for folder in (FOLDER, SELECTED, ROBUST, *CERTIFIED.glob("*/")) for path in folder.glob("*.tflite"))
READ = [path for path in FILES if path.parent in (FOLDER, SELECTED)
        or path.stem.endswith("w4" if path.parent == ROBUST else "w6")]


@pytest.fixture(scope="module")
def digits(real_digits: Dataset) -> Samples:
    return real_digits.test.balanced(60, seed=1)


@pytest.fixture(scope="module")
def many_digits(real_digits: Dataset) -> Samples:
    return real_digits.test.balanced(300, seed=1)


def test_every_network_has_float_and_integer_files() -> None:
    assert {path.stem for path in FOLDER.glob("*.keras")} == set(zoo.DIGIT_NETWORKS)
    assert {path.stem.split("__")[0] for path in FOLDER.glob("*.tflite")} == set(zoo.DIGIT_NETWORKS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_an_integer_file_is_what_its_table_says(path: Path) -> None:
    table = toml.read(path.with_suffix(".toml"), ModelError)
    content = path.read_bytes()
    assert table["sha256"] == sha256_hex(content)
    beside = FOLDER if path.parent == SELECTED else path.parent
    assert table["float_sha256"] == sha256_hex((beside / f"{table['model']}.keras").read_bytes())
    recipe = read_recipe(SELECTED / "recipes" / f"{path.stem}.toml" if path.parent == SELECTED
                         else path.stem.split("__")[1])
    assert recipe.to_table() == table["recipe"]
    codes = written_codes(content, path.name)
    for layer in table["layers"]:
        assert np.abs(codes[layer["name"]][0]).max() <= container_level(set(layer["bits"].values()))
    ports = load_model(path).inputs
    assert [decode(Input, one, str(path), ModelError).name for one in table["inputs"]] == [port.name for port in ports]


@pytest.mark.parametrize("path", READ, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_an_integer_file_reads_real_digits(path: Path, digits: Samples, many_digits: Samples) -> None:
    """Certified networks read 97 % or a little more, which 60 samples do not tell from less; they are fast."""
    model = load_model(path)
    digits = many_digits if CERTIFIED in path.parents else digits
    codes = model.codes_of(digits.inputs)
    outputs = {executor: open_executor(model, executor).run(codes) for executor in ("tflm", "twin")}
    assert np.array_equal(outputs["tflm"], outputs["twin"])
    assert (outputs["tflm"].argmax(1) == digits.label).mean() >= 0.95


def test_a_certified_fusion_is_certified_with_both_inputs_attacked(digits: Samples) -> None:
    target = TwinTarget(load_model(CERTIFIED / "late" / "plain-late__w6.tflite"))
    inputs = tuple(Input(name, (28, 28, 1)) for name in ("image", "audio"))
    threat = Threat.of(inputs, {"image": 0.1, "audio": 0.02}, "linf", {})
    assert target.grids is not None
    threat, codes = code_problem(threat, digits.inputs, target.grids, "codes")
    assert verdicts(Certifier(target), codes, digits.label, threat, steps=0).certified.mean() >= 0.85


@pytest.mark.parametrize("path", sorted(SELECTED.glob("*.tflite")), ids=lambda path: path.stem)
def test_a_selected_file_keeps_its_budget_and_has_its_recipe(path: Path) -> None:
    table = toml.read(path.with_suffix(".toml"), ModelError)
    budget = int(path.stem.rpartition("flash")[2])
    assert table["packed_bytes"] <= budget
    chosen = read_recipe(SELECTED / "recipes" / f"{path.stem}.toml")
    for layer in table["layers"]:
        assert all(chosen.bits_for(layer["name"], branch) == bits for branch, bits in layer["bits"].items())


def test_three_fusions_are_selected_at_two_budgets() -> None:
    assert sorted(path.stem.split("__")[0] for path in SELECTED.glob("*.tflite")) == sorted(
        2 * ["early", "intermediate", "late"])


def test_a_float_network_loads_from_its_file() -> None:
    network = load_network(FOLDER / "late.keras")
    assert network.model.name == network.name == "late" and network.input_names == ("image", "audio")
    assert network.table["accuracy"]["test"] > 0.99
