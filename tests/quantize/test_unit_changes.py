"""Activations of 6 to 9 bits where they meet inputs, outputs and factors: exact, and close to the float network."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emitted import COMPILER, differing

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import ConversionError
from tinyfuse.data.samples import Input, Samples
from tinyfuse.integer.compare import compare
from tinyfuse.integer.model import IntegerModel, dequantize, load_model, random_codes
from tinyfuse.integer.twin import Twin
from tinyfuse.nn.network import Network
from tinyfuse.nn.zoo.resnet8 import keras
from tinyfuse.quantize.convert import Baseline, baseline, convert
from tinyfuse.quantize.readback import check_written
from tinyfuse.quantize.recipe import read_recipe

SENSORS = Input("x", (4, 4, 2)), Input("y", (4, 4, 2))
RNG = np.random.default_rng(0)
VALUES = {one.name: RNG.random((20, *one.shape)).astype(np.float32) for one in SENSORS}


def conv(x: Any, most: float | None = None, gain: float = 1.0) -> Any:
    layers = keras().layers
    start = keras().initializers.RandomUniform(-0.4 * gain, 0.8 * gain)
    return layers.ReLU(most)(layers.Conv2D(2, 3, padding="same", kernel_initializer=start)(x))


def dense(x: Any, relu: bool = False) -> Any:
    return keras().layers.Dense(3, activation="relu" if relu else None)(keras().layers.Flatten()(x))


def skip_from_the_input(x: Any, y: Any) -> Any:
    """The input, and what a layer made of it, side by side."""
    return dense(keras().layers.Concatenate()([x, y, conv(x)]))


def sum_with_the_input(x: Any, y: Any) -> Any:
    return dense(keras().layers.ReLU()(keras().layers.Add()([x, conv(y)])))


def rectified_output(x: Any, y: Any) -> Any:
    return dense(keras().layers.Concatenate()([x, y]), relu=True)


def joined_output(x: Any, y: Any) -> Any:
    return keras().layers.Concatenate()([dense(x, relu=True), dense(y)])


def gated(x: Any, y: Any) -> Any:
    """Squeeze and excitation: MUL reads the ReLU's output and a curve of its mean."""
    layers, seen = keras().layers, conv(keras().layers.Concatenate()([x, y]))
    share = layers.Conv2D(2, 1, activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(seen))
    return dense(layers.Multiply()([seen, share]))


def relu6_beside_a_clamp(x: Any, y: Any) -> Any:
    """A ReLU6 of 8 bits, of large values, shares a sum with small ones of 6 bits."""
    layers = keras().layers
    return dense(layers.Add()([layers.MaxPooling2D()(conv(x, gain=0.1)), layers.MaxPooling2D()(conv(y, 6.0))]))


@functools.cache
def made(graph: Callable[[Any, Any], Any]) -> tuple[np.ndarray, Baseline]:
    """Logits of the float network, and its int8 graph."""
    tensorflow()
    keras().utils.set_random_seed(1)
    inputs = {one.name: keras().Input(one.shape, name=one.name) for one in SENSORS}
    model = keras().Model(inputs, graph(*inputs.values()), name="net")
    classes = tuple("abcdef"[:model.output_shape[-1]])
    network = Network("net", model, SENSORS, classes, {"sha256": "0" * 64}, Path("net.keras"))
    return np.asarray(model(VALUES)), baseline(network, Samples(VALUES, np.arange(20) % 3, np.arange(20)))


def written(graph: Callable[[Any, Any], Any], recipe: str) -> IntegerModel:
    conversion = convert(made(graph)[1], read_recipe(recipe))
    check_written(conversion)
    return load_model(conversion.data, name="net")


@pytest.mark.parametrize(("graph", "recipe"), [
    *((graph, recipe) for graph in (skip_from_the_input, sum_with_the_input, rectified_output)
      for recipe in ("w8a6", "w8a9")), (joined_output, "w8a7"), (gated, "w8a7"),
    (relu6_beside_a_clamp, "x-w8a6-y-w8a8-shared-w8a8")])
def test_it_is_exact_and_close_to_float(graph: Callable[[Any, Any], Any], recipe: str) -> None:
    model, real = written(graph, recipe), made(graph)[0]
    assert compare(model, ["twin", "tflm"], random_codes(model, 3, seed=1)).differences[0].differing == 0
    found = dequantize(Twin(model.graph).run(model.codes_of(VALUES)), model.outputs[0])
    assert np.abs(found - real).mean() < 0.06 * real.std()
    assert model.outputs[0].dtype == "int8"


@pytest.mark.skipif(not COMPILER, reason="no C compiler (gcc or cc) on PATH")
def test_the_c_code_computes_the_same(tmp_path: Path) -> None:
    wrong = differing(written(skip_from_the_input, "w8a9"), "ram", tmp_path / "net", samples=2)
    assert set(wrong.values()) == {0}, wrong


@pytest.mark.parametrize(("graph", "words"), [
    (gated, "MUL reads '.*', which would have 9 bits; give the layers that make it 8 activation bits or fewer"),
    (joined_output, "an output of the network, would have 9 bits; give the layers")])
def test_nine_bits_do_not_fit_everywhere(graph: Callable[[Any, Any], Any], words: str) -> None:
    with pytest.raises(ConversionError, match=words) as caught:
        convert(made(graph)[1], read_recipe("w8a9"))
    assert "\n" not in str(caught.value)
