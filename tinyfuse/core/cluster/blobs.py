"""Files by the SHA-256 of their content, in a folder that the workers of a machine share and that stays small."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyfuse.core.cache_folder import cache_folder
from tinyfuse.core.cluster.packs import LIMIT, pack, unpack
from tinyfuse.core.errors import DataError
from tinyfuse.core.files import temporary_folder

ROOM = 32 << 30
"""Bytes that the folder may hold; what was used longest ago goes first."""
STALE_SECONDS = 24 * 3600
"""Age of a file that its sender has given up."""
_CONTENT, _FILES = "content", "files"


@dataclass(frozen=True)
class Blob:
    """A file by its content, and the ``name`` that its reader is to see; ``packed``: a folder, or files beside it."""

    sha256: str
    size: int
    name: str
    packed: bool = False


def blob_of(path: Path, name: str, *, packed: bool = False) -> Blob:
    """Hash the file ``path``."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Blob(digest, path.stat().st_size, name, packed)


class BlobFolder:
    """The folder: ``SHA256/content``, and ``SHA256/files/NAME`` for readers. Any process may delete it at any time."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder() / "blobs"

    def content(self, blob: Blob) -> Path:
        """Name the file with the content of ``blob``, whether or not it is there."""
        return self.folder / blob.sha256 / _CONTENT

    def pack(self, paths: Sequence[Path]) -> Blob:
        """Pack files and folders into one; the first is what a reader is to see."""
        with temporary_folder(self.folder, "pack") as work:
            pack(paths, work / _CONTENT)
            blob = blob_of(work / _CONTENT, paths[0].resolve().name, packed=True)
            self._make_room(blob.size)
            self.content(blob).parent.mkdir(exist_ok=True)
            os.replace(work / _CONTENT, self.content(blob))
        return blob

    def find(self, blob: Blob) -> Path | None:
        """Return where a reader finds ``blob``; None if it is not here. A damaged file is as good as none."""
        content, place = self.content(blob), self.content(blob).parent / _FILES
        try:
            if not (blob.packed and place.is_dir()):
                if blob_of(content, "").sha256 != blob.sha256:
                    shutil.rmtree(content.parent)
                    return None
                self._lay_out(blob, content, place)
            os.utime(content.parent)
        except FileNotFoundError:
            return None
        return place / blob.name

    def add(self, blob: Blob, offset: int, data: bytes, sender: str) -> None:
        """Take the next bytes of ``blob`` from ``sender``; after the last ones its sum is checked, and it is there.

        DataError: bytes that do not follow each other, or another sum.
        """
        part = self.folder / f"{blob.sha256}.{sender}.part"
        if offset == 0:
            part.parent.mkdir(parents=True, exist_ok=True)
            part.unlink(missing_ok=True)
            self._make_room(blob.size)
        if offset + len(data) > blob.size or blob.size > 2 * LIMIT:
            raise DataError(f"{blob.name}: more bytes than the {blob.size} that were promised, or than are taken")
        with part.open("ab") as stream:
            if stream.tell() != offset:
                raise DataError(f"{blob.name}: bytes from {offset} on came after {stream.tell()}")
            stream.write(data)
        if offset + len(data) == blob.size:
            try:
                if blob_of(part, "").sha256 != blob.sha256:
                    raise DataError(f"{blob.name}: arrived damaged, or was changed while it was sent")
                self.content(blob).parent.mkdir(exist_ok=True)
                os.replace(part, self.content(blob))
            finally:
                part.unlink(missing_ok=True)

    def _lay_out(self, blob: Blob, content: Path, place: Path) -> None:
        if not blob.packed:
            place.mkdir(exist_ok=True)
            with contextlib.suppress(FileExistsError):
                os.link(content, place / blob.name)
            return
        with temporary_folder(content.parent, _FILES) as work:
            unpack(content, work / _FILES)
            with contextlib.suppress(OSError):  # another worker was faster
                os.rename(work / _FILES, place)

    def _make_room(self, size: int) -> None:
        """Delete what was used longest ago until ``size`` more bytes fit, and what never came to its end."""
        for part in self.folder.glob("*.part"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - part.stat().st_mtime > STALE_SECONDS:
                    part.unlink()
        known = []
        for place in self.folder.iterdir():
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                known.append((place.stat().st_mtime, (place / _CONTENT).stat().st_size * 2, place))
        total = size + sum(one[1] for one in known)
        for _, used, place in sorted(known):
            if total <= ROOM:
                return
            shutil.rmtree(place, ignore_errors=True)
            total -= used
