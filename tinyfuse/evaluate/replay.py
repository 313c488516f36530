"""Judging saved inputs on an integer model, in worker processes that never load TensorFlow."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyfuse.attacks import Batch, Threat, audit, misclassified, to_codes
from tinyfuse.evaluate import samples
from tinyfuse.files import load_arrays
from tinyfuse.integer.interpreters import load
from tinyfuse.integer.target import IntegerTarget
from tinyfuse.provenance import peak_memory_mib


@dataclass(frozen=True)
class Replay:
    """One judgement: ``model`` in ``executor`` on the pairs of ``clean``, or on ``adversarial`` made from them.

    ``threat`` says what the adversarial inputs were allowed; they are brought onto the model's input grid
    within that budget (threat model G) and audited before they count.
    """

    model: str
    executor: str
    clean: str
    adversarial: str | None = None
    threat: Threat | None = None


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


def still_correct(target: IntegerTarget, clean: samples.Samples, adversarial: Batch | None = None,
                  threat: Threat | None = None) -> np.ndarray:
    """Bool [n]: the arg-max of ``target`` on ``adversarial`` inputs (default: the clean ones) is the label.

    Adversarial inputs are brought onto the input grid within the budget of ``threat`` and audited first.
    """
    if adversarial is None or threat is None:
        return ~misclassified(target.logits(clean.inputs), clean.label)
    codes = to_codes(adversarial, clean.inputs, threat, target.grids)
    audit(codes, clean.inputs, threat, target.grids)
    return ~misclassified(target.judge(codes), clean.label)


def run(task: Replay) -> Judgement:
    """Run one task in this process."""
    began = time.monotonic()
    target = _target(task.model, Path(task.model).stat().st_mtime_ns, task.executor)
    clean = _clean(task.clean, Path(task.clean).stat().st_mtime_ns)
    adversarial = None if task.adversarial is None else {**clean.inputs, **load_arrays(task.adversarial)}
    correct = still_correct(target, clean, adversarial, task.threat)
    return Judgement(correct, time.monotonic() - began, peak_memory_mib())
