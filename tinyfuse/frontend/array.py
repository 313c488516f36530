"""Arrays: sequences of any sensor, or values in no order, taken as they are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from tinyfuse.core.errors import DataError
from tinyfuse.frontend.base import FrontEnd


@dataclass(frozen=True, kw_only=True)
class Array(FrontEnd):
    """Values of shape ``size``; ``axis_names`` names its axes in order (an empty name: none).

    ``placement`` of a sample that is longer or shorter along the first axis: "exact" refuses it, "start" keeps the
    first places or adds zeros at the end, "centre" cuts or adds on both sides.
    """

    kind: ClassVar[str] = "array"
    size: tuple[int, ...]
    axis_names: tuple[str, ...] = ()
    placement: Literal["exact", "start", "centre"] = "exact"
    normalise: Literal["none", "standard", "unit"] = "standard"

    def __post_init__(self) -> None:
        if not self.size or min(self.size) < 1:
            raise DataError(f"{self.label}: size {list(self.size)}; give one whole number of at least 1 for each axis")
        named = [name for name in self.axis_names if name]
        if len(self.axis_names) > len(self.size) or len(set(named)) < len(named):
            raise DataError(f"{self.label}: axis_names {list(self.axis_names)}; give at most {len(self.size)} names, "
                            "one for each axis, all different")
        super().__post_init__()

    @property
    def values_shape(self) -> tuple[int, ...]:
        """Shape of the values: ``size``."""
        return self.size

    @property
    def axes(self) -> dict[str, tuple[int, int]]:
        """The axes that have names."""
        return {name: (math.prod(self.size[place + 1 :]), self.size[place])
                for place, name in enumerate(self.axis_names) if name}

    @property
    def cannot_stream(self) -> tuple[str, ...]:
        """Name the settings that need a whole recording before the first value can be computed."""
        return ("placement",) if self.placement == "centre" else ()

    def features(self, raw: np.ndarray, *, rate: int | None = None) -> np.ndarray:
        """Take the values of one sample, numbers of shape ``size``; ``rate`` has no meaning."""
        values = np.asarray(raw)
        fits = values.shape == self.size if self.placement == "exact" else values.shape[1:] == self.size[1:]
        if values.ndim != len(self.size) or not fits or values.dtype.kind not in "biuf":
            first = "" if self.placement == "exact" else ", the first of any size"
            raise DataError(f"{self.label}: a sample is {values.dtype} of shape {list(values.shape)}; give numbers of "
                            f"shape {list(self.size)}{first}")
        if not np.isfinite(values).all():
            raise DataError(f"{self.label}: a sample has values that are not finite; give finite numbers")
        return self._placed(values.astype(np.float32))

    def _placed(self, values: np.ndarray) -> np.ndarray:
        spare = len(values) - self.size[0]
        if spare > 0:
            first = spare // 2 if self.placement == "centre" else 0
            return values[first : first + self.size[0]]
        before = -spare // 2 if self.placement == "centre" else 0
        return np.pad(values, [(before, -spare - before)] + [(0, 0)] * (values.ndim - 1))
