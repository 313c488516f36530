"""The door for networks of others: ``.keras``, ``.h5``, a SavedModel, or a float ``.tflite``.

All become a plain functional ``tf_keras`` model (:mod:`tinyfuse.nn.plain`) whose inputs have the names of the data and
whose output is logits; a softmax at the end is taken off and remembered. Keras files are read without running anything
of them; a SavedModel goes through TensorFlow's own converter to a float ``.tflite``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import ModelError, UsageError, nearest
from tinyfuse.core.files import read_limited, sha256_hex
from tinyfuse.data.samples import Input
from tinyfuse.nn.plain.builder import Builder, Value
from tinyfuse.nn.plain.float_tflite import build_float_graph, is_float, read_float_graph
from tinyfuse.nn.plain.graph_reader import Shape, described_inputs, read_graph
from tinyfuse.nn.plain.keras_files import KerasFile, read_keras_file
from tinyfuse.nn.plain.saved_model import SAVED_MODEL, as_float_tflite, saved_model_sha256

KERAS = (".keras", ".h5", ".hdf5")
TFLITE = ".tflite"
MAX_TFLITE_BYTES = 64 << 20
KINDS = "a .keras or .h5 file, the folder of a SavedModel, or a float .tflite"
RUN_FIRST = {
    ".onnx": "run `onnx2tf -i {name} -o {stem}` first and give that folder, a SavedModel",
    ".pt": "run `litert_torch.convert(model.eval(), sample_inputs).export('{stem}.tflite')` in Python first and give "
           "that float .tflite",
    ".json": "give the whole saved model, with its weights",
    ".pb": "give the folder that it lies in, a SavedModel",
    ".npz": "that is data; give it to --data",
    ".toml": "give the model that this table lies beside"}
RUN_FIRST |= {".pth": RUN_FIRST[".pt"], ".pt2": RUN_FIRST[".pt"]}


@dataclass(frozen=True, eq=False)
class UserModel:
    """A network of others: ``model`` returns logits; ``softmax``: its author had one after them."""

    model: Any
    softmax: bool
    sha256: str


@dataclass(frozen=True)
class Choice:
    """Which ``output`` of several, and which ``signature`` of a SavedModel or ``.tflite``; empty: the only one."""

    output: str = ""
    signature: str = ""


def is_network(path: Path) -> bool:
    """Tell whether ``path`` looks like a float network: by its name, a ``.tflite`` by what it holds."""
    if path.suffix.lower() == TFLITE:
        try:
            return path.is_file() and is_float(read_limited(path, MAX_TFLITE_BYTES, ModelError))
        except ModelError:  # what is no .tflite at all is said where the model is opened
            return False
    return path.suffix.lower() in KERAS or (path / SAVED_MODEL).is_file()


def foreign_file(path: Path) -> str:
    """Say what to run first on a file of another kind; empty for one that nothing is known about."""
    advice = RUN_FIRST.get(path.suffix.lower(), "")
    return f"{path}: {advice.format(name=path.name, stem=path.stem)}" if advice else ""


def check_network_file(path: Path) -> None:
    """Raise an error in one line for what is no network, before TensorFlow loads."""
    suffix = path.suffix.lower()
    if foreign_file(path):
        raise UsageError(foreign_file(path))
    if path.is_dir():
        if not (path / SAVED_MODEL).is_file():
            raise ModelError(f"{path}: a folder without {SAVED_MODEL}, so no SavedModel; give {KINDS}")
        return
    if suffix not in (*KERAS, TFLITE):
        raise UsageError(f"{path}: no network that can be read; give {KINDS}")
    if suffix == TFLITE:
        if not is_float(read_limited(path, MAX_TFLITE_BYTES, ModelError)):
            raise ModelError(f"{path}: an integer model; here a float network is needed: {KINDS}")
    else:
        read_keras_file(path)


def read_user_model(path: Path, inputs: Sequence[Input], classes: int, title: str, choice: Choice) -> UserModel:
    """Read the network at ``path`` for data with these ``inputs`` and ``classes``; it is called ``title``.

    ModelError: the file is damaged, unsafe, or holds a layer that is not known; UsageError: inputs that the data lacks.
    """
    check_network_file(path)
    if path.suffix.lower() in KERAS:
        found = read_keras_file(path)
        model, softmax = build_described(found, inputs, classes, title, str(path), choice.output)
        return UserModel(model, softmax, sha256_hex(path.read_bytes()))
    if path.is_dir():
        data, sha256 = as_float_tflite(path, choice.signature), saved_model_sha256(path)
    else:
        data = read_limited(path, MAX_TFLITE_BYTES, ModelError)
        sha256 = sha256_hex(data)
    graph = read_float_graph(data, str(path), choice.signature or None)
    bound = bind(graph.input_shapes, inputs, str(path))
    builder, tensors = _begin(bound.values(), inputs)
    values = {name: Value(tensors[one.name]) for name, one in bound.items()}
    output = _chosen(build_float_graph(graph, values, builder), choice.output, str(path))
    return UserModel(*_finished(builder, tensors, output, classes, title, str(path)), sha256)


def build_described(found: KerasFile, inputs: Sequence[Input], classes: int, title: str, where: str,
                    output: str = "") -> tuple[Any, bool]:
    """Build the plain model that a Keras file, or a model in memory, describes; see :func:`read_user_model`."""
    bound = bind(described_inputs(found.model), inputs, where)
    builder, tensors = _begin(bound.values(), inputs)
    values = [Value(tensors[one.name]) for one in bound.values()]
    try:
        outputs = read_graph(found.model, found.weights, values, builder)
    except ModelError as error:
        raise ModelError(f"{where}: {str(error).removeprefix(f'{where}: ')}") from error
    return _finished(builder, tensors, _chosen(outputs, output, where), classes, title, where)


def bind(declared: Mapping[str, Shape], inputs: Sequence[Input], where: str) -> dict[str, Input]:
    """Find the input of the data for each input of a network, by name; of one input each the names do not matter."""
    known = {one.name: one for one in inputs}
    found = {}
    for name, shape in declared.items():
        one = inputs[0] if len(declared) == len(inputs) == 1 else known.get(name)
        if one is None:
            raise UsageError(f"{where}: the network takes '{name}' {_sizes(shape)}, which the data lacks"
                             f"{nearest(name, known)}; the data has "
                             f"{', '.join(f'{each.name} {list(each.shape)}' for each in inputs)}")
        if len(shape) != len(one.shape) or any(size not in (None, own) for size, own in
                                               zip(shape, one.shape, strict=True)):
            raise UsageError(f"{where}: the network takes '{name}' as {_sizes(shape)}, but the data has it as "
                             f"{list(one.shape)}; bring the data to that shape")
        found[name] = one
    return found


def _sizes(shape: Shape) -> str:
    return f"[{', '.join('any' if size is None else str(size) for size in shape)}]"


def _begin(bound: Any, inputs: Sequence[Input]) -> tuple[Builder, dict[str, Any]]:
    """Make the inputs, in the order of the data."""
    tensorflow()
    import tf_keras

    taken = {one.name for one in bound}
    tensors = {one.name: tf_keras.Input(one.shape, name=one.name) for one in inputs if one.name in taken}
    return Builder(set(tensors)), tensors


def _chosen(outputs: Mapping[str, Value], wanted: str, where: str) -> Value:
    if wanted and wanted not in outputs:
        raise UsageError(f"{where}: no output '{wanted}'{nearest(wanted, outputs)}; it has {', '.join(outputs)}")
    if len(outputs) > 1 and not wanted:
        raise UsageError(f"{where}: the outputs {', '.join(outputs)}; name the one with the classes with --output")
    return outputs[wanted] if wanted else next(iter(outputs.values()))


def _finished(builder: Builder, tensors: Mapping[str, Any], output: Value, classes: int, title: str,
              where: str) -> tuple[Any, bool]:
    try:
        return builder.finish(tensors, output, classes, title)
    except ModelError as error:
        raise ModelError(f"{where}: {error}") from error
