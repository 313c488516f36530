"""One pass over an array: its digest, whether every value is a number, and the range of the training part."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np

from tinyfuse.core.errors import DataError
from tinyfuse.data.stored import blocks_of

EXACT_INTEGERS = 1 << 24
"""Whole numbers up to this size are float32 numbers."""

LARGEST_FLOAT32 = float(np.finfo(np.float32).max)
OWN_RANGES = {"uint8": (0.0, 255.0), "int8": (-128.0, 127.0), "bool": (0.0, 1.0)}
"""Range of an input, where nothing is said of it, of types that are mostly used whole."""


@dataclass(frozen=True)
class Scan:
    """What one pass found: ``digest`` (SHA-256, hex) of type, shape and values.

    ``low`` and ``high``: least and greatest training value as float32; ``least``, ``greatest``: of all. ``rounded``:
    how many values float32 cannot hold exactly.
    """

    digest: str
    low: float
    high: float
    least: float
    greatest: float
    rounded: int


def check_kind(name: str, stored: np.ndarray, where: str) -> None:
    """Raise DataError for an array of other things than numbers, or without any."""
    if stored.dtype.kind not in "biuf" or stored.dtype.itemsize > 8:
        raise DataError(f"{where}: input '{name}' has dtype {stored.dtype}; give numbers: float16, float32, float64 or "
                        "whole numbers")
    if stored.ndim < 1 or not stored.size:
        raise DataError(f"{where}: input '{name}' has shape {list(stored.shape)}; give [samples, ...] with values")


def scan(name: str, stored: np.ndarray, train: np.ndarray, where: str) -> Scan:
    """Go through ``stored`` [n, ...] block by block; ``train`` (bool [n]) marks the rows whose range counts.

    DataError tells where NaN, infinity or a number beyond float32 lies.
    """
    check_kind(name, stored, where)
    plain = stored.dtype.newbyteorder("<")
    digest = hashlib.sha256(f"{plain.str}{stored.shape}".encode())
    rounded, wrong = 0, 0
    train_range, whole_range = (math.inf, -math.inf), (math.inf, -math.inf)
    first: tuple[int, ...] = ()
    for rows, block in blocks_of(stored):
        digest.update(np.ascontiguousarray(block, plain).data)
        bad = _unfit(block)
        if bad is not None and bad.any():
            wrong += int(bad.sum())
            place = np.unravel_index(int(np.argmax(bad)), bad.shape)
            first = first or (rows.start + int(place[0]), *map(int, place[1:]))
            continue
        if stored.dtype.itemsize > 4:
            rounded += int((block.astype(np.float32).astype(block.dtype) != block).sum())
        train_range, whole_range = _wider(train_range, block[train[rows]]), _wider(whole_range, block)
    if wrong:
        raise DataError(f"{where}: input '{name}' has {_said(stored, first)} in sample {first[0]} at {list(first[1:])} "
                        f"({wrong} such value{'s' * (wrong != 1)}); give finite numbers that float32 can hold, or "
                        "leave those samples out")
    return Scan(digest.hexdigest(), *train_range, *whole_range, rounded)


def _wider(known: tuple[float, float], block: np.ndarray) -> tuple[float, float]:
    if not block.size:
        return known
    return min(known[0], float(np.float32(block.min()))), max(known[1], float(np.float32(block.max())))


def _unfit(block: np.ndarray) -> np.ndarray | None:
    """Mark values that float32 has no finite or no exact number for; None: the type has none."""
    if block.dtype.kind == "f":
        finite = np.isfinite(block)
        return ~finite if block.dtype.itemsize <= 4 else np.asarray(~(finite & (np.abs(block) <= LARGEST_FLOAT32)))
    if block.dtype.kind in "iu" and block.dtype.itemsize > 2:
        return np.asarray((block > EXACT_INTEGERS) | (block < -EXACT_INTEGERS))
    return None


def _said(stored: np.ndarray, place: tuple[int, ...]) -> str:
    value = stored[place]
    return "NaN" if value != value else str(value)


def own_range(stored: np.ndarray, found: Scan) -> tuple[float, float]:
    """Choose the range of an input of which nothing is said: of its type, or of its training part."""
    if stored.dtype.name in OWN_RANGES:
        return OWN_RANGES[stored.dtype.name]
    return found.low, found.high if found.high > found.low else found.low + 1.0


def count_outside(stored: np.ndarray, low: float, high: float) -> tuple[int, int]:
    """Count the values outside [low, high] as float32, and tell the sample of the first (-1: there is none)."""
    count, first = 0, -1
    for rows, block in blocks_of(stored):
        values = block.astype(np.float32)
        outside = (values < np.float32(low)) | (values > np.float32(high))
        if outside.any():
            count += int(outside.sum())
            if first < 0:
                first = rows.start + int(np.argmax(outside.reshape(len(block), -1).any(axis=1)))
    return count, first
