"""Quantisation-aware training: a trained network goes on learning with its weights and activations rounded.

The result is a plain network without batch norm whose kernels are exactly ``scale * codes``. Quantising it again
gives the same codes and scales (see :func:`tinyfuse.quantize.fake_quantisation.grid`), so that the
``.tflite`` holds the integers that were trained, which the converter's own 8-bit rounding would replace by others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from tinyfuse import __version__
from tinyfuse.core import toml
from tinyfuse.core.errors import ConversionError, RecipeError, UsageError
from tinyfuse.core.files import sha256_hex, write_text
from tinyfuse.data import Dataset
from tinyfuse.nn import network_file
from tinyfuse.nn.batch_norm_folding import folded
from tinyfuse.nn.train import TrainConfig, Trained, fit
from tinyfuse.nn.train_or_load import Network, load_network
from tinyfuse.quantize.folded_layers import folded_layers
from tinyfuse.quantize.recipe import Precision, from_table
from tinyfuse.quantize.weight_codes import quantize

METHOD = "qat"
EPOCHS = 2
RATE = 0.25
"""Learning rate at the start, as a share of the one that the network was trained with."""

CALIBRATION_PAIRS = 200
Codes = Mapping[str, tuple[np.ndarray, np.ndarray]]


def trained_for(network: Network) -> Precision | None:
    """The recipe that ``network`` was trained for; None for a float network."""
    if METHOD not in network.table:
        return None
    return from_table(network.table["precision"], str(network.path.with_suffix(".toml")))


def settings(network: Network, epochs: int = EPOCHS) -> TrainConfig:
    """How a float ``network`` goes on: its batches and seed, a smaller learning rate with its own cosine decay."""
    training = network.table["training"]
    return TrainConfig(epochs, training["batch_size"], RATE * training["learning_rate"], training["seed"])


def obtain(network: Network, precision: Precision, dataset: Dataset, folder: str | Path, *, epochs: int = EPOCHS,
           tick: Callable[[], None] = lambda: None, report: Callable[[str], None] = lambda line: None) -> Network:
    """``<model>-<recipe>.keras`` in ``folder``: trained before from the same float ``network``, or trained now.

    The name has no ``__``, which marks integer models: the ``.tflite`` beside it has a table of its own. An interrupted
    training goes on from its checkpoint. Raises :class:`UsageError` if the folder holds the training of another network
    or with other settings.
    """
    _check(network, precision)
    path, config = Path(folder) / f"{network.name}-{precision.name}.keras", settings(network, epochs)
    checkpoint = path.with_suffix(".checkpoint.npz")
    if not path.with_suffix(".toml").exists():
        _train(network, precision, dataset, config, path, checkpoint=checkpoint, tick=tick, report=report)
        checkpoint.unlink(missing_ok=True)
    found = load_network(path)
    made = {"precision": found.table.get("precision"), "float_sha256": found.table.get("float_sha256"),
            **{key: found.table.get(METHOD, {}).get(key) for key in asdict(config)}}
    wanted = {"precision": precision.to_table(), "float_sha256": network.sha256, **asdict(config)}
    for key, value in wanted.items():
        if made[key] != value:
            raise UsageError(f"{path} was trained with {key} = {made[key]}, but {value} is asked for; "
                             "give another output folder, or another recipe name")
    return found


def _check(network: Network, precision: Precision) -> None:
    if precision.methods != (METHOD,):
        raise RecipeError(f"recipe '{precision.name}': methods {', '.join(precision.methods) or 'none'}; training sets "
                          f"the codes itself, so give '{METHOD}' alone")
    if METHOD in network.table:
        raise UsageError(f"{network.path} is already trained for '{network.table['precision']['name']}'; give the "
                         f"float network {network.name}.keras")
    precision.check_layers([layer.name for layer in folded_layers(network.model)])


def _train(network: Network, precision: Precision, dataset: Dataset, config: TrainConfig, path: Path, *,
           checkpoint: Path, tick: Callable[[], None], report: Callable[[str], None]) -> None:
    from tinyfuse.quantize import fake_quantisation as fake  # loads TensorFlow

    start = folded(network.model)
    calibration = dataset.train.balanced(min(CALIBRATION_PAIRS, len(dataset.train)), seed=0)
    identity = {"model": network.name, "float": network.sha256, "recipe": toml.dumps(precision.to_table())}
    trained = fit(path.stem, fake.fake_quantised(start, precision, calibration), dataset, config, identity,
                  checkpoint=checkpoint, tick=tick, report=report)
    plain = fake.snapped(trained.model, start)
    check_survival(plain, precision, fake.codes_in_use(trained.model))
    network_file.save_model(plain, path)
    write_text(path.with_suffix(".toml"), toml.dumps(_describe(network, precision, config, trained, path)))


def check_survival(plain: Any, precision: Precision, codes: Codes) -> None:
    """Raise :class:`ConversionError` unless quantising ``plain`` gives the very ``codes`` and scales of the training.

    Scales of channels without any weight are left out: their codes are all zero.
    """
    for layer in folded_layers(plain):
        again = quantize(layer.kernel, layer.slices(precision), least_scale=np.zeros(len(layer.bias)))
        values, scale = codes[layer.name]
        used = values.reshape(len(scale), -1).any(axis=1)
        if not (np.array_equal(again.values, values) and np.array_equal(again.scale[used], scale[used])):
            raise ConversionError(f"layer '{layer.name}': quantising the trained weights moves "
                                  f"{int((again.values != values).sum())} codes; report this recipe")


def _describe(network: Network, precision: Precision, config: TrainConfig, trained: Trained,
              path: Path) -> dict[str, Any]:
    """The float network's table with what this training adds; accuracies are those of the rounded network."""
    return network.table | {
        "tinyfuse": __version__,
        "sha256": sha256_hex(path.read_bytes()),
        "accuracy": {"validation": trained.validation_accuracy, "test": trained.test_accuracy},
        "float_sha256": network.sha256,
        "precision": precision.to_table(),
        METHOD: asdict(config) | {"best_epoch": trained.best_epoch, "seconds": round(trained.seconds, 1)},
    }
