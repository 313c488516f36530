"""ExFMem: two stages in one training, its memory in the file and on the integers, ridge in the head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tinyfuse
from tinyfuse.attacks import PGD
from tinyfuse.core.errors import UsageError
from tinyfuse.data import Dataset
from tinyfuse.integer.compare import compare
from tinyfuse.integer.executors import open_executor
from tinyfuse.integer.model import dequantize, load_model, random_codes
from tinyfuse.nn.network import Network, load_network
from tinyfuse.nn.objectives import memory
from tinyfuse.nn.objectives.exfmem import ExFMem, IstaWork, RidgeWork
from tinyfuse.nn.objectives.run import Run
from tinyfuse.nn.predict import predict
from tinyfuse.nn.train import TrainConfig
from tinyfuse.nn.train_or_load import train_or_load
from tinyfuse.quantize.convert import Baseline, baseline, convert
from tinyfuse.quantize.recipe import read_recipe
from tinyfuse.study.attack import AttackTask, attack_network

Make = Callable[..., Run]
SMALL = {"columns": 6, "steps": 2}


def config(**settings: Any) -> TrainConfig:
    return TrainConfig(epochs=2, batch_size=20, objective="exfmem", settings={"exfmem": settings})


def batch_of(run: Run) -> dict[str, Any]:
    return {name: tf.constant(values) for name, values in run.dataset.train.take(slice(0, 20)).inputs.items()}


def test_training_fills_the_memory_at_half_time_and_the_file_holds_it(senses: Dataset, tmp_path: Path) -> None:
    said: list[str] = []
    network = train_or_load("small-late", senses, config(**SMALL), tmp_path, report=said.append)
    assert "validation -1.0000" in said[0] and network.table["training"]["best_epoch"] == 2 and network.table["own"]
    assert memory.is_filled(network.model)
    again = load_network(network.path)
    np.testing.assert_array_equal(predict(again.model, senses.test), predict(network.model, senses.test))
    accuracy = np.mean(predict(again.model, senses.test).argmax(1) == senses.test.label)
    assert accuracy == network.table["accuracy"]["test"]
    kernels = [again.model.get_layer(f"eye_memory_{name}").get_weights()[0] for name in ("up_1", "up_2")]
    np.testing.assert_array_equal(kernels[0], kernels[1])  # training left them as they are
    rebuilt = ExFMem(**SMALL).rebuild(again.model)
    assert rebuilt is again.model and not rebuilt.get_layer("eye_memory_up_1").trainable_weights


@pytest.fixture(scope="module")
def remembering(senses: Dataset) -> tuple[Network, Baseline]:
    """An untrained network whose memories are full, and its int8 graph."""
    from tinyfuse.nn import zoo

    model = ExFMem(columns=12, steps=3).rebuild(zoo.build("small-late", senses.inputs, 3))
    run = Run(model, senses, (ExFMem(columns=12, steps=3, fill=0.0),), 0, 2, 3)
    run.works[0].epoch_start(0)
    network = Network("remembering", model, senses.inputs, senses.classes,
                      {"sha256": "0" * 64, "training": {"seed": 0}}, Path("one.keras"))
    return network, baseline(network, senses.train)


@pytest.mark.parametrize("recipe", ["w8a8", "w4a8", "w6a7", "w8a9"])
def test_integers_of_a_memory_are_those_of_tflm(recipe: str, remembering: tuple[Network, Baseline], senses: Dataset,
                                                tmp_path: Path) -> None:
    network, base = remembering
    found = convert(base, read_recipe(recipe))
    (tmp_path / "remembering.tflite").write_bytes(found.data)
    model = load_model(tmp_path / "remembering.tflite")
    operators = {operator.name for operator in model.graph.operators}
    assert operators <= {"RESHAPE", "FULLY_CONNECTED", "ADD", "SUB", "CONCATENATION", "QUANTIZE", "RELU"}
    assert compare(model, ["twin", "tflm"], random_codes(model, 8, seed=1)).differences[0].differing == 0
    codes = open_executor(model, "twin").run(model.codes_of(senses.test.inputs))
    exact = predict(network.model, senses.test)
    allowed = {"w8a8": 0.03, "w8a9": 0.03}.get(recipe, 0.5) * np.abs(exact).max()
    assert np.abs(dequantize(codes, model.output) - exact).max() < allowed


def test_attacks_go_through_the_memory_or_around_it_and_rows_say_which(remembering: tuple[Network, Baseline],
                                                                       senses: Dataset, tmp_path: Path) -> None:
    task = AttackTask(PGD(steps=3), senses, 20, epsilon=0.1)
    through, around = (attack_network(remembering[0], replace(task, around_memory=way)) for way in (False, True))
    assert [row["source"] for row in through.rows[1:]] == ["float", "float"]
    assert [row["source"] for row in around.rows[1:]] == ["float-around-memory"] * 2
    assert through.rows[0] == around.rows[0]  # clean
    assert not np.array_equal(through.made["eye"], around.made["eye"])
    with pytest.raises(UsageError, match=r"gradients go around the memory of a float network; give that, or as the"):
        tinyfuse.attack(tmp_path / "one.tflite", senses, around_memory=True)


def test_the_memory_holds_features_of_each_class_at_length_one(run_of: Make, senses: Dataset) -> None:
    settings = ExFMem(columns=7, steps=2, penalty=0.2, fill=0.0)
    run = run_of("exfmem", exfmem={"columns": 7, "steps": 2, "penalty": 0.2, "fill": 0.0})
    plain = run.model
    run = Run(settings.rebuild(plain), senses, (settings,), 0, 2, 3)
    [work] = run.works
    assert isinstance(work, IstaWork) and work.score(senses.validation) == -1
    before = run.logits(batch_of(run), training=False)
    np.testing.assert_array_equal(before, plain(batch_of(run)))
    work.epoch_start(0)
    assert work.score(senses.validation) is None
    chosen = senses.train.balanced(7, seed=0)
    features = run_of("minsim").view
    assert np.ptp(np.bincount(chosen.label)) <= 1 and features.branches == ("eye", "ear")
    phi = Run(plain, senses, (), 0, 2, 3).view.forward(chosen.inputs, training=False).features["eye"].numpy()
    seen = run.model.get_layer("eye_memory_seen_2").get_weights()[0]
    np.testing.assert_allclose(seen, memory.unit_columns(phi).T, atol=1e-6)
    kernel, bias = run.model.get_layer("eye_memory_up_1").get_weights()
    step = 1 / np.linalg.norm(seen, 2) ** 2
    np.testing.assert_allclose(kernel, step * seen.T, atol=1e-6)
    np.testing.assert_allclose(bias, -step * 0.2 * np.linalg.norm(phi, axis=1).mean(), rtol=1e-5)
    weights = run.model.get_weights()
    work.epoch_start(1)  # only once
    assert all(np.array_equal(one, other) for one, other in zip(weights, run.model.get_weights(), strict=True))


def test_features_of_the_loss_are_the_rebuilt_ones_and_the_adversary_goes_through_the_memory(senses: Dataset,
                                                                                            run_of: Make) -> None:
    settings = ExFMem(columns=6, steps=2, fill=0.0)
    run = Run(settings.rebuild(run_of("plain").model), senses, (settings,), 0, 2, 3)
    run.works[0].epoch_start(0)
    forward = run.view.forward(batch_of(run), training=False)
    last = memory.copied(run.model, {"head": lambda made: made["eye_memory_sum"]})
    np.testing.assert_allclose(forward.features["eye"], last(batch_of(run)), rtol=1e-6)
    assert run.works[0].in_attack


def test_ridge_folds_into_the_head(senses: Dataset, run_of: Make) -> None:
    run = run_of("exfmem", exfmem={"method": "ridge", "columns": 3, "fill": 0.0})
    [work] = run.works
    assert isinstance(work, RidgeWork) and work.score(senses.validation) == -1
    batch = batch_of(run)
    plain = run.model(batch).numpy()
    np.testing.assert_allclose(run.logits(batch, training=False), plain, atol=1e-6)
    work.epoch_start(0)
    blended = run.logits(batch, training=False)
    assert np.abs(blended - plain).max() > 1e-3
    work.publish()
    np.testing.assert_allclose(run.model(batch), blended, atol=1e-5)
    work.publish()  # folds anew, not twice
    np.testing.assert_allclose(run.model(batch), blended, atol=1e-5)
    [passed] = work.finish().values()
    assert set(passed) == {"eye", "ear"} and 0.5 < passed["eye"] < 1


def test_ridge_training_leaves_the_network_plain_and_goes_on_after_an_interruption(senses: Dataset,
                                                                                  tmp_path: Path) -> None:
    settings = config(method="ridge", columns=3)
    whole = train_or_load("small-late", senses, settings, tmp_path / "whole")
    assert "own" not in whole.table and len(whole.model.layers) == 8
    assert whole.table["objective"]["exfmem"]["passed"]["ear"] < 1

    def stop(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_or_load("small-late", senses, settings, tmp_path / "parts", report=stop)
    parts = train_or_load("small-late", senses, settings, tmp_path / "parts")
    np.testing.assert_array_equal(predict(parts.model, senses.test), predict(whole.model, senses.test))


def test_a_share_of_zero_is_minsim_to_the_bit(senses: Dataset, run_of: Make) -> None:
    model = run_of("plain").model
    assert ExFMem(share=0.0).rebuild(model) is model
    batch, labels = batch_of(run_of("minsim")), tf.constant(senses.train.label[:20])
    results = [run_of(name, **settings).gradients(batch, labels, tf.constant([1, 2]))[1] for name, settings in (
        ("minsim", {}), ("exfmem", {"exfmem": {"share": 0.0}}))]
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("settings", "message"), [
    ({"method": "istaa"}, "unknown method 'istaa'"), ({"share": 1.0}, "shares of at least 0 and below 1"),
    ({"penalty": 0.0}, "penalty is 0"), ({"columns": 0}, "at least one column")])
def test_refusals(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ExFMem(**settings)


def test_networks_without_branches_are_refused(run_of: Make) -> None:
    with pytest.raises(UsageError, match="exfmem needs a network whose last layer is dense"):
        ExFMem().rebuild(run_of("plain", "small-early").model)
