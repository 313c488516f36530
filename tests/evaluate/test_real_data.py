"""On real digits: a short training already fuses well, and 8-bit integers follow float."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tinyfuse import data
from tinyfuse.evaluate.judging import clean_path, judge_all, pending
from tinyfuse.evaluate.matrix import Matrix
from tinyfuse.evaluate.run import Run
from tinyfuse.evaluate.sweep import convert_all, craft_networks, train_all
from tinyfuse.results import ResultStore


@pytest.fixture(scope="module")
def run(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    matrix = Matrix(models=("intermediate",), precisions=("w8", "w6"), mixes=(), executors=("tflm",),
                    attacks=("fgsm",), epsilons=(0.05,), attack_pairs=60, clean_pairs=300, epochs=3)
    folder = tmp_path_factory.mktemp("real")
    dataset = data.load(real_data, limit=4000)
    made = Run(folder, folder / "models", matrix, dataset, 0, ResultStore(folder / "results.jsonl"))
    networks = train_all(made)
    files = convert_all(made, networks)
    craft_networks(made, networks)
    judge_all(made, list(pending(made, networks[0], files["intermediate"])), jobs=2, tick=lambda cost, note: None)
    return made


def accuracy(run: Run, **wanted: object) -> float:
    rows = [row for row in run.store.rows() if all(row.get(name) == value for name, value in wanted.items())]
    assert len(rows) == 1, wanted
    return float(rows[0]["accuracy"])


def test_integers_follow_float_on_real_digits(run: Run) -> None:
    clean = accuracy(run, kind="clean", precision="float", n=300)
    assert clean > 0.95
    assert abs(accuracy(run, kind="clean", precision="w8", n=300) - clean) <= 0.01
    assert abs(accuracy(run, kind="clean", precision="w6", n=300) - clean) <= 0.03


def test_attacks_hurt_and_the_integer_model_is_no_exception(run: Run) -> None:
    float_both = accuracy(run, kind="attack", precision="float", modality="both", criterion="any-iterate")
    integer_both = accuracy(run, kind="attack", precision="w8", modality="both", criterion="replayed")
    assert float_both < 0.8
    assert integer_both < 0.9


def test_clean_inputs_on_disk_are_the_judged_ones(run: Run) -> None:
    with np.load(clean_path(run, 300)) as archive:
        assert np.array_equal(archive["image"], run.dataset.test.balanced(300, seed=0).image)
