"""One attack on the recordings of a scene, whatever norm its budget is in."""

from __future__ import annotations

import numpy as np

from tinyfuse.attacks.attack import SampleAttack
from tinyfuse.attacks.wave.masked_problem import MaskedProblem
from tinyfuse.attacks.wave.scene import Scene, WaveProblem
from tinyfuse.attacks.wave.wave_target import WaveTarget
from tinyfuse.threats.wave_budgets import WaveBudget


def problem_of(scene: Scene, budget: WaveBudget) -> WaveProblem:
    """Make what an attack within ``budget`` gets for the recordings of ``scene``."""
    return (MaskedProblem if budget.norm == "masking" else WaveProblem).of(scene, budget)


def attack_wave(attack: SampleAttack, target: WaveTarget, scene: Scene, labels: np.ndarray,
                budget: WaveBudget) -> list[np.ndarray]:
    """Attack the recordings of ``scene`` with true classes ``labels`` (int [n]); return recordings within ``budget``.

    They are int16 of the same lengths. An ``attack`` that asks for another norm than L2 (a signal-to-noise ratio) or
    L-inf (steps, masking) is a UsageError.
    """
    problem = problem_of(scene, budget)
    found = attack.run(problem.target(target), problem.batch, labels, problem.threat)
    return problem.recordings(found.strongest[scene.name])
