"""What interpreters judge again in a sweep, in processes without TensorFlow: clean samples, and parity with the twin.

Of everything that was judged by the twin, a seeded sample runs on TFLite Micro: 0 values may differ.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tinyfuse.attacks import misclassified
from tinyfuse.attacks.suite import CellKey
from tinyfuse.attacks.targets.anomaly import AnomalyTwin, IntegerTarget, read_out, twin_target
from tinyfuse.core.files import load_arrays, save_arrays
from tinyfuse.core.provenance import peak_memory_mib
from tinyfuse.core.results import row_key
from tinyfuse.core.workers import Task, Workers
from tinyfuse.integer.class_values import class_values
from tinyfuse.integer.executors import open_executor
from tinyfuse.integer.executors.installed import ORACLE, is_here
from tinyfuse.integer.model import load_model
from tinyfuse.nn.network import Network
from tinyfuse.study.cell_study import CellStudy
from tinyfuse.study.rows import CLEAN, SAMPLE_SEED, Subject, outcome_key, parity_row
from tinyfuse.study.run import Run
from tinyfuse.study.stages.convert import IntegerFile


@dataclass(frozen=True)
class Pending:
    """One row that is still to be measured by ``work``, and the multiply-accumulates that it takes on ``model``.

    The task ``work`` returns which samples are correct, bool [n], for a clean row (``made_by``: the digest in its key),
    or else the measured fields of a parity row.
    """

    key: str
    subject: Subject
    model: str
    cost: int
    work: Task
    made_by: str = ""


def clean_path(run: Run, count: int) -> Path:
    """Find the file with ``count`` clean samples, written if it is not there."""
    path = run.samples / f"clean__{count}__{run.dataset.checksum[:12]}.npz"
    if not path.exists():
        samples = run.judged(count)
        save_arrays(path, {**samples.inputs, "label": samples.label})
    return path


def pending_clean(run: Run, network: Network, files: Iterable[IntegerFile]) -> Iterator[Pending]:
    """Yield the missing clean rows of ``network``'s integer models in the other executors."""
    count = run.matrix.attack_samples
    for made in files:
        for executor in run.matrix.executors:
            subject = made.subject(network, executor)
            key = outcome_key(subject, run.log.scope, CLEAN, len(run.judged(count)), network.sha256)
            if not run.store.has(key):
                work = _judge_clean, (made.path, executor, clean_path(run, count), threshold(run, made))
                yield Pending(key, subject, str(made.path), count * made.table["macs"], work, network.sha256)


def pending_parity(run: Run, network: Network, made: IntegerFile, samples: Mapping[str, Path]) -> Iterator[Pending]:
    """Yield the missing parity rows of one integer model; ``samples``: files by what they hold.

    None without TFLite Micro, which the checks then miss.
    """
    subject = made.subject(network, ORACLE)
    for where, path in samples.items() if is_here(ORACLE) else ():
        key = row_key({"kind": "parity", **vars(subject), **run.log.scope.fields(), "sample": path.name})
        if not run.store.has(key):
            work = compare_with_twin, (made.path, subject.executor, path, where)
            yield Pending(key, subject, str(made.path), run.matrix.parity_samples * made.table["macs"], work)


def write_samples(stem: Path, target: IntegerTarget, studies: Sequence[CellStudy], count: int) -> dict[str, Path]:
    """Choose ``count`` adversarial inputs, evenly over modes and budgets, and save their codes with the twin's outputs.

    Where the attacks left fewer, corners of the balls with random signs fill up, in a file of their own. Returns the
    paths by what they hold: "adversarial" or "corners".
    """
    rng = np.random.default_rng(SAMPLE_SEED)
    cells = [(study, key) for study in studies for key in study.keys]
    chosen = _deal([rng.permutation(len(study.saved(key)["rows"])) for study, key in cells], count)
    parts = [_codes(*cell, places) for cell, places in zip(cells, chosen, strict=True) if len(places)]
    missing = count - sum(map(len, chosen))
    fill = [_corners(*cells[number % len(cells)], rng) for number in range(missing)]
    paths = {}
    for what, found in (("adversarial", parts), ("corners", fill)):
        if found:
            paths[what] = stem.with_name(f"{stem.name}__{what}.npz")
            _write(paths[what], target, {name: np.concatenate([part[name] for part in found])
                                         for name in target.inputs})
    return paths


def _write(path: Path, target: IntegerTarget, codes: dict[str, np.ndarray]) -> None:
    if not path.exists():
        output = target.twin.run(codes)
        save_arrays(path, {**{name: values.astype(np.int16) for name, values in codes.items()},
                           "output": output.reshape(len(output), -1).astype(np.int16)})


