"""Reading files from outside: no pickles, no decompression bombs, and one clear line when something is wrong."""

from __future__ import annotations

import io
import math
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np

from tinyfuse.errors import DataError, TinyfuseError

MAX_FILE_BYTES = 2 << 30
T = TypeVar("T")


def read_file(path: Path, *, expected: str, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """The bytes of ``path``; ``DataError`` when it is missing, unreadable or larger than ``max_bytes``."""
    try:
        size_bytes = path.stat().st_size
        if size_bytes > max_bytes:
            raise DataError(f"{path}: {size_bytes} bytes; {expected} has at most {max_bytes}")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); expected {expected}") from None


def decode(path: Path, expected: str, action: Callable[[], T]) -> T:
    """Run a parser; whatever it raises on damaged bytes becomes one ``DataError`` that names the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return action()
    except TinyfuseError:
        raise
    except Exception as error:  # parsers of hostile bytes raise nearly any type
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise DataError(f"{path}: damaged or of another kind ({reason}); expected {expected}") from None


def gunzip(path: Path, data: bytes, *, expected: str, max_bytes: int) -> bytes:
    """Decompress a gzip file of one or more members to at most ``max_bytes``; truncation is an error."""
    output = bytearray()
    while data:
        engine = zlib.decompressobj(wbits=31)
        try:
            output += engine.decompress(data, max_bytes + 1 - len(output))
        except zlib.error as error:
            raise DataError(f"{path}: damaged gzip file ({error}); expected {expected}") from None
        if len(output) > max_bytes:
            raise DataError(f"{path}: more than {max_bytes} bytes when decompressed; expected {expected}")
        if not engine.eof:
            raise DataError(f"{path}: truncated gzip file; expected {expected}")
        data = engine.unused_data.lstrip(b"\0")
    return bytes(output)


def read_npy(path: Path, *, expected: str, max_bytes: int = MAX_FILE_BYTES) -> np.ndarray:
    """One array from a ``.npy`` file; pickled arrays and headers that do not fit the file are refused."""
    data = read_file(path, expected=expected, max_bytes=max_bytes)
    return decode(path, expected, lambda: _array(io.BytesIO(data), len(data)))


def read_npz(path: Path, keys: Mapping[str, str], *, expected: str) -> dict[str, np.ndarray]:
    """The arrays ``keys`` of an ``.npz`` file, each checked against its dtype kinds (such as ``"iu"``)."""
    data = read_file(path, expected=expected)
    arrays = decode(path, expected, lambda: _members(data, keys))
    for key, kinds in keys.items():
        if key not in arrays:
            raise DataError(f"{path}: array '{key}' is missing; expected {expected} with {', '.join(keys)}")
        if arrays[key].dtype.kind not in kinds:
            raise DataError(f"{path}: array '{key}' has dtype {arrays[key].dtype}; expected {expected}")
    return arrays


def _members(data: bytes, keys: Mapping[str, str]) -> dict[str, np.ndarray]:
    arrays = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for key in keys:
            if f"{key}.npy" not in archive.namelist():
                continue
            with archive.open(f"{key}.npy") as member:
                raw = member.read(MAX_FILE_BYTES + 1)
            arrays[key] = _array(io.BytesIO(raw), len(raw))
    return arrays


def _array(stream: BinaryIO, size_bytes: int) -> np.ndarray:
    version = np.lib.format.read_magic(stream)
    headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in headers:
        raise ValueError(f"npy version {version}")
    shape, fortran, dtype = headers[version](stream)
    if dtype.hasobject:
        raise ValueError("it holds Python objects (a pickle), which are never loaded")
    wanted = math.prod(shape) * dtype.itemsize
    found = size_bytes - stream.tell()
    if wanted != found:
        raise ValueError(f"its header announces {wanted} bytes, it holds {found}")
    flat = np.frombuffer(stream.read(), dtype)
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)
