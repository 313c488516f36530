"""Where tasks are done: in other processes of this machine, or on a cluster (:mod:`tinyfuse.core.cluster`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from tinyfuse.core.errors import TinyfuseError

Task = tuple[Callable[..., Any], Sequence[Any]]
"""A function that can be pickled, and its arguments. Those that are a :class:`pathlib.Path` or :class:`Bundle` are
files or folders that it reads: on a cluster it finds them at other paths."""


class WorkerError(TinyfuseError):
    """A worker process came to an end before its work did."""


@dataclass(frozen=True)
class Bundle:
    """The file or folder ``path`` with others ``beside`` it that its reader looks for; a task gets the path."""

    path: Path
    beside: tuple[Path, ...] = ()


class Workers(Protocol):
    """Something that does tasks.

    ``jobs``: processes that work here may take. ``away``: whether tasks see nothing of this machine but the files that
    they name.
    """

    @property
    def jobs(self) -> int: ...
    @property
    def away(self) -> bool: ...

    def start(self, tasks: Iterable[Any]) -> Iterator[Any]:
        """Begin ``tasks`` in their order; yield what they return, as they end.

        Those that are ``away`` ask for a task when one of them is free, and take None for "not before others have
        ended". Raises what a task raises, and :class:`WorkerError` if there is nobody left to do it.
        """
        ...


@dataclass(frozen=True)
class Processes:
    """``jobs`` processes of this machine; one is this process itself."""

    jobs: int = 1
    away: bool = False

    def start(self, tasks: Iterable[Task]) -> Iterator[Any]:
        """Begin all ``tasks`` at once; see :class:`Workers`."""
        listed = [(function, [one.path if isinstance(one, Bundle) else one for one in arguments])
                  for function, arguments in tasks]
        return in_parallel(listed, jobs=max(1, min(self.jobs, len(listed))))


def in_parallel(tasks: Iterable[Task], *, jobs: int, prefer: Literal["threads"] | None = None) -> Iterator[Any]:
    """Begin all ``tasks`` at once in ``jobs`` processes (or threads); yield what they return, as they end.

    Raises :class:`WorkerError` if the system ends a process, which it does when memory runs out.
    """
    from joblib import Parallel, delayed

    parallel = Parallel(n_jobs=jobs, prefer=prefer, return_as="generator_unordered", batch_size=1)
    with _watched():  # a process can end while later tasks are still handed out
        started = parallel(delayed(function)(*arguments) for function, arguments in tasks)
    return _results(started)


def _results(started: Iterator[Any]) -> Iterator[Any]:
    with _watched():
        yield from started


@contextmanager
def _watched() -> Iterator[None]:
    from concurrent.futures.process import BrokenProcessPool

    try:
        yield
    except BrokenProcessPool as error:  # loky's TerminatedWorkerError among them
        raise WorkerError("the system ended a worker process, as it does when memory runs out; the same command goes "
                          "on from here, with fewer processes if you give a smaller --jobs") from error
