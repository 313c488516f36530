"""Results are rows: flat JSON objects with a strict schema in an append-only, resumable file."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypedDict, get_args, get_origin, get_type_hints

import numpy as np

from tinyfuse.errors import DataError, UsageError, nearest

Row = dict[str, Any]
Modality = Literal["none", "image", "audio", "both"]
Executor = Literal["keras", "twin", "tflm", "litert", "litert-reference"]
Criterion = Literal["clean", "any-iterate", "last-iterate", "union", "replayed"]
ThreatName = Literal["", "real", "codes", "naive"]


class ModelRow(TypedDict):
    """One (model, precision): what the file costs, and the proof that it computes what it should."""

    kind: Literal["model"]
    key: str
    model: str
    precision: str
    weight_bits_mean: float
    bits_image: float | None
    bits_audio: float | None
    bits_shared: float | None
    activation_bits: float
    stored_bytes: int
    packed_bytes: int | None
    arena_bytes: int | None
    macs: int | None
    file: str
    file_sha256: str
    max_abs_difference: float | None
    n: int
    seed: int
    data_checksum: str
    train_seconds: float | None


class OutcomeRow(TypedDict):
    """One evaluation of one executor on ``n`` samples: kind "clean", or "attack" at one budget.

    ``epsilon_image`` and ``epsilon_audio`` are 0 for a modality that is not attacked. ``source`` is the
    precision whose gradients made the inputs, "" for clean rows. ``criterion``: "union" is broken by anything in
    the suite ``profile`` at budgets up to this one, "replayed" is made for ``source`` and judged here. ``threat``
    (see attacks/codes.py) says what an adversary of an integer model writes: codes, or real values that the device
    rounds. ``queries``: gradients or forward passes for each sample. ``survivors`` holds "still classified
    correctly" sample by sample (see `pack_survivors`).
    """

    kind: Literal["clean", "attack"]
    key: str
    model: str
    precision: str
    executor: Executor
    profile: str
    attack: str
    criterion: Criterion
    source: str
    modality: Modality
    norm: Literal["", "linf", "l2"]
    epsilon: float
    epsilon_image: float
    epsilon_audio: float
    loss: str
    steps: int
    step_size: float | None
    random_start: bool
    restarts: int
    queries: int
    threat: ThreatName
    mask: str
    data: str
    data_checksum: str
    split: str
    part: str
    n: int
    seed: int
    attack_seed: int
    correct: int
    accuracy: float
    ci_low: float
    ci_high: float
    survivors: str
    zero_gradient_share: float | None
    seconds: float


class ParityRow(TypedDict):
    """Executors ``a`` and ``b`` on the same codes: output values compared and differing; exact means 0.

    ``where``: "corners" are random corners of the attacked balls, where attacks left too few inputs.
    """

    kind: Literal["parity"]
    key: str
    model: str
    precision: str
    a: Executor
    b: Executor
    where: Literal["clean", "adversarial", "corners"]
    samples: int
    values: int
    differing: int
    max_abs: int
    argmax_differing: int
    seed: int
    data_checksum: str


class ProbeRow(TypedDict):
    """A measurement that a check needs and that is no accuracy; ``name`` is one of those in evaluate/checks.py."""

    kind: Literal["probe"]
    key: str
    model: str
    precision: str
    executor: Executor
    name: str
    value: float
    n: int
    detail: str
    seed: int
    data_checksum: str


class FailedRow(TypedDict):
    """One (model, precision) that could not be trained, converted or evaluated; reports keep showing it."""

    kind: Literal["failed"]
    key: str
    model: str
    precision: str
    stage: str
    reason: str
    seed: int
    data_checksum: str


_SCHEMAS: dict[str, dict[str, Any]] = {
    "model": get_type_hints(ModelRow),
    "clean": get_type_hints(OutcomeRow),
    "attack": get_type_hints(OutcomeRow),
    "parity": get_type_hints(ParityRow),
    "probe": get_type_hints(ProbeRow),
    "failed": get_type_hints(FailedRow),
}
_ALL_FIELDS = sorted({name for schema in _SCHEMAS.values() for name in schema})
_COUNTS = ("stored_bytes", "packed_bytes", "arena_bytes", "macs", "n", "steps", "correct", "seconds",
           "train_seconds", "epsilon", "epsilon_image", "epsilon_audio", "restarts", "queries", "samples", "values",
           "differing", "max_abs", "argmax_differing")
_SHARES = ("accuracy", "ci_low", "ci_high", "zero_gradient_share")


def row_key(identity: Mapping[str, Any]) -> str:
    """Return 16 hexadecimal digits that identify a result: SHA-256 of ``identity`` as canonical JSON.

    The order of the fields does not matter, and equal numbers are equal (``1`` and ``1.0``, numpy scalars).
    Put in everything that could change the result, for instance the hash of the model file.
    """
    canonical = json.dumps({name: _canonical(value) for name, value in identity.items()},
                           sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()[:16]


def validate(row: Mapping[str, Any]) -> Row:
    """Return ``row`` as plain JSON values in schema order; a `DataError` names the offending field."""
    kind = str(row.get("kind"))
    if kind not in _SCHEMAS:
        raise DataError(f"no row kind {kind!r}: allowed are {', '.join(_SCHEMAS)}{nearest(kind, _SCHEMAS)}")
    schema = _SCHEMAS[kind]
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
    """The rows of one run, in memory and in an append-only JSONL file.

    Opening only reads, so a report may look at a run that is still being written. A last line without its
    newline is the trace of an interruption: it is ignored, and cut off before the next append. Any other
    damage is a `DataError` that names the line.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._rows: dict[str, Row] = {}
        if self.path.exists():
            for row in _read_lines(self.path):
                self._rows.setdefault(row["key"], row)

    def __len__(self) -> int:
        return len(self._rows)

    def has(self, key: str) -> bool:
        """Whether a result with this key is already there."""
        return key in self._rows

    def append(self, row: Mapping[str, Any]) -> bool:
        """Write one row durably; return False, and write nothing, when its key is already there."""
        return self._extend([validate(row)]) == 1

    def rows(self, kind: str | None = None, **filters: Any) -> list[Row]:
        """Return the rows, in the order of writing, whose fields equal every given filter."""
        for name in filters:
            if name not in _ALL_FIELDS:
                raise UsageError(f"no result row has a field {name!r}{nearest(name, _ALL_FIELDS)}")
        wanted = filters if kind is None else {"kind": kind, **filters}
        return [row for row in self._rows.values()
                if all(name in row and row[name] == value for name, value in wanted.items())]

    def _extend(self, rows: Iterable[Row]) -> int:
        fresh: dict[str, Row] = {}
        for row in rows:
            if row["key"] not in self._rows:
                fresh.setdefault(row["key"], row)
        if fresh:
            lines = (json.dumps(row, separators=(",", ":"), allow_nan=False) + "\n" for row in fresh.values())
            _append_block(self.path, "".join(lines).encode("ascii"))
            self._rows.update(fresh)
        return len(fresh)


