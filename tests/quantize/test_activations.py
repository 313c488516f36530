"""Activations of 6 to 9 bits: the kernels keep the codes, every value is TFLite Micro's, the grid at the ends stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyfuse import data
from tinyfuse.attacks import PGD, Threat, TwinTarget
from tinyfuse.core.errors import ConversionError, RecipeError
from tinyfuse.data import Dataset, Samples
from tinyfuse.integer.arithmetic import activation_range, quantize_multiplier, rescale
from tinyfuse.integer.compare import compare
from tinyfuse.integer.executors import EXECUTORS, open_executor
from tinyfuse.integer.model import IntegerModel, dequantize, load_model, random_codes
from tinyfuse.nn import zoo
from tinyfuse.nn.network import Network, load_network
from tinyfuse.nn.predict import predict
from tinyfuse.quantize.convert import Baseline, Conversion, baseline, convert
from tinyfuse.quantize.readback import check_written, written_ranges
from tinyfuse.quantize.recipe import LayerRule, Recipe, read_recipe
from tinyfuse.quantize.tensor_units import CUT, in_unit, unit_classes
from tinyfuse.study.stages.convert import describe, prove
from tinyfuse.tflite import flatbuffer
from tinyfuse.threats.code_threats import code_problem

Lively = Callable[[str], tuple[Network, Baseline]]
DIGITS = Path(__file__).resolve().parents[2] / "models" / "digits"
MIX = "image-w6a7-audio-w9a9-shared-w8a8"
RULES = Recipe("rules", {"shared": 7}, (LayerRule("*_block2_*", 6, 9), LayerRule("*_stem_conv", None, 6)))
NARROW = Recipe("narrow", {"image": 8, "audio": 9, "shared": 8}, (LayerRule("*_block1_conv1", None, 9),),
                activations={"image": 6, "audio": 7, "shared": 6})


def recipe_of(recipe: str | Recipe) -> Recipe:
    return read_recipe(recipe) if isinstance(recipe, str) else recipe


def made_by(model: IntegerModel) -> dict[str, int]:
    """The tensor of each layer that hands on a ReLU's output, found by its clamp and the weights before it."""
    found, layer = {}, ""
    for operator in model.graph.operators:
        if operator.name == "CONV_2D":
            layer = model.graph.tensors[operator.inputs[1]].name.removesuffix("/weights")
        if operator.name in ("CONV_2D", "ADD") and operator.options["fused_activation_function"] != "NONE":
            found[layer if operator.name == "CONV_2D" else layer.replace("_shortcut", "_conv2")] = operator.outputs[0]
    return found


@pytest.mark.parametrize("name, recipe", [
    *(("intermediate", recipe) for recipe in ("w6a6", "w7a7", "w8a9", "w9a9", MIX, RULES, NARROW)),
    ("early", "w9a6"), ("early", "w9a9"), ("early", RULES), ("late", "w6a6"), ("late", MIX), ("late", RULES)], ids=str)
def test_every_tensor_equals_that_of_tflm(name: str, recipe: str | Recipe, lively: Lively) -> None:
    model = load_model(convert(lively(name)[1], recipe_of(recipe)).data, name=name)
    found = compare(model, ["twin", "tflm"], random_codes(model, 4, seed=1)).differences[0]
    assert found.differing == 0 and found.values > 100_000


@pytest.mark.parametrize("name, recipe", [("image", "w6a6"), ("audio", "w8a9"), ("early", "w7a7"), ("late", MIX),
                                          ("intermediate", RULES)], ids=str)
def test_codes_stay_in_their_range_and_use_it(name: str, recipe: str | Recipe, lively: Lively,
                                              tiny_dataset: Dataset) -> None:
    conversion = convert(lively(name)[1], recipe_of(recipe))
    check_written(conversion)
    model, ranges = load_model(conversion.data), written_ranges(conversion.data, name)
    assert ranges.keys() == made_by(model).keys() == conversion.activations.keys()
    samples = tiny_dataset.test.balanced(10, seed=0)
    tensors = open_executor(model, "tflm").tensors(model.codes_of(samples.inputs))
    for layer, index in made_by(model).items():
        low, high = ranges[layer]
        bits = conversion.activations[layer].bits
        assert high - low + 1 == 2**bits
        assert low == (-128 if tensors[index].dtype == np.int8 else 0) == tensors[index].min()
        # A stem has the unit of its block's sum, and that one's cut: here up to twice what it needs.
        assert low + 2 ** (bits - (2 if "stem" in layer else 1)) < tensors[index].max() <= high


