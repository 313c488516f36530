"""One door to whoever does the work: processes of this machine, or the workers of a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tinyfuse.core.workers import Processes, Workers


@contextmanager
def workers_at(address: str | None, jobs: int) -> Iterator[Workers]:
    """Yield the workers of the Dask cluster at ``address``; without one ``jobs`` processes of this machine.

    UsageError: no cluster there, or one with other versions; see :func:`tinyfuse.core.cluster.client.cluster`.
    """
    if address is None:
        yield Processes(jobs)
        return
    from tinyfuse.core.cluster.client import cluster

    with cluster(address, jobs=jobs) as found:
        yield found
