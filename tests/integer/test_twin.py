"""The twin: every tensor of the project's own networks, prefixes, chunks, and gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tinyfuse.core.errors import ModelError, UsageError
from tinyfuse.integer.compare import compare
from tinyfuse.integer.model import IntegerModel, load_model, random_codes
from tinyfuse.integer.twin import CHUNK, Twin
from tinyfuse.nn import zoo
from tinyfuse.nn.network import Network
from tinyfuse.quantize.convert import Baseline, convert
from tinyfuse.quantize.recipe import read_recipe

Lively = Callable[[str], tuple[Network, Baseline]]


@pytest.fixture(scope="module")
def model(lively: Lively) -> Callable[[str, str], IntegerModel]:
    return lambda name, recipe: load_model(convert(lively(name)[1], read_recipe(recipe)).data, name=name)


@pytest.mark.parametrize("name", zoo.DIGIT_NETWORKS)
@pytest.mark.parametrize("recipe", ["w6", "w9"])
def test_every_tensor_equals_that_of_tflm(model: Callable[[str, str], IntegerModel], name: str, recipe: str) -> None:
    found = model(name, recipe)
    difference = compare(found, ["twin", "tflm"], random_codes(found, 6, seed=1)).differences[0]
    assert difference.differing == 0 and difference.values > 100_000


def seed_of(twin: Twin) -> Callable[[np.ndarray, slice], np.ndarray]:
    """Slope of the loss sum_k k * logit_k."""
    return lambda codes, rows: np.broadcast_to(np.arange(codes.shape[1], dtype=np.float32), codes.shape)


@pytest.mark.parametrize("name", ["early", "intermediate", "late"])
def test_a_prefix_changes_nothing(model: Callable[[str, str], IntegerModel], name: str) -> None:
    twin = Twin(model(name, "w6").graph)
    codes = random_codes(model(name, "w6"), 5, seed=2)
    for varying in ("image", "audio"):
        prefix = twin.prefix(codes, [varying])
        rows = np.array([3, 1])
        moved = {varying: codes[varying][rows][::-1]}
        full = {other: values[rows] for other, values in codes.items()} | moved
        assert np.array_equal(twin.run(moved, prefix=prefix.take(rows)), twin.run(full))
        part = twin.gradient(moved, seed_of(twin), [varying], prefix=prefix.take(rows))
        whole = twin.gradient(full, seed_of(twin), [varying])
        assert np.array_equal(part[0], whole[0]) and np.array_equal(part[1][varying], whole[1][varying])
        assert part[1][varying].any()


def test_a_sample_does_not_depend_on_its_neighbours(model: Callable[[str, str], IntegerModel]) -> None:
    twin = Twin(model("intermediate", "w6").graph)
    codes = random_codes(model("intermediate", "w6"), CHUNK + 7, seed=3)
    logits, gradients = twin.gradient(codes, seed_of(twin), ["image", "audio"])
    alone = {name: values[-1:] for name, values in codes.items()}
    one, found = twin.gradient(alone, seed_of(twin), ["image", "audio"])
    assert np.array_equal(one[0], logits[-1])
    assert all(np.array_equal(found[name][0], gradients[name][-1]) for name in codes)


@pytest.mark.parametrize("name", ["early", "intermediate", "late"])
def test_no_gradient_of_an_operator_depends_on_the_place_in_a_chunk(model: Callable[[str, str], IntegerModel],
                                                                    name: str) -> None:
    twin, rng = Twin(model(name, "w6").graph), np.random.default_rng(4)
    values = {twin.inputs[key]: codes for key, codes in random_codes(model(name, "w6"), CHUNK, seed=4).items()}
    places = rng.permutation(CHUNK)
    for step in twin.steps:
        inputs = [values[index] for index in step.inputs]
        values[step.output], saved = step.node.forward(inputs)
        slope = rng.normal(size=values[step.output].shape).astype(np.float32)
        _, saved_there = step.node.forward([codes[places] for codes in inputs])
        for here, there in zip(step.node.backward(saved, slope), step.node.backward(saved_there, slope[places]),
                               strict=True):
            assert np.array_equal(here[places], there), type(step.node).__name__


def test_gradient_is_that_of_the_float_network_but_for_rounding(lively: Lively) -> None:
    """On an 8-bit model the straight-through gradient points where the float network's own gradient points."""
    from tinyfuse.core.backend import tensorflow

    tf = tensorflow()
    network, base = lively("early")
    found = load_model(convert(base, read_recipe("w8")).data, name="early")
    twin, rng = Twin(found.graph), np.random.default_rng(0)
    inputs = {name: rng.uniform(0, 1, (8, 28, 28, 1)).astype(np.float32) for name in ("image", "audio")}
    codes = {name: grid.quantise(inputs[name]) for name, grid in found.grids.items()}
    ours = twin.gradient(codes, seed_of(twin), ["image", "audio"])[1]
    tensors = {name: tf.constant(value) for name, value in inputs.items()}
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        loss = tf.reduce_sum(network.model(tensors) * tf.range(10, dtype=tf.float32))
    for name, theirs in tape.gradient(loss, tensors).items():
        for a, b in zip(ours[name].reshape(8, -1), theirs.numpy().reshape(8, -1), strict=True):
            assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.8


def test_wrong_inputs_are_one_line(model: Callable[[str, str], IntegerModel]) -> None:
    twin = Twin(model("early", "w6").graph)
    codes = random_codes(model("early", "w6"), 3, seed=0)
    with pytest.raises(UsageError, match="needs input 'audio'"):
        twin.run({"image": codes["image"]})
    with pytest.raises(UsageError, match=r"3 and 2 samples|2 and 3 samples"):
        twin.run(codes | {"audio": codes["audio"][:2]})
    with pytest.raises(UsageError, match="did you mean 'audio'"):
        twin.gradient(codes, seed_of(twin), ["audoi"])


def test_an_unknown_operator_is_named(model: Callable[[str, str], IntegerModel],
                                      monkeypatch: pytest.MonkeyPatch) -> None:
    from tinyfuse.integer.operators import OPERATORS

    monkeypatch.delitem(OPERATORS, "ADD")
    with pytest.raises(ModelError, match=r"operator 4 .ADD. is not supported; build the network without"):
        Twin(model("early", "w6").graph)
