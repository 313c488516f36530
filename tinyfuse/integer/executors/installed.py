"""Which executors can run here. TFLite Micro comes as a pre-release wheel; all but its verdict works without it."""

from __future__ import annotations

import functools
from importlib.util import find_spec

from tinyfuse.core.console import console
from tinyfuse.core.errors import UsageError

ORACLE = "tflm"
PACKAGES = {ORACLE: ("tflite_micro", "tflite-micro"), "litert": ("ai_edge_litert", "ai-edge-litert"),
            "litert-reference": ("ai_edge_litert", "ai-edge-litert")}
"""What an executor imports, and the package that brings it."""


@functools.cache
def is_here(executor: str) -> bool:
    """Tell whether what ``executor`` needs is installed."""
    return executor not in PACKAGES or find_spec(PACKAGES[executor][0]) is not None


def check_here(executor: str) -> None:
    """Raise UsageError unless ``executor`` can run here."""
    if not is_here(executor):
        package = PACKAGES[executor][1]
        raise UsageError(f"executor '{executor}' needs the package {package}, which is not installed (`tinyfuse "
                         "doctor` says which version); the twin computes the same codes, unchecked then")


@functools.cache
def oracle_or_twin() -> str:
    """Name the executor whose codes are TFLite Micro's: itself, or without it the twin, which is said once."""
    if is_here(ORACLE):
        return ORACLE
    console.print("TFLite Micro (package tflite-micro) is not installed: the twin's codes stand for its own, unchecked",
                  markup=False)
    return "twin"
