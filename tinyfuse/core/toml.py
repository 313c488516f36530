"""TOML files of settings: limited reading and plain writing; core/strict.py decodes what was read."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinyfuse.core.errors import TinyfuseError
from tinyfuse.core.files import read_limited
from tinyfuse.core.plain_json import unplain

MAX_BYTES = 1 << 20


def read(path: str | Path, error: type[TinyfuseError]) -> dict[str, Any]:
    """Parse the TOML file at ``path``; raise ``error`` with one line if it is missing, huge or not TOML."""
    data = read_limited(path, MAX_BYTES, error)
    try:
        found = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as cause:  # TOML's and Unicode's errors, and numbers of thousands of digits
        said = (str(cause).splitlines() or [type(cause).__name__])[0]
        raise error(f"{path}: not valid TOML ({said[:200]})") from cause
    wrong = unplain(found)
    if wrong:
        raise error(f"{path}: {wrong}")
    return found


def dumps(table: Mapping[str, Any]) -> str:
    """Write TOML text of nested tables, lists of tables, lists of scalars, strings, integers, floats and booleans."""
    return "\n".join(_lines(table, ())).strip() + "\n"


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    nested = {k: v for k, v in table.items() if isinstance(v, Mapping)}
    arrays = {k: v for k, v in table.items() if isinstance(v, (list, tuple)) and v and isinstance(v[0], Mapping)}
    lines = [f"{_key(k)} = {_value(v)}" for k, v in table.items()
             if v is not None and k not in nested and k not in arrays]
    for key, value in nested.items():
        lines += ["", f"[{'.'.join(map(_key, (*path, key)))}]", *_lines(value, (*path, key))]
    for key, rows in arrays.items():
        for row in rows:
            lines += ["", f"[[{'.'.join(map(_key, (*path, key)))}]]", *_lines(row, (*path, key))]
    return lines


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else json.dumps(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, (int, float)):
        return repr(value)
    raise TypeError(f"no TOML form for {type(value).__name__}")
