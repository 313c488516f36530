"""A converted file holds the declared integers, computes them exactly, and follows the float network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tinyfuse.core.errors import ConversionError, RecipeError
from tinyfuse.data import Dataset
from tinyfuse.integer.executors import EXECUTORS, open_executor
from tinyfuse.integer.model import dequantize, load_model
from tinyfuse.nn import zoo
from tinyfuse.nn.network import Network
from tinyfuse.nn.predict import predict
from tinyfuse.quantize.convert import Baseline, Conversion, convert
from tinyfuse.quantize.folded_layers import folded_layers
from tinyfuse.quantize.minmax import simulate
from tinyfuse.quantize.readback import check_written, written_codes
from tinyfuse.quantize.recipe import LayerRule, Recipe, read_recipe
from tinyfuse.quantize.weight_codes import level
from tinyfuse.tflite import flatbuffer
from tinyfuse.tflite.editing import constant
from tinyfuse.tflite.flatbuffer import ALIGNMENT

Lively = Callable[[str], tuple[Network, Baseline]]
MIX = "image6-audio9-shared8"


def run(conversion: Conversion, dataset: Dataset, executor: str = "tflm", n: int = 12) -> np.ndarray:
    model = load_model(conversion.data)
    codes = model.codes_of(dataset.test.balanced(n, seed=0).inputs)
    return dequantize(open_executor(model, executor).run(codes), model.output)


@pytest.mark.parametrize("recipe", ["w8", "w6", "w9", MIX])
@pytest.mark.parametrize("name", zoo.DIGIT_NETWORKS)
def test_codes_in_the_file_and_distance_to_float(name: str, recipe: str, lively: Lively,
                                                 tiny_dataset: Dataset) -> None:
    network, base = lively(name)
    conversion = convert(base, read_recipe(recipe))
    check_written(conversion)
    expected = predict(network.model, tiny_dataset.test.balanced(12, seed=0))
    error = np.abs(run(conversion, tiny_dataset) - expected).max()
    assert error < np.ptp(expected) * (0.12 if recipe == "w6" else 0.05)


def test_fewer_bits_are_further_from_float(lively: Lively, tiny_dataset: Dataset) -> None:
    network, base = lively("early")
    expected = predict(network.model, tiny_dataset.test.balanced(12, seed=0))
    error = [np.abs(run(convert(base, read_recipe(f"w{bits}")), tiny_dataset) - expected).mean() for bits in (3, 5, 8)]
    assert error[0] > 2 * error[1] > 4 * error[2]


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("recipe", ["w7", "w9"])
def test_every_executor_runs_it(recipe: str, executor: str, lively: Lively, tiny_dataset: Dataset) -> None:
    conversion = convert(lively("intermediate")[1], read_recipe(recipe))
    assert np.abs(run(conversion, tiny_dataset, executor) - run(conversion, tiny_dataset)).max() < 0.6


def test_widths_follow_modality_and_layer(lively: Lively) -> None:
    recipe = Recipe("fine", {"image": 6, "audio": 9, "shared": 7},
                    (LayerRule("audio_stem_conv", 5), LayerRule("*_head", 8)))
    conversion = convert(lively("intermediate")[1], recipe)
    bits = {layer.name: set(layer.bits.values()) for layer in conversion.layers}
    assert bits["image_block2_conv1"] == {6}
    assert bits["audio_block1_conv2"] == {9}
    assert bits["audio_stem_conv"] == {5}
    assert bits["shared_block3_conv1"] == {7}
    assert bits["shared_head"] == {8}
    found = written_codes(conversion.data, "fine")
    for layer in conversion.layers:
        assert np.abs(found[layer.name][0]).max() == level(next(iter(layer.bits.values())))


def test_the_first_convolution_of_early_fusion_has_a_slice_for_each_modality(lively: Lively) -> None:
    stem = convert(lively("early")[1], read_recipe("image4-audio8-shared8")).codes["shared_stem_conv"]
    image, audio = stem.values[..., 0].reshape(16, -1), stem.values[..., 1].reshape(16, -1)
    assert max(len(np.unique(row)) for row in image) <= 2 * level(4) + 1
    assert max(len(np.unique(row)) for row in audio) <= 9
    assert all((row % stride == 0).all() for row, stride in zip(image, stem.stride[:, 0], strict=True))
    assert (stem.stride[:, 0] > 1).any()


def test_inputs_have_names_order_and_the_scale_of_their_contract(lively: Lively) -> None:
    for name in ("early", "intermediate", "late"):
        model = load_model(convert(lively(name)[1], read_recipe("w8")).data)
        assert [port.name for port in model.inputs] == ["image", "audio"]
        assert all(port.scale == np.float32(1 / 255) and port.zero_point == -128 for port in model.inputs)
    assert [port.name for port in load_model(convert(lively("audio")[1], read_recipe("w8")).data).inputs] == ["audio"]


def test_same_input_same_bytes_and_aligned_buffers(lively: Lively) -> None:
    base = lively("late")[1]
    first, second = (convert(base, read_recipe(MIX)).data for _ in range(2))
    assert first == second
    model = flatbuffer.read(first, "late")
    for buffer in model.buffers:
        if buffer.data is not None and len(buffer.data) >= 64 and any(buffer.data):
            assert first.find(np.asarray(buffer.data, np.uint8).tobytes()) % ALIGNMENT == 0


def test_packed_bytes_and_multiplications(lively: Lively) -> None:
    sizes = {recipe: convert(lively("image")[1], read_recipe(recipe)).layers for recipe in ("w6", "w8", "w9")}
    weights = sum(layer.weights for layer in sizes["w6"])
    channels = sum(len(layer.bias) for layer in lively("image")[1].layers)
    for recipe, layers in sizes.items():
        assert sum(layer.packed_bytes for layer in layers) == weights * int(recipe[1]) // 8 + 9 * channels
    assert sum(layer.macs for layer in sizes["w9"]) == 2 * sum(layer.macs for layer in sizes["w8"])


def multiply(x: np.ndarray, real: np.ndarray) -> np.ndarray:
    """TFLM's MultiplyByQuantizedMultiplier with double rounding, for multipliers below 1 (deployment facts 1.3)."""
    fraction, exponent = np.frexp(real)
    q31 = np.floor(fraction * 2**31 + 0.5).astype(np.int64)
    high = (x.astype(np.int64) * q31 + 2**30) >> 31
    shift = -exponent
    mask = (1 << shift) - 1
    return (high >> shift) + ((high & mask) > (mask >> 1) + (high < 0))


