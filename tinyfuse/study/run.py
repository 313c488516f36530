"""One sweep in one folder: where its files lie and on which samples it judges."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tinyfuse.core.results import ResultStore
from tinyfuse.data import Dataset, Samples
from tinyfuse.study.matrix import Matrix
from tinyfuse.study.rows import SAMPLE_SEED, OutcomeLog, Scope


@dataclass(frozen=True)
class Run:
    """``matrix`` on ``part`` of ``dataset`` with training ``seed``; networks go to ``models`` and rows to ``store``.

    ``retrain``: train also the networks that come with the package.
    """

    folder: Path
    models: Path
    matrix: Matrix
    dataset: Dataset
    seed: int
    store: ResultStore
    part: str = "test"
    retrain: bool = False

    def trainings(self) -> Iterator[Run]:
        """Yield this run for each training seed of the matrix, by default its own; all judge the same samples.

        Networks of the seed of the data lie in ``models``, those of another one in a folder ``seed-S`` of it.
        """
        for seed in self.matrix.seeds or (self.seed,):
            own = self.models if seed == self.dataset.seed else self.models / f"seed-{seed}"
            yield replace(self, seed=seed, models=own)

    @property
    def log(self) -> OutcomeLog:
        """What writes the outcome rows."""
        return OutcomeLog(self.store, Scope(self.dataset, self.seed, self.part))

    @property
    def everything(self) -> Samples:
        """The part of the data that is judged."""
        return self.dataset.part(self.part)

    @property
    def samples(self) -> Path:
        """Folder of clean and adversarial inputs."""
        return self.folder / "samples"

    def judged(self, count: int) -> Samples:
        """Take ``count`` samples of the part with balanced classes (all of them if it has no more)."""
        everything = self.everything
        return everything.loaded() if count >= len(everything) else everything.balanced(count, seed=SAMPLE_SEED)
