"""What decides values that are computed once and kept in the cache."""

from __future__ import annotations

from importlib import metadata

REVISION = 2
"""Of the arithmetic of front ends and augmentation: raise it when their values change in any bit."""
LIBRARIES = "numpy", "scipy", "librosa", "soxr", "pillow"


def computed_with() -> str:
    """Tell what decides computed values beside what they are computed of; part of the name of each cached file."""
    return " ".join([str(REVISION), *(f"{name} {metadata.version(name)}" for name in LIBRARIES)])
