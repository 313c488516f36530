"""A Dask scheduler and its workers as processes of this machine, and light tasks that leave a trace."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tinyfuse.core.errors import DataError, UsageError

SECONDS = 60
"""How long a process may take to come up."""


def free_port() -> int:
    """Find a port that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Loopback:
    """The scheduler at ``address``, and workers that share a cache; everything lies in ``folder``."""

    def __init__(self, folder: Path, workers: int = 2) -> None:
        self.folder, self.address = folder, f"tcp://127.0.0.1:{free_port()}"
        self.log = (folder / "log").open("w")
        self.scheduler = self._begin("scheduler", "--host", self.address)
        self.workers = [self.add_worker() for _ in range(workers)]

    def add_worker(self, cache: str = "cache") -> subprocess.Popen[bytes]:
        """Start a worker without a nanny: once it is dead it stays dead."""
        return self._begin("worker", self.address, "--nthreads", "1", "--no-nanny", "--local-directory",
                           str(self.folder), cache=cache)

    def _begin(self, what: str, *arguments: str, cache: str = "cache") -> subprocess.Popen[bytes]:
        environment = {**os.environ, "TINYFUSE_CACHE": str(self.folder / cache),
                       "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])}
        return subprocess.Popen([sys.executable, "-m", "dask", what, *arguments, "--no-dashboard"], env=environment,
                                stdout=self.log, stderr=self.log)

    def stop(self) -> None:
        """End all of it."""
        for process in [*self.workers, self.scheduler]:
            process.kill()
            process.wait()
        self.log.close()


@contextmanager
def loopback(folder: Path, workers: int = 2) -> Iterator[Loopback]:
    """Yield a scheduler with its ``workers`` once they are all there."""
    from distributed import Client

    made = Loopback(folder, workers)
    try:
        limit = time.monotonic() + SECONDS
        while True:
            try:
                with Client(made.address, timeout=1, set_as_default=False) as client:  # type: ignore[no-untyped-call]
                    client.wait_for_workers(workers, timeout=SECONDS)
                break
            except OSError:
                if time.monotonic() > limit:
                    raise
        yield made
    finally:
        made.stop()


def count_letters(number: int, folder: Path, file: Path, trace: str) -> tuple[int, str, list[str], int]:
    """Read a file and a folder; ``trace`` names a folder that learns which process began which task."""
    began = Path(trace) / f"{number}-{os.getpid()}"
    began.touch()
    time.sleep(0.05)
    return number, file.name, sorted(one.name for one in folder.iterdir()), number * len(file.read_text())


def fail(number: int) -> int:
    """Find something wrong with the data."""
    raise DataError(f"sample {number} is damaged; give another one")


def wait_for(path: str) -> None:
    """Go on once there is a file at ``path``, or after a minute."""
    for _ in range(600):
        if Path(path).exists():
            return
        time.sleep(0.1)
    raise UsageError(f"{path} did not come")
