"""Layers of users' networks at every width: the declared bits are in the file, and the twin is TFLite Micro."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from own_networks import CLASSES, INPUTS, dataset, trio

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import RecipeError
from tinyfuse.data import Input, Samples
from tinyfuse.integer.executors import open_executor
from tinyfuse.integer.model import IntegerModel, dequantize, load_model
from tinyfuse.nn.batch_norm_folding import folded
from tinyfuse.nn.network import Network, describe_training
from tinyfuse.nn.plain.hard_swish import hard_swish_layer
from tinyfuse.nn.plain.live_model import read_live_model
from tinyfuse.nn.predict import predict
from tinyfuse.nn.train import TrainConfig, Trained
from tinyfuse.nn.zoo.user import build_described
from tinyfuse.quantize.convert import Baseline, Conversion, baseline, convert
from tinyfuse.quantize.folded_layers import folded_layers
from tinyfuse.quantize.readback import check_written, written_codes
from tinyfuse.quantize.recipe import LayerRule, Recipe, read_recipe
from tinyfuse.quantize.refinement import input_moments
from tinyfuse.quantize.weight_codes import level
from tinyfuse.study.stages.convert import prove

MAPS = (Input("camera", (11, 10, 3)), Input("mic", (20, 4), -3.0, 3.0))


def network_of(model: Any, inputs: tuple[Input, ...], classes: int, output: str = "") -> Network:
    plain, softmax = build_described(read_live_model(model, "model"), inputs, classes, "own", "model", output)
    data = dataset()
    table = describe_training(Trained("own", plain, 0, 0.0, 0.0, 0.0), data, TrainConfig())
    return Network("own", plain, inputs, CLASSES[:classes], table | {"sha256": "0" * 64, "softmax": softmax},
                   Path("own.keras"))


def random_samples(inputs: tuple[Input, ...], n: int = 30) -> Samples:
    rng = np.random.default_rng(4)
    values = {one.name: rng.uniform(one.low, one.high, (n, *one.shape)).astype(np.float32) for one in inputs}
    return Samples(values, np.arange(n) % 3, np.arange(n))


@pytest.fixture(scope="module")
def sensors() -> tuple[Network, Baseline]:
    tensorflow()
    import tf_keras

    network = network_of(trio(tf_keras), INPUTS, len(CLASSES), "kind")
    return network, baseline(network, dataset().train)


@pytest.fixture(scope="module")
def depthwise() -> tuple[Network, Baseline]:
    """Depthwise kernels with every kind of padding and stride, of rows whose SAME padding is odd and even."""
    tensorflow()
    from tf_keras import Input as Tensor
    from tf_keras import Model, layers, utils

    utils.set_random_seed(2)
    camera, mic = (Tensor(one.shape, name=one.name) for one in MAPS)
    x = layers.DepthwiseConv2D((3, 2), padding="same", name="one", depth_multiplier=2, activation="relu")(camera)
    x = layers.DepthwiseConv2D((2, 3), padding="same", strides=2, name="odd", activation="relu")(x)
    x = layers.DepthwiseConv2D((3, 3), padding="same", strides=2, name="even", activation="relu6")(x)
    x = layers.DepthwiseConv2D((2, 2), padding="valid", name="valid", activation="relu")(x)
    x = layers.ZeroPadding2D(1)(x)
    y = layers.SeparableConv1D(4, 3, strides=2, activation="relu", name="ear")(mic)
    joined = layers.Concatenate()([layers.Flatten()(layers.MaxPooling2D(2)(x)), layers.GlobalAveragePooling1D()(y)])
    network = network_of(Model([camera, mic], layers.Dense(3, name="head")(joined)), MAPS, 3)
    return network, baseline(network, random_samples(MAPS))


def exact(conversion: Conversion, samples: Samples) -> tuple[IntegerModel, np.ndarray]:
    """Check what is written and that the twin is TFLite Micro; return the model and its output in real values."""
    check_written(conversion)
    model = load_model(conversion.data)
    codes = model.codes_of(samples.inputs)
    twin, tflm = (open_executor(model, name).run(codes) for name in ("twin", "tflm"))
    assert int((twin != tflm).sum()) == 0
    return model, dequantize(tflm, model.output)


@pytest.mark.parametrize("recipe", ["w8", "w4", "w9", "w4-mse-gptq-bias", "camera4-mic6-shared8", "w6a6", "w9a9",
                                    "camera-w6a7-mic-w9a9-shared-w8a8"])
def test_depthwise_layers_have_the_declared_bits(recipe: str, depthwise: tuple[Network, Baseline]) -> None:
    network, base = depthwise
    samples, asked = random_samples(MAPS, 12), read_recipe(recipe)
    conversion = convert(base, asked)
    _, logits = exact(conversion, samples)
    expected = predict(network.model, samples)
    assert np.abs(logits - expected).max() < np.ptp(expected) * (0.3 if "4" in recipe else 0.1)
    found = written_codes(conversion.data, recipe)
    for layer in base.layers:
        bits = asked.bits_for(layer.name, layer.branch)
        limit = np.abs(found[layer.name][0]).max()
        assert limit <= level(bits) and (limit == level(bits) or asked.methods)
    assert {layer.name: layer.depthwise for layer in base.layers} == {
        name: name not in ("ear", "head") for name in ("one", "odd", "even", "valid", "ear_depthwise", "ear", "head")}


def test_nine_bits_of_a_depthwise_layer_are_two_codes_in_flash(depthwise: tuple[Network, Baseline]) -> None:
    sizes = {bits: {layer.name: layer for layer in convert(depthwise[1], read_recipe(f"w{bits}")).layers}
             for bits in (8, 9)}
    for name, layer in sizes[9].items():
        wide = 16 if name in ("one", "odd", "even", "valid", "ear_depthwise") else 9
        assert layer.weight_bits == wide * layer.weights and layer.macs == 2 * sizes[8][name].macs


def test_moments_of_depthwise_layers_are_those_of_their_patches(depthwise: tuple[Network, Baseline]) -> None:
    from tf_keras import Model

    model, samples = folded(depthwise[0].model), random_samples(MAPS, 10)
    moments = input_moments(model, samples)
    for layer in folded_layers(model):
        if not layer.depthwise:
            continue
        values = np.asarray(Model(model.input, model.get_layer(layer.name).output)(samples.inputs), np.float64)
        kernel, found = layer.kernel.reshape(len(layer.bias), -1), moments[layer.name]
        made = values.reshape(-1, len(layer.bias)) - layer.bias
        assert np.allclose(made.mean(axis=0), (kernel * found.mean).sum(axis=1), atol=1e-4)
        assert np.allclose((made**2).mean(axis=0), np.einsum("ok,okl,ol->o", kernel, found.second, kernel), atol=1e-4)


@pytest.mark.parametrize("recipe", ["w8", "w9", "w4-mse-gptq-bias", "camera4-mic6-imu8-shared8"])
def test_three_sensors_with_dropout_lone_norms_and_curves(recipe: str, sensors: tuple[Network, Baseline]) -> None:
    network, base = sensors
    samples, asked = dataset().test.take(slice(0, 12)), read_recipe(recipe)
    conversion = convert(base, asked)
    model, _ = exact(conversion, samples)
    assert model.graph.operators[-1].name == "SOFTMAX" and model.output.scale == 1 / 256
    assert prove(conversion, samples, predict(network.model, samples)).max_abs_difference < 0.35
    branches = {layer.name: layer.branch for layer in base.layers}
    assert branches == {"scaled": "camera", "see": "camera", "deep": "camera", "split_depthwise": "camera",
                        "split": "camera", "short": "camera", "hear": "mic", "hear_norm": "mic", "hear2": "mic",
                        "gate": "imu", "feel": "imu", "lone": "shared", "hidden": "shared", "kind": "shared"}
    assert {name: set(size.bits.values()) for name, size in ((one.name, one) for one in conversion.layers)} == {
        name: {asked.bits_for(name, branch)} for name, branch in branches.items()}


def test_activation_bits_beside_curves_and_by_rule(sensors: tuple[Network, Baseline]) -> None:
    exact(convert(sensors[1], read_recipe("w8a7")), dataset().test.take(slice(0, 8)))
    recipe = Recipe("rule", {"shared": 8}, (LayerRule("see", 6, 6), LayerRule("deep", None, 7)))
    conversion = convert(sensors[1], recipe)
    exact(conversion, dataset().test.take(slice(0, 8)))
    assert {name: one.bits for name, one in conversion.activations.items() if one.bits != 8} == {"see": 6, "deep": 7}


def test_activation_bits_of_a_network_without_a_relu_are_refused() -> None:
    from tf_keras import Input as Tensor
    from tf_keras import Model, layers

    mic = Tensor(MAPS[1].shape, name="mic")
    network = network_of(Model(mic, layers.Dense(3)(layers.Flatten()(mic))), MAPS[1:], 3)
    with pytest.raises(RecipeError, match="no layer of this network hands on the output of a ReLU"):
        convert(baseline(network, random_samples(MAPS[1:])), read_recipe("w8a6"))


def test_the_same_weights_on_two_inputs_get_the_bits_of_each() -> None:
    """One layer that is called twice becomes two, told apart by the inputs that reach them."""
    from tf_keras import Input as Tensor
    from tf_keras import Model, layers, utils

    utils.set_random_seed(3)
    inputs = (Input("left", (8, 8, 1)), Input("right", (8, 8, 1)))
    left, right = (Tensor(one.shape, name=one.name) for one in inputs)
    eye = layers.Conv2D(4, 3, activation="relu", name="eye")
    both = layers.Concatenate()([layers.Flatten()(eye(right)), layers.Flatten()(eye(left))])
    base = baseline(network_of(Model([left, right], layers.Dense(3)(both)), inputs, 3), random_samples(inputs))
    conversion = convert(base, read_recipe("left3-right7-shared8"))
    exact(conversion, random_samples(inputs, 8))
    found = written_codes(conversion.data, "twins")
    branches = {layer.name: layer.branch for layer in base.layers if "eye" in layer.name}
    assert branches == {"eye": "right", "eye_2": "left"}
    assert np.abs(found["eye"][0]).max() == level(7) and np.abs(found["eye_2"][0]).max() == level(3)


def test_transposed_convolutions_resizing_and_swishes() -> None:
    from tf_keras import Input as Tensor
    from tf_keras import Model, layers, utils

    utils.set_random_seed(2)
    camera = Tensor(MAPS[0].shape, name="camera")
    x = hard_swish_layer()()(layers.BatchNormalization()(layers.Conv2D(4, 3, strides=2, padding="same")(camera)))
    x = layers.Conv2DTranspose(6, 3, strides=2, padding="same", name="up")(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.UpSampling2D(2)(layers.Conv2D(4, 3, activation="swish")(x))
    x = layers.Flatten()(layers.Permute((2, 1, 3))(layers.AveragePooling2D(3)(x)))
    network = network_of(Model(camera, layers.Dense(3)(x)), MAPS[:1], 3)
    base, samples = baseline(network, random_samples(MAPS[:1])), random_samples(MAPS[:1], 8)
    expected = predict(network.model, samples)
    for recipe in ("w8", "w9", "w5-mse-gptq-bias", "w8a9", "w8a6"):
        conversion = convert(base, read_recipe(recipe))
        _, logits = exact(conversion, samples)
        assert np.abs(logits - expected).max() < 0.3 * np.ptp(expected)
        assert conversion.activations["up"].bits == (int(recipe[3]) if "a" in recipe[2:4] else 8)


def test_quantisation_aware_training_rounds_depthwise_kernels(depthwise: tuple[Network, Baseline]) -> None:
    from tinyfuse.quantize import fake_quantisation as fake
    from tinyfuse.quantize.qat import check_survival

    recipe, start = read_recipe("camera4-mic9-shared8"), folded(depthwise[0].model)
    model = fake.fake_quantised(start, recipe, random_samples(MAPS))
    plain, codes = fake.snapped(model, start)
    check_survival(plain, recipe, codes)
    assert np.abs(codes["odd"][0]).max() == level(4) and np.abs(codes["ear_depthwise"][0]).max() == level(9)
    expected = predict(start, random_samples(MAPS, 10))
    assert 0 < np.abs(predict(plain, random_samples(MAPS, 10)) - expected).max() < 0.3 * np.ptp(expected)
