"""Template of an attack: copy this file, change settings and ``solve``, and add the class to profiles.py.

As it stands it fades each sample into its own mean, that is it takes away contrast, as far as the threat allows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinyfuse.attacks.adversarial import Adversarial
from tinyfuse.attacks.attack import SampleAttack, at_least
from tinyfuse.attacks.oracle import Oracle, Problem
from tinyfuse.attacks.query_search import Search


@dataclass(frozen=True)
class Fade(SampleAttack):
    """``strengths`` points per sample on the way from x to the mean of its values."""

    name = "fade"
    gradient_free = True
    least = at_least(strengths=1)
    strengths: int = 4

    def solve(self, problem: Problem, oracle: Oracle) -> Adversarial:
        """Ask for every strength; :class:`Search` keeps what hurts most, and counts."""
        search = Search(self.name, 0, problem, oracle)
        for step, rows in enumerate(search.rounds(self.strengths)):
            strength = np.float32((step + 1) / self.strengths)
            point = {}
            for name, values in search.clean.items():
                mean = values[rows].mean(axis=tuple(range(1, values.ndim)), keepdims=True)
                point[name] = values[rows] + strength * (mean - values[rows])
            search.ask(search.legal(point, rows)[1], rows)
        return search.outcome()
