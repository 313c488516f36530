"""SavedModels: looked at before they are loaded, then converted to a float ``.tflite``."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import Any

from tinyfuse.core.backend import saved_model_class, stderr_silenced, tensorflow
from tinyfuse.core.errors import ModelError, UsageError, nearest
from tinyfuse.core.files import read_limited

SAVED_MODEL = "saved_model.pb"
MAX_GRAPH_BYTES = 256 << 20
MAX_FILES = 64
MAX_FOLDER_BYTES = 1 << 30
REACHING_OUT = frozenset(("ReadFile", "WriteFile", "MatchingFiles", "PyFunc", "PyFuncStateless", "EagerPyFunc",
                          "WholeFileReaderV2", "TextLineReaderV2", "FixedLengthRecordReaderV2", "TFRecordReaderV2",
                          "TextLineDataset", "TFRecordDataset", "FixedLengthRecordDataset", "PrintV2",
                          "DebugIdentityV2", "Save", "SaveSlices", "WriteSummary", "LogicalPrint"))
"""Operators that read, write or run something outside the graph; no network needs one."""


def as_float_tflite(folder: Path, signature: str) -> bytes:
    """Convert a signature of the SavedModel in ``folder`` to the bytes of a float ``.tflite``.

    ModelError: the folder is too large, damaged, or its graph reaches outside; UsageError: which of several signatures?
    """
    graph = _read(folder)
    signatures = [name for name in graph.signature_def if not name.startswith("__")]
    tf, chosen = tensorflow(), _chosen(signatures, signature, str(folder))
    with stderr_silenced(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=[chosen])
            return bytes(converter.convert())
        except Exception as error:  # TensorFlow raises whatever its loader and passes do
            said = next((line.strip() for line in str(error).splitlines() if line.strip()), "")[:200]
            raise ModelError(f"{folder}: TensorFlow cannot convert it ({type(error).__name__}: {said})") from error


def saved_model_sha256(folder: Path) -> str:
    """Return a checksum of all files of a SavedModel."""
    digest = hashlib.sha256()
    for path in _files(folder):
        digest.update(f"{path.relative_to(folder)} {path.stat().st_size}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _files(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    if len(found) > MAX_FILES or sum(path.stat().st_size for path in found) > MAX_FOLDER_BYTES:
        raise ModelError(f"{folder}: more than {MAX_FILES} files or {MAX_FOLDER_BYTES >> 20} MiB; give the folder of "
                         "one SavedModel")
    return found


def _read(folder: Path) -> Any:
    """Read the description of the graph without loading it, and refuse one that reaches outside."""
    _files(folder)
    data, saved = read_limited(folder / SAVED_MODEL, MAX_GRAPH_BYTES, ModelError), saved_model_class()()
    try:
        saved.ParseFromString(data)
        [graph] = saved.meta_graphs
    except Exception as error:  # protobuf's DecodeError, or another number of graphs
        raise ModelError(f"{folder}: its {SAVED_MODEL} cannot be read; export the model again") from error
    library = graph.graph_def.library.function
    used = {node.op for node in graph.graph_def.node} | {node.op for one in library for node in one.node_def}
    if used & REACHING_OUT:
        raise ModelError(f"{folder}: its graph has the operator {min(used & REACHING_OUT)}, which reaches outside of "
                         "it; export the network alone")
    return graph


def _chosen(signatures: list[str], wanted: str, where: str) -> str:
    if wanted:
        if wanted not in signatures:
            raise UsageError(f"{where}: no signature '{wanted}'{nearest(wanted, signatures)}; it has "
                             f"{', '.join(signatures) or 'none'}")
        return wanted
    own = sorted(name for name in signatures if name != "serve") or signatures  # Keras has "serve" beside it
    if not own:
        raise ModelError(f"{where}: a SavedModel without signatures; save it with model.export(FOLDER)")
    if len(own) > 1:
        raise UsageError(f"{where}: the signatures {', '.join(own)}; name one with --signature")
    return own[0]
