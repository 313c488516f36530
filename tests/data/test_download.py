"""Downloads from a server on the loopback: verified, kept, refused when the content differs."""

from __future__ import annotations

import dataclasses
import functools
import gc
import gzip
import hashlib
import http.server
import tarfile
import threading
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tinyfuse.core.errors import DataError
from tinyfuse.data.digits.download import ORIGINALS, Remotes, fetch
from tinyfuse.data.digits.folder import read_folder


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        return


@pytest.fixture(scope="module")
def origin(corpora: SimpleNamespace, packed_folder: Path,
           tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remotes]:
    """The originals, made small, behind a server."""
    folder = tmp_path_factory.mktemp("origin")
    work = tmp_path_factory.mktemp("work")
    corpora.write_mnist(folder / "mnist")
    corpora.write_fsdd_recordings(work / "recordings")
    with zipfile.ZipFile(folder / "fsdd.zip", "w") as archive:
        for path in (work / "recordings").iterdir():
            archive.write(path, f"free-spoken-digit-dataset-26eb9aa/recordings/{path.name}")
        archive.writestr("free-spoken-digit-dataset-26eb9aa/README.md", "not a recording")
    corpora.write_commands(work / "commands")
    (work / "commands" / "cat").mkdir()
    (work / "commands" / "cat" / "0a_nohash_0.wav").write_text("another word")
    with tarfile.open(folder / "commands.tar.gz", "w:gz") as archive_tar:
        archive_tar.add(work / "commands", ".")
        archive_tar.add(work / "commands" / "testing_list.txt", "../escaped.txt")
    files = {}
    for path in sorted((folder / "mnist").iterdir()):
        data = path.read_bytes()
        files[path.name] = (hashlib.md5(data).hexdigest(), hashlib.md5(gzip.decompress(data)).hexdigest())
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    base = f"http://127.0.0.1:{server.server_address[1]}"
    digest = read_folder(packed_folder, "fsdd").spoken.digest
    sha256 = hashlib.sha256((folder / "commands.tar.gz").read_bytes()).hexdigest()
    yield Remotes(f"{base}/mnist/", files, f"{base}/fsdd.zip", digest, f"{base}/commands.tar.gz", sha256)
    server.shutdown()
    server.server_close()
    thread.join()
    with warnings.catch_warnings():  # connections that the client keeps open are closed by the collector
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def test_mnist_and_fsdd_arrive_verified_and_are_not_fetched_again(origin: Remotes, tmp_path: Path,
                                                                  packed_folder: Path) -> None:
    folder = fetch("auto", remotes=origin, folder=tmp_path)
    assert read_folder(folder, "auto").spoken.digest == read_folder(packed_folder, "auto").spoken.digest
    assert sorted(path.name for path in (tmp_path / "fsdd").iterdir()) == ["fsdd_8k.npz"]
    gone = dataclasses.replace(origin, mnist_url="http://127.0.0.1:9/", fsdd_url="http://127.0.0.1:9/x.zip")
    assert fetch("fsdd", remotes=gone, folder=tmp_path) == tmp_path


def test_speech_commands_are_unpacked_without_the_rest(origin: Remotes, tmp_path: Path,
                                                       corpora: SimpleNamespace) -> None:
    folder = fetch("speech_commands", remotes=origin, folder=tmp_path / "inner")
    found = {path.name for path in (folder / "speech_commands").iterdir()}
    assert found == {*corpora.words, "_background_noise_", "validation_list.txt", "testing_list.txt"}
    assert not list(tmp_path.rglob("escaped.txt")) and not list(folder.glob(".*")) and not list(folder.glob("*.gz"))
    assert len(read_folder(folder, "speech_commands").spoken) == 240


def test_damaged_copies_are_fetched_again(origin: Remotes, tmp_path: Path) -> None:
    fetch("fsdd", remotes=origin, folder=tmp_path)
    for name in ("mnist/t10k-labels-idx1-ubyte.gz", "fsdd/fsdd_8k.npz"):
        (tmp_path / name).write_bytes(b"damaged")
    fetch("fsdd", remotes=origin, folder=tmp_path)
    assert len(read_folder(tmp_path, "fsdd").spoken) == 260


WRONG = "0" * 32


@pytest.mark.parametrize("wrong", ["gzip", "content", "fsdd", "commands"])
def test_a_wrong_checksum_is_refused_and_nothing_stays(origin: Remotes, tmp_path: Path, wrong: str) -> None:
    name = "t10k-images-idx3-ubyte.gz"
    right = origin.mnist_files[name]
    pair = {"gzip": (WRONG, right[1]), "content": (right[0], WRONG)}.get(wrong, right)
    bad = dataclasses.replace(
        origin, mnist_files={**origin.mnist_files, name: pair},
        fsdd_digest=WRONG if wrong == "fsdd" else origin.fsdd_digest,
        commands_sha256=2 * WRONG if wrong == "commands" else origin.commands_sha256)
    with pytest.raises(DataError) as caught:
        fetch("speech_commands" if wrong == "commands" else "fsdd", remotes=bad, folder=tmp_path)
    assert "\n" not in str(caught.value)
    refused = {"gzip": f"mnist/{name}", "content": f"mnist/{name}", "fsdd": "fsdd/fsdd_8k.npz",
               "commands": "speech_commands"}[wrong]
    assert not (tmp_path / refused).exists()
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith((".", "recordings", "tmp", "commands"))]


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", None])
def test_no_server_or_no_file_is_one_line(origin: Remotes, tmp_path: Path, url: str | None) -> None:
    missing = dataclasses.replace(origin, mnist_url=url or origin.mnist_url + "nowhere/")
    with pytest.raises(DataError, match="download failed") as caught:
        fetch("fsdd", remotes=missing, folder=tmp_path)
    assert "\n" not in str(caught.value)
    response = getattr(caught.value.__context__, "response", None)
    assert (response is None) == (url is not None) and (response is None or response.raw.closed), "no socket stays open"


def test_a_damaged_archive_is_explained(origin: Remotes, tmp_path: Path) -> None:
    not_a_zip = dataclasses.replace(origin, fsdd_url=origin.mnist_url + "t10k-labels-idx1-ubyte.gz")
    with pytest.raises(DataError, match="archive of the Free Spoken Digit Dataset"):
        fetch("fsdd", remotes=not_a_zip, folder=tmp_path)


def test_the_originals_are_pinned() -> None:
    assert set(ORIGINALS.mnist_files) == {f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k")
                                          for kind in ("images-idx3", "labels-idx1")}
    urls = (ORIGINALS.mnist_url, ORIGINALS.fsdd_url, ORIGINALS.commands_url)
    assert all(url.startswith("https://") for url in urls)
    assert len(ORIGINALS.fsdd_digest) == len(ORIGINALS.commands_sha256) == 64
