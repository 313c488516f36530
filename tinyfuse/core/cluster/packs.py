"""Folders as one file: the same files make the same bytes, and what is unpacked stays where it is put."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tinyfuse.core.errors import DataError

LIMIT = 8 << 30
"""Bytes of all files in a pack."""


def pack(paths: Sequence[Path], target: Path) -> None:
    """Write the files and folders ``paths`` into the plain tar file ``target``, each under its own last name.

    Links are followed; times, owners and rights are left out. DataError: more than :data:`LIMIT`.
    """
    total = 0
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        for path in paths:
            root = path.resolve()
            for name, file in _files(root):
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = file.stat().st_size, 0o644
                total += entry.size
                if total > LIMIT:
                    raise DataError(f"{path}: more than {LIMIT >> 30} GiB; a cluster gets no more from here, so give "
                                    "smaller data, or a --limit on data of their own folder")
                with file.open("rb") as stream:
                    archive.addfile(entry, stream)


def _files(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield all plain files in ``root``, or itself, in a fixed order, with the names they have in the pack."""
    if not root.is_dir():
        yield root.name, root
        return
    for folder, inner, names in os.walk(root, followlinks=True):
        inner.sort()
        for name in sorted(names):
            file = Path(folder) / name
            if file.is_file():
                yield f"{root.name}/{file.relative_to(root).as_posix()}", file


def unpack(path: Path, folder: Path) -> None:
    """Unpack what :func:`pack` wrote; DataError for anything but plain files inside of ``folder``."""
    try:
        with tarfile.open(path, "r:") as archive:
            members = archive.getmembers()
            if not all(one.isreg() for one in members) or sum(one.size for one in members) > LIMIT:
                raise DataError(f"{path}: a pack holds plain files of at most {LIMIT >> 30} GiB; this one does not")
            archive.extractall(folder, members, filter="data")
    except (tarfile.TarError, EOFError) as error:
        raise DataError(f"{path}: no pack of files that can be read ({error})") from error
