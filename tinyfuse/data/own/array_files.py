"""Arrays in files: an ``.npz``, or a folder of ``.npy``. What is not compressed stays on disk."""

from __future__ import annotations

import io
import math
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from tinyfuse.core.errors import DataError
from tinyfuse.data.read_files import damage_explained

MAX_LOADED_BYTES = 2 << 30
MAX_TABLE_BYTES = 1 << 20
MAX_HEADER_BYTES = 10_000
TABLE = "dataset.toml"
LOCAL_HEADER = struct.Struct("<26xHH")
EXPECTED = "an array for each input and one called 'label'"


@dataclass(frozen=True)
class ArrayFiles:
    """Arrays by name, and the text of the table among them (None: there is none)."""

    arrays: Mapping[str, np.ndarray]
    table: str | None = None


def read_npz(path: Path) -> ArrayFiles:
    """Open an ``.npz``: uncompressed arrays memory-mapped, compressed ones loaded, ``MAX_LOADED_BYTES`` at most."""
    arrays, table, left = {}, None, MAX_LOADED_BYTES
    with _opened(path) as stream, damage_explained(path, f".npz with {EXPECTED}"), zipfile.ZipFile(stream) as archive:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name == TABLE:
                table = _table(archive, info)
                continue
            if not info.filename.endswith(".npy"):
                raise ValueError(f"it holds '{info.filename}', which is no array")
            if name in arrays:
                raise ValueError(f"it holds array '{name}' twice")
            if info.compress_type == zipfile.ZIP_STORED:
                arrays[name] = _mapped(path, stream, _start_of(stream, info), info.file_size, name)
                continue
            left -= info.file_size
            if left < 0:
                raise DataError(f"{path}: its compressed arrays hold more than {MAX_LOADED_BYTES >> 30} GiB; write "
                                "them with numpy.savez, which does not compress: then they stay on disk")
            with archive.open(info) as member:
                arrays[name] = _loaded(member.read(info.file_size + 1), name)
    return ArrayFiles(arrays, table)


def read_npy_folder(folder: Path) -> ArrayFiles:
    """Open the ``.npy`` files of a folder, memory-mapped; each is the array of its name."""
    arrays = {}
    for path in sorted(folder.glob("*.npy")):
        with _opened(path) as stream, damage_explained(path, "an array of numbers"):
            arrays[path.stem] = _mapped(path, stream, 0, path.stat().st_size, path.stem)
    return ArrayFiles(arrays)


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); expected {EXPECTED}") from None


def _start_of(stream: IO[bytes], info: zipfile.ZipInfo) -> int:
    """Find where the bytes of a member begin: behind its local header, whose sizes may differ from the directory's."""
    stream.seek(info.header_offset)
    name_bytes, extra_bytes = LOCAL_HEADER.unpack(stream.read(LOCAL_HEADER.size))
    return info.header_offset + LOCAL_HEADER.size + int(name_bytes) + int(extra_bytes)


def _header(stream: Any, name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read the header of ``.npy`` bytes: shape, whether columns come first, dtype; never a pickle."""
    old = np.lib.format.read_magic(stream) == (1, 0)
    read = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
    shape, columns_first, dtype = read(stream, max_header_size=MAX_HEADER_BYTES)
    if dtype.hasobject:
        raise ValueError(f"array '{name}' holds Python objects (a pickle), which are never loaded; write plain arrays")
    if min(shape, default=1) < 0:
        raise ValueError(f"array '{name}' announces shape {list(shape)}")
    return shape, columns_first, dtype


def _mapped(path: Path, stream: IO[bytes], start: int, size_bytes: int, name: str) -> np.ndarray:
    """Map the array whose ``.npy`` bytes lie at ``start``; texts and empty arrays are loaded."""
    stream.seek(start)
    shape, columns_first, dtype = _header(stream, name)
    offset = stream.tell()
    announced, found = math.prod(shape) * dtype.itemsize, size_bytes - (offset - start)
    if announced != found:
        raise ValueError(f"the header of array '{name}' announces {announced} bytes, it holds {found}")
    if dtype.kind in "US" or not announced or not shape:
        stream.seek(start)
        return _loaded(stream.read(size_bytes), name)
    if offset + announced > path.stat().st_size:
        raise ValueError(f"array '{name}' ends behind the end of the file")
    return np.memmap(path, dtype, "r", offset, shape, "F" if columns_first else "C")


def _loaded(data: bytes, name: str) -> np.ndarray:
    """Decode the ``.npy`` bytes of one array in memory."""
    stream = io.BytesIO(data)
    shape, _, dtype = _header(stream, name)
    announced, found = math.prod(shape) * dtype.itemsize, len(data) - stream.tell()
    if announced != found:
        raise ValueError(f"the header of array '{name}' announces {announced} bytes, it holds {found}")
    array: np.ndarray = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    if dtype.kind == "U":
        "".join(array.ravel().tolist())  # raises on code points that are no characters
    return array


def _table(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> str:
    """Read the table among the arrays: a text file, or a text that was saved as an array."""
    if info.file_size > MAX_TABLE_BYTES:
        raise ValueError(f"its {TABLE} has {info.file_size} bytes, more than the {MAX_TABLE_BYTES} allowed")
    data = archive.read(info)
    if not info.filename.endswith(".npy"):
        return data.decode("utf-8")
    array = _loaded(data, TABLE)
    if array.dtype.kind != "U" or array.size != 1:
        raise ValueError(f"its {TABLE} is {array.dtype} of shape {list(array.shape)}; give one text")
    return str(array.ravel()[0])
