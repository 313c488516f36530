"""Reading files from outside: no pickles, no decompression bombs, and one clear line when something is wrong."""

from __future__ import annotations

import io
import math
import warnings
import wave
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np

from tinyfuse.core.errors import DataError, TinyfuseError

MAX_FILE_BYTES = 1 << 30
MAX_WAV_BYTES = 16 << 20
FULL_SCALE = np.float32(32768.0)
T = TypeVar("T")


def read_file(path: Path, *, expected: str, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """The bytes of ``path``; ``DataError`` when it is missing, unreadable or larger than ``max_bytes``."""
    try:
        size_bytes = path.stat().st_size
        if size_bytes > max_bytes:
            raise DataError(f"{path}: {size_bytes} bytes, more than the {max_bytes} allowed; expected {expected}")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); expected {expected}") from None


def decode(path: Path, expected: str, action: Callable[[], T]) -> T:
    """Run a parser; whatever it raises (or warns) on damaged bytes becomes one ``DataError`` that names the file."""
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
    return decode(path, expected, lambda: _array(data))


def read_npz(path: Path, keys: Mapping[str, str], *, expected: str,
             max_bytes: int = MAX_FILE_BYTES) -> dict[str, np.ndarray]:
    """The arrays ``keys`` of an ``.npz`` file, each checked against its allowed dtype kinds (such as ``"iu"``).

    ``max_bytes`` bounds the file and the sum of the arrays. Numbers that are not finite are refused.
    """
    data = read_file(path, expected=expected, max_bytes=max_bytes)
    arrays = decode(path, expected, lambda: _members(data, keys, max_bytes))
    for key, kinds in keys.items():
        if key not in arrays:
            raise DataError(f"{path}: array '{key}' is missing; expected {expected} with {', '.join(keys)}")
        if arrays[key].dtype.kind not in kinds:
            raise DataError(f"{path}: array '{key}' has dtype {arrays[key].dtype}; expected {expected}")
        if arrays[key].dtype.kind == "f" and not np.isfinite(arrays[key]).all():
            raise DataError(f"{path}: array '{key}' holds NaN or infinity; expected {expected}")
    return arrays


def _members(data: bytes, keys: Mapping[str, str], max_bytes: int) -> dict[str, np.ndarray]:
    arrays = {}
    left = max_bytes
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        present = set(archive.namelist())
        for key in keys:
            if f"{key}.npy" not in present:
                continue
            with archive.open(f"{key}.npy") as member:
                raw = member.read(left + 1)
            if len(raw) > left:
                raise ValueError(f"its arrays hold more than {max_bytes} bytes")
            left -= len(raw)
            arrays[key] = _array(raw)
    return arrays


def _array(data: bytes) -> np.ndarray:
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in headers:
        raise ValueError(f"npy version {version}")
    shape, fortran, dtype = headers[version](stream)
    if dtype.hasobject:
        raise ValueError("it holds Python objects (a pickle), which are never loaded")
    if dtype.kind == "V" or dtype.itemsize == 0 or min(shape, default=0) < 0:
        raise ValueError(f"dtype {dtype} with shape {shape}")
    wanted = math.prod(shape) * dtype.itemsize
    found = len(data) - stream.tell()
    if wanted != found:
        raise ValueError(f"its header announces {wanted} bytes, it holds {found}")
    flat = np.frombuffer(data, dtype, offset=stream.tell())
    if dtype.kind == "U" and len(flat):
        "".join(flat.tolist())  # raises on code points that are no characters
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


def read_wav(path: Path, *, rate_hz: int) -> np.ndarray:
    """The samples of a mono 16-bit PCM file at ``rate_hz``, int16 [n] with n > 0."""
    expected = f"mono 16-bit WAV at {rate_hz} Hz"
    data = read_file(path, expected=expected, max_bytes=MAX_WAV_BYTES)
    return parse_wav(path, data, rate_hz=rate_hz)


def parse_wav(path: Path, data: bytes, *, rate_hz: int) -> np.ndarray:
    """``read_wav`` on bytes that were read already; ``path`` only names them in errors."""
    expected = f"mono 16-bit WAV at {rate_hz} Hz"
    channels, width, rate, announced, raw = decode(path, expected, lambda: _wav(data))
    if (channels, width, rate) != (1, 2, rate_hz):
        raise DataError(f"{path}: {channels} channel(s), {8 * width} bit, {rate} Hz; expected {expected}")
    if announced == 0 or len(raw) != 2 * announced:
        raise DataError(f"{path}: its header announces {announced} samples, it holds {len(raw) // 2}; "
                        f"expected {expected}")
    return np.frombuffer(raw, "<i2").astype(np.int16)


def _wav(data: bytes) -> tuple[int, int, int, int, bytes]:
    with wave.open(io.BytesIO(data)) as stream:
        frames = stream.getnframes()
        raw = stream.readframes(min(frames, len(data)))
        return stream.getnchannels(), stream.getsampwidth(), stream.getframerate(), frames, raw
