"""JSON of files from outside: bounded depth and numbers, texts that can be printed; core/strict.py decodes the rest."""

from __future__ import annotations

import datetime
import json
from typing import Any

from tinyfuse.core.errors import TinyfuseError

MAX_DEPTH = 32
LARGEST = 1 << 63
"""Larger numbers are no results, and not all of them are floats."""


def parse_json(data: bytes | str, where: str, error: type[TinyfuseError]) -> Any:
    """Parse JSON in UTF-8; raise ``error`` with one line that begins with ``where`` for anything that is not plain."""
    try:
        found = json.loads(data, parse_constant=_refuse)
    except (ValueError, RecursionError) as cause:
        said = (str(cause).splitlines() or [type(cause).__name__])[0]
        raise error(f"{where}: not valid JSON ({said[:200]})") from cause
    wrong = unplain(found)
    if wrong:
        raise error(f"{where}: {wrong}")
    return found


def _refuse(text: str) -> float:
    raise ValueError(f"{text} is not a number")


def unplain(value: Any, depth: int = 0) -> str:
    """Say what in ``value``, made of tables, lists, texts and numbers, is not plain; empty if nothing."""
    if depth > MAX_DEPTH:
        return f"tables and lists are nested more than {MAX_DEPTH} times"
    if isinstance(value, str):
        # Half a surrogate pair is no text: it can be neither printed nor written as UTF-8.
        return "" if value.isascii() or not any("\ud800" <= one <= "\udfff" for one in value) else \
            f"the text {ascii(value)[:60]} is not valid Unicode"
    if isinstance(value, (int, float)):
        # Neither infinity nor NaN is at most anything.
        return "" if abs(value) <= LARGEST else f"the number {ascii(value)[:40]} is not finite, or beyond {LARGEST}"
    if isinstance(value, (datetime.date, datetime.time)):
        return f"{value} is a date or a time, which no setting is; write it as a text"
    inner = (*value, *value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((wrong for one in inner if (wrong := unplain(one, depth + 1))), "")
