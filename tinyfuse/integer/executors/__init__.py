"""Executors of a ``.tflite`` behind one protocol: codes in by name, codes out, of the output or of every tensor.

``tflm`` is TFLite Micro's reference kernels, what a microcontroller computes; ``twin`` computes the same bits in
batches; ``litert-reference`` and ``litert`` (XNNPACK) are what a phone runs, and round differently. Interpreters of
others run in a process of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

import numpy as np

from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.integer.executors.interpreters import RowExecutor
from tinyfuse.integer.executors.twin import BatchExecutor
from tinyfuse.integer.model import Codes, IntegerModel, Tick

__all__ = ["EXECUTORS", "Executor", "check_executor", "open_executor"]


class Executor(Protocol):
    """One model loaded for execution; not safe to share between threads. Names that the model lacks are ignored."""

    name: str
    model: IntegerModel

    def run(self, codes: Codes, *, tick: Tick = ...) -> np.ndarray:
        """Compute the output codes [n, k] for input ``codes`` by name; ``tick`` is called once for each sample."""

    def tensors(self, codes: Codes) -> dict[int, np.ndarray]:
        """Compute the codes [n, ...] of every tensor of the graph that is no constant, by index, for n > 0 samples."""


EXECUTORS: dict[str, Callable[[IntegerModel], Executor]] = {
    "tflm": partial(RowExecutor, "tflm", "tflm"),
    "twin": BatchExecutor,
    "litert": partial(RowExecutor, "litert", "AUTO"),
    "litert-reference": partial(RowExecutor, "litert-reference", "BUILTIN_REF"),
}
"""Name -> what loads a model for execution."""


def open_executor(model: IntegerModel, name: str) -> Executor:
    """Load ``model`` into the executor ``name``.

    Raises :class:`UsageError` for an unknown name, :class:`ModelError` if the executor cannot run the model.
    """
    check_executor(name)
    return EXECUTORS[name](model)


def check_executor(name: str) -> None:
    """Raise :class:`UsageError` unless ``name`` is an executor."""
    if name not in EXECUTORS:
        raise UsageError(f"unknown executor '{name}'{nearest(name, EXECUTORS)}: choose one of {', '.join(EXECUTORS)}")
