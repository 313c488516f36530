"""Arrays in memory or on disk as a data set: labels read, parts drawn, values checked, ranges found."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tinyfuse.core.errors import DataError, UsageError, nearest
from tinyfuse.data.own.assemble import (
    Column,
    PartRows,
    Parts,
    Plan,
    assemble,
    check_parts,
    check_request,
    describe,
    limited,
    say,
)
from tinyfuse.data.own.feature_cache import features_of
from tinyfuse.data.own.labels import read_groups, read_labels, read_parts
from tinyfuse.data.own.scan import Scan, check_kind, count_outside, own_range, scan
from tinyfuse.data.own.settings import DatasetSettings, InputSettings
from tinyfuse.data.own.split import divide, thin_classes, with_validation
from tinyfuse.data.samples import PARTS, check_input_name

RESERVED = ("label", "group", "part")


@dataclass(frozen=True)
class NamedArrays:
    """``inputs``: [n, ...] by name; ``label``, ``group`` and ``part``: [n]. ``where`` names their source in errors."""

    inputs: Mapping[str, np.ndarray]
    label: np.ndarray
    group: np.ndarray | None
    part: np.ndarray | None
    where: str


def named_arrays(arrays: Mapping[str, np.ndarray], where: str) -> NamedArrays:
    """Sort arrays by name into inputs, label, group and part; DataError if there is no input or no label."""
    inputs = {name: values for name, values in arrays.items() if name not in RESERVED}
    if "label" not in arrays:
        raise DataError(f"{where}: no array 'label'{nearest('label', arrays)}; it holds "
                        f"{', '.join(arrays) or 'nothing'}: give one for each input, and 'label'")
    own = {name: _text(arrays[name], name, where) for name in RESERVED if name in arrays}
    return NamedArrays(inputs, own["label"], own.get("group"), own.get("part"), where)


def _text(values: np.ndarray, name: str, where: str) -> np.ndarray:
    """Decode texts that are stored as bytes."""
    try:
        return np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values
    except UnicodeDecodeError:
        raise DataError(f"{where}: {name} holds bytes that are no UTF-8; give texts (numpy: astype(str))") from None


def parts_of_arrays(found: NamedArrays, settings: DatasetSettings, *, name: str, seed: int = 0,
                    limit: int | None = None) -> Parts:
    """Make a data set of arrays: what ``settings`` leave out is inferred and said on stderr.

    Divided by ``part`` where it is given, else by ``group`` where that is, else sample by sample, classes as even as
    possible. DataError: arrays that do not fit each other, the labels or the settings.
    """
    check_request(seed, limit)
    _check_inputs(found, settings)
    label, classes = read_labels(found.label, settings.classes, found.where)
    group = None if found.group is None else read_groups(found.group, len(label), found.where)
    part, split = _divided(found, settings, label, group, classes, seed)
    own_group = np.arange(len(label)) if group is None else group
    rows = {one: np.arange(len(label)) for one in found.inputs}
    whole = PartRows(rows, label, own_group)
    chosen = tuple(limited(whole.take(np.flatnonzero(part == index)), limit, len(classes), seed, index)
                   for index in range(len(PARTS)))
    plan = Plan(settings.name or name, classes, chosen, split, seed, {"settings": settings.identity(), "limit": limit})
    check_parts(plan, found.where)
    columns = [_column(one, values, settings.input(one), plan, found.where) for one, values in found.inputs.items()]
    made = assemble(plan, columns)
    say(describe(made))
    return made


def _check_inputs(found: NamedArrays, settings: DatasetSettings) -> None:
    """Raise DataError for inputs that a network could not take or that differ in length."""
    if not found.inputs:
        raise DataError(f"{found.where}: there is no input beside the labels; give one array for each, [samples, ...]")
    settings.check_inputs(found.inputs, found.where)
    lengths = {"label": len(found.label) if found.label.ndim else 1}
    for name, values in found.inputs.items():
        try:
            check_input_name(name)
        except UsageError as error:
            raise DataError(f"{found.where}: {error}") from None
        check_kind(name, values, found.where)
        lengths[name] = len(values)
    if len(set(lengths.values())) > 1:
        raise DataError(f"{found.where}: arrays of different lengths "
                        f"({', '.join(f'{one} {count}' for one, count in lengths.items())}); give one row of each for "
                        "every sample")


def _divided(found: NamedArrays, settings: DatasetSettings, label: np.ndarray, group: np.ndarray | None,
             classes: tuple[str, ...], seed: int) -> tuple[np.ndarray, str]:
    """Put each sample into a part, int8 [n], and say in a word how."""
    if found.part is not None:
        given = read_parts(found.part, len(label), found.where)
        part, split = with_validation(given, label, group, settings.split, seed=seed, where=found.where), "given"
    else:
        part = divide(label, group, settings.split, classes, seed=seed, where=found.where)
        split = "sample" if group is None else "group"
    for line in thin_classes(label, part, classes):
        say(f"{found.where}: {line}")
    return part, split


def _column(name: str, values: np.ndarray, own: InputSettings, plan: Plan, where: str) -> Column:
    """Check the values of one input and find its range, or compute those of its front end."""
    train = np.zeros(len(values), bool)
    train[plan.parts[0].rows[name]] = True
    found = scan(name, values, train, where)
    if found.rounded:
        say(f"{where}: input '{name}' is {values.dtype}; {found.rounded} values were rounded to float32, which "
            "networks take")
    elif values.dtype != np.float32:
        say(f"{where}: input '{name}' is {values.dtype}; float32 holds every value exactly")
    if own.front_end is not None:
        stored = features_of(name, own.front_end, len(values), lambda index: (values[index], None), found.digest)
        return Column(name, stored, found.digest, own)
    low, high = _range(name, values, found, own, where)
    return Column(name, values, found.digest, own, low, high)


def _range(name: str, values: np.ndarray, found: Scan, own: InputSettings, where: str) -> tuple[float, float]:
    """Take the range of an input from its settings, where no value may lie outside, or from its training part."""
    inferred = own_range(values, found)
    low, high = (bound if given is None else given
                 for given, bound in zip((own.low, own.high), inferred, strict=True))
    if low >= high:
        raise DataError(f"{where}: input '{name}' would range from {low:g} to {high:g}; give low below high")
    if np.float32(low) <= found.least and found.greatest <= np.float32(high):
        return low, high
    given = (-math.inf if own.low is None else low, math.inf if own.high is None else high)
    count, first = count_outside(values, *given)
    if count:
        raise DataError(f"{where}: {count} values of input '{name}' lie outside [{given[0]:g}, {given[1]:g}], the "
                        f"first in sample {first}; give a wider low and high, or clip the values")
    if count := count_outside(values, low, high)[0]:
        say(f"{where}: {count} values of input '{name}' outside the training part's {low:g} to {high:g} are clipped")
    return low, high