def _deal(heaps: Sequence[np.ndarray], count: int) -> list[np.ndarray]:
    """Draw ``count`` entries from ``heaps``, one of each in turn, until they are used up."""
    sizes, drawn = np.array([len(heap) for heap in heaps]), np.zeros(len(heaps), int)
    while drawn.sum() < min(count, sizes.sum()):
        left = np.flatnonzero(drawn < sizes)[:count - drawn.sum()]
        drawn[left] += 1
    return [heap[:size] for heap, size in zip(heaps, drawn, strict=True)]


def _codes(study: CellStudy, key: CellKey, places: np.ndarray) -> dict[str, np.ndarray]:
    """Return the saved inputs ``places`` of one cell as complete codes."""
    held, (_, clean) = study.saved(key), study.problem
    codes = {name: values[held["rows"][places]].astype(np.int32) for name, values in clean.items()}
    return codes | {name: held[name][places].astype(np.int32) for name in study.modes[key[0]]}


def _corners(study: CellStudy, key: CellKey, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Move one sample by the whole budget in a random direction at each coordinate."""
    threat, batch = replace(study.threat_model, world="codes").problem(study.budget_of[key], study.samples.inputs)
    row = rng.integers(0, len(study.samples), 1)
    clean = {name: values[row] for name, values in batch.items()}
    moved = {name: clean[name] + threat.budget[name] * rng.choice([-1.0, 1.0], clean[name].shape).astype(np.float32)
             for name in threat.attacked}
    corner = threat.take(row).project({**clean, **moved}, clean)
    return {name: values.astype(np.int32) for name, values in threat.take(row).realise(corner, clean).items()}


class Interpreters:
    """Interpreters that ``workers`` run, beside whatever else the sweep does meanwhile."""

    def __init__(self, run: Run, workers: Workers) -> None:
        self._run, self._workers = run, workers
        self._pending: dict[str, Pending] = {}
        self._running: list[Iterator[tuple[str, np.ndarray | dict[str, Any], float, float]]] = []

    @property
    def cost(self) -> int:
        """Multiply-accumulates of all that was started."""
        return sum(item.cost for item in self._pending.values())

    def start(self, work: Iterable[Pending]) -> None:
        """Begin to measure ``work``."""
        # Long tasks first, so that no worker is left with one at the end.
        ordered = sorted(work, key=lambda item: (-item.cost, item.model))
        self._pending |= {item.key: item for item in ordered}
        if ordered:
            self._running.append(self._workers.start((_measured, (item.key, item.work[0], *item.work[1]))
                                                     for item in ordered))

    def finish(self, tick: Callable[[int, str], None] = lambda cost, note: None) -> float:
        """Wait for all of it and write its rows; return the peak memory in MiB of the largest worker."""
        peak_mib = 0.0
        for results in self._running:
            for key, found, seconds, mib in results:
                peak_mib, item = max(peak_mib, mib), self._pending[key]
                run, subject = self._run, item.subject
                if isinstance(found, np.ndarray):
                    run.log.write(subject, CLEAN, item.made_by, found, seconds=seconds)
                else:
                    run.store.append(parity_row(key, run.log.scope, subject, found))
                tick(item.cost, f"{subject.model} {subject.precision} {subject.executor}")
        return peak_mib


def _measured(key: str, work: Callable[..., Any], *arguments: Any) -> tuple[str, Any, float, float]:
    """Return ``key``, what ``work(*arguments)`` returns, its seconds, and the peak memory of this process in MiB."""
    began = time.monotonic()
    return key, work(*arguments), time.monotonic() - began, peak_memory_mib()


def threshold(run: Run, made: IntegerFile) -> float | None:
    """Return the threshold of the anomaly score of an autoencoder; None for a model that returns classes."""
    target = twin_target(load_model(made.path), run.dataset)
    return target.threshold if isinstance(target, AnomalyTwin) else None


def _judge_clean(model: Path, executor: str, clean: Path, threshold: float | None) -> np.ndarray:
    """Return which samples in the file ``clean`` an executor classifies correctly, bool [n]."""
    opened, inputs = load_model(model), load_arrays(clean, "label")
    label, codes = inputs.pop("label"), opened.codes_of(inputs)
    outputs = open_executor(opened, executor).run(codes)
    logits = (class_values(outputs, opened) if threshold is None else
              read_out(AnomalyTwin(opened, threshold), outputs, codes))
    return ~misclassified(logits, label)


def compare_with_twin(model: Path, executor: str, sample: Path, where: str) -> dict[str, Any]:
    """Run the codes in the file ``sample`` on ``model``; return fields of a row: how many output codes differ."""
    held = load_arrays(sample, "output")
    expected = held.pop("output").astype(np.int64)
    opened = load_model(model)
    found = open_executor(opened, executor).run(held).astype(np.int64)
    gap = np.abs(found - expected)
    return {"a": "twin", "b": executor, "where": where, "samples": len(gap), "values": gap.size,
            "differing": int(np.count_nonzero(gap)), "max_abs": int(gap.max(initial=0)),
            "argmax_differing": int(np.sum(class_values(found, opened).argmax(1) !=
                                           class_values(expected, opened).argmax(1)))}
