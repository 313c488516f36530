"""The words of every data set: named inputs, and the batch of samples that travels through the house."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tinyfuse.core.errors import UsageError
from tinyfuse.data.stored import StoredRows

PARTS = ("train", "validation", "test")
CHUNK = 1000
Batch = Mapping[str, np.ndarray]
"""Input name -> array [n, ...]; all arrays have the same first dimension.

Of a part that is larger than memory the values are StoredRows: index them as an array, a batch at a time.
"""

RESERVED_NAMES = ("all", "shared", "label", "group", "broken", "minmax", "w", "mse", "gptq", "bias", "qat", "none")
"""Words that name something else: in recipes, on the command line or in saved files."""


def check_input_name(name: str) -> None:
    """Raise UsageError, with the reason, for an input name that a recipe, a file or a column name could not hold."""
    if not re.fullmatch(r"[A-Za-z](?:_?[A-Za-z0-9])*", name) or len(name) > 32:
        raise UsageError(f"input name '{name}': give up to 32 letters, digits and single '_' between them, a letter "
                         "first; recipe names such as camera4-mic6-shared8 could not be read back otherwise")
    if name.lower() in RESERVED_NAMES or re.fullmatch(r"w\d+(a\d*)?", name, flags=re.IGNORECASE):
        raise UsageError(f"input name '{name}' is a word of recipes and options ({', '.join(RESERVED_NAMES)}, w6a7); "
                         "give the input another name")


@dataclass(frozen=True)
class Axis:
    """A named axis of an input: the value at flat place i of a sample lies at (i // stride) % size along it."""

    stride: int
    size: int


@dataclass(frozen=True)
class Input:
    """One named sensor input of ``shape`` (without the batch dimension), values from ``low`` to ``high`` in ``unit``.

    ``axes`` name bands, frames, rows or columns for masks. ``valid``: (first, last + 1) flat places of a sample that
    carry information, the others being constant padding; empty: all of them.
    """

    name: str
    shape: tuple[int, ...]
    low: float = 0.0
    high: float = 1.0
    unit: str = ""
    axes: Mapping[str, Axis] = field(default_factory=dict, hash=False)
    valid: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        check_input_name(self.name)
        sizes = (*self.shape, *(size for axis in self.axes.values() for size in (axis.stride, axis.size)))
        if not self.shape or min(sizes) < 1:
            raise UsageError(f"input '{self.name}': shape {list(self.shape)} and axes {dict(self.axes)}; give sizes of "
                             "at least one value")
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise UsageError(f"input '{self.name}': values from {self.low} to {self.high}; give finite low < high")

    @property
    def span(self) -> float:
        """Width of the range of values: the largest L-inf change that is possible."""
        return self.high - self.low

    def valid_mask(self) -> np.ndarray:
        """Mark, float32 of ``shape``, 1 where a value carries information, 0 on padding."""
        mask = np.full(math.prod(self.shape), not self.valid, np.float32)
        for first, end in self.valid:
            mask[first:end] = 1
        return mask.reshape(self.shape)

    def places_along(self, axis: str) -> np.ndarray:
        """Tell, int64 of ``shape``, where along ``axis`` each value lies."""
        places = np.arange(math.prod(self.shape)).reshape(self.shape)
        return np.asarray(places // self.axes[axis].stride % self.axes[axis].size)


@dataclass(frozen=True, eq=False)
class Samples:
    """The only batch that travels: n samples.

    ``inputs``: float32 [n, ...] by input name; ``label``: int64 [n]; ``group``: int64 [n], samples of one group (an
    utterance, a speaker, a session) are not independent of each other. ``regions``: by input, bool [n, ...] of its
    shape, where in it lies what the label names; empty where nobody knows.
    """

    inputs: Mapping[str, np.ndarray]
    label: np.ndarray
    group: np.ndarray
    regions: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.label)

    def __repr__(self) -> str:
        return f"Samples({len(self)}: {describe_shapes({name: v.shape[1:] for name, v in self.inputs.items()})})"

    def take(self, rows: np.ndarray | slice) -> Samples:
        """Take the samples at ``rows`` (integer positions, a slice or a boolean mask), in that order.

        Of inputs on disk, what fits comfortably into memory is loaded.
        """
        return replace(self, inputs={name: _take(values, rows) for name, values in self.inputs.items()},
                       label=self.label[rows], group=self.group[rows],
                       regions={name: values[rows] for name, values in self.regions.items()})

    def balanced(self, n: int, *, seed: int = 0) -> Samples:
        """Draw at most ``n`` samples with ``seed``, classes as equal as possible, in their order; they are loaded."""
        return self.take(self.balanced_rows(n, seed=seed)).loaded()

    def balanced_rows(self, n: int, *, seed: int = 0) -> np.ndarray:
        """Return the positions, int64, of what :meth:`balanced` draws."""
        quota = class_quota(np.bincount(self.label), n)
        return draw_rows(self.label, quota, np.random.default_rng([seed, n]))

    def loaded(self) -> Samples:
        """Load inputs that are on disk, whatever memory that takes."""
        return replace(self, inputs={name: np.asarray(values) for name, values in self.inputs.items()})

    def only(self, names: tuple[str, ...]) -> Samples:
        """Keep the inputs ``names`` alone, of the same samples."""
        return replace(self, inputs={name: self.inputs[name] for name in names})

    def means(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Compute the mean float32 [...] over all samples of each of the inputs ``names``, by chunks."""
        found = {}
        for name in names:
            values = self.inputs[name]
            total = sum(np.asarray(values[start:start + CHUNK], np.float64).sum(axis=0)
                        for start in range(0, len(self), CHUNK))
            found[name] = np.asarray(total / len(self), np.float32)
        return found


def _take(values: Any, rows: np.ndarray | slice) -> Any:
    return values.take(rows) if isinstance(values, StoredRows) else values[rows]


def describe_shapes(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Put input shapes in a few words: ``camera 32x32x3, mic 49x10x1``."""
    return ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in shapes.items())


def class_quota(available: np.ndarray, limit: int | None) -> np.ndarray:
    """Share ``limit`` items over classes as equally as ``available`` (int [classes]) allows; int64 [classes].

    The first classes get the items that do not divide; the sum is ``min(limit, available.sum())``.
    """
    quota = np.zeros(len(available), np.int64)
    left = int(available.sum()) if limit is None else min(int(limit), int(available.sum()))
    while left > 0:
        open_classes = np.flatnonzero(quota < available)
        share = max(left // len(open_classes), 1)
        for index in open_classes:
            step = min(share, int(available[index] - quota[index]), left)
            quota[index] += step
            left -= step
    return quota


def draw_rows(label: np.ndarray, quota: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draw ``quota[c]`` rows of each class c of ``label`` (int [rows]); sorted int64 [sum of quota]."""
    return np.sort(np.concatenate([generator.permutation(np.flatnonzero(label == index))[:count]
                                   for index, count in enumerate(quota)]))
