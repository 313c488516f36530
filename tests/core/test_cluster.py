"""A scheduler and two workers on loopback: files by their content, a killed worker, versions, errors in one line."""

from __future__ import annotations

import os
import socket
import tarfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import loopback as light
import pytest
from loopback import Loopback, count_letters, loopback

from tinyfuse.core.cluster import blobs, client
from tinyfuse.core.cluster.blobs import Blob, BlobFolder, blob_of
from tinyfuse.core.cluster.client import Cluster, cluster
from tinyfuse.core.cluster.identity import differences, identity
from tinyfuse.core.cluster.packs import pack, unpack
from tinyfuse.core.cluster.worker import Parcel
from tinyfuse.core.errors import DataError, UsageError
from tinyfuse.core.workers import Bundle, Processes, Task, WorkerError


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    """The scheduler and its workers; the last tests end them one by one."""
    with loopback(tmp_path_factory.mktemp("loopback")) as found:
        yield found


@pytest.fixture(scope="module")
def workers(running: Loopback) -> Iterator[Cluster]:
    """The near end, with a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYFUSE_CACHE", str(running.folder / "near"))
        with cluster(running.address) as found:
            yield found


def tasks(folder: Path, count: int) -> list[Task]:
    """Tasks that read a folder, and a file with another one beside it; what they leave is in ``folder/trace``."""
    (folder / "data" / "inner").mkdir(parents=True)
    (folder / "trace").mkdir()
    for name in ("data/a.txt", "data/inner/b.txt", "net.txt", "beside.toml"):
        (folder / name).write_text(name)
    own = Bundle(folder / "net.txt", (folder / "beside.toml",))
    return [(count_letters, (number, folder / "data", own, str(folder / "trace"))) for number in range(count)]


def test_an_error_of_a_task_comes_as_it_is(workers: Cluster) -> None:
    with pytest.raises(DataError, match=r"^sample 3 is damaged; give another one$"):
        list(workers.start([(light.fail, (3,))]))


def test_a_file_that_is_gone_is_no_lost_cluster(workers: Cluster, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.txt: No such file or directory; the same command goes on from here$"):
        list(workers.start([(count_letters, (0, tmp_path / "gone.txt"))]))


def test_what_lies_beside_a_file_is_part_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the file went alone before, and where only that has changed."""
    monkeypatch.setenv("TINYFUSE_CACHE", str(tmp_path / "cache"))
    near, net, beside = Cluster(None, "tcp://here:1"), tmp_path / "net.txt", tmp_path / "beside.toml"
    net.write_text("net")
    beside.write_text("one")
    alone, first = near._blob(net), near._blob(Bundle(net, (beside,)))
    beside.write_text("three")
    found = [alone, first, near._blob(Bundle(net, (beside,))), near._blob(net)]
    assert [one.packed for one in found] == [False, True, True, False]
    assert found[3] == alone and found[2] != first and found[2].name == "net.txt"


def test_a_file_that_changes_travels_again(workers: Cluster, tmp_path: Path) -> None:
    (wanted := tasks(tmp_path, 1)[0])[1][2].path.write_text("four")
    assert next(workers.start([wanted]))[3] == 0
    one = (count_letters, (1, *wanted[1][1:]))
    assert next(workers.start([one]))[3] == 4
    (tmp_path / "net.txt").write_text("seven..")
    assert next(workers.start([one]))[3] == 7


def test_a_task_waits_for_what_another_one_brings(workers: Cluster) -> None:
    """None instead of a task: not before another one has ended."""
    came: list[int] = []

    def wanted() -> Iterator[Task | None]:
        yield abs, (-2,)
        while not came:
            yield None
        yield abs, (came[0] - 10,)

    for found in workers.start(wanted()):
        came.append(found)
    assert came == [2, 8]


