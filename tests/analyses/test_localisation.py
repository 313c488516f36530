"""The localiser and its map: closed forms of the attention, exact integers, and an attack that moves the map alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyfuse.analyses import AnalysisSubject, Finding
from tinyfuse.analyses.attention_map import (
    TRUTH,
    TwinMap,
    grid_of,
    keras_map,
    log_shares,
    map_of_keras,
    mass_inside,
    pointing,
    truth_on_grid,
    twin_map,
    with_truth,
)
from tinyfuse.analyses.localisation import Localisation
from tinyfuse.attacks.targets.twin_target import TwinTarget
from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import UsageError
from tinyfuse.data import Dataset, Samples
from tinyfuse.integer.executors import open_executor
from tinyfuse.integer.executors.installed import ORACLE, is_here
from tinyfuse.integer.model import IntegerModel, load_model
from tinyfuse.nn import zoo
from tinyfuse.nn.network import Network, describe_training, open_network
from tinyfuse.nn.train import TrainConfig, Trained
from tinyfuse.nn.zoo.localiser import MAP, attended
from tinyfuse.quantize.convert import baseline, convert
from tinyfuse.quantize.recipe import read_recipe

SIDE, PLACES = 12, 9
LEFT = np.arange(SIDE) < SIDE // 2


def tiny_localiser(seed: int = 0) -> Any:
    """One convolution for each input, whose patches are the places of the map; small, with a random query."""
    tensorflow()
    import tf_keras
    from tf_keras import layers

    inputs = {"cam": tf_keras.Input((SIDE, SIDE, 1), name="cam"), "mic": tf_keras.Input((4, 4, 1), name="mic")}
    values = layers.Conv2D(6, 4, 4, activation="relu", name="cam_patches")(inputs["cam"])
    asked = layers.Dense(5, activation="relu", name="mic_features")(layers.Flatten(name="mic_flat")(inputs["mic"]))
    seen = attended(values, asked, branch="cam")
    logits = layers.Dense(3, name="head")(layers.Concatenate(name="joined")([seen, asked]))
    model, rng = tf_keras.Model(inputs, logits, name="tiny"), np.random.default_rng(seed)
    for weight in model.weights:
        weight.assign(rng.normal(0, 4.0 if "query" in weight.name else 0.6, weight.shape))
    return model


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny_localiser()


@pytest.fixture(scope="module")
def data(model: Any) -> Dataset:
    """Labels are the model's own answers; the truth is the half in which the map has more."""
    rng = np.random.default_rng(1)
    inputs = {"cam": rng.random((60, SIDE, SIDE, 1), np.float32), "mic": rng.random((60, 4, 4, 1), np.float32)}
    label = np.asarray(model(inputs)).argmax(axis=1)
    made = Dataset.from_arrays(inputs, label, classes=("a", "b", "c"), low=0.0, high=1.0, name="halves",
                               part=np.repeat(["train", "validation", "test"], [30, 10, 20]))
    left = np.broadcast_to(LEFT[None, None, :, None], (20, SIDE, SIDE, 1))
    return replace(made, test=replace(made.test, regions={"cam": left}))


