"""Networks of one sigmoid are networks of two classes: read, quantised, attacked, certified, compared and exported."""

from __future__ import annotations

import re
import subprocess
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emitted import COMPILER
from one_operator import Spec, Step, build
from scipy.special import expit, softmax

from tinyfuse.analyses.certificates.ball import Ball
from tinyfuse.analyses.certificates.certify import Certifier
from tinyfuse.attacks import PGD
from tinyfuse.attacks.targets.anomaly import read_out, twin_target
from tinyfuse.attacks.targets.twin_target import TwinTarget
from tinyfuse.core.backend import stderr_silenced, tensorflow
from tinyfuse.core.errors import ModelError, UsageError
from tinyfuse.data import Dataset, Input, Samples
from tinyfuse.firmware import deploy
from tinyfuse.integer.class_values import class_values
from tinyfuse.integer.compare import compare_model
from tinyfuse.integer.executors import open_executor
from tinyfuse.integer.model import IntegerModel, load_model
from tinyfuse.nn.network import open_network
from tinyfuse.nn.train_own import start_of
from tinyfuse.nn.zoo.user import Choice
from tinyfuse.quantize.convert import baseline, convert
from tinyfuse.quantize.recipe import read_recipe
from tinyfuse.threats.norms import NORMS
from tinyfuse.threats.threat import Threat

INPUTS = (Input("mic", (6,), -1.0, 1.0), Input("camera", (4, 4, 1), -1.0, 1.0))
WEIGHTS = np.array([[40, -60, 0]], np.int8)
SCALE = 1 / 32
"""Of the codes of the input; the logit is the sum of weight / 64 times value."""


def samples(n: int, seed: int) -> Samples:
    rng, label = np.random.default_rng(seed), np.arange(n) % 2
    mic = rng.uniform(-1, 1, (n, 6)) * 0.5 + (label[:, None] - 0.5) * 0.8
    return Samples({"mic": mic.astype(np.float32), "camera": rng.uniform(-1, 1, (n, 4, 4, 1)).astype(np.float32)},
                   label, np.arange(n))


def dataset(classes: tuple[str, ...] = ("no", "yes"), inputs: tuple[Input, ...] = INPUTS) -> Dataset:
    return Dataset("doorbell", inputs, classes, *(samples(40, seed) for seed in (1, 2, 3)), checksum="2" * 64)


def doorbell(end: str = "dense", units: int = 1, curve: str | None = "sigmoid") -> Any:
    """Two inputs and ``units`` sigmoids made of a dense layer, of a convolution, or of neither."""
    import tf_keras
    from tf_keras import layers

    tf_keras.utils.set_random_seed(4)
    mic, camera = (tf_keras.Input(one.shape, name=one.name) for one in INPUTS)
    seen = layers.Flatten()(layers.Conv2D(3, 3, activation="relu", name="see")(camera))
    joined = layers.Concatenate()([layers.Dense(4, activation="relu", name="hear")(mic), seen])
    if end == "dense":
        made = layers.Dense(units, activation=curve, bias_initializer="uniform", name="ring")(joined)
    else:
        made = layers.Conv2D(1, 1, name="ring")(layers.Reshape((1, 1, 16))(joined))
        made = layers.Activation("sigmoid")(layers.Flatten()(made))
    return tf_keras.Model([mic, camera], made, name="doorbell")


@pytest.mark.parametrize("end", ["dense", "convolution"])
def test_a_float_network_has_the_logits_of_two_classes(end: str, tmp_path: Path) -> None:
    tensorflow()
    model, given = doorbell(end), samples(10, 5).inputs
    model.save(tmp_path / "own.keras")
    network = open_network(tmp_path / "own.keras", dataset())
    logits = np.asarray(network.model(given, training=False))
    assert np.all(logits[:, 0] == 0) and network.table["softmax"] is True
    expected = np.asarray(model([given["mic"], given["camera"]], training=False))
    assert np.abs(softmax(logits, axis=1)[:, 1:] - expected).max() < 1e-6
    assert [layer.name for layer in network.model.layers].count("ring") == 1


