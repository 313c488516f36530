"""The near end of a cluster: it hands out tasks, sends the files that workers lack, and gathers what comes back."""

from __future__ import annotations

import logging
import queue
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinyfuse.core.cluster.blobs import Blob, BlobFolder, blob_of
from tinyfuse.core.cluster.identity import differences, identity
from tinyfuse.core.cluster.worker import Done, Host, Lacking, Parcel, Refused, add, host, perform
from tinyfuse.core.errors import DataError, UsageError
from tinyfuse.core.workers import Bundle, Task, WorkerError

SCHEMES = "tcp://", "tls://"
ANSWER_SECONDS = 10
"""How long a scheduler may take to answer."""
PATIENCE_SECONDS = 600
"""How long there may be no worker at all."""
LOOK_SECONDS = 1
WAIT_SECONDS = 0.05
"""How long to wait for what a task needs."""
_END: Any = object()
PIECE = 16 << 20
"""Bytes of a file that are sent at once."""
SENDINGS = 5
"""How often a file is sent to one worker before that is given up."""


@contextmanager
def cluster(address: str, *, jobs: int = 1) -> Iterator[Cluster]:
    """Connect with the Dask scheduler at ``address``; ``jobs`` is for what has to be done here.

    UsageError: no cluster there, workers with other versions or several threads; one line each.
    """
    if not address.startswith(SCHEMES):
        raise UsageError(f"--cluster '{address}' is no address of a Dask scheduler; give tcp://HOST:PORT, or "
                         "tls://HOST:PORT")
    try:
        client = _connected(address)
    except ImportError as error:
        raise UsageError("--cluster needs the package distributed; install 'tinyfuse[cluster]'") from error
    except Exception as error:  # of sockets, names, TLS, and of other programs that answer at that port
        raise UsageError(f"no Dask scheduler answers at {address} ({_brief(error)}); start one with `dask scheduler`, "
                         "or leave out --cluster") from error
    try:
        made = Cluster(client, address, jobs)
        made.check()
        yield made
    finally:
        with suppress(Exception):  # a scheduler that is gone needs no farewell
            client.close(timeout=ANSWER_SECONDS)


def _connected(address: str) -> Any:
    """Return a client of the scheduler at ``address``.

    It is made in a thread of its own, since it waits for ever for a program that takes a connection and says nothing.
    """
    import distributed

    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what it says as well is one line of ours
    security: Any = distributed.Security
    if address.startswith("tls") and security().get_connection_args("client").get("ssl_context") is None:
        raise ValueError("no certificates are set for TLS; DASK_DISTRIBUTED__COMM__TLS__CA_FILE and others name them")
    connect: Any = distributed.Client  # which has no types
    made: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def make() -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of versions, which are compared later
                made.put(connect(address, timeout=ANSWER_SECONDS, set_as_default=False))
        except Exception as error:
            made.put(error)

    threading.Thread(target=make, daemon=True).start()
    try:
        found = made.get(timeout=2 * ANSWER_SECONDS)
    except queue.Empty:
        raise TimeoutError("something takes connections there and says nothing") from None
    if isinstance(found, Exception):
        raise found
    return found


