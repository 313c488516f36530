"""A trained network and its two files: ``<name>.keras`` and beside it ``<name>.toml`` with where it came from."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tinyfuse import __version__
from tinyfuse.core import toml
from tinyfuse.core.errors import ModelError, UsageError
from tinyfuse.core.files import atomic_path, read_limited, sha256_hex, write_text
from tinyfuse.core.strict import decode, encode
from tinyfuse.data.dataset import Dataset, DataTable
from tinyfuse.data.samples import Input, describe_shapes
from tinyfuse.nn import zoo
from tinyfuse.nn.batch_norm_folding import without_batch_norm
from tinyfuse.nn.origin import origins, seen_inputs
from tinyfuse.nn.plain.keras_files import MAX_FILE_BYTES, read_keras_file
from tinyfuse.nn.train import TrainConfig, Trained
from tinyfuse.nn.zoo.user import Choice, build_described, read_user_model

NO_CHOICE = Choice()


@dataclass(frozen=True)
class TrainingTable:
    """How a network was trained: its settings, the epoch that was kept, and the seconds it took."""

    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    objective: str
    best_epoch: int
    seconds: float
    patience: int = 0
    class_weights: str = "none"
    augment: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class NetworkTable:
    """What stands in the ``.toml`` beside a network; ``inputs`` are those of the data, in order.

    ``objective``: what the parts of its objective found, by their names. ``fitted``: what was fitted on the training
    part, by input; ``front_ends``: how each input is made of a recording, a picture or an array, see
    :mod:`tinyfuse.frontend`. ``folded``: batch norms are folded away. ``own``: the
    network is no one of the zoo, so that its layers are read from its file; ``softmax``: its author had one at the end,
    and ``source`` is the file or the function that it came from. The last three are of a network that went on training
    with rounded weights.
    """

    model: str
    tinyfuse: str
    sha256: str
    classes: tuple[str, ...]
    training: TrainingTable
    accuracy: Mapping[str, float]
    data: DataTable
    inputs: tuple[Input, ...]
    objective: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    fitted: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    front_ends: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    folded: bool = False
    own: bool = False
    softmax: bool = False
    source: str = ""
    float_sha256: str = ""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    qat: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, repr=False)
class Network:
    """A trained network: ``model`` (``tf_keras``) takes inputs by name and returns logits [n, classes].

    ``inputs`` are those that reach the output; ``table`` is the plain form of :class:`NetworkTable`.
    """

    name: str
    model: Any
    inputs: tuple[Input, ...]
    classes: tuple[str, ...]
    table: Mapping[str, Any]
    path: Path

    def __repr__(self) -> str:
        shapes = describe_shapes({one.name: one.shape for one in self.inputs})
        return f"Network({self.name}: {shapes}; {len(self.classes)} classes; {self.path})"

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs that reach the output."""
        return tuple(one.name for one in self.inputs)

    @property
    def sha256(self) -> str:
        """Checksum of the ``.keras`` file."""
        return str(self.table["sha256"])

    @property
    def seed(self) -> int:
        """Seed of its training."""
        return int(self.table["training"]["seed"])

    @property
    def train_seconds(self) -> float:
        """How long its training took."""
        return float(self.table["training"]["seconds"])

    def origin(self, layer: str) -> tuple[str, ...]:
        """Names of the inputs that reach ``layer``."""
        return origins(self.model)[layer]


def describe_training(trained: Trained, dataset: Dataset, config: TrainConfig) -> dict[str, Any]:
    """Tell in a plain table what was trained, how and on which data; :func:`save_network` adds the rest."""
    return {"model": trained.name, "classes": list(dataset.classes),
            "training": asdict(config) | {"best_epoch": trained.best_epoch, "seconds": round(trained.seconds, 1)},
            "data": asdict(dataset.table()), "fitted": dict(dataset.fitted), "front_ends": dict(dataset.front_ends),
            "inputs": encode(dataset.inputs), **({"objective": dict(trained.facts)} if trained.facts else {}),
            **({"own": True} if trained.own else {})}


def save_network(trained: Trained, path: str | Path, table: Mapping[str, Any]) -> Network:
    """Write ``path`` (``.keras``) and beside it ``table`` with the accuracy and checksum of what was ``trained``."""
    path = Path(path)
    with atomic_path(path) as temporary:
        trained.model.save(temporary)
        _without_dates(temporary)
    accuracy = {"validation": trained.validation_accuracy, "test": trained.test_accuracy}
    write_text(path.with_suffix(".toml"), toml.dumps({
        **table, "tinyfuse": __version__, "sha256": sha256_hex(path.read_bytes()), "accuracy": accuracy}))
    return load_network(path)


