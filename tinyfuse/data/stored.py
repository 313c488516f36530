"""Rows of an array that stays on disk: only what is indexed is read, so a data set may be larger than memory."""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

LARGEST_LOADED_BYTES = 256 << 20
"""An input of a part up to this size is loaded once; a larger one stays on disk."""

BLOCK_BYTES = 16 << 20

Finish = Callable[[np.ndarray], np.ndarray]
"""f(stored values [n, ...]) -> float32 [n, *shape]: what the network takes."""


class StoredRows:
    """``rows`` (int64 [n]) of ``stored`` [N, ...] as float32 [n, *shape]; ``finish`` makes them of what is stored.

    It has the shape and dtype of an array. An index, a slice or an array of indices along the first axis loads those
    rows as an array; :meth:`take` keeps them on disk where they are many.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, stored: np.ndarray, rows: np.ndarray, finish: Finish, shape: tuple[int, ...]) -> None:
        self._stored, self._rows, self._finish = stored, rows, finish
        self.shape = (len(rows), *shape)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes that all rows take when they are loaded."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"StoredRows(float32 {list(self.shape)}, on disk)"

    def __getitem__(self, key: Any) -> np.ndarray:
        first, *rest = key if isinstance(key, tuple) else (key,)
        rows = self._rows[first]
        loaded = self._load(np.atleast_1d(rows))
        found = loaded[(slice(None), *rest)] if rest else loaded
        return found if rows.ndim else found[0]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[index] for index in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype=dtype)

    def take(self, rows: np.ndarray | slice) -> Any:
        """Take ``rows`` in that order: as an array while they are at most ``LARGEST_LOADED_BYTES``, else on disk."""
        chosen = StoredRows(self._stored, self._rows[rows], self._finish, self.shape[1:])
        return chosen[:] if chosen.nbytes <= LARGEST_LOADED_BYTES else chosen

    def _load(self, rows: np.ndarray) -> np.ndarray:
        """Read ``rows`` block by block: what is stored and what is made of it are never both whole in memory."""
        out = np.empty((len(rows), *self.shape[1:]), np.float32)
        step = max(1, BLOCK_BYTES // max(1, math.prod(self.shape[1:]) * 8))
        for start in range(0, len(rows), step):
            block = rows[start : start + step]
            out[start : start + step] = self._finish(np.asarray(self._stored[block]))
        release(self._stored)
        return out


def release(stored: np.ndarray) -> None:
    """Give back the memory that reading a memory-mapped array took; its pages can be read from the file again."""
    mapped = getattr(stored, "_mmap", None)
    if isinstance(mapped, mmap.mmap) and getattr(stored, "mode", "") == "r":  # changes of others would be lost with it
        mapped.madvise(mmap.MADV_DONTNEED)


def blocks_of(stored: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Go through an array [n, ...] in blocks of rows of about ``BLOCK_BYTES``, giving memory back after each."""
    step = max(1, BLOCK_BYTES // max(1, math.prod(stored.shape[1:]) * stored.dtype.itemsize))
    for start in range(0, len(stored), step):
        rows = slice(start, min(start + step, len(stored)))
        yield rows, np.asarray(stored[rows])
        release(stored)
