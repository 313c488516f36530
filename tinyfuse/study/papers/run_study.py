"""A study from trainings to rows: independent jobs, in an order that brings the most telling rows first; resumable."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

from tinyfuse.core.console import console, progress
from tinyfuse.core.errors import DataError, UsageError
from tinyfuse.core.files import read_limited, sha256_hex, write_text
from tinyfuse.core.plain_json import parse_json
from tinyfuse.core.results import ResultStore, Row, row_key
from tinyfuse.core.strict import decode
from tinyfuse.core.workers import Processes, Task, Workers
from tinyfuse.nn.train import TrainConfig
from tinyfuse.nn.zoo import check_name
from tinyfuse.study.matrix import check_seeds
from tinyfuse.study.papers.away import task_of
from tinyfuse.study.papers.inputs import modes_for
from tinyfuse.study.papers.jobs import AnalyseJob, AttackJob, ConvertJob, Job, Site, TrainJob, do, is_integer
from tinyfuse.study.papers.paper import Paper
from tinyfuse.study.papers.verdicts import Evidence

FILE = "paper.json"  # a selection's folder holds a study.json
ROWS = "results.jsonl"
LIMIT = 1 << 20
LAST = 100
"""Jobs at the end that begin longest first, so that no worker is left with a long one; before, the most telling do."""
_ALONE = Processes()
Ended = tuple[str | None, Sequence[Row]]
"""What a job is about, and its rows; None when something has come that is worth telling."""


@dataclass(frozen=True)
class StudyFolder:
    """What ``paper.json`` holds: which study it is, on which data, and which samples belong together."""

    study: str
    quick: bool
    settings: str
    claims: str
    data: str
    data_name: str
    split: str
    seed: int
    groups: tuple[int, ...]

    def write(self, folder: Path) -> None:
        """Write it, or raise UsageError if the folder holds another study, other data or settings."""
        path = folder / FILE
        if path.exists():
            before = read_folder(folder)
            for name, value in asdict(self).items():
                found = asdict(before)[name]
                if found != value and name != "groups":
                    raise UsageError(f"{folder} holds the study of {before.study} with other {name} ({found}, now "
                                     f"{value}); give another --out, or the command that began it")
            return
        write_text(path, json.dumps(asdict(self)) + "\n")


def is_study(folder: str | Path) -> bool:
    """Whether ``folder`` is that of a study."""
    return (Path(folder) / FILE).exists()


def read_folder(folder: str | Path) -> StudyFolder:
    """Read ``paper.json``; DataError if it is damaged."""
    path = Path(folder) / FILE
    return decode(StudyFolder, parse_json(read_limited(path, LIMIT, DataError), str(path), DataError), str(path),
                  DataError)


def evidence_in(folder: Path) -> Evidence:
    """Return the rows of a study's folder, with the samples that belong together."""
    return Evidence(ResultStore(folder / ROWS).rows(), np.array(read_folder(folder).groups))


def run_study(paper: Paper, site: Site, seeds: Sequence[int], *, quick: bool, workers: Workers = _ALONE,
              after_wave: Callable[[], None] = lambda: None) -> ResultStore:
    """Bring a study to its end from wherever it stands; return its rows. Claims are in the rows before anything else.

    ``workers`` do the jobs; one that is done is not repeated, one that was interrupted begins again. ``after_wave`` is
    called whenever networks or rows have come.
    """
    check_seeds(seeds)
    check(paper, site)
    about_folder(paper, site, quick=quick).write(site.folder)
    store = ResultStore(site.folder / ROWS)
    for claim in paper.claims:
        store.append({"kind": "claim", "key": row_key({"study": paper.name, "claim": claim.sha256}),
                      "model": paper.name, "seed": site.dataset.seed, "data_checksum": site.dataset.checksum,
                      "claim": claim.name, "statement": claim.statement, "place": claim.place, "rule": claim.rule,
                      "sha256": claim.sha256})
    waves = list(waves_of(paper, seeds))
    with progress(f"study {paper.name}", sum(map(len, waves))) as advance:
        jobs = _as_ready(waves, site, workers) if workers.away else _in_waves(waves, site, workers)
        for note, rows in jobs:
            _keep(rows, store)
            if note is None:
                after_wave()
            else:
                advance(note=note)
    after_wave()
    return store


def check(paper: Paper, site: Site) -> None:
    """Raise UsageError unless the data have what the study is about; before anything is trained."""
    names = [one.name for one in site.dataset.inputs]
    if set(paper.inputs) - set(names):
        raise UsageError(f"the study {paper.name} is about {' and '.join(paper.inputs)}; the data have "
                         f"{', '.join(names)}: give data with these inputs")
    if site.samples > len(site.dataset.test):
        raise UsageError(f"the study {paper.name} judges {site.samples} test samples and the data have "
                         f"{len(site.dataset.test)}; give a larger --limit, --samples {len(site.dataset.test)}, or "
                         "--quick")
    for training in paper.trainings:
        check_name(training.network)
    for campaign in paper.campaigns:
        campaign.suite.check_norm(campaign.norm)


