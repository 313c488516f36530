"""JSON from outside into typed values: what is missing, of another type or absurd is one line that names the place."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from tinyfuse.core.errors import DataError, RecipeError, UsageError
from tinyfuse.quantize.recipe import Precision, from_table

LARGEST = 1 << 53
"""Larger numbers are no counts of bytes, samples or weights, and not exact as floats."""
_UNPRINTABLE = ("Cc", "Cs")
_NAMES = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
Read = TypeVar("Read")


def decode(kind: type[Read], value: Any, where: str) -> Read:
    """``value`` as the dataclass ``kind``; names that it does not have are left out.

    Fields are texts, numbers, truth values, dataclasses, recipes (:class:`Precision`), or tuples, mappings from names
    and optional values of these. ``where`` says in errors what is being read. Raises :class:`DataError`.
    """
    table = _expect(dict, value, where, "a table")
    hints, found = get_type_hints(kind), {}
    for field in fields(kind):  # type: ignore[arg-type]
        place = f"{where}, {field.name}"
        if field.name in table:
            found[field.name] = _value(hints[field.name], table[field.name], place)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise DataError(f"{place}: missing")
    try:
        return kind(**found)
    except UsageError as cause:
        raise DataError(f"{where}: {cause}") from cause


def _value(hint: Any, value: Any, where: str) -> Any:
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Precision:
        return _recipe(value, where)
    if is_dataclass(hint):
        return decode(hint, value, where)  # type: ignore[arg-type]
    if origin is tuple:
        rows = _expect(list, value, where, "a list")
        if inner[-1] is not Ellipsis:
            if len(rows) != len(inner):
                raise DataError(f"{where}: {len(rows)} entries given, {len(inner)} expected")
            return tuple(_value(each, one, where) for each, one in zip(inner, rows, strict=True))
        return tuple(_value(inner[0], each, f"{where} {number}") for number, each in enumerate(rows, start=1))
    if origin is Mapping:
        table = _expect(dict, value, where, "a table")
        return {_text(name, where): _value(inner[1], each, f"{where}, {_short(name)}") for name, each in table.items()}
    if origin is UnionType:
        return None if value is None else _value(inner[0], value, where)
    return _scalar(hint, value, where)


def _scalar(kind: Any, value: Any, where: str) -> Any:
    # JSON has one sort of number, and in Python a truth value is a whole number too.
    given = (int, float) if kind is float else kind
    if not isinstance(value, given) or (isinstance(value, bool) and kind is not bool):
        raise DataError(f"{where}: {_short(value)} given, {_NAMES[kind]} expected")
    if isinstance(value, str):
        return _text(value, where)
    if kind is not bool and not abs(value) < LARGEST:  # neither is NaN
        raise DataError(f"{where}: {_short(value)} given, at most {LARGEST} is plausible")
    return float(value) if kind is float else value


def _text(value: str, where: str) -> str:
    if any(unicodedata.category(character) in _UNPRINTABLE for character in value):
        raise DataError(f"{where}: a text with control characters")
    return value


def _recipe(value: Any, where: str) -> Precision:
    try:
        return from_table(_expect(dict, value, where, "a table"), where)
    except RecipeError as cause:
        raise DataError(" ".join(str(cause).split())) from cause


def _expect(kind: type[Any], value: Any, where: str, name: str) -> Any:
    if not isinstance(value, kind):
        raise DataError(f"{where}: {_short(value)} given, {name} expected")
    return value


def _short(value: Any, most: int = 40) -> str:
    """``value`` for an error message, on one line."""
    text = ascii(value)
    return text if len(text) <= most else f"{text[:most]}..."
