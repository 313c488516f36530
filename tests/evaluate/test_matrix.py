"""Matrices on disk are read strictly, and the committed ones are valid."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinyfuse.core import toml
from tinyfuse.core.errors import UsageError
from tinyfuse.study.matrix import QUICK, Matrix, from_table, read_matrix

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "matrices"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_committed_matrices_are_valid(path: Path) -> None:
    matrix = read_matrix(path)
    assert all(matrix.precisions_of(model) for model in matrix.models)


@pytest.mark.parametrize("matrix", [Matrix(), QUICK], ids=["default", "quick"])
def test_a_matrix_survives_its_table(matrix: Matrix) -> None:
    assert from_table(matrix.to_table(), "table") == matrix


def test_mixes_are_for_fusions_only() -> None:
    assert {recipe.name for recipe in Matrix().precisions_of("audio")} == {"w6", "w7", "w8", "w9"}
    assert len(Matrix().precisions_of("late")) == 4 + len(Matrix().mixes)
    assert (list(Matrix().modes_of("audio")), list(Matrix().modes_of("early"))) == (["audio"],
                                                                                   ["image", "audio", "both"])


def test_two_recipes_of_one_name_are_refused(tmp_path: Path) -> None:
    for number, bits in enumerate((3, 8)):
        recipe = {"name": "mine", "weights": dict.fromkeys(("image", "audio", "shared"), bits)}
        (tmp_path / f"{number}.toml").write_text(toml.dumps(recipe))
    with pytest.raises(UsageError, match="two recipes are called 'mine'"):
        Matrix(precisions=tuple(str(tmp_path / f"{number}.toml") for number in range(2)))


@pytest.mark.parametrize(("threats", "words"), [(("codes", "rael"), "did you mean 'real'"),
                                                (("real",), "without 'codes'")])
def test_threats_are_g_and_perhaps_r(threats: tuple[str, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Matrix(threats=threats)
