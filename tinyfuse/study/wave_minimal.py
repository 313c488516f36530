"""The smallest change of each recording that fools the deployed chain: in decibels or 16-bit steps."""

from __future__ import annotations

import numpy as np

from tinyfuse.attacks import SampleAttack, misclassified
from tinyfuse.attacks.minimal import halvings
from tinyfuse.attacks.wave.attack_wave import problem_of
from tinyfuse.attacks.wave.scene import spent
from tinyfuse.core.errors import UsageError
from tinyfuse.study.microphones import Microphone
from tinyfuse.study.smallest_changes import SmallestChanges
from tinyfuse.study.wave_attack import WaveTask
from tinyfuse.threats.wave_budgets import WaveBudget

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


def minimal_wave(heard: Microphone, task: WaveTask) -> SmallestChanges:
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
        part = scene.take(same)
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
    return SmallestChanges(heard.subject, heard.name, plan.settings(), task.budget, sizes, clips, queries,
                           heard.through)
