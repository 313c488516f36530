"""One candidate, converted and measured: clean, and attacked white-box on its own integers, sample by sample."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tinyfuse.attacks import Threat, TwinTarget, code_problem, misclassified
from tinyfuse.attacks.profiles import Profile
from tinyfuse.attacks.suite import Cell, run_suite
from tinyfuse.integer.interpreters import load
from tinyfuse.search.costs import arena_bytes


@dataclass(frozen=True, eq=False)
class Exam:
    """Held-out pairs (``inputs`` float32 [n, ...] by name, ``labels`` int [n]) and the attacks on them.

    ``suite`` runs in each of ``modes`` (attacked modalities by name) at L-inf ``epsilon``, threat model G.
    """

    inputs: Mapping[str, np.ndarray] = field(repr=False)
    labels: np.ndarray = field(repr=False)
    modes: Mapping[str, tuple[str, ...]]
    suite: Profile
    epsilon: float


@dataclass(frozen=True, eq=False)
class Outcome:
    """Bool [n], still correct: on the ``clean`` pairs, and by attacked mode in the worst case over the suite.

    ``arena_bytes``: what the firmware plans for it.
    """

    clean: np.ndarray
    robust: Mapping[str, np.ndarray]
    arena_bytes: int
    seconds: float


def examine(data: bytes, name: str, exam: Exam) -> Outcome:
    """Judge the ``.tflite`` in ``data`` on its twin.

    Raises:
        ModelError: it is not one that the twin computes exactly.
    """
    began = time.monotonic()
    model = load(data, name=name)
    target = TwinTarget(model)
    grids = target.grids or {}
    inputs = {key: values for key, values in exam.inputs.items() if key in grids}
    cells: list[Cell] = []
    batch: Mapping[str, np.ndarray] = {}
    for mode, names in exam.modes.items():
        threat, batch = code_problem(Threat("linf", dict.fromkeys(names, exam.epsilon)), inputs, grids, "codes")
        cells.append(Cell(mode, exam.epsilon, threat))
    clean = ~misclassified(target.logits(batch), exam.labels)
    robust = {outcome.cell.mode: ~outcome.broken for outcome in
              run_suite(target, batch, exam.labels, cells, exam.suite, by_attack=False)}
    return Outcome(clean, robust, arena_bytes(model), time.monotonic() - began)


def modes_of(modalities: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Each modality alone, and all of them together where there are several."""
    found: dict[str, tuple[str, ...]] = {name: (name,) for name in modalities}
    return {**found, "both": tuple(modalities)} if len(modalities) > 1 else found
