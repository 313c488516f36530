"""When a long run began, what it took and whether it came to its end: ``run.json`` in its folder."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tinyfuse import provenance

if TYPE_CHECKING:
    from tinyfuse.results import ResultStore


class RunLog:
    """``run.json`` of a run that may be interrupted and continued: times add up, peaks are the highest.

    Continuing a finished run that adds no row leaves the file as it is.
    """

    def __init__(self, folder: Path, store: ResultStore, facts: provenance.RunFacts) -> None:
        self._path, self._store, self._began = folder / "run.json", store, time.monotonic()
        self._rows, self._before = len(store), provenance.read_run(self._path) if self._path.exists() else None
        self._facts = facts if self._before is None else replace(facts, started=self._before.started)

    def write(self, *, finished: bool = False, worker_mib: float = 0.0) -> None:
        """Write what is known now; ``worker_mib`` is the peak memory of the largest worker process."""
        before = self._before
        if before is not None and before.finished and len(self._store) == self._rows:
            return
        peaks = (provenance.peak_memory_mib(), worker_mib)
        if before is not None:
            peaks = (max(peaks[0], before.peak_memory_mib or 0.0), max(peaks[1], before.peak_memory_worker_mib or 0.0))
        replace(self._facts, finished=provenance.utc_now() if finished else "",
                wall_seconds=round(time.monotonic() - self._began + (before.wall_seconds or 0.0 if before else 0.0), 1),
                peak_memory_mib=round(peaks[0], 1), peak_memory_worker_mib=round(peaks[1], 1)).write(self._path)

    def finish(self, worker_mib: float) -> None:
        """Write the last state."""
        self.write(finished=True, worker_mib=worker_mib)
