"""Models in memory, as a user's function returns them: of ``tf_keras`` or of Keras 3, functional or sequential."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.nn.plain.keras_files import KerasFile


@dataclass(frozen=True, eq=False)
class LiveWeights:
    """The weights of a model in memory, by the names in its description."""

    model: Any
    entries: Sequence[Mapping[str, Any]]

    def of(self, place: int) -> list[np.ndarray]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Keras 3 on numpy 2
            return [np.asarray(values) for values in self._layer(place).get_weights()]

    def inside(self, place: int) -> LiveWeights:
        return LiveWeights(self._layer(place), self.entries[place]["config"]["layers"])

    def _layer(self, place: int) -> Any:
        return self.model.get_layer(self.entries[place]["config"]["name"])


def read_live_model(model: Any, where: str) -> KerasFile:
    """Describe a ``model`` of Keras; ModelError if it is none, or a subclassed one."""
    kind = next((one.__name__ for one in type(model).__mro__ if one.__name__ in ("Sequential", "Functional")), None)
    if kind is None or not hasattr(model, "get_config"):
        raise ModelError(f"{where} returned {type(model).__name__}; return a functional or sequential model of "
                         "tf_keras or Keras")
    if not model.built:
        raise ModelError(f"{where} returned a model that does not know what it reads; begin it with Input(shape)")
    config = model.get_config()
    return KerasFile({"class_name": kind, "config": config, "build_config": {"input_shape": model.input_shape}},
                     LiveWeights(model, config["layers"]))