@pytest.mark.parametrize(("units", "curve", "classes", "words"), [
    (1, "sigmoid", ("a", "b", "c"), r"output has the shape \[1\], but the data has 3 classes"),
    (1, None, ("no", "yes"), "2 classes; give a network with one output for each class, or with one sigmoid for two"),
    (2, "sigmoid", ("no", "yes"), "its 2 outputs end in sigmoids, so that several classes may hold at once")])
def test_what_does_not_name_one_class_is_refused(units: int, curve: str | None, classes: tuple[str, ...], words: str,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    tensorflow()
    model = doorbell("dense", units, curve)
    monkeypatch.setattr("tinyfuse.nn.train_own.load_function", lambda name: lambda data: model)
    with pytest.raises(ModelError, match=words):
        start_of("mine:build", dataset(classes), 0, Choice())


@pytest.fixture(scope="module")
def tflite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What TensorFlow's converter makes of the network: float, and int8 with one LOGISTIC at the end."""
    tf, folder, model = tensorflow(), tmp_path_factory.mktemp("sigmoid"), doorbell()
    for name in ("float", "int8"):
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        if name == "int8":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: (samples(20, 1).take(slice(row, row + 1)).inputs
                                                        for row in range(20))
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        with stderr_silenced(), warnings.catch_warnings(action="ignore"):
            (folder / f"{name}.tflite").write_bytes(converter.convert())
    return folder


def test_a_float_tflite_becomes_n_bit_integers(tflite: Path) -> None:
    data = dataset()
    network = open_network(tflite / "float.tflite", data)
    made = load_model(convert(baseline(network, data.train), read_recipe("w6")).data, name="w6")
    codes = made.codes_of(data.test.inputs)
    twin, tflm = (open_executor(made, name).run(codes) for name in ("twin", "tflm"))
    assert np.array_equal(twin, tflm) and made.output.shape[-1] == 2
    expected = softmax(np.asarray(network.model(data.test.inputs, training=False)), axis=1)
    assert np.abs(class_values(twin, made) - expected).max() < 0.06


def test_an_integer_file_is_attacked_by_its_logit(tflite: Path) -> None:
    data = dataset()
    model = load_model(tflite / "int8.tflite", name="doorbell")
    target = twin_target(model, data)
    batch = {name: values.astype(np.float32) for name, values in model.codes_of(data.test.inputs).items()}
    outputs = open_executor(model, "tflm").run(model.codes_of(data.test.inputs))
    assert np.array_equal(target.logits(batch).argmax(1), read_out(target, outputs, {}).argmax(1))
    threat = Threat(NORMS["linf"], {"mic": 60.0}, {"mic": (-128.0, 127.0)}, {}, lattice=True)
    found = PGD(steps=5).run(target, batch, data.test.label, threat)
    assert found.broken.mean() > (target.logits(batch).argmax(1) != data.test.label).mean()
    compared = compare_model(model, ["twin", "tflm"], data, samples=10, seed=0)
    compared.check()
    assert compared.accuracy["twin"] == np.mean(
        class_values(compared.outputs["tflm"], model).argmax(1) == data.test.balanced(10, seed=0).label)
    with pytest.raises(UsageError, match="3 classes"):
        twin_target(model, dataset(("a", "b", "c")))


def regression(*, sigmoid: bool = True) -> IntegerModel:
    """Three codes x in, the codes of sigmoid(WEIGHTS x / 2048) out; its logits have steps of 1/8."""
    specs = [Spec([1, 3], scale=[SCALE], name="x"), Spec([1, 3], scale=[1 / 64], data=WEIGHTS),
             Spec([1, 1], scale=[1 / 8]), Spec([1, 1], scale=[1 / 256], zero_point=[-128], name="p")]
    steps = [Step("FULLY_CONNECTED", [0, 1], [2], "FullyConnectedOptions", {}), Step("LOGISTIC", [2], [3])]
    return load_model(build(specs, steps[:1 + sigmoid], [0], [2 + sigmoid]), name="regression")


def test_logits_and_gradients_are_those_of_logistic_regression() -> None:
    target, rng = TwinTarget(regression()), np.random.default_rng(0)
    codes, label = rng.integers(-128, 128, (50, 3)).astype(np.float32), np.arange(50) % 2
    logit = codes @ WEIGHTS[0] * SCALE / 64
    found = target.gradient({"x": codes}, label, ("x",))
    assert np.abs(found.logits[:, 1] - logit).max() <= 1 / 16 + 1e-9 and np.all(found.logits[:, 0] == 0)
    slope = (expit(found.logits[:, 1]) - label)[:, None] * WEIGHTS * SCALE / 64
    assert np.allclose(found.wrt["x"], slope, rtol=1e-5, atol=1e-9)
    assert np.allclose(found.loss, np.logaddexp(0, np.where(label, -1, 1) * found.logits[:, 1]))
    margin = target.gradient({"x": codes}, label, ("x",), "margin")
    assert np.allclose(margin.wrt["x"], np.where(label, -1, 1)[:, None] * WEIGHTS * SCALE / 64)


def test_one_half_names_the_first_class_everywhere(tmp_path: Path) -> None:
    model = regression()
    target, codes = TwinTarget(model), np.array([[0, 0, 0], [4, 0, 0], [0, 4, 0]], np.float32)
    assert class_values(np.array([[-1], [0], [1]], np.int8), model).argmax(1).tolist() == [0, 0, 1]
    assert target.logits({"x": codes}).argmax(1).tolist() == [0, 1, 0]


def test_certificates_are_exact_where_one_layer_decides() -> None:
    """Of a linear network the worst codes of a box are known: the bound is met by the last budget that holds."""
    target, rng = TwinTarget(regression()), np.random.default_rng(1)
    codes = rng.integers(-60, 61, (20, 3))
    label = target.logits({"x": codes.astype(np.float32)}).argmax(1)
    for budget in (0, 3, 9):
        threat = Threat(NORMS["linf"], {"x": float(budget)}, {"x": (-128.0, 127.0)}, {}, lattice=True)
        batch = {"x": codes.astype(np.float32)}
        proved = Certifier(target).proved(Ball.of(threat, batch, target.grids or {}), label) > 0
        worst = codes - budget * np.where(label, 1, -1)[:, None] * np.sign(WEIGHTS)
        holds = target.logits({"x": worst.astype(np.float32)}).argmax(1) == label
        assert np.array_equal(proved, holds)
    with pytest.raises(ModelError, match="one output that no sigmoid makes"):
        Certifier(TwinTarget(regression(sigmoid=False)))


@pytest.mark.skipif(not COMPILER, reason="no C compiler (gcc or cc) on PATH")
def test_the_package_names_the_class_as_the_twin_does(tmp_path: Path) -> None:
    model = regression()
    (tmp_path / "net.tflite").write_bytes(model.data)
    folder = deploy.export(tmp_path / "net.tflite", tmp_path / "net", vectors=2)
    header = (folder / "src" / "net.h").read_text()
    assert "1 if the probability `p` is above one half" in header
    codes = np.random.default_rng(2).integers(-40, 41, (64, 3)).astype(np.int8)
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include "net.h"\nstatic net_arena_t arena;\nint main(void)\n{\n'
        "  while (fread(net_inputs(&arena).x, 1, 3, stdin) == 3) {\n"
        '    putchar(net_argmax(net_infer(&arena)) ? 49 : 48);\n  }\n  return 0;\n}\n')
    subprocess.run([COMPILER, "-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror", f"-I{folder / 'src'}", "-o",
                    tmp_path / "run", tmp_path / "main.c", folder / "src" / "net.c"], check=True)
    said = subprocess.run([tmp_path / "run"], input=codes.tobytes(), capture_output=True, check=True).stdout.decode()
    answers = TwinTarget(model).logits({"x": codes.astype(np.float32)}).argmax(1)
    assert said == "".join(map(str, answers)) and re.fullmatch("[01]+", said) and 0 < answers.mean() < 1
