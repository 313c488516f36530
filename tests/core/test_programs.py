"""Other programs within limits, and workers that the system ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinyfuse.core.programs import run_limited
from tinyfuse.core.workers import Task, WorkerError, in_parallel


def test_what_a_program_says_comes_back(tmp_path: Path) -> None:
    done = run_limited(["cat"], seconds=60, given=b"a\0b", folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"a\0b", b"")
    assert run_limited(["no-such-program"], seconds=60).returncode == 127


def test_memory_has_a_limit() -> None:
    done = run_limited([sys.executable, "-c", "bytearray(1 << 30)"], seconds=60, memory_mib=512)
    assert done.returncode and b"MemoryError" in done.stderr


def test_at_the_end_of_its_time_a_program_dies_with_its_children(tmp_path: Path) -> None:
    """A compiler's driver starts the compiler, which would go on."""
    begun = tmp_path / "child"
    with pytest.raises(subprocess.TimeoutExpired):
        run_limited(["/bin/sh", "-c", f"sleep 1000 & echo $! > {begun}; wait"], seconds=2)
    pid = int(begun.read_text())
    for _ in range(100):
        status = Path(f"/proc/{pid}/stat")
        if not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return
        time.sleep(0.1)
    pytest.fail("the child is still alive")


def _square(number: int) -> int:
    return number * number


def _killed(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_work_goes_to_other_processes() -> None:
    assert sorted(in_parallel([(_square, (number,)) for number in range(4)], jobs=2)) == [0, 1, 4, 9]
    assert list(in_parallel([(_square, (3,))], jobs=1, prefer="threads")) == [9]


def test_a_killed_worker_is_one_line() -> None:
    with pytest.raises(WorkerError, match="the system ended a worker process") as caught:
        list(in_parallel([(_killed, (number,)) for number in range(4)], jobs=2))
    assert "\n" not in str(caught.value)


def test_a_worker_killed_before_all_tasks_are_handed_out_is_one_line() -> None:
    def tasks() -> Iterator[Task]:
        yield _killed, (0,)
        time.sleep(2)
        yield _square, (1,)

    with pytest.raises(WorkerError, match="the system ended a worker process"):
        list(in_parallel(tasks(), jobs=2))
