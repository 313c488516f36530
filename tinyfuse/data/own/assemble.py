"""From stored values and the rows of each part to samples: what every kind of own data ends in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyfuse.core.console import console
from tinyfuse.core.errors import DataError, UsageError
from tinyfuse.core.strict import encode
from tinyfuse.data.own.settings import InputSettings
from tinyfuse.data.samples import PARTS, Axis, Input, Samples, class_quota, describe_shapes, draw_rows
from tinyfuse.data.stored import Finish, StoredRows
from tinyfuse.frontend.base import FrontEnd
from tinyfuse.frontend.normalisation import Normalisation, apply, fit, read_normalisation, value_range

MAX_FIT_BYTES = 32 << 20
"""A normalisation is fitted on at most this many bytes of training values, evenly spread over them."""

Recording = Callable[[str, str, int], tuple[np.ndarray, int] | None]
"""f(input, part, row) -> the sound behind a sample, float32 [samples], full scale 1, and its rate; None: no sound."""


@dataclass(frozen=True)
class Column:
    """One input before it is divided: ``stored`` values [N, ...], of an array or of its front end.

    ``digest`` says what was read. ``low`` and ``high``: the range of an array; a front end has its own.
    """

    name: str
    stored: np.ndarray
    digest: str
    settings: InputSettings
    low: float = 0.0
    high: float = 1.0


@dataclass(frozen=True)
class PartRows:
    """One part: for each input the rows of its column, int64 [n], with ``label`` and ``group``, int64 [n]."""

    rows: Mapping[str, np.ndarray]
    label: np.ndarray
    group: np.ndarray

    def take(self, chosen: np.ndarray) -> PartRows:
        """Keep the samples at the positions ``chosen``."""
        return PartRows({name: rows[chosen] for name, rows in self.rows.items()}, self.label[chosen],
                        self.group[chosen])


@dataclass(frozen=True)
class Parts:
    """What a data set is made of, by the names of its fields; ``refit`` makes the same with another ``fitted``."""

    name: str
    inputs: tuple[Input, ...]
    classes: tuple[str, ...]
    train: Samples
    validation: Samples
    test: Samples
    checksum: str
    split: str
    seed: int
    fitted: Mapping[str, Any] = field(default_factory=dict)
    front_ends: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    refit: Callable[[Mapping[str, Any]], Parts] | None = None
    recording: Recording | None = None


@dataclass(frozen=True)
class Plan:
    """What decides a data set before its values are touched; ``asked``: all that the user chose, as a plain table."""

    name: str
    classes: tuple[str, ...]
    parts: tuple[PartRows, ...]
    split: str
    seed: int
    asked: Mapping[str, Any]
    recording: Recording | None = None


def check_request(seed: int, limit: int | None) -> None:
    """Raise UsageError for a ``seed`` or ``limit`` that cannot be."""
    if not 0 <= seed < 2**32:
        raise UsageError(f"seed {seed} is out of range; allowed: 0 to {2**32 - 1}")
    if limit is not None and limit < 2:
        raise UsageError(f"limit {limit} is too small; each part needs a sample of two classes")


def limited(part: PartRows, limit: int | None, classes: int, seed: int, index: int) -> PartRows:
    """Draw at most ``limit`` samples of part number ``index``, classes as equal as possible."""
    if limit is None or limit >= len(part.label):
        return part
    quota = class_quota(np.bincount(part.label, minlength=classes), limit)
    return part.take(draw_rows(part.label, quota, np.random.default_rng([seed, 22, index])))


def assemble(plan: Plan, columns: Sequence[Column]) -> Parts:
    """Make the parts of ``plan`` of ``columns``; what front ends need is fitted on the training part."""
    checksum = _checksum(plan, columns)

    def with_fitted(table: Mapping[str, Any]) -> Parts:
        fitted = {one.name: read_normalisation(one.settings.front_end, table.get(one.name), f"fitted: {one.name}")
                  for one in columns if one.settings.front_end is not None}
        inputs = tuple(_input(one, fitted.get(one.name)) for one in columns)
        finishes = [_finish(one, fitted.get(one.name)) for one in columns]
        train, validation, test = (
            Samples({own.name: StoredRows(one.stored, part.rows[one.name], finish, own.shape).take(slice(None))
                     for one, own, finish in zip(columns, inputs, finishes, strict=True)}, part.label, part.group)
            for part in plan.parts)
        return Parts(plan.name, inputs, plan.classes, train, validation, test, checksum, plan.split, plan.seed,
                     {name: encode(one) for name, one in fitted.items()}, front_ends,
                     with_fitted if fitted else None, plan.recording)

    made = [(one, one.settings.front_end) for one in columns if one.settings.front_end is not None]
    front_ends = {one.name: front_end.table() for one, front_end in made}
    return with_fitted({one.name: encode(_fitted(one, front_end, plan.parts[0])) for one, front_end in made})


def _fitted(column: Column, front_end: FrontEnd, train: PartRows) -> Normalisation:
    """Fit the normalisation of a front end on the training rows, or on some of them where they are many."""
    rows = np.unique(train.rows[column.name])
    step = -(-len(rows) * column.stored[:1].nbytes // MAX_FIT_BYTES)
    return fit(front_end, np.asarray(column.stored[rows[:: max(step, 1)]]))


def _input(column: Column, fitted: Normalisation | None) -> Input:
    own, front_end = column.settings, column.settings.front_end
    if front_end is None or fitted is None:
        shape = column.stored.shape[1:] or (1,)
        return Input(column.name, shape, column.low, column.high, own.unit, own.axes_of(shape, column.name), own.valid)
    axes = {name: Axis(*pair) for name, pair in front_end.axes.items()}
    return Input(column.name, front_end.shape, *value_range(front_end, fitted), own.unit, axes, front_end.valid)


def _finish(column: Column, fitted: Normalisation | None) -> Finish:
    """Choose what makes the input of stored values: its front end's normalisation, or limits to the range."""
    front_end = column.settings.front_end
    if front_end is not None and fitted is not None:
        return lambda values: apply(front_end, fitted, values)
    shape, low, high = column.stored.shape[1:] or (1,), np.float32(column.low), np.float32(column.high)
    return lambda values: np.clip(values.astype(np.float32), low, high).reshape(-1, *shape)


