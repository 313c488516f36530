"""The smallest change of each recording that fools the deployed chain: in decibels or 16-bit steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyfuse.attacks import SampleAttack, misclassified
from tinyfuse.attacks.minimal import Median, halvings, median
from tinyfuse.attacks.wave.attack_wave import problem_of
from tinyfuse.attacks.wave.scene import Scene, spent
from tinyfuse.core.errors import UsageError
from tinyfuse.study.microphones import Microphone
from tinyfuse.study.wave_attack import WaveTask
from tinyfuse.threats.budget_text import size_text
from tinyfuse.threats.wave_budgets import WAVE, WaveBudget

QUIETEST_DB = {"snr": 60, "masking": -30}
MOST_STEPS = 40


def ladder(largest: WaveBudget) -> tuple[WaveBudget, ...]:
    """Return budgets that rise to ``largest``: by 1 dB, or by about a quarter in whole steps."""
    if largest.norm == "pcm":
        steps = np.unique(np.round(np.geomspace(1, max(largest.amount, 1), MOST_STEPS)))
        return tuple(WaveBudget("pcm", float(step)) for step in steps)
    first, way = QUIETEST_DB[largest.norm], -1 if largest.norm == "snr" else 1
    amounts = [first + way * step for step in range(max(0, round(way * (largest.amount - first))))]
    return (*(WaveBudget(largest.norm, amount) for amount in amounts), largest)


@dataclass(frozen=True, eq=False)
class SmallestWaves:
    """What was found for each of n recordings: ``sizes`` float64 [n] of the budget ``norm``.

    0 where the clean recording is misclassified, inf where nothing up to ``largest`` succeeded. ``clips`` are the int16
    recordings that did, or the clean ones.
    """

    model: str
    precision: str
    executor: str
    name: str
    attack: SampleAttack
    largest: WaveBudget
    sizes: np.ndarray = field(repr=False)
    clips: list[np.ndarray] = field(repr=False)
    queries: int

    def median(self) -> Median:
        """Return the median size over recordings that are right when clean."""
        return median(self.sizes[self.sizes > 0], self.largest.size)

    def amounts(self) -> list[float | None]:
        """Return the amount (dB or steps) for each recording; None where nothing was found, or nothing was needed."""
        return [round(WaveBudget.of_size(self.largest.norm, float(size)).amount, 2) if 0 < size < np.inf else None
                for size in self.sizes]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        middle = self.median()
        figures = {key: size_text(self.largest.norm, size) if size <= middle.largest else None
                   for key, size in (("median", middle.value), ("low", middle.low), ("high", middle.high))}
        return {"model": self.model, "precision": self.precision, "executor": self.executor, "threat": WAVE,
                "attack": self.attack.settings(), "attacked": [self.name], "norm": self.largest.norm,
                "largest": str(self.largest), "amounts": self.amounts(), "samples": middle.samples, **figures,
                "wrong_when_clean": int(np.sum(self.sizes == 0)), "queries": self.queries}

    def text(self) -> str:
        """Say the result in one sentence."""
        middle, norm = self.median(), self.largest.norm
        beyond = f"none up to {self.largest}"
        value, low, high = (size_text(norm, size) if size <= middle.largest else beyond
                            for size in (middle.value, middle.low, middle.high))
        return (f"{self.model} {self.precision} in {self.executor}, {self.attack.name} on the wave of {self.name}: "
                f"median smallest change {norm} {value} (95 % interval {low} to {high}) over {middle.samples} "
                f"recordings that are right when clean; {int(np.sum(np.isinf(self.sizes)))} hold at {self.largest}")


def minimal_wave(heard: Microphone, task: WaveTask) -> SmallestWaves:
    """Bisect the budget of each recording up to that of ``task``; the chain judges int16 samples each time."""
    plan = task.plan
    if not isinstance(plan, SampleAttack):
        raise UsageError(f"smallest budgets are those of single recordings, which {plan.name} is not about")
    scene, label, rungs = task.scene(heard.name, heard.front_end), task.samples.label, ladder(task.budget)
    wrong = misclassified(heard.chain.logits(scene, scene.clips), label)
    lower, upper = np.zeros(len(label), np.int64), np.where(wrong, 0, len(rungs) + 1)
    sizes, clips, queries, target = np.where(wrong, 0.0, np.inf), list(scene.clips), len(label), heard.wave_target()
    rising = np.array([one.size for one in rungs])
    for k, same in halvings(lower, upper):
        part = _part(scene, same)
        problem = problem_of(part, rungs[k - 1])
        found = plan.run(problem.target(target), problem.batch, label[same], problem.threat, sample_ids=same,
                         survivors_only=True)
        made, queries = problem.recordings(found.strongest[heard.name]), queries + found.queries
        broken = misclassified(heard.chain.logits(part, made), label[same])
        lower[same[~broken]] = k
        for place in np.flatnonzero(broken):
            row = same[place]
            size = spent(task.budget.norm, scene.clips[row], made[place], scene.front_end.rate)
            upper[row] = min(k, 1 + int(np.searchsorted(rising, size * (1 - 1e-9))))
            sizes[row], clips[row] = size, made[place]
    return SmallestWaves(heard.subject.model, heard.subject.precision, heard.subject.executor, heard.name, plan,
                         task.budget, sizes, clips, queries)


def _part(scene: Scene, rows: np.ndarray) -> Scene:
    others = {name: values[rows] for name, values in scene.others.items()}
    return Scene(scene.name, scene.front_end, _taken(scene.clips, rows), others)


def _taken(clips: Sequence[np.ndarray], rows: np.ndarray) -> list[np.ndarray]:
    return [clips[row] for row in rows]
