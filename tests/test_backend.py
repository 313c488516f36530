"""The standard error stream survives whatever silences it."""

from __future__ import annotations

import os
import threading

from tinyfuse.core.backend import stderr_silenced


def identity() -> tuple[int, int]:
    found = os.fstat(2)
    return found.st_dev, found.st_ino


def test_threads_that_silence_stderr_at_the_same_time_bring_it_back() -> None:
    """The second one begins while the first one is inside, and ends after it."""
    before, entered, left = identity(), threading.Event(), threading.Event()

    def second() -> None:
        with stderr_silenced():
            entered.set()
            left.wait(10)

    thread = threading.Thread(target=second)
    with stderr_silenced():
        assert identity() != before
        thread.start()
        assert entered.wait(10)
    assert identity() != before
    left.set()
    thread.join(10)
    assert identity() == before
