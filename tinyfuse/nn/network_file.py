"""A trained network on disk: ``<name>.keras`` and beside it ``<name>.toml`` with where it came from."""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tinyfuse import __version__
from tinyfuse.core import toml
from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import ModelError
from tinyfuse.core.files import atomic_path, sha256_hex, write_text
from tinyfuse.data import Dataset, FeatureScaling
from tinyfuse.nn.batch_norm_folding import without_batch_norm
from tinyfuse.nn.train import TrainConfig, Trained
from tinyfuse.nn.zoo.fusion import MODELS, build

QAT_KEYS = ("float_sha256", "precision", "qat")  # of a network that went on training with quantised weights
KEYS = ("model", "tinyfuse", "sha256", "labels", "training", "accuracy", "data", "audio_features")
SECTIONS = {"training": ("epochs", "batch_size", "learning_rate", "seed", "seconds"), "data": ("name", "checksum"),
            "audio_features": ("mean", "std", "low", "high")}


def save(trained: Trained, dataset: Dataset, config: TrainConfig, folder: str | Path) -> Path:
    """Write the network and its table; return the path of the ``.keras`` file."""
    path = Path(folder) / f"{trained.name}.keras"
    save_model(trained.model, path)
    write_text(path.with_suffix(".toml"), toml.dumps(describe(trained, dataset, config, path)))
    return path


def save_model(model: Any, path: Path) -> None:
    """Write ``model`` to ``path`` (``.keras``); its table is still missing."""
    with atomic_path(path) as temporary:
        model.save(temporary)
        _without_dates(temporary)


def _without_dates(path: Path) -> None:
    """Rewrite a ``.keras`` archive without its time stamps: same weights, same bytes, same checksum."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in sorted(archive.namelist())}
    metadata = json.loads(entries["metadata.json"])
    entries["metadata.json"] = json.dumps({k: v for k, v in metadata.items() if k != "date_saved"}).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)


def describe(trained: Trained, dataset: Dataset, config: TrainConfig, path: Path) -> dict[str, Any]:
    """The TOML table of a trained network."""
    return {
        "model": trained.name,
        "tinyfuse": __version__,
        "sha256": sha256_hex(path.read_bytes()),
        "labels": [str(digit) for digit in range(10)],
        "training": asdict(config) | {"best_epoch": trained.best_epoch, "seconds": round(trained.seconds, 1)},
        "accuracy": {"validation": trained.validation_accuracy, "test": trained.test_accuracy},
        "data": {"name": dataset.name, "split": dataset.split, "seed": dataset.seed, "checksum": dataset.checksum,
                 "train_pairs": len(dataset.train), "validation_pairs": len(dataset.validation),
                 "test_pairs": len(dataset.test)},
        "audio_features": dataset.scaling.to_table(),
    }


def load(path: str | Path) -> tuple[Any, dict[str, Any]]:
    """The network at ``path`` (``.keras``) and its table.

    The file's own description of layers is not run: the network named in the table is built (without batch norm
    after quantisation-aware training) and only the weights are taken from the file. Raises :class:`ModelError` if
    either file is missing, damaged or belongs to something else.
    """
    path = Path(path)
    if path.suffix != ".keras" or not path.is_file():
        raise ModelError(f"{path}: no such .keras file; `tinyfuse train` writes them")
    beside = path.with_suffix(".toml")
    table = toml.read(beside, ModelError)
    required = KEYS + QAT_KEYS if "qat" in table else KEYS
    toml.check_keys(table, required, str(beside), ModelError, required=required)
    for key, wanted in SECTIONS.items():
        if not isinstance(table[key], dict):
            raise ModelError(f"{beside}: '{key}' must be a table")
        toml.check_keys(table[key], (*table[key], *wanted), f"{beside} [{key}]", ModelError, required=wanted)
    FeatureScaling.from_table(table["audio_features"])
    name = table["model"]
    if name not in MODELS:
        raise ModelError(f"{beside}: model '{name}' is not one of {', '.join(MODELS)}")
    if table["sha256"] != sha256_hex(path.read_bytes()):
        raise ModelError(f"{path}: its checksum is not the one in {beside.name}; the file is damaged or was replaced")
    tensorflow()
    model = without_batch_norm(build(name)) if "qat" in table else build(name)
    try:
        model.load_weights(path)
    except Exception as error:  # Keras raises whatever h5py, zipfile or its own checks do
        raise ModelError(f"{path}: cannot read weights ({type(error).__name__}); train the model again") from error
    return model, table
