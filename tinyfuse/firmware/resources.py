"""What travels beside the Python package: the C99 runtime, the test harness and the package skeletons."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from tinyfuse.core.errors import ModelError


def folder(name: str) -> Path:
    """The folder ``name`` (runtime, harness, skeleton) of the installed ``firmware_export``."""
    try:
        places = list(import_module("firmware_export").__path__)
    except ImportError:
        places = []
    # A checkout finds its own even where another one is installed.
    for place in (str(Path(__file__).resolve().parents[2] / "firmware_export"), *places):
        if (found := Path(place) / name).is_dir():
            return found
    raise ModelError(f"the folder firmware_export/{name} is not installed; install tinyfuse again")


def files(name: str, pattern: str) -> Iterator[Path]:
    """The files of folder ``name`` in a fixed order."""
    return iter(sorted(folder(name).glob(pattern)))
