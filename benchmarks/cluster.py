"""A study on a cluster beside the same study in one process: same rows, efficiency, and how far more workers help.

    python benchmarks/cluster.py --data DIR --limit 1000 [--study li2022] [--seeds 0-2] [--out runs/cluster]
        [--table-only] [--no-killed]
    python benchmarks/cluster.py --bench [--data DIR] [--limit 100]

Runs the quick form of a study three times in one sitting: job by job in this process, on a Dask scheduler with two
workers on loopback, and there again with one worker killed (-9) in the middle of an attack. Rows must be the same, key
by key and sample by sample; everything but times counts. Workers begin without data or networks, which travel by
their content. What a process does once, however long the study (TensorFlow, the data and their front ends, compiled
kernels), every one has done before its clock begins, this one too; its length is printed, and the efficiency with and
without it. What two cores give at most is measured as well: the same work in one worker, and in both at once.

Every job is timed where it runs. From those lengths the full studies are simulated on 1 to 1,000 workers, in waves
that wait for each other, as `--jobs` does, and each job as soon as what it needs is there, as `--cluster` does; sending
data is left out. Prints Markdown.

``--bench`` does the same with a small `tinyfuse bench` of one network instead, without times: in this process, then on
two workers of which one is killed once some cells are there. Rows and attacked inputs must be the same.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tinyfuse.attacks.targets.anomaly import twin_target
from tinyfuse.cli import options
from tinyfuse.core.backend import tensorflow
from tinyfuse.core.cluster.client import Cluster, cluster
from tinyfuse.core.errors import UsageError
from tinyfuse.core.files import load_arrays, write_text
from tinyfuse.core.results import ResultStore, Row
from tinyfuse.core.workers import Processes, Task, Workers
from tinyfuse.data.sources import add_options, given_options, load_from
from tinyfuse.integer.model import load_model
from tinyfuse.nn.network import load_network
from tinyfuse.study.matrix import Matrix
from tinyfuse.study.papers import STUDIES, study_of
from tinyfuse.study.papers.away import task_of
from tinyfuse.study.papers.jobs import Job, Site
from tinyfuse.study.papers.run_study import run_study, waves_of
from tinyfuse.study.run import Run
from tinyfuse.study.sweep import sweep

MODEL = Path(__file__).resolve().parents[1] / "models" / "digits" / "late__w8.tflite"
WORKERS = (1, 2, 10, 30, 100, 300, 1000)
SIZES = sorted({round(1.1**power) for power in range(73)} | {1000})
NO_OPS, STEADY = 300, 150
TIMES = {"seconds", "train_seconds"}


@dataclass(frozen=True)
class Timing:
    """What one run took: wall and the jobs' wall and processor seconds, by kind of job."""

    wall: float
    jobs: Mapping[str, Sequence[float]]
    processor: float

    @property
    def busy(self) -> float:
        """Seconds that all jobs took."""
        return sum(map(sum, self.jobs.values()))


@dataclass(eq=False)
class Timed:
    """The ``workers``, and how long each of their tasks took where it ran."""

    workers: Workers
    lengths: dict[str, list[float]] = field(default_factory=dict)
    processor: float = 0.0

    @property
    def jobs(self) -> int:
        """See :class:`Workers`."""
        return self.workers.jobs

    @property
    def away(self) -> bool:
        """See :class:`Workers`."""
        return self.workers.away

    def start(self, tasks: Iterable[Task | None]) -> Iterator[Any]:
        """See :class:`Workers`."""
        clocked: Iterable[Any] = (None if task is None else (timed, (task[0], *task[1])) for task in tasks)
        for kind, seconds, processor, found in self.workers.start(clocked):
            self.lengths.setdefault(kind, []).append(round(seconds, 3))
            self.processor += processor
            yield found


def timed(function: Any, *arguments: Any) -> tuple[str, float, float, Any]:
    """Do a task; return the kind of its job, wall and processor seconds, and what it returns."""
    wall, processor = time.monotonic(), time.process_time()
    found = function(*arguments)
    return type(arguments[0]).__name__, time.monotonic() - wall, time.process_time() - processor, found


@dataclass(frozen=True)
class Ready:
    """A job that does what every process does once; ``number`` tells it from others."""

    number: int

    @property
    def identity(self) -> tuple[Any, ...]:
        """See :class:`Job`."""
        return (self.number,)

    def needs(self, site: Site) -> list[Path]:
        """See :class:`Job`."""
        return []

    def run(self, site: Site) -> list[Row]:
        """Load TensorFlow, the data and the kernels of the twin; return which process did, and its seconds."""
        wall, processor, dataset = time.monotonic(), time.process_time(), site.dataset
        target = twin_target(load_model(MODEL), dataset)
        samples = dataset.test.balanced(50, seed=0)
        codes = {name: grid.quantise(samples.inputs[name]).astype(np.float32)
                 for name, grid in (target.grids or {}).items()}
        target.gradient(codes, samples.label, target.inputs)
        steady(1)
        return [{"process": os.getpid(), "wall": time.monotonic() - wall, "cpu": time.process_time() - processor}]