def _checksum(plan: Plan, columns: Sequence[Column]) -> str:
    """Identify a data set: SHA-256 of what was read, of what was asked for and of the rows of each part.

    Nothing that was computed is in it, as its last digits depend on the processor.
    """
    facts = [plan.asked, plan.classes, plan.seed, [(one.name, one.digest) for one in columns]]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for part in plan.parts:
        for array in (*(part.rows[one.name] for one in columns), part.label, part.group):
            digest.update(f"{array.dtype.str}{array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


def check_parts(plan: Plan, where: str) -> None:
    """Raise DataError for a part without samples; a network cannot be trained or judged on it."""
    for name, part in zip(PARTS, plan.parts, strict=True):
        if not len(part.label):
            raise DataError(f"{where}: no sample is in the {name} part; give more samples")


def describe(parts: Parts) -> str:
    """Say what was found, what each input is, and how the samples were divided, in one line."""
    ranges = ", ".join(f"{one.name} {one.low:g} to {one.high:g}{f' {one.unit}' if one.unit else ''}"
                       for one in parts.inputs)
    counts = ", ".join(f"{len(getattr(parts, name))} {name}" for name in PARTS)
    shapes = describe_shapes({one.name: one.shape for one in parts.inputs})
    few = ", ".join(parts.classes[:6]) + (", ..." if len(parts.classes) > 6 else "")
    return (f"{parts.name}: inputs {shapes}; values {ranges}; {len(parts.classes)} classes ({few}); {counts} samples, "
            f"split {parts.split}")


def say(line: str) -> None:
    """Tell the user on stderr what was inferred, ignored or changed."""
    console.print(line, markup=False, style="dim")
