"""Faults of tinyfuse itself: the traceback goes to a log file, and the user reads one line that names it."""

from __future__ import annotations

import contextlib
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

from tinyfuse.core.errors import FaultError, TinyfuseError
from tinyfuse.core.provenance import utc_now

LOG = "faults.log"
FAULT = "fault of tinyfuse: "
"""What a reason begins with that is no user's mistake."""


def log_fault(error: Exception, folder: Path) -> str:
    """Append the traceback of ``error`` to ``faults.log`` in ``folder``; return one line about it, without the path."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOG).open("a", encoding="utf-8") as stream:
        stream.write(f"{utc_now()}\n{''.join(traceback.format_exception(error))}\n")
    said = " ".join(str(error).split())
    return f"{FAULT}{type(error).__name__}{': ' if said else ''}{said[:200]} (traceback in {LOG}; please report it)"


@contextlib.contextmanager
def faults_logged(folder: Path | None = None) -> Iterator[None]:
    """Turn an exception that is no user's mistake into a FaultError; the traceback goes to ``folder``.

    Without a folder, or one that can be written, it is a new one of the system's temporary folder.
    """
    try:
        yield
    except (TinyfuseError, OSError):
        raise
    except Exception as error:
        try:
            where = folder or Path(tempfile.mkdtemp(prefix="tinyfuse-"))
            line = log_fault(error, where)
        except OSError:
            where = Path(tempfile.mkdtemp(prefix="tinyfuse-"))
            line = log_fault(error, where)
        raise FaultError(line.replace(f"traceback in {LOG}", f"traceback in {where / LOG}")) from error
