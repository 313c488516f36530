"""Quantisation-aware training: its codes survive conversion, it resumes exactly, and its files say what they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thin import thin_trunk

from tinyfuse import api
from tinyfuse.cli import main as cli
from tinyfuse.core import toml
from tinyfuse.core.errors import ConversionError, ModelError, RecipeError, UsageError
from tinyfuse.core.results import ResultStore
from tinyfuse.data import Dataset
from tinyfuse.integer.executors import open_executor
from tinyfuse.integer.model import load_model
from tinyfuse.nn import zoo
from tinyfuse.nn.batch_norm_folding import folded
from tinyfuse.nn.network import Network, load_network
from tinyfuse.nn.predict import predict
from tinyfuse.nn.zoo import resnet8
from tinyfuse.quantize import qat
from tinyfuse.quantize.convert import baseline, convert
from tinyfuse.quantize.folded_layers import folded_layers
from tinyfuse.quantize.readback import written_codes
from tinyfuse.quantize.recipe import LayerRule, Recipe, read_recipe
from tinyfuse.quantize.weight_codes import Slice, level, quantize
from tinyfuse.study.matrix import Matrix
from tinyfuse.study.run import Run
from tinyfuse.study.stages.convert import convert_network

RULES = Recipe("rules", {"image": 5, "audio": 8, "shared": 4},
               (LayerRule("*_stem_conv", 9), LayerRule("shared_block3_*", 3)), methods=("qat",))


class Interrupted(Exception):
    """Stands for a kill between two epochs."""


@pytest.fixture
def network(thin_early: Network, monkeypatch: pytest.MonkeyPatch) -> Network:
    """Its file is read as a thin network while a test runs."""
    monkeypatch.setattr(resnet8, "trunk", thin_trunk)
    return thin_early


def quantised(network: Network, recipe: str | Path, dataset: Dataset, out: Path, epochs: int = 1) -> Path:
    return api.convert(network.path, recipe, dataset, out=out, calibration_samples=40, proof_samples=4,
                       qat_epochs=epochs)


def twin_accuracy(path: Path, dataset: Dataset) -> float:
    model, samples = load_model(path), dataset.test
    return float(np.mean(open_executor(model, "twin").run(model.codes_of(samples.inputs)).argmax(1) == samples.label))


@pytest.mark.parametrize("name", zoo.DIGIT_NETWORKS)
def test_folding_changes_no_logit(name: str, lively_model: Callable[[str], Any], tiny_dataset: Dataset) -> None:
    model = lively_model(name)
    plain = folded(model)
    assert not any(layer.name.endswith("_bn") for layer in plain.layers)
    assert {layer.name for layer in plain.layers} < {layer.name for layer in model.layers}
    expected = predict(model, tiny_dataset.test)
    assert np.abs(predict(plain, tiny_dataset.test) - expected).max() < 2e-6 * np.abs(expected).max()
    layers = {layer.name: layer for layer in folded_layers(plain)}
    for layer in folded_layers(model):
        assert np.array_equal(layers[layer.name].kernel, layer.kernel.astype(np.float32))
        assert np.array_equal(layers[layer.name].bias, layer.bias.astype(np.float32))
        assert layers[layer.name].parts == layer.parts


@st.composite
def kernels(draw: st.DrawFn) -> tuple[np.ndarray, list[tuple[int, int, int]]]:
    """A kernel [3, i, o] of very different channels and the widths of one to three slices of its inputs."""
    widths = draw(st.lists(st.integers(2, 9), min_size=1, max_size=3))
    ends = np.cumsum(draw(st.lists(st.integers(1, 3), min_size=len(widths), max_size=len(widths)))).tolist()
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kernel = generator.normal(size=(3, ends[-1], 6)) * np.exp(generator.normal(0, 3, size=(1, ends[-1], 6)))
    kernel *= generator.random((1, ends[-1], 6)) > draw(st.sampled_from((0.0, 0.3)))
    return kernel.astype(np.float32), list(zip([0, *ends[:-1]], ends, widths, strict=True))


@settings(max_examples=150, deadline=None)
@given(kernels())
def test_quantising_what_was_rounded_moves_no_code_and_no_scale(
        drawn: tuple[np.ndarray, list[tuple[int, int, int]]]) -> None:
    from tinyfuse.quantize.fake_quantisation import grid

    kernel, parts = drawn
    codes, scale = (np.asarray(part) for part in grid(kernel, parts))
    slices = [Slice(start, stop, "shared", bits) for start, stop, bits in parts]
    stored = np.moveaxis((codes * scale).astype(np.float64), -1, 0)
    again = quantize(stored, slices, least_scale=np.zeros(6))
    assert np.array_equal(again.values, np.moveaxis(codes, -1, 0))
    assert np.array_equal(again.scale, scale)
    direct = quantize(np.moveaxis(kernel.astype(np.float64), -1, 0), slices, least_scale=np.zeros(6))
    assert np.allclose(direct.scale, scale, rtol=2**-15, atol=0)
    for j, (start, stop, bits) in enumerate(parts):
        step = np.maximum(direct.stride[:, j], again.stride[:, j]) * scale.astype(np.float64)
        assert (np.abs(codes[:, start:stop]).max((0, 1)) <= level(bits) * direct.stride[:, j]).all()
        assert (np.abs(codes * scale - kernel)[:, start:stop] <= step * (1 + 1e-3)).all()


def test_the_gradient_passes_straight_through() -> None:
    from tinyfuse.core.backend import tensorflow
    from tinyfuse.quantize.fake_quantisation import WeightGrid

    tf = tensorflow()
    kernel = tf.Variable(np.random.default_rng(0).normal(size=(3, 3, 2, 4)).astype(np.float32))
    weights = np.random.default_rng(1).normal(size=(3, 3, 2, 4)).astype(np.float32)
    with tf.GradientTape() as tape:
        rounded = WeightGrid([(0, 2, 3)])(kernel, True, {})
        loss = tf.reduce_sum(rounded * weights)
    assert len(np.unique(np.asarray(rounded)[..., 0])) <= 7
    assert np.array_equal(np.asarray(tape.gradient(loss, kernel)), weights)


def test_activations_are_rounded_to_the_widths_of_their_branch(lively_model: Callable[[str], Any],
                                                               tiny_dataset: Dataset) -> None:
    from tf_keras import Model

    from tinyfuse.quantize.fake_quantisation import fake_quantised

    plain = folded(lively_model("intermediate"))
    recipe = read_recipe("image-w8a6-audio-w8a9-shared-w8a8")
    model = fake_quantised(plain, recipe, tiny_dataset.train.take(slice(0, 40)))
    names = [layer.name for layer in plain.layers if type(layer).__name__ == "ReLU"]
    outputs = Model(model.input, {name: model.get_layer(name).output for name in names})(tiny_dataset.test.inputs)
    assert len(names) == 12
    for name, value in outputs.items():
        values = 2 ** {"image": 6, "audio": 9, "shared": 8}[name.split("_")[0]]
        assert values / 4 < len(np.unique(np.asarray(value))) <= values


@pytest.mark.parametrize("recipe", ["w4-qat", "w6-qat", "w9-qat", "image3-audio5-shared4-qat", RULES])
def test_the_file_holds_the_codes_of_the_last_forward_pass(
        recipe: str | Recipe, network: Network, tiny_dataset: Dataset, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch) -> None:
    from tinyfuse.quantize import fake_quantisation as fake

    trained, snapped = [], fake.snapped
    monkeypatch.setattr(fake, "snapped", lambda model, start: snapped(trained.append(model) or model, start))
    if isinstance(recipe, Recipe):
        (tmp_path / "rules.toml").write_text(toml.dumps(recipe.to_table()))
    path = quantised(network, tmp_path / "rules.toml" if isinstance(recipe, Recipe) else recipe, tiny_dataset,
                     tmp_path)
    logits = np.asarray(trained[0](tiny_dataset.test.inputs, training=False))
    start = folded(network.model)
    layers = {layer.name: layer for layer in folded_layers(start)}
    found, in_use = written_codes(path.read_bytes(), "file"), snapped(trained[0], start)[1]
    assert set(found) == set(layers)
    moved = 0
    for name, (codes, scale) in found.items():
        used = np.moveaxis(np.asarray(trained[0].get_layer(name).layer.kernel), -1, 0)
        column = scale.reshape(-1, *(1,) * (codes.ndim - 1))
        assert np.array_equal(codes * column, used)
        assert [np.array_equal(*both) for both in zip(found[name], in_use[name], strict=True)] == [True, True]
        moved += int((quantize(layers[name].kernel, layers[name].slices(recipe_of(recipe)),
                               least_scale=np.zeros(len(scale))).values != codes).sum())
    assert moved > 0
    share = float(np.mean(logits.argmax(1) == tiny_dataset.test.label))
    assert share == pytest.approx(load_network(tmp_path / f"early-{recipe_of(recipe).name}.keras")
                                  .table["accuracy"]["test"])
    assert abs(twin_accuracy(path, tiny_dataset) - share) <= 0.05


def recipe_of(recipe: str | Recipe) -> Recipe:
    return recipe if isinstance(recipe, Recipe) else read_recipe(recipe)


def test_training_regains_what_rounding_lost(network: Network, tiny_dataset: Dataset, tmp_path: Path) -> None:
    from tinyfuse.quantize import fake_quantisation as fake

    def error(model: Any) -> float:
        logits = predict(model, tiny_dataset.train).astype(np.float64)
        return float(np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(200), tiny_dataset.train.label]))

    start, recipe = folded(network.model), read_recipe("w2-qat")
    rounded = error(fake.fake_quantised(start, recipe, tiny_dataset.train))
    trained = error(qat.train_or_load(network, recipe, tiny_dataset, tmp_path, epochs=4).model)
    assert trained < 0.7 * rounded


def test_an_interrupted_training_ends_with_the_same_bytes(network: Network, tiny_dataset: Dataset,
                                                          tmp_path: Path) -> None:
    def stop(line: str) -> None:
        if "epoch 1/" in line:
            raise Interrupted

    whole = qat.train_or_load(network, read_recipe("w4-qat"), tiny_dataset, tmp_path / "whole")
    with pytest.raises(Interrupted):
        qat.train_or_load(network, read_recipe("w4-qat"), tiny_dataset, tmp_path / "parts", report=stop)
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["early-w4-qat.checkpoint.npz"]
    lines: list[str] = []
    ticks: list[int] = []
    resumed = qat.train_or_load(network, read_recipe("w4-qat"), tiny_dataset, tmp_path / "parts", report=lines.append,
                         tick=lambda: ticks.append(1))
    assert (len(lines), len(ticks)) == (1, 10)
    assert resumed.path.read_bytes() == whole.path.read_bytes()
    assert sorted(path.name for path in resumed.path.parent.iterdir()) == ["early-w4-qat.keras", "early-w4-qat.toml"]


def test_the_command_trains_once_and_records_both_trainings(
        network: Network, tiny_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("tinyfuse.cli.quantize.load_from", lambda args: tiny_dataset)
    command = ["quantize", str(network.path), "--recipe", "w4-qat", "--qat-epochs", "1", "--out", str(tmp_path),
               "--calibration-samples", "40"]
    assert cli.main(command) == 0
    path = tmp_path / "early__w4-qat.tflite"
    said, first = capsys.readouterr(), path.read_bytes()
    assert said.out == f"{path}\n"
    assert "early-w4-qat: epoch 1/1" in said.err
    table = toml.read(path.with_suffix(".toml"), ModelError)
    assert table["float_sha256"] == network.sha256
    assert (table["training"]["epochs"], table["qat"]["epochs"]) == (10, 1)
    assert table["qat"]["sha256"] == load_network(tmp_path / "early-w4-qat.keras").sha256
    monkeypatch.delattr(qat, "fit")  # a second training would fail
    path.unlink()
    assert cli.main(command) == 0
    assert path.read_bytes() == first
    assert cli.main([*command[:2], "--recipe", "w4-qat", "--qat-epochs", "3", *command[6:]]) == 2
    assert "trained with epochs = 1, but 3 is asked for" in capsys.readouterr().err
    again = quantised(load_network(tmp_path / "early-w4-qat.keras"), "w4-qat", tiny_dataset, tmp_path / "again")
    assert again.read_bytes() == first
    with pytest.raises(RecipeError, match="were trained for 'w4-qat'"):
        quantised(load_network(tmp_path / "early-w4-qat.keras"), "w8", tiny_dataset, tmp_path)
    with pytest.raises(UsageError, match="is already trained for 'w4-qat'"):
        quantised(load_network(tmp_path / "early-w4-qat.keras"), "w3-qat", tiny_dataset, tmp_path)


def test_a_sweep_takes_such_recipes_and_resumes(network: Network, tiny_dataset: Dataset, tmp_path: Path,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = Matrix(models=("early",), recipes=("w4-qat",), mixes=(), calibration_samples=40, proof_samples=2,
                    transfer_from=("float",))
    run = Run(tmp_path, tmp_path / "models", matrix, tiny_dataset, 3, ResultStore(tmp_path / "results.jsonl"))
    made = convert_network(run, network, lambda note: None)
    monkeypatch.delattr(qat, "fit")
    again = convert_network(run, network, lambda note: None)
    assert [(item.recipe.name, item.table["sha256"]) for item in made] == [
        (item.recipe.name, item.table["sha256"]) for item in again]
    rows = run.store.rows()
    assert [(row["kind"], row["precision"]) for row in rows] == [("model", "w4-qat")]
    assert rows[0]["train_seconds"] >= network.train_seconds


def test_what_cannot_be_trained_is_refused(network: Network, tiny_dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="give 'qat' alone"):
        qat.train_or_load(network, read_recipe("w4-mse-qat"), tiny_dataset, tmp_path)
    with pytest.raises(RecipeError, match="no layer matches"):
        recipe = Recipe("r", {"shared": 8}, (LayerRule("encoder_*", 6),), methods=("qat",))
        qat.train_or_load(network, recipe, tiny_dataset, tmp_path)
    with pytest.raises(RecipeError, match="needs weights that were trained for it"):
        convert(baseline(network, tiny_dataset.train.balanced(40, seed=0)), read_recipe("w4-qat"))
    layers = {layer.name: quantize(layer.kernel, layer.slices(read_recipe("w4")), least_scale=np.zeros(len(layer.bias)))
              for layer in folded_layers(network.model)}
    with pytest.raises(ConversionError, match="moves"):
        qat.check_survival(network.model, read_recipe("w4-qat"),
                           {name: (np.roll(codes.values, 1), codes.scale) for name, codes in layers.items()})
