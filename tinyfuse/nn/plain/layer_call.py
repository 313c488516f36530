"""One call of a layer in the description of a Keras model: its settings, its weights and what it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.nn.plain.builder import Builder, Value


@dataclass(frozen=True)
class Call:
    """One call of a layer: its ``config``, its ``weights`` in the order of Keras, and what it reads."""

    builder: Builder
    name: str
    kind: str
    config: Mapping[str, Any]
    weights: Sequence[np.ndarray]
    read: Sequence[Value]

    @property
    def x(self) -> Value:
        """The one tensor that it reads."""
        if len(self.read) != 1:
            raise ModelError(f"layer '{self.name}' ({self.kind}) reads {len(self.read)} tensors; it takes one")
        return self.read[0]

    def setting(self, name: str, default: Any = None) -> Any:
        """Read a setting, which the format of the file may leave out."""
        value = self.config.get(name)
        return default if value is None else value

    def pair(self, name: str, default: int = 1) -> tuple[int, int]:
        """Read one or two whole numbers as those of rows and columns; of one-dimensional layers as (1, n)."""
        value = self.setting(name, default)
        parts = [int(one) for one in value] if isinstance(value, (list, tuple)) else [int(value)]
        if "1D" in self.kind:
            return 1, parts[0]
        return (parts[0], parts[-1])

    def take(self, count: int) -> list[np.ndarray]:
        """Return the weights, of which there have to be ``count``."""
        if len(self.weights) != count:
            raise ModelError(f"layer '{self.name}' ({self.kind}) has {len(self.weights)} arrays of weights in the "
                             f"file; expected {count}: save the model again")
        return list(self.weights)

    @property
    def curve(self) -> str:
        """The name of the activation that the layer has built in; empty for none."""
        curve = self.setting("activation", "linear")
        if isinstance(curve, Mapping):  # Keras 3 writes functions as tables
            inner = curve.get("config")
            curve = inner if isinstance(inner, str) else inner.get("name", "") if isinstance(inner, Mapping) else ""
            curve = curve or "of its author's own code"
        return "" if curve == "linear" else str(curve)

    def activated(self, value: Value) -> Value:
        """Add the activation that the layer has built in."""
        curve = self.curve
        return self.builder.activation(f"{self.name}_{curve}", value, curve) if curve else value