def test_a_width_per_modality_and_its_containers(lively: Lively) -> None:
    conversion = convert(lively("late")[1], read_recipe(MIX))
    bits = {layer: one.bits for layer, one in conversion.activations.items()}
    assert {bits[layer] for layer in bits if layer.startswith("image")} == {7}
    assert {bits[layer] for layer in bits if layer.startswith("audio")} == {9}
    assert "shared_head" not in bits and len(bits) == 14
    model = load_model(conversion.data)
    for layer, index in made_by(model).items():
        assert str(model.graph.tensors[index].dtype) == ("int16" if layer.startswith("audio") else "int8")
    names = [operator.name for operator in model.graph.operators]
    assert names.count("QUANTIZE") == 3, "the audio input, the image's pooled features, the logits"


def test_a_rule_reaches_one_layer(lively: Lively) -> None:
    recipe = Recipe("one", {"shared": 8}, (LayerRule("*_block2_conv2", None, 6),))
    conversion = convert(lively("image")[1], recipe)
    assert {layer for layer, one in conversion.activations.items() if one.bits != 8} == {"image_block2_conv2"}
    plain = convert(lively("image")[1], read_recipe("w8"))
    changed = [layer for layer, span in written_ranges(conversion.data, "one").items()
               if span != written_ranges(plain.data, "plain")[layer]]
    assert changed == ["image_block2_conv2"]


@pytest.mark.parametrize("name", zoo.DIGIT_NETWORKS)
def test_inputs_logits_and_weight_codes_are_those_of_8_bits(name: str, lively: Lively) -> None:
    plain, mixed = (convert(lively(name)[1], read_recipe(recipe)) for recipe in (MIX.replace("a7", "a8").replace(
        "a9", "a8"), MIX))
    models = [load_model(conversion.data) for conversion in (plain, mixed)]
    for ports in zip(*(([*model.inputs, model.output]) for model in models), strict=True):
        assert len({(port.name, port.dtype, port.shape, port.scale, port.zero_point) for port in ports}) == 1
    for layer, codes in plain.codes.items():
        assert np.array_equal(codes.values, mixed.codes[layer].values)
        assert np.array_equal(codes.scale, mixed.codes[layer].scale)


def test_more_activation_bits_are_nearer_to_float(lively: Lively, tiny_dataset: Dataset) -> None:
    network, base = lively("intermediate")
    samples = tiny_dataset.test.balanced(12, seed=0)
    error = {}
    for recipe in ("w9a6", "w9a7", "w9a8", "w9a9"):
        model = load_model(convert(base, read_recipe(recipe)).data)
        logits = dequantize(open_executor(model, "twin").run(model.codes_of(samples.inputs)), model.output)
        error[recipe] = float(np.abs(logits - predict(network.model, samples)).mean())
    assert error["w9a6"] > 1.4 * error["w9a7"] > 1.6 * error["w9a8"] > 1.7 * error["w9a9"]


@pytest.mark.parametrize("recipe", ["w6a6", MIX])
def test_the_proof_passes_and_runtimes_agree(recipe: str, lively: Lively, tiny_dataset: Dataset) -> None:
    network, base = lively("intermediate")
    samples = tiny_dataset.test.balanced(6, seed=0)
    conversion = convert(base, read_recipe(recipe))
    proof = prove(conversion, samples, predict(network.model, samples))
    assert proof.differing_codes["twin"] == 0 and proof.differing_codes["litert-reference"] < 10
    model = load_model(conversion.data)
    codes = model.codes_of(samples.inputs)
    found = [open_executor(model, executor).run(codes).astype(int) for executor in EXECUTORS]
    assert max(np.abs(one - found[0]).max() for one in found) <= 12


def test_the_table_says_what_is_true(lively: Lively, tiny_dataset: Dataset) -> None:
    network, base = lively("late")
    samples = tiny_dataset.test.balanced(2, seed=0)
    plain, mixed = (convert(base, read_recipe(recipe)) for recipe in ("w6a8", MIX))
    table = describe(plain, prove(plain, samples, predict(network.model, samples)))
    assert table["activation_bits"] == 8 and isinstance(table["activation_bits"], int)
    assert all("activation_bits" not in layer for layer in table["layers"])
    table = describe(mixed, prove(mixed, samples, predict(network.model, samples)))
    assert table["activation_bits"] == 8.0, "7 bits and 9 bits, of as many codes"
    widths = {layer["name"]: layer.get("activation_bits") for layer in table["layers"]}
    assert (widths["image_stem_conv"], widths["audio_block3_conv2"]) == (7, 9)
    assert widths["image_block2_shortcut"] is None and widths["shared_head"] is None