def _without_dates(path: Path) -> None:
    """Rewrite a ``.keras`` archive without its time stamps: same weights, same bytes, same checksum."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in sorted(archive.namelist())}
    metadata = json.loads(entries["metadata.json"])
    entries["metadata.json"] = json.dumps({k: v for k, v in metadata.items() if k != "date_saved"}).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)


def load_network(path: str | Path) -> Network:
    """Load the network at ``path`` (``.keras``) with the table beside it.

    The file's own description of layers is not run: the network named in the table is built, or one of known layers as
    the file describes them, and weights are taken from the file. ModelError: either file is missing, damaged or belongs
    to something else.
    """
    path = Path(path)
    if path.suffix != ".keras" or not path.is_file():
        raise ModelError(f"{path}: no such .keras file; `tinyfuse train` writes them")
    beside = path.with_suffix(".toml")
    table = toml.read(beside, ModelError)
    described = decode(NetworkTable, table, str(beside), ModelError)
    if described.sha256 != sha256_hex(read_limited(path, MAX_FILE_BYTES, ModelError)):
        raise ModelError(f"{path}: its checksum is not the one in {beside.name}; the file is damaged or was replaced")
    model = (_own_model if described.own else _zoo_model)(path, described)
    return Network(described.model, model, _seen(model, described.inputs), described.classes, table, path)


def _zoo_model(path: Path, described: NetworkTable) -> Any:
    """Build a network of the zoo and give it the weights of the file."""
    try:
        model = zoo.build(described.model, described.inputs, len(described.classes))
    except UsageError as error:
        raise ModelError(f"{path.with_suffix('.toml')}: {error}") from error
    model = without_batch_norm(model) if described.folded else model
    file = read_keras_file(path)  # bounds and links, before Keras reads the same weights
    for place in range(len(file.model["config"]["layers"])):
        file.weights.of(place)
    try:
        model.load_weights(path)
    except Exception as error:  # Keras raises whatever h5py, zipfile or its own checks do
        raise ModelError(f"{path}: cannot read weights ({type(error).__name__}); train the model again") from error
    return model


def _own_model(path: Path, described: NetworkTable) -> Any:
    file = read_keras_file(path)
    return build_described(file, described.inputs, len(described.classes), described.model, str(path))[0]


def _seen(model: Any, inputs: tuple[Input, ...]) -> tuple[Input, ...]:
    seen = seen_inputs(model)
    return tuple(one for one in inputs if one.name in seen)


def open_network(path: str | Path, dataset: Dataset, choice: Choice = NO_CHOICE) -> Network:
    """Load the network at ``path``: one that was trained here, or anybody's for the inputs and classes of ``dataset``.

    Anybody's: a ``.keras`` without a table beside it, an ``.h5``, the folder of a SavedModel, or a float ``.tflite``;
    ``choice`` names one of several outputs or signatures. Errors are those of :func:`load_network` and of
    :func:`tinyfuse.nn.zoo.user.read_user_model`.
    """
    path = Path(path)
    if _is_trained_here(path):
        if choice != NO_CHOICE:
            raise UsageError(f"{path}: trained here, with one output; leave out --output and --signature")
        return load_network(path)
    title = file_name(path.stem)
    found = read_user_model(path, dataset.inputs, len(dataset.classes), title, choice)
    never = Trained(title, found.model, 0, 0.0, 0.0, 0.0)
    table = describe_training(never, dataset, TrainConfig()) | {
        "sha256": found.sha256, "own": True, "softmax": found.softmax, "source": path.name}
    return Network(title, found.model, _seen(found.model, dataset.inputs), dataset.classes, table, path)


def open_model(path: str | Path, inputs: Sequence[Input], classes: int, title: str) -> Any:
    """Load only the ``tf_keras`` model that :func:`open_network` finds at ``path`` for data with these ``inputs``."""
    path = Path(path)
    return load_network(path).model if _is_trained_here(path) else (
        read_user_model(path, inputs, classes, title, NO_CHOICE).model)


def _is_trained_here(path: Path) -> bool:
    """Tell whether the table beside ``path`` is that of a network; data may have a table of the same name."""
    beside = path.with_suffix(".toml")
    return path.suffix == ".keras" and beside.is_file() and "sha256" in toml.read(beside, ModelError)


def file_name(text: str) -> str:
    """Make of ``text`` a name that a network's files can have."""
    return re.sub(r"_+", "_", re.sub(r"[^A-Za-z0-9.-]+", "_", text)).strip("_.-")[:60] or "network"
