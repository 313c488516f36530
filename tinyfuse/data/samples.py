"""The words of every data set: named inputs, and the batch of samples that travels through the house."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from tinyfuse.core.errors import UsageError
from tinyfuse.data.balance import balanced_rows

Batch = Mapping[str, np.ndarray]
"""Input name -> array [n, ...]; all arrays have the same first dimension."""

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
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise UsageError(f"input '{self.name}': values from {self.low} to {self.high}; give finite low < high")

    @property
    def span(self) -> float:
        """Width of the range of values: the largest L-inf change that is possible."""
        return self.high - self.low

    def valid_mask(self) -> np.ndarray:
        """Float32 of ``shape``: 1 where a value carries information, 0 on padding."""
        places = np.arange(math.prod(self.shape))
        inside = np.logical_or.reduce([(places >= first) & (places < end) for first, end in self.valid]) \
            if self.valid else np.ones(len(places), bool)
        return np.asarray(inside.astype(np.float32).reshape(self.shape))

    def places_along(self, axis: str) -> np.ndarray:
        """Int64 of ``shape``: where along ``axis`` each value lies."""
        flat = np.arange(math.prod(self.shape))
        return np.asarray(((flat // self.axes[axis].stride) % self.axes[axis].size).reshape(self.shape))


@dataclass(frozen=True, eq=False)
class Samples:
    """The only batch that travels: n samples.

    ``inputs``: float32 [n, ...] by input name; ``label``: int64 [n]; ``group``: int64 [n], samples of one group (an
    utterance, a speaker, a session) are not independent of each other.
    """

    inputs: Mapping[str, np.ndarray]
    label: np.ndarray
    group: np.ndarray

    def __len__(self) -> int:
        return len(self.label)

    def take(self, rows: np.ndarray | slice) -> Samples:
        """The samples at ``rows`` (integer positions, a slice or a boolean mask), in that order."""
        return replace(self, inputs={name: values[rows] for name, values in self.inputs.items()},
                       label=self.label[rows], group=self.group[rows])

    def balanced(self, n: int, *, seed: int = 0) -> Samples:
        """At most ``n`` samples, drawn with ``seed``, classes as equal as possible, in their order."""
        return self.take(balanced_rows(self.label, n, seed=seed))

    def only(self, names: tuple[str, ...]) -> Samples:
        """The same samples with the inputs ``names`` alone."""
        return replace(self, inputs={name: self.inputs[name] for name in names})