def steady(times: int) -> float:
    """Do always the same work on one thread, forward passes of a network; return its wall seconds."""
    model = load_network(MODEL.parent / "late.keras").model
    batch = {name: tensorflow().ones((40, *shape[1:])) for name, shape in model.input_shape.items()}
    run = tensorflow().function(lambda given: model(given, training=False))
    run(batch)
    began = time.monotonic()
    for _ in range(times):
        run(batch)
    return time.monotonic() - began


def prepared(workers: Workers, site: Site, count: int) -> list[dict[str, float]]:
    """Have ``count`` processes do what each does once; return the seconds of each."""
    found: dict[int, dict[str, float]] = {}
    for attempt in range(5):
        jobs = [Ready(10 * attempt + number) for number in range(count)]
        told: list[Any] = jobs
        tasks = [task_of(job, site) if workers.away else (Ready.run, (job, site)) for job in told]
        for made in workers.start(tasks):
            (row,) = made.rows if workers.away else made
            found.setdefault(row["process"], row)
        if len(found) == count:
            return list(found.values())
    raise UsageError(f"{count} workers were asked, and {len(found)} answered")


def nothing(number: int) -> int:
    """Do nothing."""
    return number


def main() -> int:
    """Measure, or print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--study", default="li2022")
    parser.add_argument("--samples", type=options.positive, default=10)
    parser.add_argument("--seeds", type=options.seeds, default=(0, 1))
    parser.add_argument("--out", type=Path, default=Path("runs/cluster"))
    parser.add_argument("--killed", action=argparse.BooleanOptionalAction, default=True,
                        help="run a third time, with a worker killed in the middle")
    parser.add_argument("--bench", action="store_true", help="compare the rows of a small bench instead")
    parser.add_argument("--table-only", action="store_true", help="simulate and print again what --out holds")
    args = parser.parse_args()
    if args.bench:
        return bench(args)
    held = args.out / "figures.json"
    if not args.table_only:
        args.out.mkdir(parents=True, exist_ok=True)
        write_text(held, json.dumps(measure(args)) + "\n")
    figures = json.loads(held.read_text())
    others = [name for name in ("cluster", "killed") if name in figures]
    rows = {name: ResultStore(args.out / name / "results.jsonl").rows() for name in ("serial", *others)}
    for name in others:
        figures[name] |= compared(rows["serial"], rows[name])
    print("\n".join([*about(figures), "", *simulated(figures)]))
    return 1 if any(figures[run]["differing"] for run in others) else 0


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Run the study three times; return all figures."""
    for threads in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(threads, "1")  # as for a worker; the sums of a training depend on it
    paper = replace(study_of(args.study).quick(), samples=args.samples)
    found: dict[str, Any] = {"study": args.study, "seeds": list(args.seeds), "load": os.getloadavg()[0],
                             "ready": {}}

    def run(name: str, workers: Workers, count: int) -> None:
        folder = args.out / name
        shutil.rmtree(folder, ignore_errors=True)
        site = Site(folder, args.data, tuple(given_options(args).items()), paper.samples)
        found["ready"][name] = prepared(workers, site, count)
        counted, began = Timed(workers), time.monotonic()
        run_study(paper, site, args.seeds, quick=True, workers=counted)
        found[name] = asdict(Timing(round(time.monotonic() - began, 2), counted.lengths, round(counted.processor, 2)))

    run("serial", Processes(), 1)
    with loopback(args.out / "first") as (address, _), cluster(address) as workers:
        run("cluster", workers, 2)
        found["hand_out"] = hand_out(workers)
        found["sent_bytes"], found["sent_seconds"] = sending(workers, args.out)
        found["steady"] = [max(workers.start((steady, (STEADY,)) for _ in range(count))) for count in (1, 2)]
    if args.killed:
        with loopback(args.out / "second") as (address, pids), cluster(address) as workers:
            killer = threading.Thread(target=kill_one, args=(pids, args.out / "killed" / "jobs"), daemon=True)
            killer.start()
            run("killed", workers, 2)
    return found


