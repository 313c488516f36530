"""A norm of its own for each input: what bounds the length of a sound and each pixel of a picture at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

import numpy as np

from tinyfuse.data.samples import Batch
from tinyfuse.threats.code_grid import InputGrid
from tinyfuse.threats.norm import GRADIENT_FLOOR, Budget, Masks, Norm
from tinyfuse.threats.random_draws import Streams


class NormByInput(Norm):
    """``norms`` by attacked input, none of them joint; what is asked of a single input is asked of its own norm."""

    name, per_coordinate = "by-input", False

    def __init__(self, norms: Mapping[str, Norm]) -> None:
        self.norms = dict(norms)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(norm.name for norm in self.norms.values())

    def directions(self, gradients: Batch, budget: Budget, floor: float = GRADIENT_FLOOR) -> dict[str, np.ndarray]:
        return {name: self.norms[name].direction(values, floor) for name, values in gradients.items()}

    def shrunk(self, change: Batch, budget: Budget) -> dict[str, np.ndarray]:
        return {name: self.norms[name].project(values, budget[name]) for name, values in change.items()}

    def shares(self, change: Batch, budget: Budget) -> np.ndarray:
        return np.asarray(np.max([self.norms[name].shares({name: values}, budget)
                                  for name, values in change.items()], axis=0))

    def beyond(self, change: Batch, budget: Budget) -> dict[str, np.ndarray]:
        return {name: self.norms[name].size(values) > budget[name] for name, values in change.items()}

    def draws(self, random: Mapping[str, np.random.Generator], masks: Masks) -> dict[str, np.ndarray]:
        return {name: self.norms[name].draw(random[name], mask) for name, mask in masks.items()}

    def noises(self, kind: str, streams: Mapping[str, Streams], rows: np.ndarray, masks: Masks, sizes: Budget, *,
               on_lattice: bool) -> dict[str, np.ndarray]:
        return {name: self.norms[name].noise(kind, streams[name], rows, mask, sizes[name], on_lattice=on_lattice)
                for name, mask in masks.items()}

    def direction(self, gradient: np.ndarray, floor: float = GRADIENT_FLOOR) -> np.ndarray:
        self._unnamed()

    def project(self, delta: np.ndarray, epsilon: float) -> np.ndarray:
        self._unnamed()

    def size(self, delta: np.ndarray) -> np.ndarray:
        self._unnamed()

    def draw(self, random: np.random.Generator, mask: np.ndarray) -> np.ndarray:
        self._unnamed()

    def code_budget(self, epsilon: float, grid: InputGrid) -> float:
        self._unnamed()

    def code_change(self, delta: np.ndarray, grid: InputGrid, epsilon: float) -> np.ndarray:
        self._unnamed()

    def _unit_noise(self, kind: str, streams: Streams, rows: np.ndarray, mask: np.ndarray) -> np.ndarray:
        self._unnamed()

    def _unnamed(self) -> NoReturn:
        raise NotImplementedError(f"norms by input ({', '.join(self.norms)}): ask the norm of one of them")
