"""Where computed and downloaded data are kept between runs; all of it is safe to delete at any time."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path

REVISION = 2
"""Of the arithmetic of front ends and augmentation: raise it when their values change in any bit."""
LIBRARIES = "numpy", "scipy", "librosa", "soxr", "pillow"


def computed_with() -> str:
    """Tell what decides computed values beside what they are computed of; part of the name of each cached file."""
    return " ".join([str(REVISION), *(f"{name} {metadata.version(name)}" for name in LIBRARIES)])


def cache_folder() -> Path:
    """Name the cache: ``TINYFUSE_CACHE``, else ``XDG_CACHE_HOME``/tinyfuse, else ``~/.cache/tinyfuse``."""
    chosen = os.environ.get("TINYFUSE_CACHE")
    return Path(chosen or os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "tinyfuse"))
