"""Recipe names decode for networks with any inputs, TOML is strict, rules win in their order."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyfuse.core import toml
from tinyfuse.core.errors import RecipeError, UsageError
from tinyfuse.core.strict import decode, encode
from tinyfuse.data.samples import check_input_name
from tinyfuse.quantize.recipe import (
    ACTIVATION_BITS,
    BITS,
    EXAMPLE,
    METHODS,
    LayerRule,
    Recipe,
    from_table,
    mix_name,
    read_recipe,
    uniform,
)

widths = st.sampled_from(BITS)
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9.-]{0,20}", fullmatch=True)
thin = st.sampled_from(ACTIVATION_BITS)
patterns = st.from_regex(r"[a-z_*?0-9]{1,12}", fullmatch=True)
rules = st.lists(st.builds(LayerRule, patterns, widths, st.none() | thin) | st.builds(
    LayerRule, patterns, st.none(), thin), max_size=3)
methods = st.sets(st.sampled_from(list(METHODS))).map(lambda chosen: tuple(name for name in METHODS if name in chosen))
weight_rules = st.lists(st.builds(LayerRule, patterns, widths), max_size=3)


def is_input(name: str) -> bool:
    try:
        check_input_name(name)
    except UsageError:
        return False
    return True


inputs = st.lists(st.from_regex(r"[A-Za-z](?:_?[A-Za-z0-9]){0,8}", fullmatch=True).filter(is_input), max_size=4,
                  unique=True)
words = st.lists(st.sampled_from(["w6a", "a7", "mic2", "minmax6", "image", "shared2", "w_6", "qat1", "a"]), max_size=4,
                 unique=True)


@st.composite
def by_branch(draw: st.DrawFn, bits: st.SearchStrategy[int]) -> dict[str, int]:
    """Bits of one to four inputs, and of what is shared."""
    return {name: draw(bits) for name in (*draw(inputs | words.map(lambda all_: [*filter(is_input, all_)])), "shared")}


recipes = st.builds(Recipe, names, by_branch(widths), rules.map(tuple), st.just("symmetric"),
                    by_branch(thin) | st.just({}), methods) | st.builds(
    Recipe, names, by_branch(widths), weight_rules.map(tuple), st.just("minmax"))


@given(recipe=recipes)
def test_a_recipe_survives_its_file_and_its_table(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("recipes") / "recipe.toml"
    path.write_text(toml.dumps(recipe.to_table()))
    assert read_recipe(path) == recipe
    assert decode(Recipe, encode(recipe), "table", RecipeError) == recipe


@given(weights=by_branch(widths), methods=methods)
def test_every_name_made_of_legal_input_names_reads_back(weights: dict[str, int], methods: tuple[str, ...]) -> None:
    if len(weights) == 1:
        assert read_recipe("-".join([f"w{weights['shared']}", *methods])) == uniform(weights["shared"], methods)
        return
    name = "-".join([mix_name(weights), *methods])
    assert read_recipe(name) == Recipe(name, weights, methods=methods)
    assert mix_name(dict(reversed(weights.items()))).endswith(f"-shared{weights['shared']}")


@given(weights=by_branch(widths), methods=methods, data=st.data())
def test_names_with_activations_read_back(weights: dict[str, int], methods: tuple[str, ...],
                                          data: st.DataObject) -> None:
    activations = {branch: data.draw(thin) for branch in weights}
    pairs = "-".join(f"{branch}-w{bits}a{activations[branch]}" for branch, bits in weights.items())
    name = "-".join([pairs if len(weights) > 1 else pairs.removeprefix("shared-"), *methods])
    found = read_recipe(name)
    assert found == Recipe(name, weights, activations=activations, methods=methods)
    for branch in weights:
        assert found.bits_for("any", branch) == weights[branch]
        assert found.activation_bits_for("any", branch) == activations[branch]


@given(bits=widths)
def test_an_input_without_a_key_has_the_shared_bits(bits: int) -> None:
    assert {read_recipe(f"w{bits}").bits_for("any", branch) for branch in ("camera", "mic", "shared")} == {bits}
    assert read_recipe(f"camera4-shared{bits}").bits_for("any", "mic") == bits
    assert read_recipe("w6a7").activation_bits_for("any", "mic") == 7
    assert read_recipe("w6").activation_bits_for("any", "shared") == 8
    assert Recipe("r", {"shared": 6}, activations={"camera": 6}).activation_widths() == {6, 8}
    assert read_recipe(f"minmax{bits}").scheme == "minmax"


def test_a_rule_sets_weights_activations_or_both() -> None:
    recipe = Recipe("r", {"shared": 8}, (LayerRule("*", 4, 6), LayerRule("image_*", None, 7), LayerRule("*_head", 5)))
    assert (recipe.bits_for("image_head", "image"), recipe.activation_bits_for("image_head", "image")) == (5, 7)
    assert recipe.activation_bits_for("audio_head", "audio") == 6
    assert recipe.activation_widths() == {6, 7, 8}


def test_the_example_of_the_help_text_is_a_recipe(tmp_path: Path) -> None:
    (tmp_path / "example.toml").write_text(EXAMPLE)
    found = read_recipe(tmp_path / "example.toml")
    assert (found.bits_for("stem", "camera"), found.bits_for("stem", "mic")) == (6, 9)
    assert found.bits_for("shared_block3_conv1", "shared") == 7
    assert found.bits_for("shared_head", "shared") == 8


def test_a_later_rule_wins() -> None:
    recipe = Recipe("r", {"shared": 8}, (LayerRule("*", 4), LayerRule("image_*", 5)))
    assert (recipe.bits_for("image_head", "image"), recipe.bits_for("audio_head", "audio")) == (5, 4)


@pytest.mark.parametrize("text", ["w1", "w10", "w", "image6-audio9", "W8", "image1-audio8-shared8", "", "minmax0",
                                  "w6a5", "w6-gptq-mse", "w6-mse-mse", "minmax6-mse", "minmax6a7", "mse", "-mse",
                                  "shared8", "shared8-image6", "image6-shared8-audio9", "image6-image5-shared8",
                                  "image_6-shared8", "all6-shared8", "w46-shared8", "2mic6-shared8", "ima ge6-shared8",
                                  "image-w6a7-shared8", "image6-shared-w8a8", "image-w6-shared-w8"])
def test_unknown_names(text: str) -> None:
    with pytest.raises(RecipeError):
        read_recipe(text)


@pytest.mark.parametrize(("change", "message"), [
    ({"wieghts": {}}, "unknown key 'wieghts' \\(did you mean 'weights'\\?\\)"),
    ({"weights": {"image": 6, "audio": 6}}, "weights without 'shared'"),
    ({"weights": {"image": 6, "audio": 6, "shared": 6.5}}, "weights.shared is 6.5"),
    ({"weights": {"image": 6, "audio": 6, "shared": True}}, "weights.shared is True"),
    ({"weights": {"all": 6, "shared": 6}}, "'all' is a word of recipes"),
    ({"weights": 6}, "weights is 6; expected a table"),
    ({"scheme": "symetric"}, "did you mean 'symmetric'"),
    ({"name": "../escape"}, "cannot be a file name"),
    ({"layers": [{"pattern": "*", "bits": 10}]}, "10 bits"),
    ({"layers": [{"pattern": "*"}]}, "sets nothing"),
    ({"layers": [{"bits": 4}]}, "'pattern' is missing"),
    ({"activations": {"image": 5}}, "5 activation bits"),
    ({"activations": {"im age": 6}}, "input name 'im age'"),
    ({"methods": ["gtpq"]}, "did you mean 'gptq'"),
    ({"methods": ["gptq", "mse"]}, "in the order"),
    ({"methods": [3]}, "methods is 3; expected a text"),
    ({"methods": "mse"}, "expected a list"),
    ({"methods": ["mse"], "scheme": "minmax"}, "leave out methods"),
    ({"layers": 3}, "expected a list"),
    ({"layers": ["ab"]}, "is no table"),
])
def test_bad_recipes(change: dict[str, object], message: str) -> None:
    table = {"name": "r", "weights": {"image": 6, "audio": 6, "shared": 6}} | change
    with pytest.raises(RecipeError, match=message):
        from_table(table, "recipe.toml")


def test_a_recipe_that_does_not_fit_a_network() -> None:
    layers, inputs_ = ["image_stem_conv", "image_head"], ("image", "audio")
    with pytest.raises(RecipeError, match="did you mean 'image_stem_conv'"):
        Recipe("r", {"shared": 8}, (LayerRule("image_stem_cnov", 5),)).check_network(layers, inputs_)
    for recipe in (read_recipe("imgae6-shared8"), Recipe("r", {"shared": 8}, activations={"imgae": 6})):
        with pytest.raises(RecipeError, match=r"no input 'imgae' .did you mean 'image'.*name image, audio, shared"):
            recipe.check_network(layers, inputs_)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"name = ", b"x" * (2 << 20)])
def test_a_file_that_is_no_toml(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_bytes(content)
    with pytest.raises(RecipeError, match=r"r\.toml"):
        read_recipe(tmp_path / "r.toml")