def test_other_versions_are_refused_in_one_line(workers: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a worker that is there, and of one that comes later, which sees them in its first task."""
    other = {**identity(), "numpy": "1.0", "source of tinyfuse": "0" * 16}
    monkeypatch.setattr(client, "identity", lambda: other)
    with pytest.raises(UsageError, match=r"^the scheduler tcp://.* other versions \(numpy .* there, 1\.0 here; source"):
        workers.check()
    with pytest.raises(UsageError, match=r"^the worker tcp://.* has other versions \(numpy"):
        list(workers.start([(light.fail, (3,))]))
    assert differences({"numpy": "2"}, {}) == "numpy not known there, 2 here" and not differences(other, other)


def test_a_worker_with_threads_is_refused(workers: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers.client, "nthreads", lambda: {"tcp://here:1": 4})
    with pytest.raises(UsageError, match=r"tcp://here:1 has several threads.*--nthreads 1"):
        workers.check()


@pytest.mark.parametrize(("address", "said"), [
    ("here:8786", "is no address"), ("http://here:8786", "is no address"), ("tls://here:8786", "no certificates"),
    ("tcp://here", "no Dask scheduler answers"),
    ("tcp://127.0.0.1:{free}", "no Dask scheduler answers"), ("tcp://127.0.0.1:{silent}", "no Dask scheduler answers")])
def test_what_is_no_cluster_is_told_in_one_line(address: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address without host or port, a port that nobody or another program listens at."""
    monkeypatch.setattr(client, "ANSWER_SECONDS", 1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        given = address.format(free=light.free_port(), silent=silent.getsockname()[1])
        with pytest.raises(UsageError, match=said) as caught, cluster(given):
            pass
    assert "\n" not in str(caught.value) and given in str(caught.value)


def test_a_killed_worker_loses_only_its_task(running: Loopback, workers: Cluster, tmp_path: Path) -> None:
    """What comes is what one process computes; a worker that joins late has no files and gets them."""
    wanted = tasks(tmp_path, 24)
    results = workers.start(wanted)
    found = [next(results) for _ in range(6)]
    running.workers[0].kill()  # -9
    running.workers.append(running.add_worker("cache of a late one"))
    found += results
    began = sorted(int(one.name.partition("-")[0]) for one in (tmp_path / "trace").iterdir())
    assert len(began) <= 25 and set(began) == set(range(24)), "at most the task of the killed worker began twice"
    assert sorted(found) == sorted(Processes().start(wanted))


def test_a_late_worker_got_files_by_their_sum(running: Loopback, workers: Cluster, tmp_path: Path) -> None:
    """As soon as it is there it takes a share, from a cache that was empty."""
    workers.client.wait_for_workers(2, timeout=light.SECONDS)
    assert len(list(workers.start(tasks(tmp_path, 12)))) == 12
    processes = {int(one.name.partition("-")[2]) for one in (tmp_path / "trace").iterdir()}
    assert processes == {running.workers[1].pid, running.workers[2].pid}
    late = BlobFolder(running.folder / "cache of a late one" / "blobs")
    assert len(list(late.folder.iterdir())) == 2


def test_a_lost_cluster_is_one_line(running: Loopback, workers: Cluster, tmp_path: Path) -> None:
    results = workers.start([(light.wait_for, (str(tmp_path / "never"),))])
    time.sleep(0.5)
    running.scheduler.kill()
    with pytest.raises(WorkerError, match=r"^the cluster at tcp://.* was lost; the same command goes on"):
        list(results)


def test_no_workers_for_long_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the last task is handed out and the workers go."""
    class Leaving:
        def __init__(self) -> None:
            self.crowd = {"tcp://there:1": 1, "tcp://there:2": 1}

        def nthreads(self) -> dict[str, int]:
            return self.crowd

        def submit(self, function: Callable[..., Any], parcel: Parcel, *, pure: bool) -> Future[Any]:
            self.crowd = {}
            return Future()

        def cancel(self, futures: list[Any]) -> None:
            assert len(futures) == 1

    monkeypatch.setattr(client, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(client, "PATIENCE_SECONDS", 0)
    with pytest.raises(WorkerError, match="tcp://here:1 has had no workers for 0 s"):
        list(Cluster(Leaving(), "tcp://here:1").start([(abs, (-2,))]))


def blob(folder: Path, text: str, name: str = "x.bin") -> Blob:
    """Describe a file with ``text``."""
    (folder / name).write_text(text)
    return blob_of(folder / name, name)


def test_what_arrives_damaged_is_not_kept(tmp_path: Path) -> None:
    """Neither are bytes that do not follow each other, or more than were promised; in order they are."""
    folder, one = BlobFolder(tmp_path / "blobs"), blob(tmp_path, "abcdef")
    with pytest.raises(DataError, match="arrived damaged"):
        folder.add(one, 0, b"abcdeX", "me")
    folder.add(one, 0, b"abc", "me")
    with pytest.raises(DataError, match="after 3"):
        folder.add(one, 4, b"ef", "me")
    with pytest.raises(DataError, match="more bytes than the 6"):
        folder.add(one, 3, b"defg", "me")
    assert folder.find(one) is None
    folder.add(one, 3, b"def", "me")
    assert (folder.find(one) or tmp_path).read_text() == "abcdef"


def test_a_file_that_was_damaged_later_is_as_good_as_none(tmp_path: Path) -> None:
    folder, one = BlobFolder(tmp_path / "blobs"), blob(tmp_path, "abcdef")
    folder.add(one, 0, b"abcdef", "me")
    folder.content(one).write_text("abcdeX")
    assert folder.find(one) is None and not folder.content(one).exists()


def test_what_was_used_longest_ago_makes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blobs, "ROOM", 29)
    folder, (old, used, new) = BlobFolder(tmp_path / "blobs"), [blob(tmp_path, text * 6, text) for text in "abc"]
    for one, text in ((old, b"aaaaaa"), (used, b"bbbbbb")):
        folder.add(one, 0, text, "me")
        os.utime(folder.content(one).parent, (1, 1))
    folder.find(used)
    folder.add(new, 0, b"ccc", "gone")
    os.utime(folder.folder / f"{new.sha256}.gone.part", (1, 1))
    folder.add(new, 0, b"cccccc", "me")
    assert not list(folder.folder.glob("*.part"))
    assert [folder.find(one) is not None for one in (old, used, new)] == [False, True, True]


def test_the_same_files_make_the_same_pack(tmp_path: Path) -> None:
    """Whatever their times and rights are; unpacked they are there again."""
    sums = []
    for name in ("one", "two"):
        inner = tmp_path / name / "data" / "inner"
        inner.mkdir(parents=True)
        for file in (inner / "b", inner.parent / "a") if name == "one" else (inner.parent / "a", inner / "b"):
            file.write_text(file.name)
            file.chmod(0o600 if name == "one" else 0o755)
        pack([inner.parent], tmp_path / f"{name}.tar")
        sums.append(blob_of(tmp_path / f"{name}.tar", "").sha256)
    assert sums[0] == sums[1]
    unpack(tmp_path / "one.tar", tmp_path / "out")
    assert (tmp_path / "out" / "data" / "inner" / "b").read_text() == "b"


@pytest.mark.parametrize("hostile", ["link", "up", "noise"])
def test_a_pack_that_is_none_is_refused(tmp_path: Path, hostile: str) -> None:
    """Links, names outside of the folder, other bytes."""
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        entry = tarfile.TarInfo("../escaped" if hostile == "up" else "inside")
        entry.type = tarfile.SYMTYPE if hostile == "link" else tarfile.REGTYPE
        entry.linkname = "/etc/passwd" if hostile == "link" else ""
        archive.addfile(entry)
    if hostile == "noise":
        (tmp_path / "x.tar").write_bytes(b"noise" * 1000)
    with pytest.raises(DataError, match=r"x\.tar"):
        unpack(tmp_path / "x.tar", tmp_path / "out")
    assert not (tmp_path / "escaped").exists()
