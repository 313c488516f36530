"""The grid from which random graphs are drawn: scales over twenty decades, zero points at the ends, saturated codes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from side_by_side import Net

Entry = Callable[["GraphNet", int], "int | None"]
ENTRIES: dict[str, Entry] = {}
"""Builtin name -> what adds the operator behind a tensor and returns its output, None where it does not fit."""


def entry(*names: str) -> Callable[[Callable[..., int | None]], Callable[..., int | None]]:
    """Enter a function under ``names``; one that serves several takes the name as its third argument."""

    def add(function: Callable[..., int | None]) -> Callable[..., int | None]:
        for name in names:
            ENTRIES[name] = (lambda net, x, name=name: function(net, x, name)) if len(names) > 1 else function
        return function

    return add


@dataclass
class GraphNet(Net):
    """A :class:`Net` that draws scales, zero points and constants as they can stand in a file.

    ``states``: variables that become inputs of the model, behind those of the file.
    """

    states: list[int] = field(default_factory=list)

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def scale(self) -> float:
        """Mostly as converters write it; else anywhere in twenty decades, or a power of two."""
        kind = self.rng.random()
        if kind < 0.7:
            return float(np.float32(10.0 ** self.rng.uniform(-3, 0)))
        return float(np.float32(10.0 ** self.rng.uniform(-10, 10) if kind < 0.9 else 2.0 ** self.rng.integers(-16, 3)))

    def zero(self, dtype: type) -> int:
        if dtype != np.int8:
            return 0
        return self.pick(-128, 127, -127, 0) if self.chance(0.5) else int(self.rng.integers(-128, 128))

    def codes(self, shape: list[int], dtype: type) -> np.ndarray:
        """Codes over the whole type, or its ends alone."""
        limits = np.iinfo(dtype)
        if self.chance(0.3):
            return self.rng.choice([limits.min, limits.max], shape).astype(dtype)
        return self.rng.integers(limits.min, limits.max + 1, shape).astype(dtype)

    def beside(self, x: int, shape: list[int] | None = None, dtype: type | None = None, *,
               scale: float | None = None, zero: int | None = None) -> int:
        """A tensor that an operator makes of ``x``: its shape and type unless given; a grid of its own."""
        like = self.specs[x]
        kind = like.dtype if dtype is None else dtype
        return self.tensor(like.shape if shape is None else shape, kind, scale=self.scale() if scale is None else scale,
                           zero=self.zero(kind) if zero is None else zero)

    def same_grid(self, x: int, shape: list[int]) -> int:
        """A tensor of another shape on the grid of ``x``."""
        like = self.specs[x]
        return self.tensor(shape, like.dtype, scale=like.scale[0], zero=like.zero_point[0])

    def activation(self) -> int:
        return self.pick(0, 0, 1, 2, 3)
