"""Quantisation-aware training: a trained network goes on learning with its weights and activations rounded.

The result is a plain network without batch norm whose kernels are exactly ``scale * codes``. Quantising it again gives
the same codes and scales (:func:`tinyfuse.quantize.fake_quantisation.grid`): the ``.tflite`` holds what was trained.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from tinyfuse.core import toml
from tinyfuse.core.errors import ConversionError, RecipeError, UsageError
from tinyfuse.core.strict import encode
from tinyfuse.data.dataset import Dataset
from tinyfuse.nn import objectives
from tinyfuse.nn.batch_norm_folding import folded
from tinyfuse.nn.network import Network, load_network, save_network
from tinyfuse.nn.train import TrainConfig, fit
from tinyfuse.quantize.folded_layers import folded_layers
from tinyfuse.quantize.recipe import QAT, Recipe
from tinyfuse.quantize.weight_codes import quantize

EPOCHS = 2
RATE = 0.25  # learning rate at the start, as a share of the one that the network was trained with
CALIBRATION_SAMPLES = 200


def settings(network: Network, epochs: int = EPOCHS) -> TrainConfig:
    """Set how a float ``network`` goes on: as it was trained, but with a smaller learning rate and its own decay.

    What parts do at the beginning of a training, such as to let the budget grow, is over.
    """
    training = network.table["training"]
    parts = objectives.parts_of(training["objective"], training.get("settings", {}))
    found = network.table.get("objective", {})
    changed = {part.name: part.further(found.get(part.name, {})) for part in parts if hasattr(part, "further")}
    further = {part.name: {**encode(part), **changed.get(part.name, {})} for part in parts}
    return TrainConfig(epochs, training["batch_size"], RATE * training["learning_rate"], training["seed"],
                       training["objective"], class_weights=training.get("class_weights", "none"),
                       augment=training.get("augment", {}), settings=further)


def train_or_load(network: Network, recipe: Recipe, dataset: Dataset, folder: str | Path, *, epochs: int = EPOCHS,
                  tick: Callable[[], None] = lambda: None,
                  report: Callable[[str], None] = lambda line: None) -> Network:
    """Load ``<model>-<recipe>.keras`` of ``folder``, or train it there from the float ``network``.

    The name has no ``__``, which marks integer models. An interrupted training goes on from its checkpoint. Raises
    RecipeError for other methods than "qat", and UsageError if the folder holds another training.
    """
    _check(network, recipe)
    path, config = Path(folder) / f"{network.name}-{recipe.name}.keras", settings(network, epochs)
    trained = path.with_suffix(".toml").exists()
    found = load_network(path) if trained else _train(network, recipe, dataset, config, path, tick, report)
    made = {**asdict(TrainConfig()), **found.table, **found.table.get(QAT, {})}
    for key, value in {"recipe": recipe.to_table(), "float_sha256": network.sha256, **asdict(config)}.items():
        if made.get(key) != value:
            raise UsageError(f"{path} was trained with {key} = {made.get(key)}, but {value} is asked for; "
                             "give another output folder, or another recipe name")
    return found


def _check(network: Network, recipe: Recipe) -> None:
    if recipe.methods != (QAT,):
        raise RecipeError(f"recipe '{recipe.name}': methods {', '.join(recipe.methods) or 'none'}; training sets "
                          f"the codes itself, so give '{QAT}' alone")
    if QAT in network.table:
        raise UsageError(f"{network.path} is already trained for '{network.table['recipe']['name']}'; give the "
                         f"float network {network.name}.keras")
    recipe.check_network([layer.name for layer in folded_layers(network.model)], tuple(network.model.input_shape))


def _train(network: Network, recipe: Recipe, dataset: Dataset, config: TrainConfig, path: Path,
           tick: Callable[[], None], report: Callable[[str], None]) -> Network:
    from tinyfuse.quantize import fake_quantisation as fake  # loads TensorFlow

    start, checkpoint = folded(network.model), path.with_suffix(".checkpoint.npz")
    calibration = dataset.train.balanced(min(CALIBRATION_SAMPLES, len(dataset.train)), seed=0)
    identity = {"model": network.name, "float": network.sha256, "recipe": toml.dumps(recipe.to_table())}
    trained = fit(path.stem, fake.fake_quantised(start, recipe, calibration), dataset, config, identity,
                  checkpoint=checkpoint, tick=tick, report=report)
    plain, codes = fake.snapped(trained.model, start)
    check_survival(plain, recipe, codes)
    # The accuracies are those of the rounded network.
    found = save_network(replace(trained, model=plain), path, dict(network.table) | {
        "float_sha256": network.sha256, "folded": True, "recipe": recipe.to_table(),
        **({"objective": dict(trained.facts)} if trained.facts else {}),
        QAT: asdict(config) | {"best_epoch": trained.best_epoch, "seconds": round(trained.seconds, 1)}})
    checkpoint.unlink(missing_ok=True)
    return found


def check_survival(plain: Any, recipe: Recipe, codes: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Raise ConversionError unless quantising ``plain`` gives the very ``codes`` and scales of the training.

    Scales of channels without any weight are left out: their codes are all zero.
    """
    for layer in folded_layers(plain):
        again = quantize(layer.kernel, layer.slices(recipe), least_scale=np.zeros(len(layer.bias)))
        values, scale = codes[layer.name]
        used = values.reshape(len(scale), -1).any(axis=1)
        if not (np.array_equal(again.values, values) and np.array_equal(again.scale[used], scale[used])):
            raise ConversionError(f"layer '{layer.name}': quantising the trained weights moves "
                                  f"{int((again.values != values).sum())} codes; report this recipe")
