"""Values of a front end, computed once for all samples into a file that is then read from disk as needed."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from contextlib import suppress

import numpy as np

from tinyfuse.core.cache_folder import cache_folder
from tinyfuse.core.console import progress
from tinyfuse.core.errors import DataError
from tinyfuse.core.files import atomic_path
from tinyfuse.data.cache import computed_with
from tinyfuse.data.own.media import Decoded
from tinyfuse.frontend.base import FrontEnd

MAX_IN_MEMORY_BYTES = 1 << 30


def features_of(name: str, front_end: FrontEnd, count: int, sample: Callable[[int], Decoded],
                content: str, named: Callable[[int], str] = str) -> np.ndarray:
    """Compute the values of input ``name`` for ``count`` samples, float32 [count, *values_shape], memory-mapped.

    ``sample`` gives what sample i holds, ``named`` what it is called in errors. ``content`` says by its digest what all
    samples hold: with the front end and the code it names the file in the cache. Where that cannot be written they are
    computed in memory, up to 1 GiB.
    """
    shape = (count, *front_end.values_shape)
    made_of = json.dumps([content, front_end.table(), shape, computed_with()], sort_keys=True)
    key = hashlib.sha256(made_of.encode()).hexdigest()[:32]
    path = cache_folder() / "features" / f"{name}-{key}.npy"
    with suppress(OSError, ValueError):
        found: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        if found.shape == shape and found.dtype == np.float32:
            return found
    try:
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(stream, header)
            _compute(name, front_end, count, sample, named, lambda index, values: stream.write(values.tobytes()))
        return np.asanyarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except OSError as error:
        size = math.prod(shape) * 4
        if size > MAX_IN_MEMORY_BYTES:
            raise DataError(f"{path}: cannot be written ({error.strerror or error}); the values of input '{name}' take "
                            f"{size >> 20} MiB there: make room, or set TINYFUSE_CACHE to another folder") from error
    made = np.empty(shape, np.float32)
    _compute(name, front_end, count, sample, named, made.__setitem__)
    return made


def _compute(name: str, front_end: FrontEnd, count: int, sample: Callable[[int], Decoded], named: Callable[[int], str],
             keep: Callable[[int, np.ndarray], object]) -> None:
    """Hand each sample's values on to ``keep`` as they are made; one sample is in memory at a time."""
    with progress(f"computing {name}", count) as advance:
        for index in range(count):
            raw, rate = sample(index)
            try:
                values = front_end.features(raw, rate=rate)
            except DataError as error:
                raise DataError(f"{named(index)}: {error}") from None
            keep(index, np.ascontiguousarray(values, np.float32))
            advance()
