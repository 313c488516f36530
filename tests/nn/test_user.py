"""Networks of others compute here what they compute at home, whatever file they come in; unsafe files are refused."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from own_networks import CLASSES, INPUTS, dataset, samples, trio
from scipy.special import softmax

from tinyfuse.cli import main as cli
from tinyfuse.core.backend import stderr_silenced, tensorflow
from tinyfuse.core.errors import ModelError, TinyfuseError, UsageError
from tinyfuse.data import Input
from tinyfuse.nn.network import Network, open_network
from tinyfuse.nn.origin import origins
from tinyfuse.nn.plain.live_model import read_live_model
from tinyfuse.nn.zoo.user import Choice, build_described, check_network_file, is_network

KIND = Choice("kind")
ORIGINS = {"scaled": ("camera",), "see": ("camera",), "deep": ("camera",), "split_depthwise": ("camera",),
           "split": ("camera",), "hear": ("mic",), "hear2": ("mic",), "gate": ("imu",), "feel": ("imu",),
           "hidden": ("camera", "mic", "imu"), "kind": ("camera", "mic", "imu")}
WEIGHTED = {"see", "deep", "split", "hear", "hear2", "gate", "feel", "hidden", "kind"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same network by Keras 2 in every format, and what it says about ten samples."""
    tf = tensorflow()
    import tf_keras

    made, model = tmp_path_factory.mktemp("own"), trio(tf_keras)
    model.save(made / "two.keras")
    with pytest.warns(UserWarning, match="HDF5"):
        model.save(made / "two.h5")

    @tf.function(input_signature=[tf.TensorSpec((None, *one.shape), tf.float32, name=one.name) for one in INPUTS])
    def serve(*values: Any) -> dict[str, Any]:
        kind, side = model(list(values), training=False)
        return {"kind": kind, "side": side}

    with stderr_silenced():
        tf.saved_model.save(model, str(made / "two"), signatures={"serving_default": serve, "again": serve})
        converter = tf.lite.TFLiteConverter.from_concrete_functions([serve.get_concrete_function()], model)
        (made / "two.tflite").write_bytes(converter.convert())
    kind = model([samples(10, 9).inputs[one.name] for one in INPUTS], training=False)[0]
    np.save(made / "kind.npy", np.asarray(kind))
    return made


@pytest.fixture
def edited(folder: Path, tmp_path: Path) -> Callable[[Callable[[dict[str, Any]], None]], Path]:
    """f(change) -> the ``.keras`` with another description."""
    def make(change: Callable[[dict[str, Any]], None]) -> Path:
        path = tmp_path / "edited.keras"
        with zipfile.ZipFile(folder / "two.keras") as old, zipfile.ZipFile(path, "w") as new:
            for name in old.namelist():
                content = old.read(name)
                if name == "config.json":
                    table = json.loads(content)
                    change(table)
                    content = json.dumps(table).encode()
                new.writestr(name, content)
        return path

    return make


def opened(path: Path, choice: Choice = KIND) -> Network:
    return open_network(path, dataset(), choice)


def says(network: Network) -> np.ndarray:
    return softmax(np.asarray(network.model(samples(10, 9).inputs, training=False)), axis=1)


@pytest.mark.parametrize("name", ["two.keras", "two.h5", "two", "two.tflite"])
def test_every_format_computes_the_same(name: str, folder: Path) -> None:
    assert is_network(folder / name)
    network = opened(folder / name, Choice("kind", "again" if name == "two" else ""))
    assert np.abs(says(network) - np.load(folder / "kind.npy")).max() < 1e-5
    assert network.input_names == ("camera", "mic", "imu") and network.table["softmax"] is True
    reached = {layer: origin for layer, origin in origins(network.model).items() if layer in ORIGINS}
    if name.endswith((".keras", ".h5")):
        assert reached == ORIGINS
    else:  # what has weights has the name that its author gave it; scaling and curves have names of their tensors
        assert reached == {layer: ORIGINS[layer] for layer in reached} and set(reached) >= WEIGHTED
    assert not any(type(layer).__name__ in ("Conv1D", "Lambda") for layer in network.model.layers)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_keras_3_files_are_read_without_keras_3(tmp_path: Path) -> None:
    tensorflow()
    import keras

    model = trio(keras)
    model.save(tmp_path / "three.keras")
    expected = np.asarray(model([samples(10, 9).inputs[one.name] for one in INPUTS], training=False)[0])
    network = opened(tmp_path / "three.keras")
    assert np.abs(says(network) - expected).max() < 1e-5
    live, had_softmax = build_described(read_live_model(model, "f"), INPUTS, len(CLASSES), "live", "f", "kind")
    found = softmax(np.asarray(live(samples(10, 9).inputs, training=False)), axis=1)
    assert had_softmax and np.abs(found - expected).max() < 1e-5
    assert {layer: origin for layer, origin in origins(network.model).items() if layer in ORIGINS} == ORIGINS


