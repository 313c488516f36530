"""The published originals, fetched once into the user's cache and verified before use."""

from __future__ import annotations

import hashlib
import re
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from tinyfuse.core.cache_folder import cache_folder
from tinyfuse.core.console import console
from tinyfuse.core.errors import DataError
from tinyfuse.core.files import atomic_path, temporary_folder
from tinyfuse.data.digits.idx import MAX_IDX_BYTES
from tinyfuse.data.digits.speech import BACKGROUND, FSDD_FILE, LISTS, WORDS, pack_fsdd, read_packed_fsdd
from tinyfuse.data.read_files import damage_explained, gunzip, read_file

MAX_MEMBER_BYTES = 16 << 20
COMMANDS_MEMBER = re.compile(rf"(?:\./)?((?:{'|'.join((*WORDS, BACKGROUND))})/[\w.-]+\.wav|{'|'.join(LISTS)})")


@dataclass(frozen=True)
class Remotes:
    """Where the originals are and how they are recognised.

    ``mnist_files`` maps a name to the MD5 of the gzip file and of its content. Archives made by GitHub change their
    bytes, so FSDD is recognised by the SHA-256 of its samples and labels (``fsdd_digest``).
    """

    mnist_url: str
    mnist_files: Mapping[str, tuple[str, str]]
    fsdd_url: str
    fsdd_digest: str
    commands_url: str
    commands_sha256: str


ORIGINALS = Remotes(
    mnist_url="https://storage.googleapis.com/cvdf-datasets/mnist/",
    mnist_files={
        "train-images-idx3-ubyte.gz": ("f68b3c2dcbeaaa9fbdd348bbdeb94873", "6bbc9ace898e44ae57da46a324031adb"),
        "train-labels-idx1-ubyte.gz": ("d53e105ee54ea40749a09fcbcd1e9432", "a25bea736e30d166cdddb491f175f624"),
        "t10k-images-idx3-ubyte.gz": ("9fb629c4189551a2d022fa330f9573f3", "2646ac647ad5339dbf082846283269ea"),
        "t10k-labels-idx1-ubyte.gz": ("ec29112dd5afa0611ce80d1b7f02629c", "27ae3e4e09519cfbb04c329615203637"),
    },
    fsdd_url="https://github.com/Jakobovski/free-spoken-digit-dataset/archive/26eb9aaf76e81b692f806f9140c2d2777410d7a1.zip",
    fsdd_digest="72024afb2ad3b1cf09fcdb87b8d07fe5baf1141565bb2a5df24ce4d50f73f1c1",
    commands_url="https://storage.googleapis.com/download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
    commands_sha256="af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
)


def fetch(spoken: str = "auto", *, remotes: Remotes = ORIGINALS, folder: Path | None = None) -> Path:
    """Download MNIST and the spoken digits (``auto`` means ``fsdd``) unless they are there; returns their folder.

    ``folder`` defaults to ``downloads`` in the user's cache. A file with a wrong checksum is removed and raises
    ``DataError``; nothing half-written stays.
    """
    target = cache_folder() / "downloads" if folder is None else folder
    for name, (gzip_md5, content_md5) in remotes.mnist_files.items():
        path = _retrieve(remotes.mnist_url + name, f"md5:{gzip_md5}", target / "mnist" / name)
        _check_content(path, content_md5)
    if spoken == "speech_commands":
        _fetch_commands(remotes, target / "speech_commands")
    else:
        _fetch_fsdd(remotes, target / "fsdd" / FSDD_FILE)
    return target


def _retrieve(url: str, checksum: str | None, path: Path) -> Path:
    import pooch

    pooch.get_logger().setLevel("WARNING")
    if not path.is_file():
        console.print(f"downloading {url}", markup=False)
    try:
        pooch.retrieve(url, known_hash=checksum, fname=path.name, path=path.parent)
    except ValueError:
        raise DataError(f"{url}: the download does not have the checksum {checksum}; try again, or put the original "
                        f"into {path.parent}") from None
    except OSError as error:
        response = getattr(error, "response", None)
        if response is not None:  # pooch leaves that of a refusal, and so its socket, open
            response.close()
        reason = " ".join(str(error).split())[:160]
        raise DataError(f"{url}: download failed ({reason}); try again, or give a folder that holds the data") from None
    return path


def _check_content(path: Path, md5: str) -> None:
    expected = f"a gzip file whose content has the md5 {md5}"
    content = gunzip(path, read_file(path, expected=expected), expected=expected, max_bytes=MAX_IDX_BYTES)
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
        path.unlink()
        raise DataError(f"{path}: wrong content, removed; expected {expected}")


def _fetch_fsdd(remotes: Remotes, path: Path) -> None:
    with suppress(DataError):
        if read_packed_fsdd(path).digest == remotes.fsdd_digest:
            return
    archive = _retrieve(remotes.fsdd_url, None, path.with_name("recordings.zip"))
    try:
        expected = "the archive of the Free Spoken Digit Dataset"
        with damage_explained(archive, expected):
            arrays = pack_fsdd(_zip_recordings(archive), archive)
        with atomic_path(path) as temporary:
            np.savez(temporary, **arrays)  # type: ignore[arg-type]
            if read_packed_fsdd(temporary).digest != remotes.fsdd_digest:
                raise DataError(f"{remotes.fsdd_url}: its recordings differ from the known ones; expected {expected}")
    finally:
        archive.unlink(missing_ok=True)


def _zip_recordings(archive: Path) -> Iterator[tuple[Path, bytes]]:
    with zipfile.ZipFile(archive) as content:
        for name in content.namelist():
            inner = PurePosixPath(name)
            if inner.parent.name == "recordings" and inner.suffix == ".wav":
                with content.open(name) as member:
                    yield archive / inner.name, member.read(MAX_MEMBER_BYTES)


def _fetch_commands(remotes: Remotes, folder: Path) -> None:
    if folder.is_dir():
        return
    archive = _retrieve(remotes.commands_url, f"sha256:{remotes.commands_sha256}", folder.with_name("commands.tar.gz"))
    with temporary_folder(folder.parent, "speech_commands") as temporary:
        unpacked = temporary / folder.name
        with damage_explained(archive, "the Speech Commands archive"):
            _extract_commands(archive, unpacked)
        unpacked.rename(folder)
    archive.unlink()


def _extract_commands(archive: Path, folder: Path) -> None:
    with tarfile.open(archive, "r:gz") as content:
        for member in content:
            if (match := COMMANDS_MEMBER.fullmatch(member.name)) and (stream := content.extractfile(member)):
                path = folder / match[1]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(stream.read(MAX_MEMBER_BYTES))
