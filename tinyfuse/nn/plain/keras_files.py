"""Descriptions and weights in ``.keras`` and ``.h5`` files: read without Keras, and nothing of them is run."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyfuse.core.errors import ModelError
from tinyfuse.core.files import read_limited
from tinyfuse.core.plain_json import parse_json
from tinyfuse.nn.plain.graph_reader import Weights, described_inputs
from tinyfuse.nn.plain.hdf5 import MAX_WEIGHT_BYTES, ArchiveWeights, LegacyWeights, open_weights

MAX_FILE_BYTES = 3 * MAX_WEIGHT_BYTES  # an optimizer's state is twice the weights
MAX_DESCRIPTION_BYTES = 16 << 20
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True, eq=False)
class KerasFile:
    """What a file says: the description of its ``model``, and where its ``weights`` are."""

    model: Mapping[str, Any]
    weights: Weights


def read_keras_file(path: Path) -> KerasFile:
    """Read the ``.keras`` or HDF5 file at ``path``; ModelError in one line for anything else or anything unsafe."""
    data = read_limited(path, MAX_FILE_BYTES, ModelError)
    if data[:8] == HDF5_MAGIC:
        found = _legacy(data, str(path))
    elif data[:4] == b"PK\x03\x04":
        found = _archive(data, str(path))
    else:
        raise ModelError(f"{path}: neither a .keras file (a zip archive) nor an HDF5 file; save the model again")
    try:
        described_inputs(found.model)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    return found


def _archive(data: bytes, where: str) -> KerasFile:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
            description = _member(archive, sizes, "config.json", MAX_DESCRIPTION_BYTES, where)
            weights = _member(archive, sizes, "model.weights.h5", MAX_FILE_BYTES, where)
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, NotImplementedError, EOFError) as error:
        raise ModelError(f"{where}: a damaged .keras file ({type(error).__name__}); save the model again") from error
    model = _model(parse_json(description, f"{where}: config.json", ModelError), where)
    file = open_weights(weights, where)
    prefix = "layers" if file.group("layers") is not None else "_layer_checkpoint_dependencies"
    return KerasFile(model, ArchiveWeights(file, prefix, model["config"].get("layers", [])))


def _member(archive: zipfile.ZipFile, sizes: Mapping[str, int], name: str, limit: int, where: str) -> bytes:
    if name not in sizes:
        raise ModelError(f"{where}: a .keras file has {name}, which this one lacks; save the whole model with "
                         "model.save")
    with archive.open(name) as stream:
        data = stream.read(limit + 1) if sizes[name] <= limit else b""
    if not data or len(data) > limit:
        raise ModelError(f"{where}: its {name} has {sizes[name]} bytes; 1 to {limit} are read")
    return data


def _legacy(data: bytes, where: str) -> KerasFile:
    file = open_weights(data, where)
    description = file.root.attrs.get("model_config")
    if description is None:
        raise ModelError(f"{where}: it holds weights alone; save the whole model with model.save")
    text = description.decode(errors="replace") if isinstance(description, bytes) else str(description)
    if len(text) > MAX_DESCRIPTION_BYTES:
        raise ModelError(f"{where}: its description has {len(text)} characters; at most {MAX_DESCRIPTION_BYTES} are "
                         "read")
    model = _model(parse_json(text, f"{where}: model_config", ModelError), where)
    return KerasFile(model, LegacyWeights(file, model["config"].get("layers", [])))


def _model(found: Any, where: str) -> Mapping[str, Any]:
    """Check the outer form of a description."""
    if not (isinstance(found, dict) and isinstance(found.get("class_name"), str) and
            isinstance(found.get("config"), dict) and isinstance(found["config"].get("layers", []), list) and
            all(isinstance(one, dict) and isinstance(one.get("config", {}), dict)
                for one in found["config"].get("layers", []))):
        raise ModelError(f"{where}: it does not describe a Keras model; save the model again")
    kind = found["class_name"]
    if kind not in ("Functional", "Sequential", "Model"):
        raise ModelError(f"{where}: a model of the class {kind[:60]}, whose code is not in the file; save it with "
                         "model.export(FOLDER) and give that SavedModel")
    return found
