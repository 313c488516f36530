"""Computed speech features on disk: safe to delete at any time, and a damaged file is computed again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tinyfuse.core.errors import DataError
from tinyfuse.core.files import atomic_path
from tinyfuse.data.digits.readers import read_npz


def cache_folder() -> Path:
    """``TINYFUSE_CACHE``, else ``XDG_CACHE_HOME``/tinyfuse, else ``~/.cache/tinyfuse``; it need not exist."""
    chosen = os.environ.get("TINYFUSE_CACHE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path(os.path.expanduser("~")) / ".cache") / "tinyfuse"


def cached_path(name: str) -> Path:
    """Where the array ``name`` is or would be kept."""
    return cache_folder() / "features" / f"{name}.npz"


def cached(name: str, shape: tuple[int, ...], compute: Callable[[], np.ndarray]) -> np.ndarray:
    """The float32 array ``name`` of ``shape`` from the cache, or computed and kept there.

    The zip checksum of the file and the shape are verified. A folder that cannot be written only costs time.
    """
    path = cached_path(name)
    if path.is_file():
        try:
            array = read_npz(path, {"features": "f"}, expected="cached features")["features"]
            if array.shape == shape and array.dtype == np.float32:
                return array
        except DataError:
            pass
    array = compute()
    try:
        with atomic_path(path) as temporary:
            np.savez(temporary, features=array)
    except OSError:
        pass
    return array