@pytest.mark.parametrize("recipe", ["w6", "w9", "image5-audio9-shared8"])
def test_the_first_convolution_is_exact_integer_arithmetic(recipe: str, lively: Lively, tiny_dataset: Dataset) -> None:
    from tflite_micro.python.tflite_micro import runtime

    conversion = convert(lively("early")[1], read_recipe(recipe))
    model = flatbuffer.read(conversion.data, recipe)
    operator = next(op for op in model.subgraphs[0].operators if flatbuffer.operator_name(model, op) == "CONV_2D")
    output = model.subgraphs[0].tensors[operator.outputs[0]].quantization
    bias = constant(model, model.subgraphs[0].tensors[operator.inputs[2]], np.int32).astype(np.int64)
    interpreter = runtime.Interpreter.from_bytes(
        conversion.data, arena_size=4 << 20, intrepreter_config=runtime.InterpreterConfig.kPreserveAllTensors)
    sample = tiny_dataset.test.take(slice(0, 1))
    codes = [np.clip(np.rint(sample.inputs[name] * 255), 0, 255).astype(np.int64) for name in ("image", "audio")]
    for index, value in enumerate(codes):
        interpreter.set_input((value - 128).astype(np.int8), index)
    interpreter.invoke()
    found = np.asarray(interpreter.GetTensor(int(operator.outputs[0]), 0)["tensor_data"]).reshape(28, 28, 16)
    stem = conversion.codes["shared_stem_conv"]
    x = np.pad(np.concatenate(codes, axis=-1)[0], ((1, 1), (1, 1), (0, 0)))
    taps = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(0, 1)).transpose(0, 1, 3, 4, 2)
    total = np.einsum("hwklc,oklc->hwo", taps, stem.values.astype(np.int64)) + bias
    real = np.float64(np.float32(1 / 255)) * stem.scale.astype(np.float64) / np.float64(output.scale[0])
    wanted = np.clip(multiply(total, real) + output.zeroPoint[0], max(-128, output.zeroPoint[0]), 127)
    assert int((found != wanted).sum()) == 0


def test_recipes_that_cannot_be_deployed(lively: Lively) -> None:
    base = lively("image")[1]
    with pytest.raises(RecipeError, match="only 'symmetric'"):
        convert(base, read_recipe("minmax6"))
    with pytest.raises(RecipeError, match="no layer matches"):
        convert(base, Recipe("r", {"shared": 8}, (LayerRule("encoder_*", 6),)))


def test_a_file_with_other_codes_than_declared_fails_its_check(lively: Lively) -> None:
    base = lively("image")[1]
    six, five = convert(base, read_recipe("w6")), convert(base, read_recipe("w5"))
    with pytest.raises(ConversionError, match="are not the codes"):
        check_written(replace(six, data=five.data))


def test_minmax_simulation_rounds_every_parameter_and_nothing_else(lively: Lively) -> None:
    network = lively("early")[0]
    simulated = simulate(network, read_recipe("minmax4"))
    for before, after in zip(network.model.layers, simulated.layers, strict=True):
        for variable, rounded in zip(before.trainable_weights, after.trainable_weights, strict=True):
            assert len(np.unique(np.asarray(rounded))) <= 16
            assert np.abs(np.asarray(rounded) - np.asarray(variable)).max() <= np.ptp(np.asarray(variable)) / 30 + 1e-6
        for variable, same in zip(before.non_trainable_weights, after.non_trainable_weights, strict=True):
            assert np.array_equal(np.asarray(variable), np.asarray(same))


def test_folded_layers_compute_what_keras_computes(lively: Lively, tiny_dataset: Dataset) -> None:
    model = lively("image")[0].model
    stem = folded_layers(model)[0]
    from tf_keras import Model

    image = tiny_dataset.test.inputs["image"][:2]
    expected = Model(model.inputs, model.get_layer("image_stem_conv_bn").output)(
        {"image": image, "audio": image}, training=False)
    x = np.pad(image[..., 0].astype(np.float64), ((0, 0), (1, 1), (1, 1)))
    taps = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
    found = np.einsum("nhwkl,okl->nhwo", taps, stem.kernel[..., 0]) + stem.bias
    assert np.abs(found - np.asarray(expected)).max() < 1e-4
