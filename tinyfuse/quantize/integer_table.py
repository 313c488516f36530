"""The table that ``tinyfuse quantize`` leaves beside a ``.tflite``, checked before anything in it is used."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinyfuse.core import toml
from tinyfuse.core.errors import ModelError
from tinyfuse.core.strict import decode
from tinyfuse.data.samples import Input


@dataclass(frozen=True)
class DataMark:
    """Which data the network was trained on."""

    checksum: str
    name: str = "other data"


@dataclass(frozen=True)
class TrainingMark:
    """The seed of the training."""

    seed: int = 0


@dataclass(frozen=True)
class IntegerTable:
    """What the table must hold in the given types if it holds it; further keys are only looked at by people."""

    model: str
    sha256: str
    float_sha256: str = ""
    classes: tuple[str, ...] = ()
    inputs: tuple[Input, ...] = ()
    data: DataMark | None = None
    training: TrainingMark = TrainingMark()
    fitted: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    front_ends: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    qat: Mapping[str, Any] = field(default_factory=dict)
    layers: tuple[Mapping[str, Any], ...] = ()
    packed_bytes: int = 0
    macs: int = 0

    def __post_init__(self) -> None:
        if not self.model or not self.model.isprintable() or "/" in self.model or self.model.startswith("."):
            raise ModelError(f"model {self.model[:60]!r} is no name of a network, which is part of file names")


def read_integer_table(model: Path, sha256: str) -> dict[str, Any]:
    """Read the table beside the ``.tflite`` at ``model``; empty unless there is one of these very bytes.

    Raises :class:`ModelError`, in one line, for a table that cannot be read or holds something of another type.
    """
    beside = model.with_suffix(".toml")
    if not beside.exists():
        return {}
    table = toml.read(beside, ModelError)
    if table.get("sha256") != sha256:
        return {}
    try:
        decode(IntegerTable, known(IntegerTable, table), str(beside), ModelError)
    except ModelError as error:
        raise ModelError(f"{str(error).removeprefix(f'{beside}: ')}; {beside} is damaged: convert the model again"
                         ) from error
    return table


def known(kind: type[Any], table: Mapping[str, Any]) -> dict[str, Any]:
    """Take from ``table`` what the dataclass ``kind`` has fields for, tables of its own in the same way."""
    found = {}
    for one in dataclasses.fields(kind):
        if one.name in table:
            value, inner = table[one.name], {"data": DataMark, "training": TrainingMark}.get(one.name)
            found[one.name] = known(inner, value) if inner and isinstance(value, Mapping) else value
    return found