def about_folder(paper: Paper, site: Site, *, quick: bool) -> StudyFolder:
    """Return what the folder of this study says of itself."""
    dataset, judged = site.dataset, site.judged
    settings = repr((paper.trainings, paper.campaigns, paper.examinations, paper.epochs, paper.batch_size, site.samples,
                     [dict(one.settings) for one in paper.trainings]))
    claims = sha256_hex("".join(one.sha256 for one in paper.claims).encode())
    return StudyFolder(paper.name, quick, sha256_hex(settings.encode())[:16], claims[:16], dataset.checksum,
                       dataset.name, dataset.split, dataset.seed, tuple(int(one) for one in judged.group))


def waves_of(paper: Paper, seeds: Sequence[int]) -> Iterator[list[Job]]:
    """Yield the jobs of a study, in waves: what is in one needs nothing but earlier ones.

    Campaign by campaign, each for all training ``seeds``, so that what it tells can be judged before the next begins;
    networks are trained and converted when one needs them. No job comes twice.
    """
    seen: set[tuple[Any, ...]] = set()
    for campaign in paper.campaigns:
        chosen = [one for one in paper.trainings if one.name in campaign.trainings]
        trained = [TrainJob(one, TrainConfig(paper.epochs, paper.batch_size, seed=seed, objective=one.objective,
                                             settings=one.settings)) for seed in seeds for one in chosen]
        converted = [ConvertJob(one, seed, precision) for seed in seeds for one in chosen
                     for precision in campaign.precisions if is_integer(precision)]
        attacks = [AttackJob(one, seed, precision, attacked, campaign) for seed in seeds
                   for precision in campaign.precisions for one in chosen
                   for attacked in modes_for(one.network, paper.inputs, campaign.modes)]
        waves: tuple[Sequence[Job], ...] = (trained, converted, attacks)
        for wave in waves:
            fresh: dict[tuple[Any, ...], Job] = {job.identity: job for job in wave if job.identity not in seen}
            seen |= fresh.keys()
            yield list(fresh.values())
    for look in paper.examinations:
        yield [AnalyseJob(one, seed, look) for seed in seeds for one in paper.trainings if one.name in look.trainings]


def _in_waves(waves: Iterable[Sequence[Job]], site: Site, workers: Workers) -> Iterator[Ended]:
    """Do one wave after the other."""
    for wave in waves:
        known = [(job, job.is_done(site)) for job in wave]
        yield from ((title(job), job.rows(site)) for job, there in known if there)
        fresh = sorted((job for job, there in known if not there), key=length_rank, reverse=True)
        if fresh:
            several = min(workers.jobs, len(fresh))
            threads = max(1, len(os.sched_getaffinity(0)) // several) if several > 1 else 0
            for rows in workers.start((do, (job, site, threads)) for job in fresh):
                yield "", rows
        yield None, []


def _as_ready(waves: Iterable[Sequence[Job]], site: Site, workers: Workers) -> Iterator[Ended]:
    """Do every job as soon as what it needs is there, and a worker is free; those of earlier waves first.

    The last ones begin longest first.
    """
    jobs = {job.identity: job for wave in waves for job in wave}
    needed = {identity: job.after & jobs.keys() for identity, job in jobs.items()}
    done: set[tuple[Any, ...]] = set()
    there: SimpleQueue[Job] = SimpleQueue()

    def tasks() -> Iterator[Task | None]:
        while jobs:
            able = (identity for identity in jobs if needed[identity] <= done)
            ready = next(able, None) if len(jobs) > LAST else max(
                able, key=lambda identity: length_rank(jobs[identity]), default=None)
            if ready is None:
                yield None
            elif (job := jobs.pop(ready)).is_done(site):
                done.add(ready)
                there.put(job)
            else:
                yield task_of(job, site)

    def found() -> Iterator[Ended]:
        while not there.empty():
            job = there.get()
            yield title(job), job.rows(site)

    for made in workers.start(tasks()):
        made.write(site.folder)
        done.add(made.job)
        yield from found()
        yield "", made.rows
        yield None, []
    yield from found()


def _keep(rows: Iterable[Any], store: ResultStore) -> None:
    for row in rows:
        store.append(row)


def length_rank(job: Job) -> tuple[int, int]:
    """Rank ``job`` by how long it takes, and by how many wait for it: trainings, conversions, analyses, attacks."""
    if not isinstance(job, AttackJob):
        return [AnalyseJob, ConvertJob, TrainJob].index(type(job)) + 1, 0
    suite = job.campaign.suite
    return 0, len(job.campaign.budgets) * len(job.attacked) * sum(getattr(one, "steps", 1) for one in suite.attacks)


def title(job: Job) -> str:
    """Say in a few words what a job is about."""
    what = job.training.name
    if isinstance(job, AttackJob):
        return f"{what} {job.precision} {'+'.join(job.attacked)}"
    if isinstance(job, AnalyseJob):
        return f"{what}: {', '.join(job.examination.analyses)}"
    return f"{what} {job.precision}" if isinstance(job, ConvertJob) else what


def say_begin(paper: Paper, site: Site, seeds: Sequence[int], *, quick: bool) -> None:
    """Tell on stderr what is about to be done."""
    count = sum(map(len, waves_of(paper, seeds)))
    console.print(f"{paper.name}{' --quick' if quick else ''}: {count} jobs, training seeds "
                  f"{', '.join(map(str, seeds))}, {site.samples} test samples of {site.dataset.name}", markup=False)
