"""What happens on a worker of a cluster: it tells its versions, takes files, and does tasks with them."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tinyfuse.core.cluster.blobs import Blob, BlobFolder
from tinyfuse.core.cluster.identity import differences, identity

_THREADS = "TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"


@dataclass(frozen=True)
class Parcel:
    """A task on its way: ``function(*arguments)``, in which each Blob stands for the path of a file.

    ``threads``: of libraries that the task loads first in its process, unless the worker was started with others.
    """

    function: Callable[..., Any]
    arguments: Sequence[Any]
    identity: Mapping[str, str]
    threads: int

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """The files that it reads."""
        return tuple(one for one in self.arguments if isinstance(one, Blob))


@dataclass(frozen=True)
class Done:
    """A task that was done, with what it returned."""

    value: Any


@dataclass(frozen=True)
class Lacking:
    """A task that was not begun, since its ``worker`` has not got these files."""

    worker: str
    blobs: tuple[Blob, ...]


@dataclass(frozen=True)
class Refused:
    """A task that was not begun, since its ``worker`` has other versions."""

    worker: str
    reason: str


@dataclass(frozen=True)
class Host:
    """What a worker says of itself; ``name``: of its machine, with ``cores`` that it may use."""

    name: str
    cores: int
    identity: Mapping[str, str]


def host() -> Host:
    """Describe this worker."""
    return Host(socket.gethostname(), len(os.sched_getaffinity(0)), identity())


def add(blob: Blob, offset: int, data: bytes, sender: str) -> None:
    """Take the next bytes of a file."""
    BlobFolder().add(blob, offset, data, f"{sender}-{socket.gethostname()}-{os.getpid()}")


def perform(parcel: Parcel) -> Done | Lacking | Refused:
    """Do a task, or say what is in the way."""
    from distributed import get_worker

    worker = str(get_worker().address)
    reason = differences(parcel.identity, identity())
    if reason:
        return Refused(worker, reason)
    found = {blob: BlobFolder().find(blob) for blob in parcel.blobs}
    lacking = tuple(blob for blob, path in found.items() if path is None)
    if lacking:
        return Lacking(worker, lacking)
    for variable in _THREADS:
        os.environ.setdefault(variable, str(parcel.threads))
    arguments = [found[one] if isinstance(one, Blob) else one for one in parcel.arguments]
    return Done(parcel.function(*arguments))
