"""What interpreters do in a sweep, spread over worker processes: clean pairs judged again, and parity with the twin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tinyfuse.core.results import Row, row_key
from tinyfuse.nn.train_or_load import Network
from tinyfuse.study import samples
from tinyfuse.study.rows import CLEAN, Subject, outcome_key, outcome_row
from tinyfuse.study.run import Run
from tinyfuse.study.stages import clean_judgement as replay
from tinyfuse.study.stages.clean_judgement import Judgement, Replay
from tinyfuse.study.stages.convert_stage import IntegerFile
from tinyfuse.study.stages.parity import Parity, ParityTask, run_parity


@dataclass(frozen=True)
class Pending:
    """One row that is still to be measured, and the work it takes in multiply-accumulates."""

    key: str
    subject: Subject
    task: Replay | ParityTask
    cost: int


def clean_path(run: Run, count: int) -> Path:
    """The file with ``count`` clean test pairs, written if it is not there."""
    path = run.samples / f"clean__{count}__{run.dataset.checksum[:12]}.npz"
    if not path.exists():
        samples.save_clean(path, run.judged(count))
    return path


def pending_clean(run: Run, network: Network, files: list[IntegerFile]) -> Iterator[Pending]:
    """Clean rows of ``network``'s integer models in the other executors that the store does not hold yet."""
    count = run.matrix.attack_pairs
    for made in files:
        for executor in run.matrix.executors:
            subject = Subject(network.name, made.precision.name, executor, made.table["sha256"])
            task = Replay(str(made.path), executor, str(clean_path(run, count)))
            key = outcome_key(subject, run.scope, CLEAN, len(run.judged(count)), network.sha256)
            if not run.store.has(key):
                yield Pending(key, subject, task, count * made.table["macs"])


def pending_parity(run: Run, model: str, made: IntegerFile, samples: Mapping[str, Path]) -> Iterator[Pending]:
    """The parity rows of one integer model that the store does not hold yet; ``samples``: files by what they hold."""
    subject = Subject(model, made.precision.name, "tflm", made.table["sha256"])
    for where, path in samples.items():
        key = row_key({"kind": "parity", **vars(subject), **run.scope.fields(), "sample": path.name})
        if not run.store.has(key):
            task = ParityTask(str(made.path), str(path), where)
            yield Pending(key, subject, task, run.matrix.parity_samples * made.table["macs"])


class Judging:
    """Interpreters at work in ``jobs`` processes, beside whatever else the sweep does meanwhile."""

    def __init__(self, run: Run, *, jobs: int) -> None:
        self._run, self._jobs = run, jobs
        self._pending: dict[str, Pending] = {}
        self._running: list[Iterator[tuple[str, Judgement | Parity]]] = []

    @property
    def cost(self) -> int:
        """Multiply-accumulates of all that was started."""
        return sum(item.cost for item in self._pending.values())

    def start(self, work: Iterable[Pending]) -> None:
        """Begin to measure ``work``."""
        from joblib import Parallel, delayed

        # Long tasks first, so that no worker is left with one at the end.
        ordered = sorted(work, key=lambda item: (-item.cost, item.task.model))
        self._pending |= {item.key: item for item in ordered}
        if ordered:
            self._running.append(Parallel(n_jobs=self._jobs, return_as="generator_unordered", batch_size=1)(
                delayed(_keyed)(item.key, item.task) for item in ordered))

    def finish(self, tick: Callable[[int, str], None]) -> float:
        """Wait for all of it and write its rows; return the peak memory in MiB of the largest worker."""
        peak_mib = 0.0
        for results in self._running:
            for key, found in results:
                peak_mib = max(peak_mib, found.peak_mib)
                item = self._pending[key]
                self._run.store.append(_row(self._run, item, found))
                tick(item.cost, f"{item.subject.model} {item.subject.precision} {item.subject.executor}")
        return peak_mib


def _row(run: Run, item: Pending, found: Judgement | Parity) -> Row:
    if isinstance(found, Judgement):
        return outcome_row(item.key, item.subject, run.scope, CLEAN, found.correct, seconds=found.seconds)
    return {"kind": "parity", "key": item.key, "model": item.subject.model, "precision": item.subject.precision,
            "a": "twin", "b": item.subject.executor, "where": found.where, "samples": found.samples,
            "values": found.values, "differing": found.differing, "max_abs": found.max_abs,
            "argmax_differing": found.argmax_differing, "seed": run.seed, "data_checksum": run.dataset.checksum}


def _keyed(key: str, task: Replay | ParityTask) -> tuple[str, Judgement | Parity]:
    return key, run_parity(task) if isinstance(task, ParityTask) else replay.run(task)
