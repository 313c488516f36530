"""On real digits: the integers of the committed network follow float, clean and under attack."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tinyfuse.core import toml
from tinyfuse.core.errors import ModelError
from tinyfuse.core.results import ResultStore
from tinyfuse.core.workers import Processes
from tinyfuse.data import Dataset
from tinyfuse.study.matrix import Matrix
from tinyfuse.study.run import Run
from tinyfuse.study.stages.rejudge import Interpreters, clean_path
from tinyfuse.study.sweep import attack_all, convert_all, train_all

MODELS = Path(__file__).resolve().parent.parent.parent / "models" / "digits"


@pytest.fixture(scope="module")
def run(real_digits: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A sweep over intermediate fusion, which is not trained again."""
    folder = tmp_path_factory.mktemp("real")
    (folder / "models").mkdir()
    for suffix in (".keras", ".toml"):
        shutil.copy(MODELS / f"intermediate{suffix}", folder / "models")
    training = toml.read(MODELS / "intermediate.toml", ModelError)["training"]
    matrix = Matrix(models=("intermediate",), recipes=("w8", "w6"), mixes=(), executors=("tflm",), epsilons=(0.05,),
                    steps=3, attack_samples=40, clean_samples=200, raw_samples=4, probe_samples=2,
                    **{name: training[name] for name in ("epochs", "batch_size", "learning_rate")})
    made = Run(folder, folder / "models", matrix, real_digits, training["seed"], ResultStore(folder / "results.jsonl"))
    networks = train_all(made)
    files = convert_all(made, networks)
    interpreters = Interpreters(made, Processes(2))
    attack_all(made, networks, files, interpreters)
    interpreters.finish()
    return made


def accuracy(run: Run, **wanted: object) -> float:
    rows = [row for row in run.store.rows() if all(row.get(name) == value for name, value in wanted.items())]
    assert len(rows) == 1, wanted
    return float(rows[0]["accuracy"])


def test_integers_follow_float_on_real_digits(run: Run) -> None:
    clean = accuracy(run, kind="clean", precision="float", n=200)
    assert clean > 0.95
    assert abs(accuracy(run, kind="clean", precision="w8", executor="twin", n=200) - clean) <= 0.01
    assert abs(accuracy(run, kind="clean", precision="w6", executor="twin", n=200) - clean) <= 0.03


def test_the_integers_fall_to_their_own_gradients_and_less_to_those_of_the_float_network(run: Run) -> None:
    wanted: dict[str, object] = {"kind": "attack", "attacked": ["image", "audio"]}
    float_both = accuracy(run, precision="float", criterion="union", **wanted)
    white_box = accuracy(run, precision="w8", criterion="union", threat="codes", **wanted)
    rounded = accuracy(run, precision="w8", criterion="union", threat="real", **wanted)
    replayed = accuracy(run, precision="w8", criterion="replayed", **wanted)
    assert float_both < 0.8 and white_box < 0.8
    assert rounded <= white_box <= replayed + 0.05


def test_tflite_micro_computes_the_same_codes_on_adversarial_inputs(run: Run) -> None:
    rows = run.store.rows("parity")
    assert {(row["precision"], row["b"]) for row in rows} == {("w8", "tflm"), ("w6", "tflm")}
    assert all(row["values"] == 10 * row["samples"] and row["differing"] == 0 for row in rows)
    for recipe in ("w6", "w8"):
        assert sum(row["samples"] for row in rows if row["precision"] == recipe) == 300


def test_clean_inputs_on_disk_are_the_judged_ones(run: Run) -> None:
    with np.load(clean_path(run, 200)) as archive:
        assert np.array_equal(archive["image"], run.dataset.test.balanced(200, seed=0).inputs["image"])
