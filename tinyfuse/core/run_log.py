"""When a long run began, what it took and whether it came to its end: ``run.json`` in its folder."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from tinyfuse.core import provenance
from tinyfuse.core.files import locked

BEAT_SECONDS = 10.0
"""A killed run loses at most so much of its time."""


class RunLog:
    """``run.json`` of a folder whose run may be interrupted and continued, or followed by others.

    Times add up, peaks are the highest; command and settings are those of the last run that measured something.
    ``rows`` counts the rows that the folder holds: a finished run that adds none leaves the file as it is. Entered, it
    keeps other runs out of the folder (UsageError if there is one) and writes the time every ``BEAT_SECONDS``.
    """

    def __init__(self, folder: Path, rows: Callable[[], int], facts: provenance.RunFacts) -> None:
        self._path, self._rows, self._began = folder / "run.json", rows, time.monotonic()
        self._before = provenance.read_run(self._path) if self._path.exists() else None
        self._at_first = rows()
        self._facts = replace(facts, started=self._before.started) if self._before else facts
        self._shown = self._before or facts
        self._worker_mib: float | None = None
        self._writing, self._ended = threading.Lock(), threading.Event()
        self._lock = locked(folder)

    def __enter__(self) -> RunLog:
        self._lock.__enter__()
        threading.Thread(target=self._beat, name="run-log", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        with self._writing:
            self._ended.set()
            if kind is not None and self._path.exists():
                self._write()
        self._lock.__exit__(None, None, None)

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            with self._writing:
                if not self._ended.is_set():
                    self._write()

    def write(self, *, finished: bool = False, worker_mib: float | None = None) -> None:
        """Write what is known now, with the peak memory of the largest worker process."""
        self._worker_mib = _highest(worker_mib, self._worker_mib)
        with self._writing:
            self._shown = self._facts
            self._write(provenance.utc_now() if finished else "")

    def finish(self, worker_mib: float | None = None) -> None:
        """Write that the run came to its end."""
        self.write(finished=True, worker_mib=worker_mib)

    def _write(self, finished: str = "") -> None:
        before = self._before or replace(self._facts, finished="")
        if before.finished and self._rows() == self._at_first:
            return
        seconds = time.monotonic() - self._began + (before.wall_seconds or 0.0)
        replace(self._shown, finished=finished, wall_seconds=round(seconds, 1),
                peak_memory_mib=_highest(provenance.peak_memory_mib(), before.peak_memory_mib),
                peak_memory_worker_mib=_highest(self._worker_mib, before.peak_memory_worker_mib)).write(self._path)


def _highest(*peaks: float | None) -> float | None:
    known = [peak for peak in peaks if peak is not None]
    return round(max(known), 1) if known else None
