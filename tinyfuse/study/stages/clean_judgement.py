"""Judging clean inputs in an interpreter, in worker processes that never load TensorFlow."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyfuse.attacks import misclassified
from tinyfuse.core.provenance import peak_memory_mib
from tinyfuse.integer.interpreters import load
from tinyfuse.integer.target import IntegerTarget
from tinyfuse.study import samples


@dataclass(frozen=True)
class Replay:
    """One judgement: ``model`` in ``executor`` on the pairs of ``clean``."""

    model: str
    executor: str
    clean: str


@dataclass(frozen=True)
class Judgement:
    """``correct`` bool [n], the seconds it took, and the peak memory in MiB of the process so far."""

    correct: np.ndarray
    seconds: float
    peak_mib: float


# The time of the last change is part of the cache's key: a file that was written anew is read anew.
@functools.lru_cache(maxsize=2)
def _target(path: str, modified_ns: int, executor: str) -> IntegerTarget:
    return IntegerTarget(load(path), executor)


@functools.lru_cache(maxsize=2)
def _clean(path: str, modified_ns: int) -> samples.Samples:
    return samples.load_clean(path)


def run(task: Replay) -> Judgement:
    """Run one task in this process."""
    began = time.monotonic()
    target = _target(task.model, Path(task.model).stat().st_mtime_ns, task.executor)
    clean = _clean(task.clean, Path(task.clean).stat().st_mtime_ns)
    correct = ~misclassified(target.logits(clean.inputs), clean.label)
    return Judgement(correct, time.monotonic() - began, peak_memory_mib())
