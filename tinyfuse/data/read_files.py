"""Reading files from outside: no pickles, no decompression bombs, and one clear line when something is wrong."""

from __future__ import annotations

import gzip
import io
import math
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tinyfuse.core.errors import DataError, TinyfuseError

MAX_FILE_BYTES = 1 << 30


def read_file(path: Path, *, expected: str, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """Read the bytes of ``path``; ``DataError`` when it is missing, unreadable or larger than ``max_bytes``."""
    try:
        size_bytes = path.stat().st_size
        if size_bytes > max_bytes:
            raise DataError(f"{path}: {size_bytes} bytes, more than the {max_bytes} allowed; expected {expected}")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); expected {expected}") from None


@contextmanager
def damage_explained(path: Path, expected: str) -> Iterator[None]:
    """Turn whatever a parser raises (or warns) on damaged bytes into one ``DataError`` that names the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield
    except TinyfuseError:
        raise
    except Exception as error:  # parsers of hostile bytes raise nearly any type
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise DataError(f"{path}: damaged or of another kind ({reason}); expected {expected}") from None


def gunzip(path: Path, data: bytes, *, expected: str, max_bytes: int) -> bytes:
    """Decompress a gzip file of one or more members to at most ``max_bytes``; truncation is an error."""
    with damage_explained(path, expected), gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
        content = stream.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise DataError(f"{path}: more than {max_bytes} bytes when decompressed; expected {expected}")
    return content


def read_npy(path: Path, kinds: str, *, expected: str) -> np.ndarray:
    """Read one array of finite numbers from a ``.npy`` file, of one of the dtype ``kinds`` (such as ``"iu"``)."""
    data = read_file(path, expected=expected)
    with damage_explained(path, expected):
        array = parse_npy(data, kinds, "the array")
    return array


def read_npz(path: Path, kinds: Mapping[str, str], *, expected: str,
             max_bytes: int = MAX_FILE_BYTES) -> dict[str, np.ndarray]:
    """Read from an ``.npz`` file the arrays that ``kinds`` names, each as :func:`read_npy` does.

    ``max_bytes`` bounds the file and the sum of the arrays.
    """
    data, arrays, left = read_file(path, expected=expected, max_bytes=max_bytes), {}, max_bytes
    with damage_explained(path, expected), zipfile.ZipFile(io.BytesIO(data)) as archive:
        for key in kinds:
            with archive.open(f"{key}.npy") as member:
                content = member.read(left + 1)
            left -= len(content)
            if left < 0:
                raise ValueError(f"its arrays hold more than {max_bytes} bytes")
            arrays[key] = parse_npy(content, kinds[key], f"array '{key}'")
    return arrays


def parse_npy(data: bytes, kinds: str, name: str) -> np.ndarray:
    """Decode ``.npy`` bytes of one of the dtype ``kinds``; ValueError if they hold anything else, NaN or infinity.

    They must hold what their header announces: numpy allocates whatever that asks for.
    """
    stream = io.BytesIO(data)
    old = np.lib.format.read_magic(stream) == (1, 0)
    shape, _, dtype = (np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0)(stream)
    if dtype.hasobject:
        raise ValueError(f"{name} holds Python objects (a pickle), which are never loaded")
    if dtype.kind not in kinds:
        raise ValueError(f"{name} has dtype {dtype}")
    announced, found = math.prod(shape) * dtype.itemsize, len(data) - stream.tell()
    if announced != found:
        raise ValueError(f"the header of {name} announces {announced} bytes, it holds {found}")
    array: np.ndarray = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    if dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinity")
    if dtype.kind == "U":
        "".join(array.ravel().tolist())  # raises on code points that are no characters
    return array