def bench(args: argparse.Namespace) -> int:
    """Run a small bench here and on two workers, one of them killed; print what differs."""
    matrix = Matrix(models=("plain-late",), recipes=("w6", "minmax6"), mixes=(), epsilons=(0.05, 0.15), steps=2,
                    attack_samples=10, clean_samples=10, raw_samples=5, parity_samples=10, calibration_samples=20,
                    proof_samples=2, epochs=1, batch_size=50, transfer_from=("float", "w6"))
    dataset, here, there = load_from(args), args.out / "bench-serial", args.out / "bench-killed"
    for threads in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(threads, "1")

    def run(folder: Path, workers: Workers) -> list[Row]:
        store = ResultStore(folder / "results.jsonl")
        sweep(Run(folder, folder / "models", matrix, dataset, args.seed, store), workers, attack_here=not workers.away)
        return store.rows()

    for folder in (here, there):
        shutil.rmtree(folder, ignore_errors=True)
    serial = run(here, Processes())
    shutil.copytree(here / "models", there / "models")
    with loopback(args.out / "third") as (address, pids), cluster(address) as workers:
        threading.Thread(target=kill_one, args=(pids, there / "samples", "plain-late__*"), daemon=True).start()
        counted = Timed(workers)
        found = compared(serial, run(there, counted))
    cells = sorted(path.name for path in (here / "samples").glob("plain-late__*"))
    unlike = sum(not same_arrays(here / "samples" / name, there / "samples" / name) for name in cells)
    jobs = len(counted.lengths.get("tuple", ()))  # each begins with its identity
    print(f"bench, one of two workers killed: {jobs} attack jobs; {found['rows']} rows, {found['survivors']} with "
          f"survivors, {found['differing']} differing; {len(cells)} cells, {unlike} with other inputs")
    return 1 if found["differing"] or unlike else 0


def same_arrays(first: Path, other: Path) -> bool:
    """Tell whether two files of a cell hold the same, but for the clock."""
    mine, theirs = load_arrays(first), load_arrays(other)
    return mine.keys() == theirs.keys() and all(np.array_equal(mine[name], theirs[name]) for name in mine
                                                if name not in TIMES)