def test_a_length_that_the_file_leaves_open_is_that_of_the_data(tmp_path: Path) -> None:
    tf = tensorflow()
    import tf_keras

    mic = tf_keras.Input((None, 4), name="mic")
    heard = tf_keras.layers.Conv1D(4, 3, strides=2, activation="relu")(mic)
    model = tf_keras.Model(mic, tf_keras.layers.Dense(len(CLASSES))(tf_keras.layers.GlobalAveragePooling1D()(heard)))
    model.save(tmp_path / "open.keras")
    with stderr_silenced():
        (tmp_path / "open.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    values = samples(10, 9).inputs["mic"]
    for name in ("open.keras", "open.tflite"):
        network = opened(tmp_path / name, Choice())
        assert np.abs(np.asarray(network.model({"mic": values})) - np.asarray(model(values))).max() < 1e-5
        assert network.inputs[0].shape == (20, 4)


@pytest.mark.parametrize(("name", "choice", "words"), [
    ("two.keras", Choice(), "the outputs kind, side; name the one with the classes with --output"),
    ("two.keras", Choice("knid"), "no output 'knid' .did you mean 'kind'"),
    ("two.keras", Choice("side"), r"output has the shape \[2\], but the data has 4 classes"),
    ("two", KIND, "the signatures again, serving_default; name one with --signature"),
    ("two", Choice("kind", "agian"), "no signature 'agian' .did you mean 'again'")])
def test_one_of_several_is_named(name: str, choice: Choice, words: str, folder: Path) -> None:
    with pytest.raises(TinyfuseError, match=words) as caught:
        opened(folder / name, choice)
    assert "\n" not in str(caught.value)


def test_a_table_of_the_data_beside_a_network_is_none_of_the_network(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "own.keras").write_bytes((folder / "two.keras").read_bytes())
    (tmp_path / "own.toml").write_text('classes = ["rest", "walk", "run", "fall"]\n')
    assert opened(tmp_path / "own.keras").table["source"] == "own.keras"
    (tmp_path / "own.toml").write_text('sha256 = "0"\n')
    with pytest.raises(ModelError, match=r"unknown key|key '\w+' is missing"):
        opened(tmp_path / "own.keras", Choice())


def test_inputs_are_bound_by_name_and_shape(folder: Path) -> None:
    data = dataset()
    for change, words in (((Input("camera", (12, 12, 3)), Input("mik", (20, 4)), INPUTS[2]),
                           r"takes 'mic' \[20, 4\], which the data lacks .did you mean 'mik'.* the data has camera"),
                          ((INPUTS[0], Input("mic", (4, 20)), INPUTS[2]),
                           r"takes 'mic' as \[20, 4\], but the data has it as \[4, 20\]")):
        with pytest.raises(UsageError, match=words):
            open_network(folder / "two.keras", type(data)(data.name, change, CLASSES, data.train, data.validation,
                                                          data.test, data.checksum), KIND)


def _layer(table: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in table["config"]["layers"] if one["name"] == name)
    return found


@pytest.mark.parametrize(("change", "words"), [
    (lambda t: _layer(t, "see").update(class_name="Lambda"), "layer 'see' is a Lambda: code from a file is not run"),
    (lambda t: _layer(t, "see").update(module="mine", registered_name="mine>Conv2D"),
     "layer 'see' is of the class Conv2D of mine>Conv2D, and code from a file is not run"),
    (lambda t: _layer(t, "see").update(class_name="PReLU"),
     "'see' is of the kind PReLU, which is not known here: use LeakyReLU"),
    (lambda t: _layer(t, "hidden")["config"].update(activation="selu"), "activation 'selu' is not known here; use one"),
    (lambda t: _layer(t, "see")["config"].update(data_format="channels_first"), "has channels first"),
    (lambda t: _layer(t, "see")["config"].update(strides="x"), "layer 'see' .Conv2D. has settings that cannot be read"),
    (lambda t: _layer(t, "deep").update(inbound_nodes=[[["nothing", 0, 0, {}]]]), "'deep' reads what no layer makes"),
    (lambda t: _layer(t, "see")["config"].update(strides=[1, 1]) or t["config"]["layers"].append(
        {"class_name": "ZeroPadding2D", "config": {"name": "wide", "padding": 4000},
         "inbound_nodes": [[["camera", 0, 0, {}]]]}), "'wide' hands on the shape .8012, 8012, 3.; more than 4194304"),
    (lambda t: t["config"].update(layers=[]), "no functional or sequential model with 1 to"),
    (lambda t: t.update(class_name="Mine"), "a model of the class Mine, whose code is not in the file"),
    (lambda t: t.update(config=3), "does not describe a Keras model")])
def test_descriptions_that_are_refused(change: Callable[[dict[str, Any]], None], words: str,
                                       edited: Callable[[Callable[[dict[str, Any]], None]], Path]) -> None:
    with pytest.raises(ModelError, match=words) as caught:
        opened(edited(change))
    assert "\n" not in str(caught.value) and "edited.keras" in str(caught.value)


def _weights(change: Callable[[h5py.File, Path], None], folder: Path, target: Path) -> Path:
    """Write the ``.keras`` of ``folder`` with other weights."""
    with zipfile.ZipFile(folder / "two.keras") as old, zipfile.ZipFile(target, "w") as new:
        buffer = io.BytesIO(old.read("model.weights.h5"))
        with h5py.File(buffer, "r+") as file:
            change(file, target.parent)
        new.writestr("config.json", old.read("config.json"))
        new.writestr("model.weights.h5", buffer.getvalue())
    return target


def _external(file: h5py.File, folder: Path) -> None:
    secret = folder / "secret"
    secret.write_bytes(b"s" * 10_000)
    shape = file["layers/conv2d/vars/0"].shape
    del file["layers/conv2d/vars/0"]
    file["layers/conv2d/vars"].create_dataset("0", shape, "f4", external=[(str(secret), 0, 10_000)])


def _link(file: h5py.File, folder: Path) -> None:
    del file["layers/conv2d/vars/0"]
    file["layers/conv2d/vars/0"] = h5py.ExternalLink(str(folder / "other.h5"), "/x")


def _huge(file: h5py.File, folder: Path) -> None:
    del file["layers/conv2d/vars/0"]
    file["layers/conv2d/vars"].create_dataset("0", (1 << 20, 1 << 14), "f4", chunks=(1 << 10, 1 << 10),
                                              compression="gzip")


def _nan(file: h5py.File, folder: Path) -> None:
    file["layers/conv2d/vars/0"][0] = np.nan


@pytest.mark.parametrize(("change", "words"), [
    (_external, "lie in another file, which is not read"), (_link, "a link to another place, which is not followed"),
    (_huge, "more than 256 MiB of weights"), (_nan, "not all finite")])
def test_weights_lie_in_the_file_itself(change: Callable[[h5py.File, Path], None], words: str, folder: Path,
                                        tmp_path: Path) -> None:
    path = _weights(change, folder, tmp_path / "edited.keras")
    with pytest.raises(ModelError, match=words):
        opened(path)


def test_a_graph_that_reaches_outside_is_not_loaded(tmp_path: Path) -> None:
    tf = tensorflow()
    module = tf.Module()
    module.read = tf.function(lambda camera: {"y": camera + tf.strings.to_number(tf.io.read_file("/etc/hostname"))},
                              input_signature=[tf.TensorSpec((1, 2), tf.float32, name="camera")])
    tf.saved_model.save(module, str(tmp_path / "bad"), signatures={"serving_default": module.read})
    with pytest.raises(ModelError, match="its graph has the operator ReadFile, which reaches outside of it"):
        opened(tmp_path / "bad", Choice())


@pytest.mark.parametrize(("name", "content", "words"), [
    ("a.onnx", b"x", "run `onnx2tf -i a.onnx -o a` first"), ("a.pt", b"x", "run `litert_torch.convert"),
    ("a.keras", b"x", "no .keras file"), ("a.h5", b"x", "neither a .keras file"),
    ("a.tflite", b"x", "no .tflite file"), ("a.txt", b"x", "no model that can be taken here"),
    ("a.keras", b"PK\x03\x04", "a damaged .keras file")])
def test_wrong_files_are_said_before_tensorflow_loads(name: str, content: bytes, words: str, tmp_path: Path,
                                                      capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / name).write_bytes(content)
    for argv in (["quantize", str(tmp_path / name), "--recipe", "w6"], ["train", str(tmp_path / name), "--out", "x"]):
        assert cli.main(argv) in (1, 2)
        said = capsys.readouterr().err
        assert words in " ".join(said.split()) and "loading" not in said


def test_an_integer_model_and_an_empty_folder_are_no_float_networks(tmp_path: Path) -> None:
    models = Path(__file__).resolve().parents[2] / "models" / "digits"
    path = next(models.glob("*.tflite"))
    assert not is_network(path)
    with pytest.raises(ModelError, match="an integer model; here a float network is needed"):
        check_network_file(path)
    with pytest.raises(ModelError, match=r"a folder without saved_model\.pb"):
        check_network_file(tmp_path)
