"""A ``.tflite`` as a small typed graph: tensors with their quantisation and constants, operators with options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Option = int | float | bool | str


@dataclass(frozen=True, eq=False)
class Tensor:
    """One tensor. ``scale`` float32 and ``zero_point`` int64 have one entry, or one per slice along ``axis``; both
    are empty where the tensor is not quantised. ``data`` is the constant content (read-only), None if computed.
    ``name`` is printable and has at most 60 characters.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: np.ndarray = field(repr=False)
    zero_point: np.ndarray = field(repr=False)
    axis: int
    data: np.ndarray | None = field(repr=False)

    @property
    def unit(self) -> float:
        """What one code stands for, where there is one scale."""
        return float(self.scale[0])

    @property
    def zero(self) -> int:
        """The code that stands for 0, where there is one zero point."""
        return int(self.zero_point[0])

    def has_grid_of(self, other: Tensor) -> bool:
        """Whether the codes of both stand for the same numbers."""
        return np.array_equal(self.scale, other.scale) and np.array_equal(self.zero_point, other.zero_point)


@dataclass(frozen=True)
class Operator:
    """One operator: its builtin name, tensor indices (-1: optional input not given) and options in snake case."""

    index: int
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Option] = field(repr=False)


@dataclass(frozen=True)
class Graph:
    """The operators in the order of execution, and the tensors they refer to by index.

    ``ranges``: what is known of the codes of a tensor, the lowest and the highest of each place of its last axis.
    """

    name: str
    tensors: tuple[Tensor, ...] = field(repr=False)
    operators: tuple[Operator, ...] = field(repr=False)
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    ranges: Mapping[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict, repr=False)

    @property
    def computed(self) -> tuple[int, ...]:
        """The tensors that are no constants: the inputs, then those of each operator."""
        return *self.inputs, *(index for operator in self.operators for index in operator.outputs)
