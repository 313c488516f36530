"""The table of a user's own data, ``dataset.toml``: what its inputs are and how it is divided. All may be left out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tinyfuse.core.errors import DataError, UsageError, nearest
from tinyfuse.core.strict import decode, encode
from tinyfuse.data.samples import Axis, check_input_name
from tinyfuse.frontend.base import FrontEnd
from tinyfuse.frontend.front_end import read_front_end

MAX_CLASSES = 1000


@dataclass(frozen=True)
class GroupField:
    """The group of a file is the piece number ``field`` (from 1) of its stem, divided at each ``separator``."""

    separator: str = "_"
    field: int = 1

    def __post_init__(self) -> None:
        if not self.separator or self.field < 1:
            raise DataError(f"group: separator {self.separator!r} and field {self.field}; give a text that divides "
                            "file names, and the number of the piece, from 1")


@dataclass(frozen=True)
class SplitSettings:
    """Shares of validation and test samples, where no ``part`` says which they are."""

    validation: float = 0.1
    test: float = 0.2

    def __post_init__(self) -> None:
        if not (self.validation > 0 and self.test > 0 and self.validation + self.test < 1):
            raise DataError(f"split: validation {self.validation} and test {self.test}; give two shares above 0 whose "
                            "sum is below 1")


@dataclass(frozen=True)
class InputTable:
    """What a table says of one input: its range, unit, axes (a name for each, in order) and valid flat places.

    ``folder``: where its files lie, if not in the folder of its own name.
    """

    low: float | None = None
    high: float | None = None
    unit: str = ""
    axes: tuple[str, ...] = ()
    valid: tuple[tuple[int, int], ...] = ()
    folder: str = ""

    def __post_init__(self) -> None:
        if any(bound is not None and not math.isfinite(bound) for bound in (self.low, self.high)):
            raise DataError(f"low {self.low} and high {self.high}; give finite numbers")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise DataError(f"low {self.low} and high {self.high}; give low below high")

    def axes_of(self, shape: tuple[int, ...], name: str) -> dict[str, Axis]:
        """Name the axes of an input ``name`` of ``shape``; DataError if there are more names than axes."""
        if len(self.axes) > len(shape):
            raise DataError(f"input '{name}' has shape {list(shape)}, but {len(self.axes)} axes are named: "
                            f"{', '.join(self.axes)}; give at most one name for each axis")
        return {axis: Axis(math.prod(shape[place + 1 :]), shape[place]) for place, axis in enumerate(self.axes) if axis}


@dataclass(frozen=True)
class InputSettings(InputTable):
    """One input of own data; with a ``front_end`` its range, axes and valid places are those of the front end."""

    front_end: FrontEnd | None = None


@dataclass(frozen=True)
class DatasetSettings:
    """What ``dataset.toml`` says.

    ``classes``: names in the order of their numbers. ``pair`` files of several inputs by their "stem" or by their
    "class" (default: by stem if files share one). ``group``: how a file name tells its group.
    """

    name: str = ""
    classes: tuple[str, ...] = ()
    pair: Literal["", "stem", "class"] = ""
    group: GroupField | None = None
    split: SplitSettings = SplitSettings()
    inputs: Mapping[str, InputSettings] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(set(self.classes)) < len(self.classes) or not all(name.strip() for name in self.classes):
            raise DataError(f"classes {', '.join(self.classes)}: give each class a name of its own")
        if len(self.classes) == 1 or len(self.classes) > MAX_CLASSES:
            raise DataError(f"{len(self.classes)} classes; give 2 to {MAX_CLASSES}")

    def input(self, name: str) -> InputSettings:
        """Return the settings of input ``name``, which are all defaults where nothing is said of it."""
        return self.inputs.get(name, InputSettings())

    def check_inputs(self, found: Mapping[str, Any], where: str) -> None:
        """Raise DataError unless every input that the table names is among those ``found``."""
        for name in self.inputs:
            if name not in found:
                raise DataError(f"{where}: the table describes input '{name}', which the data lacks"
                                f"{nearest(name, found)}; it has {', '.join(found)}")

    def identity(self) -> dict[str, Any]:
        """Write as a plain table what decides the samples; names of data sets and folders do not."""
        inputs = {name: {**encode(one), "folder": "", "front_end": one.front_end and one.front_end.table()}
                  for name, one in self.inputs.items()}
        return {**encode(self), "name": "", "inputs": inputs}


def read_settings(table: Mapping[str, Any], where: str) -> DatasetSettings:
    """Read the settings from a plain table; ``where`` names the file in errors (DataError)."""
    given = table.get("inputs", {})
    if not isinstance(given, Mapping):
        raise DataError(f"{where}: inputs is {type(given).__name__}; give a table for each, such as [inputs.camera]")
    inputs = {str(name): _input(name, one, f"{where}: inputs.{name}") for name, one in given.items()}
    rest = {key: value for key, value in table.items() if key != "inputs"}
    try:
        found = decode(DatasetSettings, rest, where, DataError)
    except DataError as error:
        raise error if str(error).startswith(where) else DataError(f"{where}: {error}") from None
    return DatasetSettings(found.name, found.classes, found.pair, found.group, found.split, inputs)


def _input(name: str, table: Any, where: str) -> InputSettings:
    """Read one input: with a ``kind`` its keys are those of the front end, beside ``unit`` and ``folder``."""
    try:
        check_input_name(name)
        if not isinstance(table, Mapping) or "kind" not in table:
            return InputSettings(**vars(decode(InputTable, table, where, DataError)))
        own = {key: table[key] for key in ("unit", "folder") if key in table}
        front_end = read_front_end({key: value for key, value in table.items() if key not in own}, where)
        return InputSettings(**vars(decode(InputTable, own, where, DataError)), front_end=front_end)
    except (DataError, UsageError) as error:
        raise error if str(error).startswith(where) else DataError(f"{where}: {error}") from None


def with_ranges(table: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Move ``low`` and ``high`` of a table, a number for all ``inputs`` or one by name, to the tables of inputs."""
    merged = {key: value for key, value in table.items() if key not in ("low", "high")}
    own = {str(name): dict(one) for name, one in dict(table.get("inputs", {})).items()}
    for key in ("low", "high"):
        given = table.get(key)
        by_name = given if isinstance(given, Mapping) else {name: given for name in inputs if given is not None}
        for name, bound in by_name.items():
            own.setdefault(str(name), {})[key] = bound
    return {**merged, "inputs": own}