def _append_block(path: Path, block: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _locked(path) as descriptor:
            _drop_torn_tail(descriptor)
            written = os.write(descriptor, block)
            os.fsync(descriptor)
    except OSError as error:
        raise DataError(f"{path}: cannot append ({error.strerror}); check disk and rights") from error
    if written != len(block):
        raise DataError(f"{path}: only {written} of {len(block)} bytes written; free the disk, then resume")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        # Without the lock a second writer could take a line that is being written for a torn one.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _drop_torn_tail(descriptor: int) -> None:
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        os.ftruncate(descriptor, os.pread(descriptor, size, 0).rfind(b"\n") + 1)


def _read_lines(path: Path) -> Iterator[Row]:
    try:
        complete = path.read_bytes().split(b"\n")[:-1]
    except OSError as error:
        raise DataError(f"{path}: cannot read results ({error.strerror})") from error
    for number, line in enumerate(complete, start=1):
        try:
            row = json.loads(line, parse_constant=_refuse_constant)
            yield validate(row if isinstance(row, dict) else {})
        except (ValueError, RecursionError, DataError) as error:
            detail = str(error).splitlines()[0]
            raise DataError(f"{path}, line {number}: no result row ({detail}); repair or remove it") from None


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not a number")


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _canonical(value: Any) -> Any:
    plain = _plain(value)
    if isinstance(plain, Mapping):
        return {name: _canonical(inner) for name, inner in plain.items()}
    if isinstance(plain, (list, tuple)):
        return [_canonical(inner) for inner in plain]
    return int(plain) if isinstance(plain, float) and plain.is_integer() else plain


def _check_value(name: str, value: Any, hint: Any) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise DataError(f"field {name!r} is {value}: only finite numbers are results")
    if not _fits(value, hint):
        raise DataError(f"field {name!r} is {value!r}, expected {_describe(hint)}{_suggestion(value, hint)}")
    if value is not None and name in _COUNTS and value < 0:
        raise DataError(f"field {name!r} is {value}, expected at least 0")
    if value is not None and name in _SHARES and not 0 <= value <= 1:
        raise DataError(f"field {name!r} is {value}, expected a share between 0 and 1")


def _fits(value: Any, hint: Any) -> bool:
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if isinstance(hint, UnionType):
        return any(_fits(value, part) for part in get_args(hint))
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def _describe(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(repr(choice) for choice in get_args(hint))
    if isinstance(hint, UnionType):
        return " or ".join(_describe(part) for part in get_args(hint))
    return "null" if hint is NoneType else str(hint.__name__)


def _suggestion(value: Any, hint: Any) -> str:
    return nearest(value, get_args(hint)) if isinstance(value, str) and get_origin(hint) is Literal else ""


def _check_outcome(row: Row) -> None:
    kind, modality, criterion = row["kind"], row["modality"], row["criterion"]
    n, correct = row["n"], row["correct"]
    if n < 1 or int(unpack_survivors(row["survivors"], n).sum()) != correct:
        raise DataError(f"survivors do not hold {correct} correct of {n} samples")
    if abs(row["accuracy"] - correct / n) > 1e-9:
        raise DataError(f"accuracy {row['accuracy']} is not {correct} / {n}")
    if not row["ci_low"] - 1e-9 <= row["accuracy"] <= row["ci_high"] + 1e-9:
        raise DataError(f"accuracy {row['accuracy']} lies outside [{row['ci_low']}, {row['ci_high']}]")
    if not (kind == "clean") == (modality == "none") == (criterion == "clean"):
        raise DataError(f"a {kind!r} row cannot have modality {modality!r} and criterion {criterion!r}")
    for name in ("image", "audio"):
        if row[f"epsilon_{name}"] and modality not in (name, "both"):
            raise DataError(f"epsilon_{name} must be 0 when modality is {modality!r}")
