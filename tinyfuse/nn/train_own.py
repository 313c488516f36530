"""Train a user's own network: what a function of theirs builds, or a trained network that goes on learning."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.data.dataset import Dataset
from tinyfuse.nn.network import Network, describe_training, file_name, load_network, open_network, save_network
from tinyfuse.nn.plain.live_model import read_live_model
from tinyfuse.nn.train import TrainConfig, fit
from tinyfuse.nn.train_or_load import check_same
from tinyfuse.nn.zoo.resnet8 import keras
from tinyfuse.nn.zoo.user import Choice, build_described


@dataclass(frozen=True, eq=False)
class Start:
    """A network before its training: ``source`` says where it came from, ``own`` that it is none of the zoo."""

    title: str
    model: Any
    source: str
    softmax: bool
    own: bool
    folded: bool = False


def is_function(name: str) -> bool:
    """Tell whether ``name`` is MODULE:FUNCTION."""
    module, colon, function = name.partition(":")
    return bool(colon) and all(part.isidentifier() for part in (*module.split("."), function))


def load_function(name: str) -> Callable[[Dataset], Any]:
    """Import the function named MODULE:FUNCTION, as Python finds it from here; UsageError if it cannot."""
    module_name, _, function = name.partition(":")
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        module = import_module(module_name)
    except ImportError as error:
        raise UsageError(f"{name}: {error}; give MODULE:FUNCTION of a module in this folder or of an installed one"
                         ) from error
    finally:
        sys.path.remove(folder)
    found = getattr(module, function, None)
    if not callable(found):
        known = [one for one in vars(module) if callable(getattr(module, one)) and not one.startswith("_")]
        raise UsageError(f"{name}: {module_name} has no function '{function}'{nearest(function, known)}")
    return found  # type: ignore[no-any-return]


def start_of(name: str, dataset: Dataset, seed: int, choice: Choice) -> Start:
    """Build the network that the function MODULE:FUNCTION returns, or read the one at the path ``name``."""
    if not is_function(name):
        network = open_network(name, dataset, choice)
        if network.table.get("recipe"):
            raise UsageError(f"{name} was trained for the recipe '{network.table['recipe']['name']}', so its weights "
                             f"are codes already; give the float network {network.name}.keras")
        table = network.table
        return Start(network.name, network.model, f"{Path(name).name} {network.sha256[:16]}",
                     bool(table.get("softmax")), bool(table.get("own")), bool(table.get("folded")))
    build, tf_keras = load_function(name), keras()
    tf_keras.backend.clear_session()
    tf_keras.utils.set_random_seed(seed)
    found, title = read_live_model(build(dataset), name), file_name(name.partition(":")[2])
    model, softmax = build_described(found, dataset.inputs, len(dataset.classes), title, name, choice.output)
    return Start(title, model, name, softmax, own=True)


def train_own(name: str, dataset: Dataset, config: TrainConfig, folder: str | Path, *, choice: Choice,
              tick: Callable[[], None] = lambda: None, report: Callable[[str], None] = lambda line: None) -> Network:
    """Train what :func:`start_of` finds into ``folder``, or load what was trained there with the same settings.

    An interrupted training goes on from its checkpoint; see :func:`tinyfuse.nn.train.train`. UsageError: the folder
    holds another network of that name; nothing is overwritten.
    """
    start = start_of(name, dataset, config.seed, choice)
    path = Path(folder) / f"{start.title}.keras"
    if Path(name).exists() and path.exists() and path.samefile(name):
        raise UsageError(f"{path} would be overwritten by its own training; give another --out")
    if path.with_suffix(".toml").exists():
        network = load_network(path)
        check_same(network, dataset, config, {"source": start.source})
        return network
    checkpoint = path.with_suffix(".checkpoint.npz")
    identity = {"model": start.title, "source": start.source, "start": _digest(start.model)}
    trained = fit(start.title, start.model, dataset, config, identity, checkpoint=checkpoint, tick=tick, report=report)
    network = save_network(trained, path, describe_training(trained, dataset, config) | {
        "own": start.own or trained.own, "softmax": start.softmax, "source": start.source, "folded": start.folded})
    checkpoint.unlink(missing_ok=True)
    return network


def _digest(model: Any) -> str:
    """Return a checksum of the layers and weights that a training starts from."""
    digest = hashlib.sha256(" ".join(layer.name for layer in model.layers).encode())
    for values in model.get_weights():
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()
