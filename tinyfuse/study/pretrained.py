"""The networks that come with the package: taken where training here would repeat theirs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tinyfuse.core import provenance, toml
from tinyfuse.core.console import console
from tinyfuse.core.errors import ModelError, UsageError
from tinyfuse.core.files import sha256_hex, write_bytes
from tinyfuse.core.strict import decode
from tinyfuse.data import Dataset
from tinyfuse.nn import zoo
from tinyfuse.nn.train import TrainConfig

FOLDER = Path(zoo.__file__).parent / "trained"
"""Holds a ``.keras`` and a ``.toml`` for each network, and the list of them."""
LIST = "networks.toml"
EPOCHS = 5
"""Of a training on data that no network of the package was trained on."""


@dataclass(frozen=True)
class TrainedList:
    """What the folder holds: ``sha256`` of each network by its name, and the ``versions`` that trained them."""

    versions: Mapping[str, str]
    sha256: Mapping[str, str]


@cache
def trained_list(folder: Path = FOLDER) -> TrainedList:
    """Read the list of ``folder``; a package without one has no trained networks."""
    path = folder / LIST
    if not path.exists():
        return TrainedList({}, {})
    return decode(TrainedList, toml.read(path, ModelError), str(path), ModelError)


def table_for(name: str, dataset: Dataset, folder: Path = FOLDER) -> dict[str, Any] | None:
    """Return the table of the network ``name`` of the package if it was trained on ``dataset``, else None."""
    if name not in trained_list(folder).sha256:
        return None
    table = toml.read(folder / f"{name}.toml", ModelError)
    return table if table["data"]["checksum"] == dataset.checksum else None


def config_for(name: str, dataset: Dataset, epochs: int | None, settings: Mapping[str, Any]) -> TrainConfig:
    """Return how ``name`` is to be trained on ``dataset``: without ``epochs`` as the package's network was."""
    if epochs is None:
        table = table_for(name, dataset)
        epochs = EPOCHS if table is None else int(table["training"]["epochs"])
    return TrainConfig(epochs=epochs, **settings)


def take(name: str, dataset: Dataset, config: TrainConfig, folder: Path, *, retrain: bool) -> None:
    """Copy the network ``name`` of the package into ``folder`` if training it there would repeat its training.

    That is: same data, settings and versions. What ``folder`` holds already, finished or half trained, stays.

    Raises:
        UsageError: ``retrain``, but ``folder`` holds the network of the package.
        ModelError: the network of the package is damaged.
    """
    path, table = folder / f"{name}.keras", table_for(name, dataset)
    if table is None:
        return
    if path.with_suffix(".toml").exists() or path.with_suffix(".checkpoint.npz").exists():
        if retrain and path.exists() and sha256_hex(path.read_bytes()) == trained_list().sha256[name]:
            raise UsageError(f"{path} is the network that comes with the package; to train it, give another output "
                             "folder")
        return
    reason = "--retrain was given" if retrain else _difference(table, config)
    if reason:
        console.print(f"{name}: trained here, not taken from the package: {reason}", markup=False)
        return
    data = (FOLDER / path.name).read_bytes()
    if sha256_hex(data) != trained_list().sha256[name]:
        raise ModelError(f"{FOLDER / path.name} is damaged; install tinyfuse again, or train with --retrain")
    write_bytes(path, data)
    write_bytes(path.with_suffix(".toml"), (FOLDER / f"{name}.toml").read_bytes())
    console.print(f"{name}: the trained network that comes with the package ({config.epochs} epochs, "
                  f"{100 * table['accuracy']['test']:.1f} % of {table['data']['test_samples']} test samples); "
                  "--retrain trains it here", markup=False)


def _difference(table: Mapping[str, Any], config: TrainConfig) -> str:
    """Say what tells a training with ``config`` here from that of ``table``; empty if nothing does."""
    defaults = asdict(TrainConfig())
    for key, value in asdict(config).items():
        # A setting that the table does not know was not there when the network was trained.
        known = table["training"].get(key, defaults[key])
        if known != value:
            return f"it was trained with {key} = {known}, and {value} is asked for"
    here = provenance.versions()
    for package, version in trained_list().versions.items():
        found = here.get(package, "not installed")
        if found.split(".")[:2] != version.split(".")[:2]:
            return f"it was trained with {package} {version}, and here is {found}"
    return ""
