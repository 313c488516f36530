"""One sweep in one folder: where its files lie and on which pairs it judges."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyfuse.core.results import ResultStore
from tinyfuse.data import Dataset, Pairs
from tinyfuse.nn.train import TrainConfig
from tinyfuse.study.matrix import Matrix
from tinyfuse.study.rows import CLEAN, Scope, Subject, outcome_key, outcome_row
from tinyfuse.study.samples import Samples

SAMPLE_SEED = 0  # which test pairs are judged does not depend on the training seed, so that trainings pair up


@dataclass(frozen=True)
class Run:
    """``matrix`` on ``part`` of ``dataset`` with training ``seed``; networks go to ``models`` and rows to ``store``."""

    folder: Path
    models: Path
    matrix: Matrix
    dataset: Dataset
    seed: int
    store: ResultStore
    part: str = "test"

    @property
    def scope(self) -> Scope:
        """The data part that rows name."""
        return Scope(self.dataset, self.seed, self.part)

    @property
    def pairs(self) -> Pairs:
        """The part of the data that is judged."""
        found: Pairs = getattr(self.dataset, self.part)
        return found

    @property
    def samples(self) -> Path:
        """Folder of clean and adversarial inputs."""
        return self.folder / "samples"

    @property
    def config(self) -> TrainConfig:
        """How the networks are trained."""
        return TrainConfig(epochs=self.matrix.epochs, batch_size=self.matrix.batch_size,
                           learning_rate=self.matrix.learning_rate, seed=self.seed)

    def calibration(self) -> Pairs:
        """Training pairs that set the activation ranges."""
        return self.dataset.train.balanced(self.matrix.calibration_pairs, seed=SAMPLE_SEED)

    def judged(self, count: int) -> Samples:
        """``count`` pairs of the part with balanced classes (all pairs if it is no larger)."""
        pairs = self.pairs
        chosen = pairs if count >= len(pairs) else pairs.balanced(count, seed=SAMPLE_SEED)
        return Samples(chosen.inputs(), chosen.label)

    def judge_clean(self, subject: Subject, counts: Iterable[int], source_sha256: str,
                    judge: Callable[[Samples], np.ndarray]) -> None:
        """Append the clean rows of ``subject`` that are missing; ``judge`` returns bool [n]: correct."""
        for asked in sorted(set(counts)):
            pairs, began = self.judged(asked), time.monotonic()
            key = outcome_key(subject, self.scope, CLEAN, len(pairs), source_sha256)
            if not self.store.has(key):
                self.store.append(outcome_row(key, subject, self.scope, CLEAN, judge(pairs),
                                              seconds=time.monotonic() - began))
