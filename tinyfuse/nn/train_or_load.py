"""Train a network into a folder, or take the one that is already there for the same data and settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tinyfuse.core.errors import UsageError
from tinyfuse.data import Dataset, FeatureScaling
from tinyfuse.nn import network_file
from tinyfuse.nn.train import TrainConfig, train


@dataclass(frozen=True)
class Network:
    """A trained network: its ``tf_keras`` model, its file and that file's table."""

    name: str
    model: Any
    path: Path
    table: dict[str, Any]

    @property
    def sha256(self) -> str:
        """Checksum of the ``.keras`` file."""
        return str(self.table["sha256"])

    @property
    def train_seconds(self) -> float:
        """How long its training took."""
        return float(self.table["training"]["seconds"])

    def data_as_trained(self, dataset: Dataset) -> Dataset:
        """``dataset`` with the feature scaling that this network was trained with."""
        return dataset.scaled_as(FeatureScaling.from_table(self.table["audio_features"]))


def obtain(name: str, dataset: Dataset, config: TrainConfig, folder: str | Path, *,
           tick: Callable[[], None] = lambda: None,
           report: Callable[[str], None] = lambda line: None) -> Network:
    """The network ``name`` in ``folder``: trained before with the same data and ``config``, or trained now.

    An interrupted training goes on from its checkpoint. Raises :class:`UsageError` if the folder holds the
    network of other data or settings: nothing is overwritten.
    """
    path = Path(folder) / f"{name}.keras"
    checkpoint = path.with_suffix(".checkpoint.npz")
    if not path.with_suffix(".toml").exists():
        trained = train(name, dataset, config, checkpoint=checkpoint, tick=tick, report=report)
        network_file.save(trained, dataset, config, folder)
        checkpoint.unlink(missing_ok=True)
    network = load_network(path)
    found = {"data": network.table["data"]["checksum"], **{k: network.table["training"][k] for k in asdict(config)}}
    wanted = {"data": dataset.checksum, **asdict(config)}
    for key, value in wanted.items():
        if found[key] != value:
            raise UsageError(f"{path} was trained with {key} = {found[key]}, but {value} is asked for; "
                             "give another output folder")
    return network


def load_network(path: str | Path) -> Network:
    """The network in a ``.keras`` file and its table; see :func:`tinyfuse.nn.network_file.load`."""
    model, table = network_file.load(path)
    return Network(str(table["model"]), model, Path(path), table)
