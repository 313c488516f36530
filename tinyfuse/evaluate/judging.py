"""The judging step of a sweep: saved inputs on every integer model, spread over worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tinyfuse.evaluate import replay, samples
from tinyfuse.evaluate.conversion import IntegerFile
from tinyfuse.evaluate.crafting import attacked, plan
from tinyfuse.evaluate.replay import Judgement, Replay
from tinyfuse.evaluate.rows import CLEAN, Attacked, Subject, outcome_key, outcome_row
from tinyfuse.evaluate.run import Run
from tinyfuse.nn.obtain import Network


@dataclass(frozen=True)
class Pending:
    """One row that is still to be measured, and the work it takes in multiply-accumulates."""

    key: str
    subject: Subject
    attacked: Attacked
    task: Replay
    cost: int


def clean_path(run: Run, count: int) -> Path:
    """The file with ``count`` clean test pairs, written if it is not there."""
    path = run.samples / f"clean__{count}__{run.dataset.checksum[:12]}.npz"
    if not path.exists():
        samples.save_clean(path, run.judged(count))
    return path


def pending(run: Run, network: Network, files: list[IntegerFile]) -> Iterator[Pending]:
    """Rows of ``network``'s integer models that the store does not hold yet."""
    counts = {len(run.judged(n)): n for n in (run.matrix.attack_pairs, run.matrix.clean_pairs)}
    few = len(run.judged(run.matrix.attack_pairs))
    crafts = plan(run.matrix, Subject(network.name, "float", "keras", network.sha256), run.samples, run.scope)
    for made in files:
        for executor in run.matrix.executors:
            subject = Subject(network.name, made.precision.name, executor, made.table["sha256"])
            planned = [(CLEAN, n, Replay(str(made.path), executor, str(clean_path(run, asked))))
                       for n, asked in counts.items()]
            planned += [(attacked(run.matrix, crafted, "replayed", "codes"), few,
                         Replay(str(made.path), executor, str(clean_path(run, run.matrix.attack_pairs)),
                                str(crafted.path), crafted.threat))
                        for crafted in crafts]
            for settings, n, task in planned:
                key = outcome_key(subject, run.scope, settings, n, network.sha256)
                if not run.store.has(key):
                    yield Pending(key, subject, settings, task, n * made.table["macs"])


def judge_all(run: Run, work: list[Pending], *, jobs: int, tick: Callable[[int, str], None]) -> float:
    """Measure ``work`` with ``jobs`` processes; each row is written as soon as it is there.

    Returns the peak memory in MiB of the largest worker, 0 if there was nothing to do.
    """
    from joblib import Parallel, delayed

    by_key = {item.key: item for item in work}
    # Long tasks first, so that no worker is left with one at the end.
    ordered = sorted(work, key=lambda item: (-item.cost, item.task.model))
    results = Parallel(n_jobs=min(jobs, max(len(work), 1)), return_as="generator_unordered", batch_size=1)(
        delayed(_keyed)(item.key, item.task) for item in ordered)
    peak_mib = 0.0
    for key, judgement in results:
        peak_mib = max(peak_mib, judgement.peak_mib)
        item = by_key[key]
        run.store.append(outcome_row(key, item.subject, run.scope, item.attacked, judgement.correct,
                                     seconds=judgement.seconds))
        tick(item.cost, f"{item.subject.model} {item.subject.precision} {item.subject.executor}")
    return peak_mib


def _keyed(key: str, task: Replay) -> tuple[str, Judgement]:
    return key, replay.run(task)
