"""Processes that begin with TensorFlow loaded, which takes seconds: forks of a server that loads it once.

They share nothing with the tests' own process, and can be killed at any moment. Their digit networks are thin.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import sys
from collections.abc import Sequence
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from subprocess import CompletedProcess
from unittest import mock

_CONTEXT = multiprocessing.get_context("forkserver")


@functools.cache
def _serve() -> None:
    """Start the server. Before Python 3.12 it finds modules only by its environment."""
    _CONTEXT.set_forkserver_preload(["preloaded"])
    with mock.patch.dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)):
        forkserver.ensure_running()


def start(words: Sequence[str], out: Path, err: Path) -> BaseProcess:
    """Begin ``tinyfuse`` with ``words`` on its command line; what it says goes to the files ``out`` and ``err``."""
    _serve()
    process = _CONTEXT.Process(target=_run, args=(list(words), out, err))
    process.start()
    return process


def finish(words: Sequence[str], folder: Path) -> CompletedProcess[str]:
    """Run it to its end; ``folder`` is for the files with what it says."""
    out, err = folder / "stdout", folder / "stderr"
    process = start(words, out, err)
    process.join()
    return CompletedProcess(words, process.exitcode or 0, out.read_text(), err.read_text())


def _run(words: list[str], out: Path, err: Path) -> None:
    for descriptor, path in ((1, out), (2, err)):
        held = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(held, descriptor)
        os.close(held)
    import preloaded  # noqa: F401  loaded already, if nothing went wrong
    from joblib.externals.loky import get_reusable_executor

    from tinyfuse.cli.main import main

    try:
        sys.exit(main(words))
    finally:  # at the end of a fork nobody tells joblib's workers to go
        get_reusable_executor(reuse=True).shutdown()
