"""Certificates over the integers: sandwich, escapes, speed and shares.

    python benchmarks/certificates.py --data DIR [--limit N] [--small] [--epsilon image=0.1,audio=0.02]
        [--seconds-per-sample 10] MODEL.tflite ...

1. Sandwich: every sample that is certified is attacked: PGD with restarts, Square, NES (profile ``strong``) and random
   corners of its ball; a certified sample that breaks is a violation, of which there must be none.
2. Escapes: every value of every tensor for random points and corners of random boxes, beside its interval.
3. Speed: intervals and forward passes of the twin in turns, in one run.
4. Shares: certified, falsified and open by network, width and inputs attacked, with 95 % intervals over utterances.

``--small`` is a run of minutes. Without it: 10^6 attacked points and 10^8 values or more.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tinyfuse import api
from tinyfuse.analyses.certificates.ball import Ball
from tinyfuse.analyses.certificates.intervals import Intervals
from tinyfuse.analyses.certificates.rules import Box
from tinyfuse.attacks.adversarial import misclassified
from tinyfuse.attacks.profiles import profile
from tinyfuse.attacks.suite import Cell, run_suite
from tinyfuse.attacks.targets.twin_target import TwinTarget
from tinyfuse.cli import options
from tinyfuse.core.results import Row
from tinyfuse.data import Dataset
from tinyfuse.data.sources import add_options, load_from
from tinyfuse.integer.model import load_model
from tinyfuse.study.rows import SAMPLE_SEED
from tinyfuse.threats.code_threats import code_problem
from tinyfuse.threats.threat import Threat

BATCH = 128


@dataclass(frozen=True)
class Size:
    """How much is measured of each model; ``strong``: attacked by that profile, else by PGD of 5 steps."""

    samples: int
    points: int
    values: int
    speed: int
    strong: bool


FULL, SMALL = Size(500, 400_000, 50_000_000, 512, True), Size(50, 2_000, 500_000, 64, False)


def main() -> int:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("models", nargs="+", metavar="MODEL.tflite")
    parser.add_argument("--epsilon", type=options.budgets, default={"image": 0.1, "audio": 0.02})
    parser.add_argument("--codes", type=options.budgets, help="whole codes instead")
    parser.add_argument("--seconds-per-sample", type=float, default=0.0, metavar="S", help="of branch and bound")
    parser.add_argument("--small", action="store_true", help="few of everything, and PGD of 5 steps")
    for name in ("samples", "points", "values"):
        parser.add_argument(f"--{name}", type=options.positive, help=f"{name} of each model instead")
    return options.guarded(run, parser.parse_args())


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    dataset, size = load_from(args), SMALL if args.small else FULL
    own = {name: getattr(args, name) for name in ("samples", "points", "values") if getattr(args, name)}
    size = replace(size, **own)
    print("| model | attacked | certified % | falsified % | open % | seconds |\n|---|---|---|---|---|---|")
    totals = np.zeros(4, np.int64)
    notes = []
    for path in map(Path, args.models):
        target = TwinTarget(load_model(path))
        budget = args.codes if args.codes is not None else args.epsilon
        given = {name: each for name, each in budget.items() if name in target.inputs} if isinstance(
            budget, dict) else budget
        key = "codes" if args.codes is not None else "epsilon"
        found = api.certify(path, dataset, samples=size.samples,
                            seconds_per_sample=args.seconds_per_sample, **{key: given})
        for rows in found.answers:
            print(_line(path, rows), flush=True)
        violations, points = sandwich(target, dataset, found.answers[-1], size)
        escapes, values = escaped(target, size.values)
        totals += (violations, points, escapes, values)
        notes.append(speed(target, size.speed, path.stem))
    print(f"\nSandwich: {totals[0]} violations in {totals[1]:,} attacked points of certified samples. "
          f"Escapes: {totals[2]} of {totals[3]:,} values.\n\n" + "\n".join(notes))
    return 1 if totals[0] or totals[2] else 0


def _line(path: Path, rows: list[Row]) -> str:
    found = {row["quantity"]: row for row in rows}
    cells = [f"{100 * found[name]['value']:.1f} ({100 * found[name]['low']:.1f} to {100 * found[name]['high']:.1f})"
             for name in ("certified", "falsified", "open")]
    return f"| {path.stem} | {rows[0]['of']['attacked']} | {' | '.join(cells)} | {found['seconds']['value']:.1f} |"


def sandwich(target: TwinTarget, dataset: Dataset, rows: list[Row], size: Size) -> tuple[int, int]:
    """Attack what is certified; return the samples that break, and how many points were tried."""
    settings, safe = rows[0]["settings"], np.flatnonzero(rows[0]["each"])
    if not len(safe):
        return 0, 0
    samples = dataset.test.balanced(size.samples, seed=SAMPLE_SEED).take(safe)
    inputs = [one for one in dataset.inputs if one.name in target.inputs]
    threat = Threat.of(inputs, settings["budget"], settings["norm"])
    threat, batch = code_problem(threat, samples.inputs, target.grids or {}, settings["threat"])
    suite = profile("strong") if size.strong else profile("standard").with_steps(5)
    outcome = next(iter(run_suite(target, batch, samples.label, [Cell("all", 1.0, threat)], suite)))
    broken, points = outcome.broken.copy(), outcome.queries
    boxes, rng = Ball.of(threat, batch, target.grids or {}).boxes, np.random.default_rng(0)
    while points < size.points:
        rows_ = rng.integers(0, len(safe), BATCH)
        corner = {name: _random(rng, (low[rows_], high[rows_])).astype(np.float32) for name, (low, high) in
                  boxes.items()}
        np.logical_or.at(broken, rows_, misclassified(target.logits(corner), samples.label[rows_]))
        points += BATCH
    return int(broken.sum()), int(points)


def _random(rng: np.random.Generator, box: Box) -> np.ndarray:
    """Corners of half of the boxes, points inside the others."""
    low, high = box
    corner = np.where(rng.random(low.shape) < 0.5, low, high)
    inside = rng.integers(low.astype(np.int64), high.astype(np.int64) + 1)
    chosen = (np.arange(len(low)) % 2 == 0).reshape(-1, *[1] * (low.ndim - 1))
    return np.where(chosen, corner, inside)


def _boxes(target: TwinTarget, count: int, rng: np.random.Generator) -> dict[str, Box]:
    """Boxes around random codes: each sample has its own reach, 0 to 32 codes."""
    found = {}
    for port in target.model.inputs:
        grid, shape = port.grid, (count, *port.shape[1:])
        centre = rng.integers(grid.low, grid.high + 1, shape)
        reach = rng.integers(0, 33, (count, *[1] * len(shape[1:])))
        found[port.name] = np.maximum(centre - reach, grid.low), np.minimum(centre + reach, grid.high)
    return found


def escaped(target: TwinTarget, least: int) -> tuple[int, int]:
    """Count the values outside of their interval, and all."""
    intervals, rng, escapes, values = Intervals(target.twin, target.logit_tensor), np.random.default_rng(1), 0, 0
    while values < least:
        boxes = _boxes(target, 32, rng)
        found = intervals.run(boxes, every=True)
        for _ in range(8):
            codes = target.twin.tensors({name: _random(rng, box) for name, box in boxes.items()})
            for index, (low, high) in found.items():
                escapes += int(((codes[index] < low) | (codes[index] > high)).sum())
                values += low.size
    return escapes, values


def speed(target: TwinTarget, count: int, name: str) -> str:
    """Say how long intervals of certificates take beside forward passes, in turns; CPU seconds, the best of three."""
    intervals, boxes = Intervals(target.twin, target.logit_tensor), _boxes(target, count, np.random.default_rng(2))
    point = {key: low for key, (low, _) in boxes.items()}
    forward, both, wall = [], [], []
    for _ in range(4):
        began = time.process_time()
        target.twin.run(point, tensor=target.logit_tensor)
        middle, clock = time.process_time(), time.perf_counter()
        intervals.run(boxes)
        forward.append(middle - began)
        both.append(time.process_time() - middle)
        wall.append(time.perf_counter() - clock)
    return (f"{name}: intervals take {min(both[1:]) / min(forward[1:]):.2f} forward passes of the twin (CPU), "
            f"{count / min(wall[1:]):.0f} samples/s, {count / min(both[1:]):.0f} for each second of one core")


if __name__ == "__main__":
    raise SystemExit(main())