@pytest.fixture(scope="module")
def subject(model: Any, data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> AnalysisSubject:
    path = tmp_path_factory.mktemp("tiny") / "tiny.keras"
    model.save(path)
    return AnalysisSubject.of_network(open_network(path, data), data)


@pytest.fixture(scope="module")
def integers(subject: AnalysisSubject) -> IntegerModel:
    assert subject.network is not None
    base = baseline(subject.network, subject.dataset.train)
    return load_model(convert(base, read_recipe("w8")).data, name="tiny")


@pytest.fixture(scope="module")
def twin(subject: AnalysisSubject, integers: IntegerModel) -> AnalysisSubject:
    return AnalysisSubject("tiny", "w8", "0" * 64, 0, subject.inputs, subject.dataset, TwinTarget(integers))


def test_without_a_query_the_map_is_uniform_and_the_network_is_pooled_late_fusion(tiny_dataset: Dataset) -> None:
    """A fresh localiser has U = 0: its logits are those of late fusion with the same trunks and head."""
    localiser, late = (zoo.build(name, tiny_dataset.inputs, 10) for name in ("localiser", "late"))
    for layer in late.layers:
        if layer.weights:
            layer.set_weights(localiser.get_layer(layer.name).get_weights())
    inputs = dict(tiny_dataset.test.take(slice(6)).inputs)
    assert np.allclose(np.asarray(localiser(inputs)), np.asarray(late(inputs)), atol=1e-5)
    import tf_keras

    share = np.asarray(tf_keras.Model(localiser.input, localiser.get_layer(MAP).output)(inputs))
    assert share.shape == (6, 49) and np.allclose(share, 1 / 49)


def test_swapping_the_halves_of_the_picture_swaps_the_map(model: Any, data: Dataset) -> None:
    look, _ = map_of_keras(model, keras_map(model), 20)
    columns = np.r_[8:12, 4:8, 0:4]  # whole patches change places
    given = dict(data.test.inputs)
    before = look(given).reshape(-1, 3, 3)
    swapped = {**given, "cam": given["cam"][:, :, columns]}
    assert np.allclose(look(swapped).reshape(-1, 3, 3), before[:, :, ::-1], atol=1e-6)
    assert np.allclose(np.asarray(model(swapped)), np.asarray(model(given)), atol=1e-4)  # what is seen is a sum


def test_a_localiser_needs_somebody_who_asks(tiny_dataset: Dataset) -> None:
    with pytest.raises(UsageError, match="two inputs or more"):
        zoo.build("localiser", tiny_dataset.inputs[:1], 10)


def test_the_zoo_network_is_exact_in_the_twin(tiny_dataset: Dataset) -> None:
    if not is_here(ORACLE):
        pytest.skip("TFLite Micro is not installed")
    network, rng = zoo.build("localiser", tiny_dataset.inputs, 10), np.random.default_rng(0)
    query = network.get_layer("shared_query")
    query.set_weights([rng.normal(0, 2, query.kernel.shape), rng.normal(0, 1, query.bias.shape)])
    table = describe_training(Trained("localiser", network, 1, 0.5, 0.5, 0.1), tiny_dataset, TrainConfig(epochs=1))
    whole = Network("localiser", network, tiny_dataset.inputs, tiny_dataset.classes, table | {"sha256": "0" * 64},
                    Path("localiser.keras"))
    base = baseline(whole, tiny_dataset.train.balanced(20, seed=0))
    for recipe in ("w8", "w4"):
        found = load_model(convert(base, read_recipe(recipe)).data, name=recipe)
        codes = found.codes_of(tiny_dataset.test.take(slice(8)).inputs)
        assert np.array_equal(open_executor(found, "twin").run(codes), open_executor(found, ORACLE).run(codes))
        assert twin_map(TwinTarget(found)) is not None


def test_true_regions_on_the_places_of_a_map() -> None:
    assert grid_of(49, (28, 28, 1)) == (7, 7) and grid_of(8, (10, 20)) == (2, 4)
    with pytest.raises(UsageError, match="7 places"):
        grid_of(7, (28, 28, 1))
    region = np.zeros((2, 28, 28, 1), bool)
    region[0, :14, 14:] = True
    region[1, :3, :4] = True
    found = truth_on_grid(region, 49).reshape(2, 7, 7)
    # The border between quadrants runs through the middle of a place.
    assert np.array_equal(found[0], np.outer([1, 1, 1, 0.5, 0, 0, 0], [0, 0, 0, 0.5, 1, 1, 1]))
    assert found[1, 0, 0] == 0.75 and found[1].sum() == 0.75


def test_pointing_and_mass() -> None:
    share = np.array([[0.5, 0.3, 0.2], [0.1, 0.3, 0.6]])
    truth = np.array([[1.0, 0.5, 0.0], [1.0, 1.0, 0.5]])
    assert pointing(share, truth).tolist() == [True, False]
    assert np.allclose(mass_inside(share, truth), [0.65, 0.7])
    quadrant = np.pad(np.ones((1, 14, 14)), ((0, 0), (0, 14), (0, 14)))
    assert mass_inside(np.full((1, 49), 1 / 49), truth_on_grid(quadrant, 49)) == pytest.approx(0.25)


def test_slopes_of_the_logarithms_of_the_shares() -> None:
    rng = np.random.default_rng(0)
    share, region = rng.random((3, 5)), (rng.random((3, 5)) < 0.5).astype(float)
    region[:, 0], region[:, 1] = 1, 0
    value, slopes = log_shares(share, region)
    for place in range(5):
        step = np.zeros((3, 5))
        step[:, place] = 1e-6
        assert np.allclose((log_shares(share + step, region)[0] - value) / 1e-6, slopes[:, :, place], atol=1e-3)


def test_the_map_as_a_target_has_the_gradient_of_what_it_says(subject: AnalysisSubject, twin: AnalysisSubject) -> None:
    """Float: finite differences. Integers: one step of many codes along the gradient raises the loss."""
    samples = subject.dataset.test.take(slice(6))
    assert subject.network is not None
    own = subject.network.model
    look, target = map_of_keras(own, keras_map(own), 20)
    truth, labels = truth_on_grid(samples.regions["cam"], PLACES), np.zeros(6, int)
    batch = with_truth(subject.given(samples.inputs), truth)
    inside = mass_inside(look(batch), truth)
    assert np.allclose(np.exp(target.logits(batch))[:, 0], inside, atol=1e-4)
    slope = target.gradient(batch, labels, ("cam",)).wrt["cam"]
    along = 1e-2 * slope / np.abs(slope).max(axis=(1, 2, 3), keepdims=True)
    ends = [-np.log(mass_inside(look({**batch, "cam": batch["cam"] + sign * along}), truth)) for sign in (-1, 1)]
    assert np.allclose((ends[1] - ends[0]) / 2, (slope * along).sum(axis=(1, 2, 3)), rtol=0.1, atol=1e-3)
    assert twin.twin is not None
    tensor = twin_map(twin.twin)
    assert tensor is not None
    map_target = TwinMap(twin.twin, tensor)
    codes = with_truth(twin.given(samples.inputs), truth)
    assert np.abs(mass_inside(map_target.look(codes), truth) - inside).max() < 0.1
    found = map_target.gradient(codes, labels, ("cam",))
    stepped = {**codes, "cam": np.clip(codes["cam"] + 8 * np.sign(found.wrt["cam"]), -128, 127)}
    assert (map_target.gradient(stepped, labels, ("cam",)).loss > found.loss).mean() > 0.8
    assert TRUTH in map_target.inputs


def findings(subject: AnalysisSubject, samples: Samples) -> dict[tuple[str, str], float | None]:
    found: list[Finding] = list(Localisation(epsilon=0.3, steps=6).run(subject, samples, lambda *a, **k: None))
    return {(one.quantity, one.of["attacked input"]): one.value for one in found}


def test_an_attack_moves_maps_of_float_networks_and_integers(subject: AnalysisSubject, twin: AnalysisSubject) -> None:
    samples = subject.dataset.test
    for one in (subject, twin):
        found = findings(one, samples)
        clean, moved = found["mass inside", "none"], found["mass inside", "cam"]
        assert clean is not None and moved is not None and moved < clean - 0.1
        fooled, pointed = found["fooled maps", "cam"], found["pointing accuracy", "none"]
        assert fooled is not None and pointed is not None and 0 <= fooled <= pointed


@pytest.mark.parametrize("kind", ["Average", "Max"])
def test_a_pool_over_channels_is_read_as_what_it_is(kind: str, data: Dataset, tmp_path: Path) -> None:
    """Of a square sequence, [6, 6], a pool with channels first would go unnoticed as one over the other axis."""
    import tf_keras
    from tf_keras import layers

    given = tf_keras.Input((SIDE, SIDE, 1), name="cam")
    square = layers.Reshape((6, 6))(layers.Conv2D(4, 4, 4)(given))
    pooled = getattr(layers, f"Global{kind}Pooling1D")(data_format="channels_first")(square)
    own = tf_keras.Model({"cam": given}, layers.Dense(3)(pooled))
    own.save(tmp_path / "own.keras")
    network, inputs = open_network(tmp_path / "own.keras", data), dict(data.test.only(("cam",)).inputs)
    assert np.allclose(np.asarray(network.model(inputs)), np.asarray(own(inputs)), atol=1e-5)


def test_a_truth_is_needed(subject: AnalysisSubject) -> None:
    with pytest.raises(UsageError, match="--data composed"):
        findings(subject, subject.dataset.train)
    assert not subject.lacks("map")
