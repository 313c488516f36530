"""How the values of a front end become those of the input: fitted on the training part, kept with the network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyfuse.core.errors import DataError
from tinyfuse.core.strict import decode
from tinyfuse.frontend.base import FrontEnd, Range

LOW_QUANTILE, HIGH_QUANTILE = 0.001, 0.999
LEAST_SPREAD = 1e-6


@dataclass(frozen=True)
class Normalisation:
    """What was fitted: ``mean`` and ``std`` for each place along the last axis of the values.

    ``low`` and ``high``: what the values, so standardised, are clipped to.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    low: float
    high: float

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or not all(map(math.isfinite, (*self.mean, *self.std, self.low, self.high))):
            raise DataError(f"a normalisation needs as many numbers of mean ({len(self.mean)}) as of std "
                            f"({len(self.std)}), all finite")
        if min(self.std, default=0) <= 0 or self.low >= self.high:
            raise DataError(f"a normalisation needs positive std and low ({self.low}) below high ({self.high})")


def read_normalisation(front_end: FrontEnd, table: Any, where: str) -> Normalisation:
    """Read what was fitted for ``front_end`` from its plain table; ``where`` names the place in errors (DataError)."""
    found, count = decode(Normalisation, table, where, DataError), front_end.values_shape[-1]
    if len(found.mean) != count:
        raise DataError(f"{where}: mean and std have {len(found.mean)} numbers; {front_end.label} needs {count} "
                        "numbers of each")
    return found


def identity(front_end: FrontEnd, low: float = 0.0, high: float = 1.0) -> Normalisation:
    """Leave values as they are, but for clipping to ``low`` and ``high``."""
    count = front_end.values_shape[-1]
    return Normalisation((0.0,) * count, (1.0,) * count, low, high)


def fit(front_end: FrontEnd, values: np.ndarray) -> Normalisation:
    """Fit on training values, float32 [..., *values_shape], as the front end's ``normalise`` says.

    Standardised values beyond the 0.1 % and 99.9 % quantiles will be clipped; with "none" the range is the front end's
    own, or that of the data. Numbers are rounded to 6 decimals, so that a different summation order gives the same.
    """
    if not values.size:
        raise DataError(f"{front_end.label}: no training values to fit the normalisation on; give some training data")
    if front_end.normalise == "none":
        low, high = front_end.natural_range or (float(values.min()), float(values.max()))
        return identity(front_end, low, max(high, low + LEAST_SPREAD))
    flat = values.reshape(-1, values.shape[-1]).astype(np.float64)
    mean = np.round(flat.mean(axis=0), 6)
    std = np.maximum(np.round(flat.std(axis=0), 6), LEAST_SPREAD)
    low, high = np.round(np.quantile((flat - mean) / std, [LOW_QUANTILE, HIGH_QUANTILE]), 6).tolist()
    return Normalisation(tuple(mean.tolist()), tuple(std.tolist()), low, max(high, low + LEAST_SPREAD))


def apply(front_end: FrontEnd, fitted: Normalisation, values: np.ndarray) -> np.ndarray:
    """Normalise values, float32 [..., *values_shape], and lay them out as inputs, float32 [..., *shape]."""
    mean, std = np.asarray(fitted.mean, np.float32), np.asarray(fitted.std, np.float32)
    scaled = np.asarray(values, np.float32)
    if front_end.normalise != "none":
        scaled = (scaled - mean) / std
    low, high = np.float32(fitted.low), np.float32(fitted.high)
    if front_end.normalise == "unit":
        scaled = np.clip((scaled - low) / np.float32(fitted.high - fitted.low), 0.0, 1.0)
    else:
        scaled = np.clip(scaled, low, high)
    return front_end.lay_out(scaled)


def value_range(front_end: FrontEnd, fitted: Normalisation) -> Range:
    """Tell the least and greatest value of the input, its ``low`` and ``high``; cells that are left over hold 0."""
    low, high = (0.0, 1.0) if front_end.normalise == "unit" else (fitted.low, fitted.high)
    return (min(low, 0.0), max(high, 0.0)) if front_end.valid else (low, high)
