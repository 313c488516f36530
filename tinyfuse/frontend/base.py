"""What every front end is: a frozen table of settings that turns one raw sample into the values of a network input."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from tinyfuse.core.errors import DataError
from tinyfuse.core.strict import encode

MAX_VALUES = 1 << 22
Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class FrontEnd(ABC):
    """How a raw sample becomes the values of an input; each kind adds its own settings.

    ``normalise``: "none", "standard" (per band, channel or coefficient: mean 0, standard deviation 1) or "unit" (the
    same, then [0, 1]); the numbers are fitted on the training part, see :mod:`tinyfuse.frontend.normalisation`.
    ``input_shape``: the input's shape where it is not that of the values; they fill it row by row, the rest is 0.
    """

    kind: ClassVar[str]
    normalise: Literal["none", "standard", "unit"] = "none"
    input_shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        size = math.prod(self.values_shape)
        if not 1 <= size <= MAX_VALUES:
            raise DataError(f"{self.label}: {size} values in an input; allowed: 1 to {MAX_VALUES}")
        if self.input_shape and (min(self.input_shape) < 1 or not size <= math.prod(self.input_shape) <= MAX_VALUES):
            raise DataError(f"{self.label}: input_shape {list(self.input_shape)} cannot hold the {size} values of "
                            f"shape {list(self.values_shape)}; give sizes with a product of {size} to {MAX_VALUES}")

    @property
    def label(self) -> str:
        """Name the front end in errors, by its kind."""
        return f"front end '{self.kind}'"

    @property
    @abstractmethod
    def values_shape(self) -> tuple[int, ...]:
        """Shape of what :meth:`features` returns; along the last axis each place is normalised for itself."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the input, without the batch dimension."""
        return self.input_shape or self._own_shape

    @property
    def _own_shape(self) -> tuple[int, ...]:
        return self.values_shape

    @property
    @abstractmethod
    def axes(self) -> dict[str, tuple[int, int]]:
        """Axes of the input by name, each (stride, size): the value at flat place i lies at (i // stride) % size."""

    @property
    def valid(self) -> tuple[tuple[int, int], ...]:
        """(First, last + 1) flat places that carry values; empty: all of the input."""
        size = math.prod(self.values_shape)
        return ((0, size),) if size < math.prod(self.shape) else ()

    @property
    def natural_range(self) -> Range | None:
        """Least and greatest value that :meth:`features` can return; None: known only from data."""
        return None

    @property
    def cannot_stream(self) -> tuple[str, ...]:
        """Name the settings that need a whole recording before the first frame can be computed."""
        return ()

    @abstractmethod
    def features(self, raw: np.ndarray, *, rate: int | None = None) -> np.ndarray:
        """Compute the values of one raw sample before normalisation, float32 of ``values_shape``.

        ``rate``: of a recording in Hz, where it is not the front end's own. DataError: not what the kind can read.
        """

    def lay_out(self, values: np.ndarray) -> np.ndarray:
        """Fill normalised values, float32 [..., *values_shape], into inputs, float32 [..., *shape]."""
        arranged = self.arranged(values)
        batch, size = arranged.shape[: arranged.ndim - len(self.values_shape)], math.prod(self.values_shape)
        cells = np.zeros((*batch, math.prod(self.shape)), np.float32)
        cells[..., :size] = arranged.reshape(*batch, size)
        return cells.reshape(*batch, *self.shape)

    def arranged(self, values: np.ndarray) -> np.ndarray:
        """Put the values' own axes [..., *values_shape] in the order of the input."""
        return values

    def table(self) -> dict[str, Any]:
        """Write the plain table that ``read_front_end`` reads back."""
        return {"kind": self.kind, **encode(self)}
