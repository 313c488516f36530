"""Files that are either complete or absent: everything is written beside its target and renamed."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tinyfuse.core.errors import DataError


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path``; rename it onto ``path`` at the end.

    On an exception the temporary file is removed and ``path`` is left as it was.
    The suffix of ``path`` is kept, for libraries that choose a format by it.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.stem}.", suffix=target.suffix, dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


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


def load_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Read what :func:`save_arrays` wrote, without pickle; :class:`DataError` if it is missing or damaged."""
    try:
        with Path(path).open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: saved arrays cannot be read ({error}); delete the file and run again") from error
