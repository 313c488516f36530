"""Networks of others: a layer's bits follow from the inputs that reach it, and an input's codes from its range."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyfuse.core.errors import RecipeError
from tinyfuse.data import Input, Samples
from tinyfuse.integer.compare import compare
from tinyfuse.integer.executors import open_executor
from tinyfuse.integer.model import dequantize, load_model, random_codes
from tinyfuse.nn.network import Network
from tinyfuse.nn.predict import predict
from tinyfuse.quantize.convert import baseline, convert
from tinyfuse.quantize.folded_layers import folded_layers
from tinyfuse.quantize.input_grids import input_grid
from tinyfuse.quantize.minmax import simulate
from tinyfuse.quantize.readback import check_written
from tinyfuse.quantize.recipe import Recipe, read_recipe

INPUTS = (Input("image", (8, 8, 2)), Input("audio", (8, 8, 1), -4.0, 2.0, "dB"))
RECIPE = "image-w3a6-audio-w5a9-shared-w8a8"
BITS = {"audio_conv": 3, "deep1": 3, "deep2": 3, "skip": 3, "image_conv": 5, "head": 8}


def network_of(model: Any, inputs: tuple[Input, ...] = INPUTS) -> Network:
    return Network(model.name, model, inputs, ("a", "b", "c"), {"sha256": "0" * 64}, Path("model.keras"))


def samples_of(inputs: tuple[Input, ...], n: int = 40) -> Samples:
    rng = np.random.default_rng(3)
    values = {one.name: rng.uniform(one.low, one.high, (n, *one.shape)).astype(np.float32) for one in inputs}
    return Samples(values, np.arange(n) % 3, np.arange(n))


@pytest.fixture(scope="module")
def crossed() -> Network:
    """Each branch has the other input's name, and the residual sum reads its shortcut first."""
    from tf_keras import Input as Tensor
    from tf_keras import Model, layers, utils

    utils.set_random_seed(5)
    image, audio = (Tensor(one.shape, name=one.name) for one in INPUTS)

    def conv(x: Any, name: str, size: int = 3) -> Any:
        return layers.Conv2D(4, size, padding="same", name=name, bias_initializer="random_normal")(x)

    stem = layers.ReLU(name="r1")(conv(image, "audio_conv"))
    main = conv(layers.ReLU(name="r2")(conv(stem, "deep1")), "deep2")
    block = layers.ReLU(name="r3")(layers.Add(name="sum")([conv(stem, "skip", 1), main]))
    other = layers.ReLU(name="r4")(conv(audio, "image_conv"))
    pooled = layers.Flatten()(layers.AveragePooling2D(8)(layers.Concatenate()([block, other])))
    return network_of(Model({"image": image, "audio": audio}, layers.Dense(3, name="head")(pooled), name="crossed"))


def test_conversion_follows_the_data_flow(crossed: Network) -> None:
    conversion = convert(baseline(crossed, samples_of(INPUTS)), read_recipe(RECIPE))
    check_written(conversion)
    assert {layer.name: set(layer.bits.values()) for layer in conversion.layers} == {
        name: {bits} for name, bits in BITS.items()}
    assert {name: one.bits for name, one in conversion.activations.items()} == {
        "audio_conv": 6, "deep1": 6, "deep2": 6, "image_conv": 9}
    model = load_model(conversion.data)
    assert compare(model, ["twin", "tflm"], random_codes(model, 4, seed=1)).differences[0].differing == 0


def test_quantisation_aware_training_follows_the_data_flow(crossed: Network) -> None:
    from tf_keras import Model

    from tinyfuse.quantize import fake_quantisation as fake

    samples = samples_of(INPUTS)
    assert fake.relu_owners(crossed.model, list(BITS)) == {
        "r1": "audio_conv", "r2": "deep1", "r3": "deep2", "r4": "image_conv"}
    model = fake.fake_quantised(crossed.model, read_recipe(RECIPE), samples)
    for name, (codes, _) in fake.snapped(model, crossed.model)[1].items():
        assert np.abs(codes).max() == 2 ** (BITS[name] - 1) - 1
    names = {"r1": 6, "r2": 6, "r3": 6, "r4": 9}
    outputs = Model(model.input, {name: model.get_layer(name).output for name in names})(samples.inputs)
    for name, bits in names.items():
        assert 2**bits / 4 < len(np.unique(np.asarray(outputs[name]))) <= 2**bits