@dataclass(eq=False)
class Cluster:
    """The workers of a Dask scheduler; see :class:`tinyfuse.core.workers.Workers`."""

    client: Any = field(repr=False)
    address: str
    jobs: int = 1
    away: bool = True
    _threads: int = field(default=1, repr=False)
    _known: dict[tuple[Path, ...], tuple[list[tuple[int, int]], Blob]] = field(default_factory=dict, repr=False)
    _places: dict[str, Path] = field(default_factory=dict, repr=False)
    _sent: Counter[tuple[str, str]] = field(default_factory=Counter, repr=False)
    _folder: BlobFolder = field(default_factory=BlobFolder, repr=False)

    def check(self) -> None:
        """Raise UsageError unless the workers that are there have one thread and the versions of this process.

        So must the scheduler, which reads what tasks are made of. Workers that come later are checked with their first
        task.
        """
        several = [worker for worker, threads in self.client.nthreads().items() if threads > 1]
        if several:
            raise UsageError(f"the worker {several[0]} has several threads, and TensorFlow's work belongs into "
                             "processes; start workers with `dask worker --nworkers N --nthreads 1`")
        try:
            scheduler = self.client.run_on_scheduler(host)
        except (ImportError, AttributeError) as error:
            raise self._foreign(f"scheduler {self.address}", error) from error
        self._refuse(f"scheduler {self.address}", differences(identity(), scheduler.identity))
        hosts = self.client.run(host, on_error="return")
        for worker, found in hosts.items():
            if not isinstance(found, Host):
                raise self._foreign(f"worker {worker}", found)
            self._refuse(f"worker {worker}", differences(identity(), found.identity))
        crowd = Counter(found.name for found in hosts.values())
        self._threads = max(1, min((found.cores // crowd[found.name] for found in hosts.values()), default=1))

    def _foreign(self, who: str, error: Any) -> UsageError:
        return UsageError(f"the {who} has no tinyfuse like this one ({_brief(error)}); install the same version there")

    def _refuse(self, who: str, reason: str) -> None:
        if reason:
            raise UsageError(f"the {who} has other versions ({reason}); install the same ones there")

    def start(self, tasks: Iterable[Task | None]) -> Iterator[Any]:
        """Begin ``tasks``; see :class:`tinyfuse.core.workers.Workers`. They are asked for in another thread."""
        results: queue.SimpleQueue[Any] = queue.SimpleQueue()
        stopped = threading.Event()
        threading.Thread(target=self._hand_out, args=(iter(tasks), results, stopped), daemon=True).start()
        return _received(results, stopped)

    def _parcel(self, task: Task) -> Parcel:
        function, arguments = task
        return Parcel(function, tuple(self._blob(one) if isinstance(one, (Path, Bundle)) else one for one in arguments),
                      identity(), self._threads)

    def _blob(self, given: Path | Bundle) -> Blob:
        """Find the content of a file that a task reads; of a folder, or a bundle of files, that of its pack."""
        paths = (given,) if isinstance(given, Path) else (given.path, *given.beside)
        stamp = [(facts.st_mtime_ns, facts.st_size) for facts in map(Path.stat, paths)]
        held = self._known.get(paths)
        if held is not None and held[0] == stamp and (not held[1].packed or self._folder.content(held[1]).exists()):
            return held[1]
        packed = len(paths) > 1 or paths[0].is_dir()
        blob = self._folder.pack(paths) if packed else blob_of(paths[0], paths[0].name)
        self._known[paths] = stamp, blob
        self._places[blob.sha256] = self._folder.content(blob) if packed else paths[0]
        return blob

    def _hand_out(self, tasks: Iterator[Task | None], results: queue.SimpleQueue[Any],
                  stopped: threading.Event) -> None:
        """Keep every worker busy with one task until all are done; None, or an error, is the last of the results."""
        running: dict[Any, Parcel] = {}
        ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        crew = _Crew(self.client, self.address)

        def submit(parcel: Parcel, worker: str | None = None) -> None:
            where = {"workers": [worker], "allow_other_workers": True} if worker else {}
            future = self.client.submit(perform, parcel, pure=False, **where)
            running[future] = parcel
            future.add_done_callback(ended.put)

        try:
            task: Task | None = None
            more = True
            while (more or running) and not stopped.is_set():
                crowd = max(crew.size(), 1)  # also when all is handed out: there may be nobody left to do it
                while more and len(running) < crowd:
                    with _reading_here():
                        task = next(tasks, _END)
                        more = task is not _END
                        if not more or task is None:
                            break
                        parcel = self._parcel(task)
                    submit(parcel)
                with suppress(queue.Empty):
                    future = ended.get(timeout=WAIT_SECONDS if more and task is None else LOOK_SECONDS)
                    parcel, found = running.pop(future), self._result(future)
                    if isinstance(found, (Lacking, Refused)):
                        submit(parcel, self._supply(found))
                        continue
                    results.put(found)
                    if not isinstance(found, Done):
                        return
            results.put(None)
        except OSError:
            results.put(self._lost())
        except BaseException as error:
            results.put(error)
        finally:
            with suppress(Exception):
                self.client.cancel(list(running))

    def _result(self, future: Any) -> Done | Lacking | Refused | BaseException:
        """Return what a future brings, or the error that it ended with, told in one line."""
        import distributed

        if future.status in ("cancelled", "lost"):
            return self._lost()
        if future.status != "error":
            found: Done | Lacking | Refused = future.result()
            return found
        error: BaseException = future.exception()
        if isinstance(error, distributed.KilledWorker):
            return WorkerError("one task ended several workers of the cluster, one after the other, as when memory "
                               "runs out; the same command goes on from here, on workers with more memory")
        if isinstance(error, (ImportError, AttributeError)) and "tinyfuse" in str(error):
            return self._foreign("worker that came last", error)
        return error

    def _lost(self) -> WorkerError:
        return WorkerError(f"the cluster at {self.address} was lost; the same command goes on from here, once there is "
                           "one again")

    def _supply(self, found: Lacking | Refused) -> str:
        """Send a worker the files that it lacks; return its address."""
        if isinstance(found, Refused):
            self._refuse(f"worker {found.worker}", found.reason)
            return found.worker
        for blob in found.blobs:
            self._sent[found.worker, blob.sha256] += 1
            if self._sent[found.worker, blob.sha256] > SENDINGS:
                raise WorkerError(f"the worker {found.worker} does not keep {blob.name}; give it room for {blob.size} "
                                  "bytes in the folder that TINYFUSE_CACHE names there")
            with suppress(OSError, KeyError, ValueError):  # the worker is gone: another one will take the task
                self._send(blob, found.worker)
        return found.worker

    def _send(self, blob: Blob, worker: str) -> None:
        with _reading_here():
            stream = self._places[blob.sha256].open("rb")
        with stream:
            for offset in range(0, max(blob.size, 1), PIECE):
                with _reading_here():
                    data = stream.read(PIECE)
                self.client.run(add, blob, offset, data, self.client.id, workers=[worker])


class _Crew:
    """How many workers there are, asked at most every :data:`LOOK_SECONDS`."""

    def __init__(self, client: Any, address: str) -> None:
        self._client, self._address = client, address
        self._asked, self._size, self._seen = 0.0, 0, time.monotonic()

    def size(self) -> int:
        """Count them; WorkerError if there were none for :data:`PATIENCE_SECONDS`."""
        now = time.monotonic()
        if now - self._asked > LOOK_SECONDS:
            self._asked, self._size = now, len(self._client.nthreads())
            self._seen = now if self._size else self._seen
            if now - self._seen > PATIENCE_SECONDS:
                raise WorkerError(f"the scheduler at {self._address} has had no workers for {PATIENCE_SECONDS} s; "
                                  "start some, and the same command goes on from here")
        return self._size


def _received(results: queue.SimpleQueue[Any], stopped: threading.Event) -> Iterator[Any]:
    try:
        while (found := results.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            yield found.value
    finally:
        stopped.set()


@contextmanager
def _reading_here() -> Iterator[None]:
    """Raise DataError where a file of this machine cannot be read: other errors of the system are of the cluster."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{error.filename or 'a file for the cluster'}: {error.strerror or error}; the same command "
                        "goes on from here") from error


def _brief(error: Any) -> str:
    """Say what went wrong in a line."""
    said = str(error).strip().splitlines()
    return said[0][:160] if said else type(error).__name__
