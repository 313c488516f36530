"""The one decoder of settings: a frozen dataclass from a plain table (TOML, JSON), or one line that says why not.

Unknown keys are errors with the nearest valid name, and so are missing ones and values of another type. Numbers are not
read from strings, and True is no number. A dataclass checks its own values in ``__post_init__``.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from tinyfuse.core.errors import TinyfuseError, nearest

T = TypeVar("T")


def decode(kind: type[T], table: Any, where: str, error: type[TinyfuseError]) -> T:
    """Build the dataclass ``kind`` from ``table``; ``where`` names the file and place in errors of type ``error``."""
    if not isinstance(table, Mapping):
        raise error(f"{where}: {table!r} is no table of names and values")
    hints = _hints(kind)  # type: ignore[arg-type]
    for key in table:
        if key not in hints:
            raise error(f"{where}: unknown key '{key}'{nearest(str(key), hints)}; allowed: {', '.join(hints)}")
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and field.init and field.name not in table:
            raise error(f"{where}: key '{field.name}' is missing")
    return kind(**{key: decode_value(hints[key], value, f"{where}: {key}", error) for key, value in table.items()})


def encode(value: Any) -> Any:
    """Write the plain table that :func:`decode` reads back: tuples become lists, what is None is left out of tables."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
        return {name: encode(inner) for name, inner in pairs if inner is not None}
    if isinstance(value, Mapping):
        return {name: encode(inner) for name, inner in value.items() if inner is not None}
    return [encode(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def settings_line(name: str, settings: Any) -> str:
    """Write a dataclass of ``settings`` as --set takes them: ``name.key=value ...``, ``name.key`` alone for None."""
    values = ((field.name, encode(getattr(settings, field.name))) for field in dataclasses.fields(settings))
    return " ".join([name, *(f"{name}.{key}" if value is None else
                             f"{name}.{key}={value if isinstance(value, str) else json.dumps(value)}"
                             for key, value in values)])


@functools.cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    fields = {field.name for field in dataclasses.fields(kind) if field.init}
    return {name: hint for name, hint in get_type_hints(kind).items() if name in fields}


def decode_value(hint: Any, value: Any, where: str, error: type[TinyfuseError]) -> Any:
    """Return ``value`` as the type ``hint``, or raise ``error`` that names ``where``; nothing is read from a text."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, UnionType):
        kinds = sorted(inner, key=lambda kind: kind is NoneType)
        return decode_value(next((kind for kind in kinds if _fits(kind, value)), kinds[0]), value, where, error)
    if dataclasses.is_dataclass(hint):
        return decode(hint, value, where, error)  # type: ignore[arg-type]
    if not _fits(hint, value):
        raise error(f"{where} is {value!r}; expected {_named(hint)}"
                    + (nearest(value, inner) if origin is Literal and isinstance(value, str) else ""))
    if origin in (tuple, list):
        kinds = [inner[0]] * len(value) if origin is list or inner[-1] is Ellipsis else list(inner)
        if len(kinds) != len(value):
            raise error(f"{where} has {len(value)} entries; expected {len(kinds)}")
        return origin(decode_value(kind, one, where, error) for kind, one in zip(kinds, value, strict=True))
    if origin in (dict, Mapping):
        return {str(name): decode_value(inner[1], one, f"{where}.{name}", error) for name, one in value.items()}
    return float(value) if hint is float else value


def _fits(hint: Any, value: Any) -> bool:
    """Whether ``value`` has the outer type of ``hint``."""
    origin = get_origin(hint)
    if origin is Literal:
        return value in get_args(hint)
    if origin in (tuple, list):
        return isinstance(value, (list, tuple))
    if origin in (dict, Mapping) or dataclasses.is_dataclass(hint):
        return isinstance(value, Mapping)
    if hint in (int, float):
        return isinstance(value, (int, float) if hint is float else int) and not isinstance(value, bool)
    return isinstance(value, hint)


def _named(hint: Any) -> str:
    """Put ``hint`` in words."""
    origin = get_origin(hint)
    if origin is Literal:
        return "one of " + ", ".join(repr(choice) for choice in get_args(hint))
    if origin in (tuple, list):
        return "a list"
    if origin in (dict, Mapping):
        return "a table"
    return {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}.get(hint, str(hint))
