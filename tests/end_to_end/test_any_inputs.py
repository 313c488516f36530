"""Any set of inputs goes through every verb: three sensors fused early and late, and one sensor alone.

The tests of one kind build on each other: they run in their order, in one folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from foreign_inputs import CLASSES, KINDS, source

from tinyfuse.cli import main as cli
from tinyfuse.core import toml
from tinyfuse.core.errors import ModelError
from tinyfuse.core.results import ResultStore
from tinyfuse.data import Input, register_source
from tinyfuse.data.sources import SOURCES
from tinyfuse.nn import zoo
from tinyfuse.nn.network import load_network
from tinyfuse.search.settings import QUICK
from tinyfuse.threats.modes import modes_of

BY_LAYER = """\
name = "by-layer"

[weights]
shared = 8

[[layers]]
pattern = "head"
bits = 5
"""
MATRIX = """\
models = ["{name}"]
recipes = ["w8"]
epsilons = [0.1]
steps = 3
attack_samples = 10
clean_samples = 20
raw_samples = 5
probe_samples = 5
parity_samples = 20
calibration_samples = 40
proof_samples = 4
epochs = 6
batch_size = 20
"""


@dataclass(frozen=True)
class House:
    """One network and its data on the command line, in a folder of their own."""

    name: str
    inputs: tuple[Input, ...]
    folder: Path
    capsys: pytest.CaptureFixture[str]

    def run(self, verb: str, *words: object, data: bool = True) -> str:
        """Run one command; return what it printed."""
        argv = [verb, *map(str, words), *(["--data", self.name] if data else [])]
        code = cli.main(argv)
        said = self.capsys.readouterr()
        assert code == 0, f"{' '.join(argv)}: exit code {code}\n{said.err}"
        return said.out

    @property
    def names(self) -> list[str]:
        return [one.name for one in self.inputs]

    @property
    def network(self) -> Path:
        return self.folder / f"{self.name}.keras"

    def model(self, recipe: str) -> Path:
        return self.folder / f"{self.name}__{recipe}.tflite"




@pytest.fixture(scope="module", params=KINDS)
def folder(request: pytest.FixtureRequest,
           tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, tuple[Input, ...], Path]]:
    """The folder of one kind, with its data and network registered while its tests run."""
    inputs, builder = KINDS[request.param]
    register_source(request.param, source(request.param, inputs))
    zoo.register(request.param, builder)
    yield request.param, inputs, tmp_path_factory.mktemp(request.param)
    del SOURCES[request.param], zoo.ZOO[request.param]


@pytest.fixture
def house(folder: tuple[str, tuple[Input, ...], Path], capsys: pytest.CaptureFixture[str]) -> House:
    return House(*folder, capsys)


def mixed(house: House) -> str:
    """A recipe that gives each input widths of its own."""
    return "-".join([*(f"{one.name}{bits}" for one, bits in zip(house.inputs, (4, 6, 8), strict=False)), "shared8"])


def rows(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_train(house: House) -> None:
    house.run("train", house.name, "--out", house.folder, "--epochs", 12, "--batch-size", 20)
    network = load_network(house.network)
    assert network.input_names == tuple(one.name for one in house.inputs) and network.classes == CLASSES
    assert network.table["accuracy"]["test"] > 0.8
    if len(house.inputs) > 1:
        assert {name: network.origin(name) for name in ("mic_first", "camera_first", "imu_like", "rows", "head")} == {
            "mic_first": ("camera",), "camera_first": ("mic",), "imu_like": ("camera", "mic"), "rows": ("imu",),
            "head": ("camera", "mic", "imu")}


def test_quantize(house: House) -> None:
    by_layer = house.folder / "by-layer.toml"
    by_layer.write_text(BY_LAYER)
    assert house.run("validate", by_layer, data=False)
    house.run("quantize", house.network, "--calibration-samples", 40, "--qat-epochs", 1, "--recipe", "w8", "--recipe",
              mixed(house), "--recipe", by_layer, "--recipe", "w4-qat")
    table = toml.read(house.model(mixed(house)).with_suffix(".toml"), ModelError)
    bits = {layer["name"]: layer["bits"] for layer in table["layers"]}
    if len(house.inputs) > 1:
        assert bits == {"mic_first": {"camera": 4}, "camera_first": {"mic": 6}, "imu_like": {"shared": 8},
                        "rows": {"imu": 8}, "head": {"shared": 8}}
    else:
        assert bits == {"first": {"mic": 4}, "head": {"mic": 4}}
    assert table["proof"]["differing_codes"]["twin"] == 0
    by_name = {layer["name"]: layer["bits"]
               for layer in toml.read(house.model("by-layer").with_suffix(".toml"), ModelError)["layers"]}
    assert set(by_name["head"].values()) == {5}
    assert house.model("w4-qat").exists()


def test_a_recipe_for_an_input_that_the_network_lacks_is_refused(house: House) -> None:
    argv = ["quantize", str(house.network), "--recipe", "sonar6-shared8", "--data", house.name]
    assert cli.main(argv) == 2
    assert "sonar" in house.capsys.readouterr().err


@pytest.mark.parametrize("words", [
    (), ("--threat", "real"), ("--threat", "naive"), ("--norm", "l2", "--epsilon", "0.5"),
    ("--attack", "universal", "--train-samples", "20", "--epochs", "2"), ("--attack", "square", "--queries", "20"),
    ("--profile", "standard", "--steps", "2")], ids=" ".join)
def test_attack_the_integers(house: House, words: tuple[str, ...]) -> None:
    small = [] if {"universal", "square", "--profile"} & set(words) else ["--steps", 3]
    found = rows(house.run("attack", house.model("w8"), "--samples", 10, "--json", *small, *words))
    attacked = [row for row in found if row["kind"] == "attack"]
    assert attacked and all(row["inputs"] == {one.name: one.high - one.low for one in house.inputs} for row in found)
    if "--profile" in words:
        assert {tuple(row["attacked"]) for row in attacked} == set(modes_of(house.names).values())
    else:
        assert {tuple(row["attacked"]) for row in attacked} == {tuple(house.names)}


def test_attack_one_input_with_its_own_budget_and_mask(house: House) -> None:
    axis = "bands"
    text = house.run("attack", house.model("w8"), "--samples", 10, "--steps", 3, "--modality", "mic", "--epsilon",
                     "mic=0.5", "--mask", f"mic={axis}:0-3", "--save", house.folder / "made.npz", "--json")
    attacked = [row for row in rows(text) if row["kind"] == "attack"]
    assert all(row["attacked"] == ["mic"] and row["budget"] == {"mic": 0.5} for row in attacked)
    with np.load(house.folder / "made.npz") as made:
        assert {one.name for one in house.inputs} <= set(made.files)


def test_attack_the_float_network(house: House) -> None:
    text = house.run("attack", house.network, "--samples", 10, "--steps", 3, "--json")
    assert {row["executor"] for row in rows(text)} == {"keras"}


def test_attack_with_smallest_budgets(house: House) -> None:
    text = house.run("attack", house.model("w8"), "--samples", 6, "--steps", 2, "--minimal", "--modality", "mic",
                     "--json")
    assert json.loads(text)["attacked"] == ["mic"]


def test_compare(house: House) -> None:
    found = json.loads(house.run("compare", house.model(mixed(house)), "--samples", 8, "--json"))
    assert sum(pair["differing"] for pair in found["differences"] if {pair["a"], pair["b"]} == {"twin", "tflm"}) == 0


def test_export_and_verify(house: House) -> None:
    package = house.folder / "firmware"
    house.run("export", house.model(mixed(house)), "--out", package, "--vectors", 8)
    assert house.run("validate", package / "metadata.json", data=False)
    header = (package / "src" / f"{house.name}_{mixed(house)}.h".replace("-", "_")).read_text()
    assert all(f"int8_t *{name};" in header for name in house.names)
    assert "exact" in house.run("verify", package, "--core", "m4", data=False)


def test_bench_and_report(house: House) -> None:
    matrix = house.folder / "matrix.toml"
    matrix.write_text(MATRIX.format(name=house.name))
    assert house.run("validate", matrix, data=False)
    out = house.folder / "bench"
    house.run("bench", "--matrix", matrix, "--out", out, "--jobs", 1)
    store = ResultStore(out / "results.jsonl")
    modes = set(modes_of(house.names).values())
    assert {tuple(row["attacked"]) for row in store.rows("attack")} == modes
    assert not store.rows("failed") and not any(row["differing"] for row in store.rows("parity"))
    header = (out / "summary.csv").read_text().splitlines()[0].split(",")
    assert {f"robust_integer_{mode}" for mode in modes_of(house.names)} <= set(header)
    table = house.run("report", out, "--markdown", data=False)
    assert all(one.name in table for one in house.inputs)


def test_select(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    out, fixed = house.folder / "select", ["--fix", "camera=4"] if len(house.inputs) > 1 else []
    monkeypatch.setattr("tinyfuse.search.run.QUICK", replace(
        QUICK, sensitivity_samples=20, attacked_samples=10, hessian_samples=20, hessian_probes=2, trial_samples=10,
        trial_steps=2, finalists=1, final_samples=20, final_steps=2, test_samples=20, calibration_samples=20))
    house.run("select", "--model", house.network, "--budget", "flash=3kB", "--widths", "4,8", "--epsilon", 0.1,
              "--granularity", "modality", *fixed, "--quick", "--jobs", 1, "--out", out)
    assert list(out.glob("*.tflite"))
    assert house.run("report", out, "--markdown", data=False)
