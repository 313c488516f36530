"""Training seeds as a list: read from text, refused where they mean nothing, each in a place of its own."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from tinyfuse.cli import options
from tinyfuse.core.errors import UsageError
from tinyfuse.core.results import ResultStore
from tinyfuse.data import Dataset
from tinyfuse.study.matrix import Matrix
from tinyfuse.study.run import Run


@pytest.mark.parametrize(("text", "seeds"), [("0-4", (0, 1, 2, 3, 4)), ("7", (7,)), ("0,2,5-6", (0, 2, 5, 6))])
def test_seeds_are_numbers_and_ranges(text: str, seeds: tuple[int, ...]) -> None:
    """As a user writes them."""
    assert options.seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "4-2", "-1", "0-", "0-1000", "1,,2", "99999999999999"])
def test_other_texts_are_no_seeds(text: str) -> None:
    """One line that says what to give."""
    with pytest.raises(argparse.ArgumentTypeError, match="0-4"):
        options.seeds(text)


@pytest.mark.parametrize("seeds", [(0, 0), (-1,), (2**32,)])
def test_a_matrix_refuses_seeds_that_are_none(seeds: tuple[int, ...]) -> None:
    """Twice the same training, or a number that no generator takes."""
    with pytest.raises(UsageError, match=f"training seed {seeds[0]}"):
        Matrix(seeds=seeds)


def test_each_training_has_its_folder_and_all_judge_the_same_samples(tiny_dataset: Dataset, tmp_path: Path) -> None:
    """The seed of the data keeps the folder that a run of one training has."""
    run = Run(tmp_path, tmp_path / "models", Matrix(seeds=(2, 0)), tiny_dataset, 0, ResultStore())
    first, second = run.trainings()
    assert (first.seed, first.models) == (2, tmp_path / "models" / "seed-2")
    assert (second.seed, second.models) == (0, tmp_path / "models")
    assert first.store is run.store and first.dataset is run.dataset
