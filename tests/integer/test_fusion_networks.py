"""The transformer and the fusion operators as integers of any width: TFLite Micro's values, in C too; gradients."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emitted import COMPILER, differing
from random_weights import stir

from tinyfuse.core.backend import tensorflow
from tinyfuse.data.samples import Input, Samples
from tinyfuse.integer.compare import compare
from tinyfuse.integer.model import IntegerModel, load_model, random_codes
from tinyfuse.integer.twin import Twin
from tinyfuse.nn.batch_norm_folding import folded
from tinyfuse.nn.network import Network
from tinyfuse.nn.zoo import transformer
from tinyfuse.nn.zoo.fusion_operators import Operator, feature_sum, film, gated, logit_sum
from tinyfuse.nn.zoo.resnet8 import normalised, pooled
from tinyfuse.nn.zoo.token_layout import token_layout
from tinyfuse.nn.zoo.transformer import mmt
from tinyfuse.quantize.convert import Baseline, baseline, convert
from tinyfuse.quantize.readback import check_written
from tinyfuse.quantize.recipe import read_recipe

SENSORS = Input("camera", (8, 8, 1)), Input("motion", (8, 8, 1), valid=((0, 39),))
CLASSES = tuple("abc")
OPERATORS: dict[str, Operator] = {"film": film, "gated": gated, "sum": logit_sum, "feature-sum": feature_sum}


def small(name: str) -> Any:
    """The transformer with one layer in each stream, or a fusion operator on the features of one convolution each."""
    tensorflow()
    import tf_keras

    inputs = {one.name: tf_keras.Input(one.shape, name=one.name) for one in SENSORS}
    if name == "mmt":
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(transformer, "STREAM_LAYERS", 1)
            return tf_keras.Model(inputs, mmt(inputs, 3, {one.name: token_layout(one) for one in SENSORS}), name=name)
    maps = {one: normalised(x, 4, name=f"{one}_conv", stride=2) for one, x in inputs.items()}
    features = {one: pooled(x, branch=one) for one, x in maps.items()}
    return tf_keras.Model(inputs, OPERATORS[name](features, 3), name=name)


@functools.cache
def network(name: str) -> Network:
    """A small network with random weights."""
    return Network(name, stir(small(name)), SENSORS, CLASSES, {"sha256": "0" * 64}, Path("net.keras"))


def samples(n: int = 20) -> Samples:
    rng = np.random.default_rng(4)
    return Samples({one.name: rng.random((n, *one.shape), np.float32) for one in SENSORS}, np.arange(n) % 3,
                   np.arange(n))


@functools.cache
def base(name: str) -> Baseline:
    return baseline(network(name), samples())


def written(name: str, recipe: str) -> IntegerModel:
    conversion = convert(base(name), read_recipe(recipe))
    check_written(conversion)
    return load_model(conversion.data, name=name)


@pytest.mark.parametrize(("name", "recipe"), [
    *(("mmt", recipe) for recipe in ("w8", "w6", "w4", "camera4-motion9-shared6", "w4a7", "w8a9")),
    ("film", "w4"), ("gated", "w6a6"), ("gated", "w8a9"), ("sum", "w8a9"), ("feature-sum", "w6a7")])
def test_no_value_differs_from_tflm(name: str, recipe: str) -> None:
    model = written(name, recipe)
    difference = compare(model, ["twin", "tflm"], random_codes(model, 3, seed=1)).differences[0]
    assert difference.differing == 0 and difference.values > 100


@pytest.mark.skipif(not COMPILER, reason="no C compiler (gcc or cc) on PATH")
@pytest.mark.parametrize(("name", "recipe"), [("mmt", "w8a9"), ("film", "w4")])
def test_the_c_code_computes_the_same(name: str, recipe: str, tmp_path: Path) -> None:
    wrong = differing(written(name, recipe), "ram", tmp_path / "net", samples=2)
    assert set(wrong.values()) == {0}, wrong


def test_learnt_positions_survive_folding_and_rounded_training() -> None:
    from tinyfuse.quantize.fake_quantisation import fake_quantised, snapped

    plain = folded(network("mmt").model)
    given = samples().inputs
    expected = np.asarray(network("mmt").model(given, training=False))
    assert np.allclose(plain(given, training=False), expected, rtol=1e-3, atol=1e-4)
    trained = fake_quantised(plain, read_recipe("w8"), samples())
    table = trained.get_layer("camera_positions").get_weights()[0]
    assert np.array_equal(table, plain.get_layer("camera_positions").get_weights()[0])
    trained.get_layer("camera_positions").set_weights([table + 1])
    assert np.array_equal(snapped(trained, plain)[0].get_layer("camera_positions").get_weights()[0], table + 1)


@pytest.mark.parametrize("name", ["mmt", "gated"])
def test_gradients_of_the_integers_point_where_those_of_the_float_network_do(name: str) -> None:
    tf, model, given = tensorflow(), written(name, "w8"), samples(8)
    port = model.outputs[0]
    twin = Twin(model.graph)
    seed = np.zeros((8, 3), np.float32)
    seed[:, 0], seed[:, 1] = port.scale, -port.scale
    _, found = twin.gradient(model.codes_of(given.inputs), lambda codes, rows: seed[rows], ["camera", "motion"])
    with tf.GradientTape() as tape:
        inputs = {one: tf.constant(values) for one, values in given.inputs.items()}
        tape.watch(list(inputs.values()))
        logits = network(name).model(inputs, training=False)
        margin = tf.reduce_sum(logits[:, 0] - logits[:, 1])
    expected = tape.gradient(margin, inputs)
    for one in ("camera", "motion"):
        a, b = np.asarray(found[one], np.float64).ravel(), np.asarray(expected[one], np.float64).ravel()
        assert a @ b / np.sqrt((a @ a) * (b @ b)) > 0.8
