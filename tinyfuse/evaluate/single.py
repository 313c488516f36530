"""One attack on one network: rows of the float network, and of an integer model that its inputs are replayed on."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyfuse.attacks import Adversarial, KerasTarget, Threat, misclassified
from tinyfuse.data import Dataset
from tinyfuse.errors import UsageError
from tinyfuse.evaluate.crafting import Crafted, attacked, craft
from tinyfuse.evaluate.matrix import Matrix
from tinyfuse.evaluate.replay import still_correct
from tinyfuse.evaluate.rows import CLEAN, Attacked, Scope, Subject, outcome_key, outcome_row
from tinyfuse.evaluate.samples import Samples
from tinyfuse.integer.interpreters import IntegerModel
from tinyfuse.integer.target import IntegerTarget
from tinyfuse.nn.fusion import modalities_of
from tinyfuse.nn.obtain import Network
from tinyfuse.results import Row

BATCH = 50


@dataclass(frozen=True)
class Single:
    """One attack under ``threat`` on test pairs of ``dataset``, with the settings of ``matrix`` (one of each)."""

    matrix: Matrix
    threat: Threat
    mode: str
    dataset: Dataset

    @property
    def crafted(self) -> Crafted:
        """The plan entry of this attack; its inputs are not saved."""
        return Crafted(Path(), self.mode, self.matrix.attacks[0], self.matrix.epsilons[0], self.threat)

    def clean(self) -> Samples:
        """The attacked test pairs."""
        pairs = self.dataset.test.balanced(self.matrix.attack_pairs, seed=0)
        return Samples(pairs.inputs(), pairs.label)


def request(dataset: Dataset, *, attack: str, mode: str, epsilon: Mapping[str, float], norm: str, steps: int,
            random_start: bool, pairs: int) -> Single:
    """Check and bundle the settings of one attack; ``epsilon`` has one budget for each attacked modality."""
    matrix = Matrix(attacks=(attack,), norm=norm, steps=steps, random_start=random_start, attack_pairs=pairs,
                    epsilons=(max(epsilon.values()),))
    return Single(matrix, Threat(norm, epsilon), mode, dataset)


def attack_float(network: Network, single: Single) -> tuple[Adversarial, list[Row]]:
    """Attack ``network``; return its inputs and the rows clean, any iterate, last iterate."""
    if not set(single.threat.modalities) <= set(modalities_of(network.name)):
        raise UsageError(f"'{network.name}' does not look at {' and '.join(single.threat.modalities)}; "
                         f"attack {' or '.join(modalities_of(network.name))}")
    clean, began = single.clean(), time.monotonic()
    target = KerasTarget(network.model, batch_size=min(BATCH, len(clean)))
    correct = ~misclassified(target.logits(clean.inputs), clean.label)
    found = craft(target, clean, single.crafted, single.matrix)
    seconds = time.monotonic() - began
    scope = Scope(single.dataset, int(network.table["training"]["seed"]))
    subject = Subject(network.name, "float", "keras", network.sha256)
    settings = [attacked(single.matrix, single.crafted, name, "real") for name in ("any-iterate", "last-iterate")]
    judged = [(CLEAN, correct), (settings[0], ~found.broken), (settings[1], ~found.broken_last)]
    return found, _rows(subject, scope, judged, seconds)


def replay_on(integer: IntegerModel, subject: Subject, found: Adversarial, single: Single, *, seed: int) -> list[Row]:
    """Judge clean pairs and ``found``, brought onto the integer input grid within the budget, on ``integer``."""
    clean, began = single.clean(), time.monotonic()
    target = IntegerTarget(integer, subject.executor)
    settings = attacked(single.matrix, single.crafted, "replayed", "codes")
    judged = [(CLEAN, still_correct(target, clean)),
              (settings, still_correct(target, clean, found.strongest, single.threat))]
    return _rows(subject, Scope(single.dataset, seed), judged, time.monotonic() - began)


def _rows(subject: Subject, scope: Scope, judged: Sequence[tuple[Attacked, np.ndarray]], seconds: float) -> list[Row]:
    return [outcome_row(outcome_key(subject, scope, settings, len(correct), subject.sha256), subject, scope, settings,
                        correct, seconds=seconds) for settings, correct in judged]
