"""Recipe names decode, TOML is strict, rules win in their order."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyfuse.core import toml
from tinyfuse.core.errors import RecipeError
from tinyfuse.quantize.recipe import (
    ACTIVATION_BITS,
    BITS,
    BRANCHES,
    EXAMPLE,
    METHODS,
    Activations,
    LayerRule,
    Precision,
    from_table,
    precision,
)

widths = st.sampled_from(BITS)
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9.-]{0,20}", fullmatch=True)
thin = st.sampled_from(ACTIVATION_BITS)
patterns = st.from_regex(r"[a-z_*?0-9]{1,12}", fullmatch=True)
rules = st.lists(st.builds(LayerRule, patterns, widths, st.none() | thin) | st.builds(
    LayerRule, patterns, st.none(), thin), max_size=3)
methods = st.sets(st.sampled_from(list(METHODS))).map(lambda chosen: tuple(name for name in METHODS if name in chosen))
weight_rules = st.lists(st.builds(LayerRule, patterns, widths), max_size=3)
recipes = st.builds(Precision, names, widths, widths, widths, rules.map(tuple), st.just("symmetric"),
                    st.builds(Activations, thin, thin, thin), methods) | st.builds(
    Precision, names, widths, widths, widths, weight_rules.map(tuple), st.just("minmax"))


@given(recipe=recipes)
def test_a_recipe_survives_its_file(recipe: Precision, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("recipes") / "recipe.toml"
    path.write_text(toml.dumps(recipe.to_table()))
    assert precision(path) == recipe


@given(image=widths, audio=widths, shared=widths)
def test_names_decode(image: int, audio: int, shared: int) -> None:
    found = precision(f"image{image}-audio{audio}-shared{shared}")
    assert (found.image, found.audio, found.shared, found.name) == (
        image, audio, shared, f"image{image}-audio{audio}-shared{shared}")
    assert {precision(f"w{image}").bits_for("any", branch) for branch in BRANCHES} == {image}
    assert precision(f"minmax{image}").scheme == "minmax"


@given(weights=st.tuples(widths, widths, widths), activations=st.tuples(thin, thin, thin), methods=methods)
def test_names_with_activations_and_methods_decode(weights: tuple[int, int, int], activations: tuple[int, int, int],
                                                   methods: tuple[str, ...]) -> None:
    name = "-".join([*(f"{branch}-w{w}a{a}" for branch, w, a in zip(BRANCHES, weights, activations, strict=True)),
                     *methods])
    assert precision(name) == Precision(name, *weights, activations=Activations(*activations), methods=methods)
    one = precision("-".join([f"w{weights[0]}a{activations[0]}", *methods]))
    assert {one.bits_for("any", branch) for branch in BRANCHES} == {weights[0]}
    assert {one.activation_bits_for("any", branch) for branch in BRANCHES} == {activations[0]}
    assert one.methods == methods


def test_a_rule_sets_weights_activations_or_both() -> None:
    recipe = Precision("r", 8, 8, 8, (LayerRule("*", 4, 6), LayerRule("image_*", None, 7), LayerRule("*_head", 5)))
    assert (recipe.bits_for("image_head", "image"), recipe.activation_bits_for("image_head", "image")) == (5, 7)
    assert recipe.activation_bits_for("audio_head", "audio") == 6
    assert recipe.activation_widths() == {6, 7, 8}


def test_the_example_of_the_help_text_is_a_recipe(tmp_path: Path) -> None:
    (tmp_path / "example.toml").write_text(EXAMPLE)
    found = precision(tmp_path / "example.toml")
    assert found.bits_for("image_stem_conv", "image") == 6
    assert found.bits_for("shared_block3_conv1", "shared") == 7
    assert found.bits_for("shared_head", "shared") == 8


def test_a_later_rule_wins() -> None:
    recipe = Precision("r", 8, 8, 8, (LayerRule("*", 4), LayerRule("image_*", 5)))
    assert (recipe.bits_for("image_head", "image"), recipe.bits_for("audio_head", "audio")) == (5, 4)


@pytest.mark.parametrize("text", ["w1", "w10", "w", "image6-audio9", "W8", "image1-audio8-shared8", "", "minmax0",
                                  "w6a5", "w6-gptq-mse", "w6-mse-mse", "minmax6-mse", "minmax6a7", "mse", "-mse"])
def test_unknown_names(text: str) -> None:
    with pytest.raises(RecipeError):
        precision(text)


@pytest.mark.parametrize(("change", "message"), [
    ({"wieghts": {}}, "unknown key 'wieghts' \\(did you mean 'weights'\\?\\)"),
    ({"weights": {"image": 6, "audio": 6}}, "'shared' is missing"),
    ({"weights": {"image": 6, "audio": 6, "shared": 6.5}}, "6.5 bits"),
    ({"weights": {"image": 6, "audio": 6, "shared": True}}, "True bits"),
    ({"scheme": "symetric"}, "did you mean 'symmetric'"),
    ({"name": "../escape"}, "cannot be a file name"),
    ({"layer": [{"pattern": "*", "bits": 10}]}, "10 bits"),
    ({"layer": [{"pattern": "*"}]}, "sets nothing"),
    ({"layer": [{"bits": 4}]}, "'pattern' is missing"),
    ({"activations": {"image": 5}}, "5 activation bits"),
    ({"activations": {"imag": 6}}, "did you mean 'image'"),
    ({"methods": ["gtpq"]}, "did you mean 'gptq'"),
    ({"methods": ["gptq", "mse"]}, "in the order"),
    ({"methods": [3]}, "unknown method '3'"),
    ({"methods": "mse"}, "array of strings"),
    ({"methods": ["mse"], "scheme": "minmax"}, "leave out methods"),
    ({"layer": 3}, "array of tables"),
    ({"layer": ["ab"]}, "array of tables"),
])
def test_bad_recipes(change: dict[str, object], message: str) -> None:
    table = {"name": "r", "weights": {"image": 6, "audio": 6, "shared": 6}} | change
    with pytest.raises(RecipeError, match=message):
        from_table(table, "recipe.toml")


def test_a_rule_that_matches_no_layer() -> None:
    recipe = Precision("r", 8, 8, 8, (LayerRule("image_stem_cnov", 5),))
    with pytest.raises(RecipeError, match="did you mean 'image_stem_conv'"):
        recipe.check_layers(["image_stem_conv", "image_head"])


@pytest.mark.parametrize("content", [b"\xff\xfe", b"name = ", b"x" * (2 << 20)])
def test_a_file_that_is_no_toml(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_bytes(content)
    with pytest.raises(RecipeError, match=r"r\.toml"):
        precision(tmp_path / "r.toml")