def test_minmax_follows_the_data_flow(crossed: Network) -> None:
    recipe = Recipe("mixed", {"image": 2, "audio": 5, "shared": 7}, scheme="minmax")
    simulated = simulate(crossed, recipe)
    values = {name: len(np.unique(np.asarray(simulated.get_layer(name).kernel))) for name in BITS}
    assert {values[name] for name in ("audio_conv", "deep1", "deep2", "skip")} == {4}
    assert 8 < values["image_conv"] <= 32 and values["head"] > 12
    with pytest.raises(RecipeError, match="no input 'camera'"):
        simulate(crossed, Recipe("r", {"camera": 4, "shared": 4}, scheme="minmax"))


@pytest.mark.parametrize(("low", "high", "scale", "zero"), [
    (0.0, 1.0, 1 / 255, -128), (-4.0, 2.0, 6 / 255, 42), (-1.0, 1.0, 2 / 255, 0), (1.0, 2.0, 2 / 255, -128),
    (-3.0, -1.0, 3 / 255, 127)])
def test_the_codes_of_an_input_cover_its_range_and_zero(low: float, high: float, scale: float, zero: int) -> None:
    assert input_grid(Input("sensor", (2,), low, high)) == (np.float32(scale), zero)


SENSORS = (Input("camera", (8, 6, 3)), Input("spectrum", (8, 6, 1), -4.0, 2.0), Input("motion", (5, 6), -2.0, 2.0))


@pytest.fixture(scope="module")
def three() -> Network:
    """Two inputs are fused early, the third, which is flattened first, late."""
    from tf_keras import Input as Tensor
    from tf_keras import Model, layers, utils

    utils.set_random_seed(7)
    camera, spectrum, motion = (Tensor(one.shape, name=one.name) for one in SENSORS)
    early = layers.Conv2D(6, 3, padding="same", name="fused")(layers.Concatenate()([camera, spectrum]))
    early = layers.Flatten()(layers.AveragePooling2D(2)(layers.ReLU(name="fused_relu")(early)))
    late = layers.ReLU(name="motion_relu")(layers.Dense(8, name="moving")(layers.Flatten()(motion)))
    logits = layers.Dense(3, name="head")(layers.Concatenate()([early, late]))
    return network_of(Model({"camera": camera, "spectrum": spectrum, "motion": motion}, logits, name="three"), SENSORS)


@pytest.mark.parametrize("recipe", ["w8", "w6a7", "camera4-spectrum9-motion5-shared8", "w8a9"])
def test_three_inputs_with_grids_of_their_own(recipe: str, three: Network) -> None:
    samples = samples_of(SENSORS)
    conversion = convert(baseline(three, samples), read_recipe(recipe))
    check_written(conversion)
    model = load_model(conversion.data)
    assert [(port.name, port.scale, port.zero_point) for port in model.inputs] == [
        (one.name, *input_grid(one)) for one in SENSORS]
    assert compare(model, ["twin", "tflm"], random_codes(model, 4, seed=1)).differences[0].differing == 0
    expected = predict(three.model, samples)
    logits = dequantize(open_executor(model, "twin").run(model.codes_of(samples.inputs)), model.output)
    assert np.abs(logits - expected).max() < np.ptp(expected) * (0.2 if "6" in recipe or "4" in recipe else 0.05)
    assert folded_layers(three.model)[0].parts == (("camera", 3), ("spectrum", 1))
    assert {layer.branch for layer in folded_layers(three.model)} == {"motion", "shared"}


@pytest.mark.parametrize("raw", [False, True])
def test_values_of_either_sign_are_concatenated_at_any_width(raw: bool) -> None:
    """Also where one of them is an input, whose codes an adversary finds the same under every recipe."""
    from tf_keras import Input as Tensor
    from tf_keras import Model, layers

    camera, spectrum, _ = (Tensor(one.shape, name=one.name) for one in SENSORS)
    other = spectrum if raw else layers.Conv2D(3, 3, padding="same", name="signed")(spectrum)
    fused = layers.Concatenate()([layers.ReLU()(layers.Conv2D(4, 3, padding="same")(camera)), other])
    model = Model({"camera": camera, "spectrum": spectrum}, layers.Dense(3)(layers.Flatten()(fused)), name="raw")
    network, samples = network_of(model, SENSORS[:2]), samples_of(SENSORS[:2])
    base, expected = baseline(network, samples), predict(network.model, samples)
    for recipe in ("w8", "w8a7", "w8a9"):
        conversion = convert(base, read_recipe(recipe))
        check_written(conversion)
        found = load_model(conversion.data)
        assert compare(found, ["twin", "tflm"], random_codes(found, 4, seed=1)).differences[0].differing == 0
        logits = dequantize(open_executor(found, "twin").run(found.codes_of(samples.inputs)), found.output)
        assert np.abs(logits - expected).max() < 0.05 * np.ptp(expected)
        assert [(port.scale, port.zero_point) for port in found.inputs] == [input_grid(one) for one in SENSORS[:2]]
