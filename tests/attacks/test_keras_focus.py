"""A cut network returns the very bits of the whole one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import analytic
import numpy as np
import pytest

from tinyfuse.attacks import PGD, KerasTarget
from tinyfuse.attacks.target import focused
from tinyfuse.data.digits.load import INPUTS
from tinyfuse.nn import zoo

Draw = Callable[..., tuple[dict[str, np.ndarray], np.ndarray]]
NAMES = ("image", "audio")


def build(name: str, seed: int) -> Any:
    return zoo.build(name, INPUTS, 10, seed=seed)


@pytest.mark.parametrize("name", ["intermediate", "late"])
@pytest.mark.parametrize("varying", ["image", "audio"])
def test_cut_networks_are_bitwise_equal(name: str, varying: str, samples: Draw) -> None:
    batch, labels = samples(7)
    target = KerasTarget(build(name, seed=3), batch_size=4)
    focus = target.focus(batch, (varying,))
    assert focus is not None
    rows = np.array([5, 0, 2])
    moved = {varying: 1 - batch[varying][rows]}
    whole = {key: values[rows] for key, values in batch.items()} | moved
    assert focus.logits(moved, rows).tobytes() == target.logits(whole).tobytes()
    for loss in ("cross-entropy", "margin"):
        ours = focus.gradient(moved, labels[rows], rows, loss)
        theirs = target.gradient(whole, labels[rows], (varying,), loss)
        assert ours.wrt[varying].tobytes() == theirs.wrt[varying].tobytes() and ours.wrt[varying].any()
        assert ours.loss.tobytes() == theirs.loss.tobytes()


def test_nothing_is_cut_where_nothing_can_run_ahead(samples: Draw) -> None:
    batch, _ = samples(3)
    assert KerasTarget(build("early", seed=0), batch_size=3).focus(batch, ("image",)) is None
    late = KerasTarget(build("late", seed=0), batch_size=3)
    assert late.focus(batch, ("image", "audio")) is None
    alone = KerasTarget(build("audio", seed=0), batch_size=3)
    assert alone.focus(batch, ("audio",)) is None


def test_an_attack_gives_the_same_result_with_and_without_a_cut(samples: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    batch, labels = samples(5)
    threat = analytic.threat("linf", {"audio": 0.05})
    target = KerasTarget(build("late", seed=1), batch_size=5)
    cut = PGD(steps=3).run(target, batch, labels, threat)
    monkeypatch.setattr(KerasTarget, "focus", lambda self, batch, varying: None)
    assert focused(target, batch, ("audio",)) is not None
    whole = PGD(steps=3).run(target, batch, labels, threat)
    assert cut.last["audio"].tobytes() == whole.last["audio"].tobytes()
    assert np.array_equal(cut.broken, whole.broken)


def crossed(names: tuple[str, str] = NAMES) -> Any:
    """The second input reaches the first at three depths: raw, through a shared layer, and one layer further on."""
    import tf_keras as keras

    keras.utils.set_random_seed(5)
    first, second = (keras.Input((28, 28, 1), name=name) for name in names)
    shared = keras.layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")
    normed = keras.layers.BatchNormalization(moving_variance_initializer="random_uniform",
                                             moving_mean_initializer="random_normal")
    near, far = shared(first), normed(shared(second))
    deeper = keras.layers.Conv2D(4, 3, padding="same")(far)
    mixed = keras.layers.Multiply()([keras.layers.Add()([near, far]), deeper])
    raw = keras.layers.Flatten()(keras.layers.Subtract()([first, second]))
    features = keras.layers.Concatenate()([keras.layers.Flatten()(mixed), raw])
    return keras.Model([first, second], keras.layers.Dense(10)(features), name="crossed")


def same_bits(target: KerasTarget, batch: dict[str, np.ndarray], varying: str, rows: np.ndarray) -> None:
    focus, labels = target.focus(batch, (varying,)), np.arange(len(rows)) % 10
    assert focus is not None
    moved = {varying: 1 - batch[varying][rows]}
    whole = {key: values[rows] for key, values in batch.items()} | moved
    ours, theirs = focus.gradient(moved, labels, rows), target.gradient(whole, labels, (varying,))
    assert ours.wrt[varying].tobytes() == theirs.wrt[varying].tobytes() and ours.wrt[varying].any()
    assert ours.logits.tobytes() == theirs.logits.tobytes()
    assert focus.logits(moved, rows).tobytes() == target.logits(whole).tobytes()


@pytest.mark.parametrize("varying", NAMES)
def test_any_number_of_borders_and_any_rows(varying: str, samples: Draw) -> None:
    """Rows in any order, some of them several times, across batches that need padding."""
    batch, _ = samples(11)
    target = KerasTarget(crossed(), batch_size=4)
    for rows in (np.arange(11), np.array([10, 3, 3, 0, 7, 10]), np.array([8])):
        same_bits(target, batch, varying, rows)


@pytest.mark.parametrize("varying", ["input_1", "input_2"])
def test_inputs_with_the_names_that_keras_gives(varying: str, samples: Draw) -> None:
    """A model that was loaded, so that Keras begins to count at ``input_1`` again."""
    import tf_keras as keras

    batch, _ = samples(5)
    model = crossed(("input_1", "input_2"))
    keras.backend.clear_session()
    same_bits(KerasTarget(model, batch_size=4), {"input_1": batch["image"], "input_2": batch["audio"]}, varying,
              np.array([4, 1]))


def test_an_attacked_input_that_the_model_ignores(samples: Draw) -> None:
    import tf_keras as keras

    batch, labels = samples(3)
    batch["extra"] = batch["audio"].copy()
    inputs = [keras.Input((28, 28, 1), name=name) for name in batch]
    features = [keras.layers.Flatten()(keras.layers.Conv2D(2, 3)(tensor)) for tensor in inputs[:2]]
    logits = keras.layers.Dense(10)(keras.layers.Concatenate()(features))
    target = KerasTarget(keras.Model(inputs, logits), batch_size=3)
    found = focused(target, batch, ("image", "extra")).gradient(batch, labels, np.arange(3))
    assert found.wrt["image"].any() and not found.wrt["extra"].any()


def test_the_fixed_part_runs_once(samples: Draw) -> None:
    """A focus keeps what it computed: it does not look at the fixed input again."""
    batch, labels = samples(4)
    target, rows = KerasTarget(build("late", seed=0), batch_size=4), np.arange(4)
    focus = target.focus(batch, ("image",))
    assert focus is not None
    before = focus.gradient(batch, labels, rows)
    batch["audio"][:] = np.nan
    after = focus.gradient(batch, labels, rows)
    assert after.logits.tobytes() == before.logits.tobytes()
    assert after.wrt["image"].tobytes() == before.wrt["image"].tobytes()


def test_the_network_itself_stays_as_it_was(samples: Draw) -> None:
    import tf_keras as keras

    batch, _ = samples(2)
    model = build("late", seed=0)
    config, features = json.dumps(model.get_config(), default=str), model.get_layer("shared_concat").output
    target = KerasTarget(model, batch_size=2)
    for name in batch:
        target.focus(batch, (name,))
    assert json.dumps(model.get_config(), default=str) == config
    assert model.get_layer("shared_concat").output is features
    assert keras.Model(model.inputs, features)([batch["image"], batch["audio"]]).shape == (2, 128)
