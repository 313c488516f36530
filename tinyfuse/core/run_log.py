"""When a long run began, what it took and whether it came to its end: ``run.json`` in its folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tinyfuse.core import provenance


class RunLog:
    """``run.json`` of a folder whose run may be interrupted and continued, or followed by others.

    Times add up, peaks are the highest; command and settings are those of the last run that measured something.
    ``rows`` counts the rows that the folder holds: a finished run that adds none leaves the file as it is.
    """

    def __init__(self, folder: Path, rows: Callable[[], int], facts: provenance.RunFacts) -> None:
        self._path, self._rows, self._began = folder / "run.json", rows, time.monotonic()
        self._before = provenance.read_run(self._path) if self._path.exists() else None
        self._at_first = rows()
        self._facts = replace(facts, started=self._before.started) if self._before else facts

    def write(self, *, finished: bool = False, worker_mib: float | None = None) -> None:
        """Write what is known now, with the peak memory of the largest worker process."""
        before = self._before or replace(self._facts, finished="")
        if before.finished and self._rows() == self._at_first:
            return
        seconds = time.monotonic() - self._began + (before.wall_seconds or 0.0)
        replace(self._facts, finished=provenance.utc_now() if finished else "", wall_seconds=round(seconds, 1),
                peak_memory_mib=_highest(provenance.peak_memory_mib(), before.peak_memory_mib),
                peak_memory_worker_mib=_highest(worker_mib, before.peak_memory_worker_mib)).write(self._path)

    def finish(self, worker_mib: float | None = None) -> None:
        """Write that the run came to its end."""
        self.write(finished=True, worker_mib=worker_mib)


def _highest(*peaks: float | None) -> float | None:
    known = [peak for peak in peaks if peak is not None]
    return round(max(known), 1) if known else None
