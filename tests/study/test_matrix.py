"""Matrices on disk are read strictly, and the committed ones are valid."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinyfuse.core import toml
from tinyfuse.core.errors import TinyfuseError, UsageError
from tinyfuse.core.strict import decode
from tinyfuse.nn import zoo
from tinyfuse.quantize.recipe import read_recipe, uniform
from tinyfuse.study.matrix import Matrix, quick, read_matrix

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "matrices"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_committed_matrices_are_valid(path: Path) -> None:
    matrix = read_matrix(path)
    assert set(matrix.models) <= set(zoo.names())
    assert all(matrix.recipes_for(inputs) for inputs in (("image",), ("image", "audio")))


@pytest.mark.parametrize("matrix", [Matrix(), quick(), Matrix(recipes=("w6", uniform(3)), mixes=())],
                         ids=["default", "quick", "recipes"])
def test_a_matrix_survives_its_table(matrix: Matrix) -> None:
    assert decode(Matrix, matrix.to_table(), "table", UsageError) == matrix


def test_mixes_follow_from_the_inputs_of_a_network() -> None:
    assert {recipe.name for recipe in Matrix().recipes_for(("audio",))} == {"w6", "w7", "w8", "w9"}
    mixes = [recipe.name for recipe in Matrix().recipes_for(("image", "audio"))[4:]]
    assert mixes == ["image6-audio8-shared8", "image8-audio6-shared8"]
    assert Matrix().recipes_for(("camera", "mic", "imu"))[5].name == "camera8-mic6-imu8-shared8"
    assert Matrix(mixes=()).recipes_for(("image", "audio")) == [read_recipe(f"w{bits}") for bits in (6, 7, 8, 9)]


def test_two_recipes_of_one_name_are_refused(tmp_path: Path) -> None:
    for number, bits in enumerate((3, 8)):
        recipe = {"name": "mine", "weights": {"shared": bits}}
        (tmp_path / f"{number}.toml").write_text(toml.dumps(recipe))
    with pytest.raises(UsageError, match="two recipes are called 'mine'"):
        Matrix(recipes=tuple(str(tmp_path / f"{number}.toml") for number in range(2)))


@pytest.mark.parametrize(("table", "words"), [
    ({"attack_pairs": 3}, "unknown key 'attack_pairs'.*did you mean 'attack_samples'"),
    ({"steps": 0}, "steps is 0; a whole number of at least 1"), ({"steps": True}, "expected a whole number"),
    ({"epsilons": [-0.1]}, "a number of at least 0"), ({"epsilons": []}, "at least one entry"),
    ({"norm": "l3"}, "norm 'l3'"), ({"models": ["my.keras"], "seeds": [1]}, "seeds train a network again"),
    ({"transfer_from": ["w5"]}, "transfer_from 'w5'"), ({"executors": "litert"}, "expected a list"),
    ({"scenes": ["mic=40"]}, "'40' is no budget of a recording or a frame"),
    ({"frontend": "fix"}, "did you mean 'fixed'"),
    ({"scenes": ["40dB"]}, "scenes '40dB'; give each once, with the names of its inputs"),
    ({"scenes": ["mic=40dB,eye=5deg"]}, "tried on a grid")])
def test_a_wrong_matrix_is_one_line(table: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        decode(Matrix, table, "mine.toml", UsageError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("model", "words"), [("earli", "did you mean 'early'"), ("my.keras", "my.keras"),
                                              ("my.onnx", "run `onnx2tf")])
def test_a_model_is_a_name_or_the_file_of_a_network(model: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(toml.dumps({"models": [model]}))
    with pytest.raises(TinyfuseError, match=words) as caught:
        read_matrix(tmp_path / "mine.toml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("threats", "words"), [(("codes", "rael"), "did you mean 'real'"),
                                                (("real",), "without 'codes'")])
def test_threats_are_g_and_perhaps_r(threats: tuple[str, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Matrix(threats=threats)
