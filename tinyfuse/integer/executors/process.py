"""Processes that run the interpreters of others, one for each kind; a new one follows where one has crashed."""

from __future__ import annotations

import atexit
import itertools
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.executors import worker

Column = tuple[str, Sequence[int]]
"""Type and shape [1, ...] of an input."""


class Crashed(Exception):
    """The process has ended before it answered; the message says how."""


class InterpreterProcess:
    """One process that answers requests, started by the first of them; safe to share between threads."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.forgotten: list[int] = []  # sessions that nobody holds; told with the next request
        self._running: subprocess.Popen[bytes] | None = None
        self._generation = 0

    def ask(self, header: dict[str, Any], parts: Sequence[bytes] = ()) -> list[bytes]:
        """Return the answer to one request.

        Raises ValueError with the interpreter's words if it fails, :class:`Crashed` if the process ends.
        """
        with self.lock:
            running = self._started()
            assert running.stdin is not None and running.stdout is not None
            try:
                forgotten = self.forgotten[:]
                del self.forgotten[:len(forgotten)]
                worker.write_message(running.stdin, {**header, "forget": forgotten}, parts)
                answer, found = worker.read_message(running.stdout)
            except (EOFError, BrokenPipeError) as error:
                raise Crashed(_ending(self._ended())) from error
            except BaseException:  # interrupted half-way: the rest of the answer would be taken for the next one
                self.stop()
                raise
        if "error" in answer:
            raise ValueError(answer["error"])
        return found

    @property
    def generation(self) -> int:
        """Which process answers the next request, counted from 0: sessions of earlier ones are lost."""
        if self._running is not None and self._running.poll() is not None:
            self.stop()
        return self._generation

    def _started(self) -> subprocess.Popen[bytes]:
        if self._running is None:
            self._running = subprocess.Popen([sys.executable, "-P", worker.__file__], stdin=subprocess.PIPE,
                                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        return self._running

    def _ended(self) -> int:
        """Return how the process has ended, which the next request starts anew."""
        assert self._running is not None
        code = self._running.wait()
        self.stop()
        return code

    def stop(self) -> None:
        """End the process."""
        running, self._running = self._running, None
        if running is not None:
            self._generation += 1
            for stream in (running.stdin, running.stdout):
                if stream is not None:
                    with suppress(OSError):
                        stream.close()
            running.kill()
            running.wait()


def _ending(code: int) -> str:
    if code >= 0:
        return f"its process ended with status {code}"
    with suppress(ValueError):
        return f"its process was ended by {signal.Signals(-code).name}"
    return f"its process was ended by signal {-code}"


_PROCESSES: dict[tuple[int, str], InterpreterProcess] = {}
_NUMBERS = itertools.count()


def process_of(kind: str) -> InterpreterProcess:
    """Find the process for interpreters of ``kind``; a forked process gets its own."""
    return _PROCESSES.setdefault((os.getpid(), kind), InterpreterProcess())


@atexit.register
def _stop_all() -> None:
    for (owner, _), process in _PROCESSES.items():
        if owner == os.getpid():
            process.stop()


@dataclass(frozen=True)
class Loaded:
    """What an interpreter is given: the ``.tflite`` and which tensors are its inputs and outputs."""

    name: str
    data: bytes
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class RemoteSession:
    """One model in an interpreter of another process; loaded again where that has crashed meanwhile."""

    def __init__(self, executor: str, kind: str, model: Loaded, *, every: bool) -> None:
        self._executor, self._kind, self._model, self._every = executor, kind, model, every
        self._id, self._generation = next(_NUMBERS), -1
        weakref.finalize(self, process_of(kind).forgotten.append, self._id)
        self._load()

    def run(self, columns: Sequence[np.ndarray], tensors: Sequence[int]) -> list[bytes]:
        """Run the samples of ``columns`` [n, 1, ...], inputs in order; return the bytes of ``tensors`` [n, ...].

        Raises :class:`ModelError` if the interpreter fails or crashes.
        """
        header = {"do": "run", "id": self._id, "rows": len(columns[0]), "tensors": list(tensors),
                  "columns": [(column.dtype.name, column.shape[1:]) for column in columns]}
        process = process_of(self._kind)
        with process.lock:
            if process.generation != self._generation:
                self._load()
            return self._ask(header, [np.ascontiguousarray(column).tobytes() for column in columns])

    def _load(self) -> None:
        self._ask({"do": "open", "id": self._id, "kind": self._kind, "every": self._every,
                   "inputs": self._model.inputs, "outputs": self._model.outputs}, [self._model.data])
        self._generation = process_of(self._kind).generation

    def _ask(self, header: dict[str, Any], parts: Sequence[bytes]) -> list[bytes]:
        return ask(self._executor, self._kind, self._model.name, header, parts)


def ask(executor: str, kind: str, model: str, header: dict[str, Any], parts: Sequence[bytes]) -> list[bytes]:
    """Ask the process of ``kind``; what goes wrong becomes one line that names ``model`` and ``executor``."""
    try:
        return process_of(kind).ask(header, parts)
    except (ValueError, Crashed) as error:
        others = "; choose the executors, without this one" if isinstance(error, Crashed) else ""
        raise ModelError(f"{model}: {executor} cannot run it ({error}){others}") from error

