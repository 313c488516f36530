"""Where numba keeps what it compiled, on machines where neither the packages nor the home can be written."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

VARIABLE = "NUMBA_CACHE_DIR"


def find_place() -> Path | None:
    """Give numba a folder of this process alone if it has no other; it must be set before numba is imported.

    Without a place, functions with ``cache=True``, librosa's among them, cannot even be defined. The folder is private
    because compiled code is loaded from it; worker processes inherit it, and it is removed at the end.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    if VARIABLE in os.environ or _can_be_written(cache):
        return None
    folder, owner = Path(tempfile.mkdtemp(prefix="tinyfuse-numba-")), os.getpid()
    os.environ[VARIABLE] = str(folder)
    atexit.register(lambda: shutil.rmtree(folder, ignore_errors=True) if os.getpid() == owner else None)
    return folder


def _can_be_written(folder: Path) -> bool:
    """Tell whether ``folder`` can be written, or made in the nearest folder above it that is there."""
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)
