"""Other programs, such as compilers, run within limits: nothing that they are given may fill memory, disk or time."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

FILE_KIB = 1 << 20
"""Size of the largest file that a program may write: 1 GiB."""


def run_limited(command: Sequence[str], *, seconds: float, memory_mib: int | None = None, given: bytes = b"",
                folder: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run ``command``, with ``given`` on its standard input, in a process group of its own; return all that it says.

    ``memory_mib``: what each of its processes may allocate. At the end of ``seconds``, or if we are interrupted, the
    whole group is killed: a compiler's driver leaves the compiler itself behind. Raises OSError,
    subprocess.TimeoutExpired.
    """
    # POSIX counts blocks of 512 bytes. Where the limit is lower already, raising it fails, and it stays.
    limits = f"ulimit -f {2 * FILE_KIB} 2>/dev/null; "
    if memory_mib is not None:
        limits += f"ulimit -v {memory_mib * 1024} 2>/dev/null; "
    shell = ["/bin/sh", "-c", limits + 'exec "$0" "$@"', *command]
    with subprocess.Popen(shell, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder,
                          process_group=0) as process:
        try:
            said, warned = process.communicate(given, timeout=seconds)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
    return subprocess.CompletedProcess(list(command), process.returncode, said, warned)
