"""Work in other processes of this machine, or wherever joblib's backend sends it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from tinyfuse.core.errors import TinyfuseError

Task = tuple[Callable[..., Any], Sequence[Any]]
"""A function that can be pickled, and its arguments."""


class WorkerError(TinyfuseError):
    """A worker process came to an end before its work did."""


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