@contextmanager
def loopback(folder: Path) -> Iterator[tuple[str, list[int]]]:
    """Yield the address of a scheduler with two workers, and the process numbers of these; their cache is empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    dask = [sys.executable, "-m", "dask"]
    environment = {**os.environ, "TINYFUSE_CACHE": str(folder.resolve() / "cache")}
    with (folder / "log").open("w") as log:
        started = [subprocess.Popen([*dask, *arguments, "--no-dashboard"], env=environment, stdout=log, stderr=log)
                   for arguments in (["scheduler", "--host", address],
                                     ["worker", address, "--nworkers", "2", "--nthreads", "1", "--local-directory",
                                      str(folder)])]
        try:
            yield address, up(address)
        finally:
            for process in reversed(started):
                process.terminate()
                process.wait()


def up(address: str) -> list[int]:
    """Wait for two workers; return their process numbers."""
    for _ in range(60):
        try:
            with cluster(address) as found:
                found.client.wait_for_workers(2, timeout=120)
                return list(found.client.run(os.getpid).values())
        except UsageError:
            time.sleep(1)
    raise UsageError(f"no cluster came up at {address}")


def kill_one(pids: Sequence[int], jobs: Path, left: str = "*.jsonl") -> None:
    """Kill one worker once some jobs have ``left`` files."""
    while len(list(jobs.glob(left))) < 8:
        time.sleep(0.1)
    time.sleep(0.5)
    os.kill(pids[0], signal.SIGKILL)


def hand_out(workers: Cluster) -> float:
    """Return the seconds that a task takes beside its work, when no worker is idle."""
    list(workers.start((nothing, (number,)) for number in range(20)))
    began = time.monotonic()
    list(workers.start((nothing, (number,)) for number in range(NO_OPS)))
    return (time.monotonic() - began) / NO_OPS


def sending(workers: Cluster, folder: Path) -> tuple[int, float]:
    """Return bytes and seconds of a file that no worker has."""
    path = folder / "noise.bin"
    path.write_bytes(os.urandom(64 << 20))
    began = time.monotonic()
    list(workers.start([(str, (path,))]))
    return path.stat().st_size, time.monotonic() - began


def compared(serial: Sequence[Row], other: Sequence[Row]) -> dict[str, int]:
    """Count rows, and those that are missing, more, or differ in anything but times."""
    plain = [{row["key"]: {name: value for name, value in row.items() if name not in TIMES}
              for row in rows if row.get("quantity") not in TIMES} for rows in (serial, other)]
    keys = plain[0].keys() | plain[1].keys()
    return {"rows": len(plain[0]), "survivors": sum("survivors" in row for row in plain[0].values()),
            "differing": sum(plain[0].get(key) != plain[1].get(key) for key in keys)}


def about(figures: Mapping[str, Any]) -> Iterator[str]:
    """Yield what was measured, as Markdown."""
    serial, two = (Timing(*(figures[name][one] for one in ("wall", "jobs", "processor")))
                   for name in ("serial", "cluster"))
    count = sum(map(len, serial.jobs.values()))
    yield (f"{figures['study']} --quick, training seeds {', '.join(map(str, figures['seeds']))}: {count} jobs; load of "
           f"the machine at the start {figures['load']:.1f}.\n")
    yield "| run | wall s | jobs, wall s | jobs, processor s | rows | with survivors | differing |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for name, title in (("serial", "one process"), ("cluster", "two workers"), ("killed", "two workers, one killed")):
        if (one := figures.get(name)) is None:
            continue
        yield (f"| {title} | {one['wall']:.1f} | {sum(map(sum, one['jobs'].values())):.1f} | {one['processor']:.1f} | "
               f"{one.get('rows', '')} | {one.get('survivors', '')} | {one.get('differing', '')} |")
    once = [max(row["wall"] for row in figures["ready"][name]) for name in ("serial", "cluster")]
    alone, both = figures["steady"]
    whole = (serial.wall + once[0]) / (2 * (two.wall + once[1]))
    yield (f"\nEfficiency at two workers, serial wall / (2 x wall): {serial.wall / (2 * two.wall):.2f}; with what "
           f"every process does once, {once[0]:.1f} s here and {once[1]:.1f} s in the slower worker: {whole:.2f}. The "
           f"same work takes both workers at once {both / alone:.2f} times as long as one alone, which allows "
           f"{alone / both:.2f}. Share of the time that workers spend in jobs: {two.busy / (2 * two.wall):.2f}; "
           f"processor seconds of the jobs, serial / cluster: {serial.processor / two.processor:.2f}.")
    yield (f"A task takes {1000 * figures['hand_out']:.1f} ms beside its work; "
           f"{figures['sent_bytes'] / figures['sent_seconds'] / 1e6:.0f} MB/s of files reach a worker.")


def simulated(figures: Mapping[str, Any]) -> Iterator[str]:
    """Yield how long the full studies would take on more workers, as Markdown."""
    lengths = figures["cluster"]["jobs"]
    means = {kind: sum(found) / len(found) for kind, found in lengths.items()}
    yield ("Simulated from these lengths (seconds on average: " +
           ", ".join(f"{kind.removesuffix('Job').lower()} {mean:.1f}" for kind, mean in means.items()) +
           "); efficiency in percent, waves / as soon as ready.\n")
    yield f"| study | jobs | {' | '.join(f'{count} workers' for count in WORKERS)} | below 50 % from |"
    yield f"| --- | ---: | {'---: | ' * len(WORKERS)}---: |"
    for name, paper in STUDIES.items():
        waves = [wave for wave in waves_of(paper, tuple(range(paper.trainings_needed))) if wave]
        draw = random.Random(0)
        took = {job.identity: draw.choice(lengths[type(job).__name__]) for wave in waves for job in wave
                if type(job).__name__ in lengths}
        known = [[job for job in wave if job.identity in took] for wave in waves]
        total = sum(took.values())

        def share(workers: int, ready: bool, *, known: Any = known, took: Any = took, total: float = total) -> float:
            return total / (workers * schedule(known, took, workers, figures["hand_out"], ready=ready))

        stops = [next((count for count in SIZES if share(count, ready) < 0.5), None) for ready in (False, True)]
        cells = [" / ".join(f"{100 * share(count, ready):.0f}" for ready in (False, True)) for count in WORKERS]
        yield (f"| {name} | {len(took)} | {' | '.join(cells)} | "
               f"{' / '.join(str(stop or 'over 1000') for stop in stops)} |")


def schedule(waves: Sequence[Sequence[Job]], took: Mapping[Any, float], workers: int, hand_out: float, *,
             ready: bool) -> float:
    """Return the seconds of a study: jobs in their order, each to the worker that is free first.

    One process hands them out, ``hand_out`` seconds each. ``ready``: a job waits for what it needs, not for its wave.
    """
    free = [0.0] * workers
    near, barrier, done = 0.0, 0.0, dict[Any, float]()
    for wave in waves:
        for job in wave:
            begin = max((done.get(one, 0.0) for one in job.after), default=0.0) if ready else barrier
            near = max(near, free[0]) + hand_out
            end = max(near, begin) + took[job.identity]
            heapq.heapreplace(free, end)
            done[job.identity] = end
        barrier = max(free)
    return max(free)


if __name__ == "__main__":
    raise SystemExit(main())
