"""Results are rows: flat JSON objects with a strict schema in an append-only, resumable file."""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np

from tinyfuse.core.errors import DataError, UsageError, nearest
from tinyfuse.core.files import read_limited
from tinyfuse.core.plain_json import parse_json, unplain
from tinyfuse.core.schema import ALL_FIELDS, COUNTS, SCHEMAS, SHARES
from tinyfuse.core.strict import decode_value

Row = dict[str, Any]
FILE_LIMIT = 1 << 30
"""Bytes of one file of rows."""


def row_key(identity: Mapping[str, Any]) -> str:
    """Return 16 hexadecimal digits that identify a result: SHA-256 of ``identity`` as canonical JSON.

    The order of the fields does not matter, and equal numbers are equal (``1`` and ``1.0``, numpy scalars).
    Put in everything that could change the result, for instance the hash of the model file.
    """
    canonical = json.dumps(_plain(identity, whole=True), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()[:16]


def validate(row: Mapping[str, Any]) -> Row:
    """Return ``row`` as plain JSON values in schema order; a `DataError` names the offending field."""
    kind = str(row.get("kind"))
    if kind not in SCHEMAS:
        raise DataError(f"no row kind {kind!r}: allowed are {', '.join(SCHEMAS)}{nearest(kind, SCHEMAS)}")
    schema = SCHEMAS[kind]
    for name in row:
        if name not in schema:
            raise DataError(f"unknown field {name!r} in a {kind!r} row{nearest(name, schema)}")
    missing = [name for name in schema if name not in row]
    if missing:
        raise DataError(f"a {kind!r} row lacks {', '.join(missing)}")
    plain = {name: _plain(row[name]) for name in schema}
    for name, value in plain.items():
        _check_value(name, value, schema[name])
    if kind in ("clean", "attack"):
        _check_outcome(plain)
    return plain


def pack_survivors(still_correct: np.ndarray) -> str:
    """Pack bool [n] into hexadecimal digits, eight samples per byte, first sample in the highest bit."""
    return np.packbits(np.asarray(still_correct, dtype=bool)).tobytes().hex()


def unpack_survivors(text: str, n: int) -> np.ndarray:
    """Return bool [n] from what `pack_survivors` wrote; wrong length or padding is a `DataError`."""
    try:
        packed = np.frombuffer(bytes.fromhex(text), dtype=np.uint8)
    except ValueError:
        raise DataError(f"survivors must be hexadecimal digits, got {text[:20]!r}") from None
    bits = np.unpackbits(packed).astype(bool)
    expected_bytes = -(-n // 8)
    if len(packed) != expected_bytes or bits[n:].any():
        raise DataError(f"survivors of {n} samples need {expected_bytes} zero-padded bytes, got {text!r}")
    return bits[:n]


class ResultStore:
    """The rows of one run, in memory and, if there is a ``path``, in an append-only JSONL file.

    Opening only reads, so a report may look at a run that is still being written. A last line without its
    newline is the trace of an interruption: it is ignored, and cut off before the next append. Any other
    damage is a `DataError` that names the line.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = None if path is None else Path(path)
        self._rows: dict[str, Row] = {}
        if self.path is not None and self.path.exists():
            for row in _read_lines(self.path):
                self._rows.setdefault(row["key"], row)

    def __len__(self) -> int:
        return len(self._rows)

    def has(self, key: str) -> bool:
        """Whether a result with this key is already there."""
        return key in self._rows

    def append(self, row: Mapping[str, Any]) -> bool:
        """Write one row durably; return False, and write nothing, when its key is already there."""
        valid = validate(row)
        if self.has(valid["key"]):
            return False
        if self.path is not None:
            _append_block(self.path, (json.dumps(valid, separators=(",", ":"), allow_nan=False) + "\n").encode("ascii"))
        self._rows[valid["key"]] = valid
        return True

    def rows(self, kind: str | None = None, **filters: Any) -> list[Row]:
        """Return the rows, in the order of writing, whose fields equal every given filter."""
        for name in filters:
            if name not in ALL_FIELDS:
                raise UsageError(f"no result row has a field {name!r}{nearest(name, ALL_FIELDS)}")
        wanted = filters if kind is None else {"kind": kind, **filters}
        return [row for row in self._rows.values()
                if all(name in row and row[name] == value for name, value in wanted.items())]


def _append_block(path: Path, block: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("a+b", buffering=0) as stream:
            # Without the lock a second writer could take a line that is being written for a torn one.
            fcntl.flock(stream, fcntl.LOCK_EX)
            _drop_torn_tail(stream.fileno())
            written = stream.write(block)
            os.fsync(stream.fileno())
    except OSError as error:
        raise DataError(f"{path}: cannot append ({error.strerror}); check disk and rights") from error
    if written != len(block):
        raise DataError(f"{path}: only {written} of {len(block)} bytes written; free the disk, then resume")


def _drop_torn_tail(descriptor: int) -> None:
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        os.ftruncate(descriptor, os.pread(descriptor, size, 0).rfind(b"\n") + 1)


def _read_lines(path: Path) -> Iterator[Row]:
    for number, line in enumerate(read_limited(path, FILE_LIMIT, DataError).split(b"\n")[:-1], start=1):
        try:
            row = parse_json(line, "the line", DataError)
            yield validate(row if isinstance(row, dict) else {})
        except DataError as error:
            detail = str(error).splitlines()[0]
            raise DataError(f"{path}, line {number}: no result row ({detail}); repair or remove it") from None


def _plain(value: Any, *, whole: bool = False) -> Any:
    """Turn ``value`` into JSON values; with ``whole`` a float without fraction becomes an int."""
    if isinstance(value, Mapping):
        return {name: _plain(inner, whole=whole) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner, whole=whole) for inner in value]
    if not isinstance(value, (NoneType, str, int, float, np.generic)):
        raise DataError(f"{value!r} is no plain value: text, numbers, true or false, null, lists and tables of them")
    plain = value.item() if isinstance(value, np.generic) else value
    return int(plain) if whole and isinstance(plain, float) and plain.is_integer() else plain


def _check_value(name: str, value: Any, hint: Any) -> None:
    numbers = value.values() if isinstance(value, Mapping) else [value]
    if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
        raise DataError(f"field {name!r} is {value}: only finite numbers are results")
    wrong = unplain(value)
    if wrong:
        raise DataError(f"field {name!r}: {wrong}")
    decode_value(hint, value, f"field {name!r}", DataError)
    if name in COUNTS and any(number is not None and number < 0 for number in numbers):
        raise DataError(f"field {name!r} is {value}, expected at least 0")
    if value is not None and name in SHARES and not 0 <= value <= 1:
        raise DataError(f"field {name!r} is {value}, expected a share between 0 and 1")


def _check_outcome(row: Row) -> None:
    kind, attacked, criterion = row["kind"], row["attacked"], row["criterion"]
    n, correct = row["n"], row["correct"]
    if n < 1 or int(unpack_survivors(row["survivors"], n).sum()) != correct:
        raise DataError(f"survivors do not hold {correct} correct of {n} samples")
    if abs(row["accuracy"] - correct / n) > 1e-9:
        raise DataError(f"accuracy {row['accuracy']} is not {correct} / {n}")
    if not row["ci_low"] - 1e-9 <= row["accuracy"] <= row["ci_high"] + 1e-9:
        raise DataError(f"accuracy {row['accuracy']} lies outside [{row['ci_low']}, {row['ci_high']}]")
    if not (kind == "clean") == (not attacked) == (criterion == "clean"):
        raise DataError(f"a {kind!r} row cannot have attacked {attacked} and criterion {criterion!r}")
    if list(row["budget"]) != attacked or not set(attacked) <= set(row["inputs"]):
        raise DataError(f"budget is for {list(row['budget'])} and inputs are {list(row['inputs'])}, but attacked is "
                        f"{attacked}; expected a budget for each attacked input")
    if not isinstance(row["attack"].get("name"), str):
        raise DataError("attack has no name")


def epsilon_of(row: Mapping[str, Any]) -> float:
    """Return the largest budget of an attacked input; 0 for a clean row."""
    return float(max(row["budget"].values(), default=0.0))
