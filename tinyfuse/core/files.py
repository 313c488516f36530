"""Files that are either complete or absent, and bounded reading of files that anybody may have written.

Everything is written beside its target and renamed. What a killed process leaves there is removed by the next one.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import re
import secrets
import shutil
import socket
import stat
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tinyfuse.core.errors import DataError, TinyfuseError, UsageError

ARRAYS_LIMIT = 4 << 30
"""Bytes of one file of saved arrays."""
_HOST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
_TEMPORARY = re.compile(rf"\..*\.tmp-{_HOST}-(\d+)-[0-9a-f]{{8}}(\.\w+)?\Z")


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path``; rename it onto ``path`` at the end.

    On an exception the temporary file is removed and ``path`` is left as it was. The suffix of ``path`` is kept, for
    libraries that choose a format by it. Rights are those that the umask leaves.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / _temporary_name(target.stem, target.suffix, target.parent)
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    try:
        yield temporary
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def temporary_folder(parent: str | Path | None, stem: str) -> Iterator[Path]:
    """Yield a new private folder in ``parent`` (None: the system's place for such), which is removed at the end.

    Its name begins with a dot and ``stem``.
    """
    parent = Path(parent or tempfile.gettempdir())
    parent.mkdir(parents=True, exist_ok=True)
    folder = parent / _temporary_name(stem, "", parent)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _temporary_name(stem: str, suffix: str, folder: Path) -> str:
    """Make a name that tells which process of which machine writes; sweep ``folder``, once in each process."""
    _swept(str(folder.absolute()), os.getpid())
    return f".{stem[:80]}.tmp-{_HOST}-{os.getpid()}-{secrets.token_hex(4)}{suffix}"


@functools.lru_cache(maxsize=256)
def _swept(folder: str, process: int) -> None:
    """Remove from ``folder`` the temporary files and folders of processes of this machine that are gone."""
    for entry in list(os.scandir(folder)):
        found = _TEMPORARY.fullmatch(entry.name)
        if found and not Path(f"/proc/{found[1]}").exists():
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                Path(entry.path).unlink(missing_ok=True)


@contextmanager
def locked(folder: str | Path) -> Iterator[None]:
    """Keep ``folder`` for this process until the end; UsageError if another one is at work in it.

    The system frees the lock of a killed process, and the empty file ``.lock`` in the folder says nothing.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    with (Path(folder) / ".lock").open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(f"{folder}: another run is at work in this folder; wait for its end, or give another "
                             "--out") from error
        yield


def read_limited(path: str | Path, limit: int, error: type[TinyfuseError]) -> bytes:
    """Read a plain file of at most ``limit`` bytes; raise ``error`` for a missing or larger one, a pipe or a device."""
    with open_plain(path, error) as stream:
        size = os.fstat(stream.fileno()).st_size
        data = stream.read(limit + 1) if size <= limit else b""
    if max(len(data), size) > limit:
        raise error(f"{path}: {max(len(data), size)} bytes, but at most {limit} are read")
    return data


@contextmanager
def open_plain(path: str | Path, error: type[TinyfuseError]) -> Iterator[BinaryIO]:
    """Open a plain file for reading; raise ``error`` for a missing one, a folder, a pipe or a device."""
    try:
        # Without O_NONBLOCK, opening a pipe that nobody writes to never ends.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as cause:
        raise error(f"{path}: cannot be read ({cause.strerror or cause})") from cause
    except ValueError as cause:  # a NUL in the name
        raise error(f"{str(path)!r} is no name of a file ({cause})") from cause
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise error(f"{path}: cannot be read (it is {kind}); give a file")
    with os.fdopen(descriptor, "rb") as stream:
        yield stream


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write ``data`` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` atomically as UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of ``data`` as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def save_arrays(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays as ``.npz``, atomically."""
    plain: dict[str, Any] = {name: np.asarray(value) for name, value in arrays.items()}
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **plain)


def load_arrays(path: str | Path, *needed: str) -> dict[str, np.ndarray]:
    """Read what :func:`save_arrays` wrote, without pickle; the arrays ``needed`` [n, ...] are there.

    Raises :class:`DataError` if the file is missing or damaged, or holds something else.
    """
    again = "delete the file and run again"
    try:
        with open_plain(path, DataError) as stream, zipfile.ZipFile(stream) as entries:
            size = os.fstat(stream.fileno()).st_size
            # Saved arrays are not compressed: what claims to unpack to more than the file holds is not ours.
            claimed = sum(entry.file_size for entry in entries.infolist())
            if size > ARRAYS_LIMIT or claimed > size:
                raise DataError(f"{path}: saved arrays of {claimed} bytes in a file of {size}; {again}")
            stream.seek(0)
            with np.load(stream, allow_pickle=False) as archive:
                found = {name: archive[name] for name in archive.files}
        for name in needed:
            if name not in found or not np.ndim(found[name]):
                raise DataError(f"{path}: no list of values '{name}' is saved in it; {again}")
        return found
    except DataError:
        raise
    except Exception as error:  # numpy and zipfile raise whatever they meet: zlib's, tokenizer's, arithmetic errors
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path}: saved arrays cannot be read ({said}); {again}") from error
