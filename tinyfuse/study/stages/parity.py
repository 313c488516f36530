"""A seeded sample of everything that was judged by the twin, run again on TFLite Micro: 0 values may differ."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyfuse.attacks import Batch, TwinTarget, code_problem
from tinyfuse.attacks.suite import CellKey
from tinyfuse.core.files import load_arrays, save_arrays
from tinyfuse.core.provenance import peak_memory_mib
from tinyfuse.integer.interpreters import Interpreter, load
from tinyfuse.study.campaign import Campaign, saved

SAMPLE_SEED = 0


@dataclass(frozen=True)
class ParityTask:
    """Codes with the twin's outputs in ``sample``, of kind ``where``, to be run on ``model`` by ``executor``."""

    model: str
    sample: str
    where: str
    executor: str = "tflm"


@dataclass(frozen=True)
class Parity:
    """What came out: samples and values compared, how many differ, by how much, and samples of another arg-max."""

    where: str
    samples: int
    values: int
    differing: int
    max_abs: int
    argmax_differing: int
    seconds: float
    peak_mib: float


def write_samples(stem: Path, target: TwinTarget, campaigns: Sequence[Campaign], count: int) -> dict[str, Path]:
    """Choose ``count`` adversarial inputs, evenly over modes and budgets, and save their codes with the twin's outputs.

    Where the attacks left fewer, corners of the balls with random signs fill up, in a file of their own. Returns the
    paths by what they hold: "adversarial" or "corners".
    """
    rng = np.random.default_rng(SAMPLE_SEED)
    cells = [(campaign, key) for campaign in campaigns for key in campaign.keys]
    chosen = _deal([rng.permutation(len(saved(*cell)["rows"])) for cell in cells], count)
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


def _write(path: Path, target: TwinTarget, codes: dict[str, np.ndarray]) -> None:
    if not path.exists():
        output = target.twin.run(codes)
        save_arrays(path, {**{name: values.astype(np.int16) for name, values in codes.items()},
                           "output": output.reshape(len(output), -1).astype(np.int16)})


def _deal(heaps: Sequence[np.ndarray], count: int) -> list[np.ndarray]:
    """Take ``count`` entries from ``heaps``, one of each in turn, until they are used up."""
    sizes, taken = np.array([len(heap) for heap in heaps]), np.zeros(len(heaps), int)
    while taken.sum() < min(count, sizes.sum()):
        left = np.flatnonzero(taken < sizes)[:count - taken.sum()]
        taken[left] += 1
    return [heap[:size] for heap, size in zip(heaps, taken, strict=True)]


def _codes(campaign: Campaign, key: CellKey, places: np.ndarray) -> dict[str, np.ndarray]:
    """The saved inputs ``places`` of one cell as complete codes."""
    held = saved(campaign, key)
    codes = {name: values[held["rows"][places]].astype(np.int32) for name, values in _clean_codes(campaign).items()}
    return codes | {name: held[name][places].astype(np.int32) for name in campaign.modes[key[0]]}


def _corners(campaign: Campaign, key: CellKey, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One sample moved by the whole budget in a random direction at each coordinate."""
    assert campaign.grids is not None
    threat, batch = code_problem(campaign.real_threat(key), campaign.clean, campaign.grids, "codes")
    row = rng.integers(0, len(campaign.labels), 1)
    clean = {name: values[row] for name, values in batch.items()}
    moved = {name: clean[name] + threat.epsilon[name] * rng.choice([-1.0, 1.0], clean[name].shape).astype(np.float32)
             for name in threat.modalities}
    corner = threat.take(row).project({**clean, **moved}, clean)
    whole = threat.take(row).realise(corner, clean)
    return {name: values.astype(np.int32) for name, values in whole.items()}


def _clean_codes(campaign: Campaign) -> Batch:
    assert campaign.grids is not None
    return {name: grid.quantise(campaign.clean[name]) for name, grid in campaign.grids.items()}


def run_parity(task: ParityTask) -> Parity:
    """Run the saved codes and compare the outputs."""
    began = time.monotonic()
    held = load_arrays(task.sample)
    expected = held.pop("output").astype(np.int64)
    found = Interpreter(load(task.model), task.executor).run(held).astype(np.int64)
    gap = np.abs(found - expected)
    return Parity(task.where, len(gap), gap.size, int(np.count_nonzero(gap)), int(gap.max(initial=0)),
                  int(np.sum(found.argmax(1) != expected.argmax(1))), time.monotonic() - began, peak_memory_mib())