def test_8_bits_are_written_as_without_a_word_about_activations(lively: Lively) -> None:
    base = lively("early")[1]
    explicit = Recipe("w6", {"shared": 6}, (LayerRule("*", None, 8),))
    assert convert(base, explicit).data == convert(base, read_recipe("w6")).data
    # All layers of early fusion are shared.
    other = Recipe("w6", {"shared": 6}, activations={"image": 6, "audio": 9, "shared": 8})
    assert convert(base, other).data == convert(base, read_recipe("w6")).data


def without_clamp(conversion: Conversion) -> bytes:
    model = flatbuffer.read(conversion.data, "model")
    operator = next(op for op in model.subgraphs[0].operators
                    if getattr(op.builtinOptions, "fusedActivationFunction", 0))
    operator.builtinOptions.fusedActivationFunction = flatbuffer.schema().ActivationFunctionType.RELU
    return flatbuffer.write(model)


@pytest.mark.parametrize("recipe", ["w6a6", "w6a9"])
def test_a_kernel_that_lets_out_more_fails_the_check(recipe: str, lively: Lively) -> None:
    conversion = convert(lively("image")[1], read_recipe(recipe))
    changed = Conversion(conversion.model, conversion.recipe, without_clamp(conversion), conversion.layers,
                         conversion.codes, conversion.activations, conversion.units)
    with pytest.raises(ConversionError, match="'image_stem_conv': the kernel lets out codes from"):
        check_written(changed)


def test_what_cannot_be_written(lively: Lively) -> None:
    base = lively("image")[1]
    with pytest.raises(RecipeError, match="no layer matches 'image_head'"):
        convert(base, Recipe("r", {"shared": 8}, (LayerRule("image_head", None, 6),)))


def test_a_sum_ties_its_block_and_a_convolution_parts_units(lively: Lively) -> None:
    model = flatbuffer.read(lively("image")[1].data, "image")
    roots = unit_classes(model)
    sums = [operator for operator in model.subgraphs[0].operators if flatbuffer.operator_name(model, operator) == "ADD"]
    for operator in sums:
        assert len({roots[int(index)] for index in (*operator.inputs, *operator.outputs)}) == 1
    assert len({roots[int(operator.outputs[0])] for operator in sums}) == 3


@settings(deadline=None)  # the first call compiles
@given(cut=st.floats(1e-3, 1e4), bits=st.integers(2, 9), code=st.integers(0, 511))
def test_a_cut_is_the_last_code_and_a_move_between_containers_exact(cut: float, bits: int, code: int) -> None:
    scale = in_unit(np.array([cut / (2**bits - 1)], np.float32), CUT / cut)
    wide, zero = bits == 9, 0 if bits == 9 else -128
    low, high = activation_range("RELU6", float(scale[0]), zero, np.dtype(np.int16 if wide else np.int8))
    assert (low, high) == (zero, zero + 2**bits - 1)
    multiplier, shift = quantize_multiplier(float(scale[0]) / float(scale[0]))
    assert rescale(np.int64(code), np.int64(multiplier), np.int64(shift)) == code


@pytest.fixture(scope="module")
def trained() -> tuple[Baseline, Samples]:
    """A network that was trained, and spoken and written digits that it reads."""
    embedded = data.load()
    network = load_network(DIGITS / "early.keras")
    return baseline(network, embedded.train.balanced(40, seed=0)), embedded.test.balanced(40, seed=0)


@pytest.mark.parametrize("recipe", ["w6a6", "w8a9"])
def test_accuracy_falls_along_gradients_and_not_in_noise(recipe: str, trained: tuple[Baseline, Samples]) -> None:
    base, samples = trained
    model = load_model(convert(base, read_recipe(recipe)).data)
    target, real = TwinTarget(model), Threat.of(base.inputs, {"image": 0.05, "audio": 0.05})
    threat, start = code_problem(real, samples.inputs, model.grids, "codes")
    signs = np.random.default_rng(0)
    noise = {name: np.clip(codes + threat.budget[name] * signs.choice([-1, 1], codes.shape), -128, 127).astype(
        np.float32) for name, codes in start.items()}
    attacked = PGD(steps=8).run(target, start, samples.label, threat).last
    clean, noisy, worst = (float(np.mean(target.logits(batch).argmax(axis=1) == samples.label))
                           for batch in (start, noise, attacked))
    assert clean > 0.85 and noisy > clean - 0.1 and worst < clean - 0.4
