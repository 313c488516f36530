"""Where computed and downloaded files are kept between runs; all of it is safe to delete at any time."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Name the cache: ``TINYFUSE_CACHE``, else ``XDG_CACHE_HOME``/tinyfuse, else ``~/.cache/tinyfuse``."""
    chosen = os.environ.get("TINYFUSE_CACHE")
    return Path(chosen or os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "tinyfuse"))
