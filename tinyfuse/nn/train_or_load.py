"""Train a network into a folder, or load the one that is already there for the same data and settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from tinyfuse.core.errors import UsageError
from tinyfuse.data.dataset import Dataset
from tinyfuse.nn.network import Network, describe_training, load_network, save_network
from tinyfuse.nn.train import TrainConfig, train


def train_or_load(name: str, dataset: Dataset, config: TrainConfig, folder: str | Path, *,
                  tick: Callable[[], None] = lambda: None,
                  report: Callable[[str], None] = lambda line: None) -> Network:
    """Load the network ``name`` of ``folder``, or train it there with ``dataset`` and ``config``.

    An interrupted training goes on from its checkpoint; see :func:`tinyfuse.nn.train.train`. UsageError: the folder
    holds the network of other data or settings; nothing is overwritten.
    """
    path = Path(folder) / f"{name}.keras"
    checkpoint = path.with_suffix(".checkpoint.npz")
    if path.with_suffix(".toml").exists():
        network = load_network(path)
    else:
        trained = train(name, dataset, config, checkpoint=checkpoint, tick=tick, report=report)
        network = save_network(trained, path, describe_training(trained, dataset, config))
        checkpoint.unlink(missing_ok=True)
    check_same(network, dataset, config, {})
    return network


def check_same(network: Network, dataset: Dataset, config: TrainConfig, origin: Mapping[str, str]) -> None:
    """Raise UsageError unless ``network`` was trained on ``dataset`` with ``config``; ``origin``: further entries."""
    found = {**asdict(TrainConfig()), **network.table, "data": network.table["data"]["checksum"],
             **network.table["training"]}
    for key, value in {"data": dataset.checksum, **asdict(config), **origin}.items():
        if found.get(key) != value:
            raise UsageError(f"{network.path} was trained with {key} = {found.get(key)}, but {value} is asked for; "
                             "give another output folder")
