"""A loss on what each input says alone, beside the loss on all of them, so that none is left to fall asleep.

The logits of one input are the head's slice of its features with its share of the bias: the network gets nothing new.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import UsageError
from tinyfuse.nn.objectives.branch_scores import branch_logits
from tinyfuse.nn.objectives.objective import Forward, Step, Targets, Work
from tinyfuse.nn.objectives.run import Run, cross_entropy


@dataclass(frozen=True)
class SingleInputs:
    """Settings: the cross-entropy of each branch's own logits is added ``weight`` times.

    ``in_attack``: the adversary of adversarial training climbs these terms too, not the cross-entropy of all inputs
    alone.
    """

    name: ClassVar[str] = "single"
    weight: float = 1.0
    in_attack: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.weight < float("inf"):
            raise UsageError(f"single: weight is {self.weight}; give a number of at least 0")

    def attach(self, run: Run) -> Work:
        """Return the part at work; see :class:`tinyfuse.nn.objectives.objective.Part`."""
        run.view.need_branches(self.name)
        return SingleInputsWork(self, run)


class SingleInputsWork(Work):
    """Adds weight * (sum over branches of the cross-entropy of their own logits)."""

    needs_features = True

    def __init__(self, settings: SingleInputs, run: Run) -> None:
        self.settings, self.run = settings, run
        self.in_attack = settings.in_attack

    def attack_term(self, batch: Mapping[str, Any], targets: Targets, forward: Forward) -> Any:
        """Compute the term of each sample, [n]."""
        logits = branch_logits(self.run, forward.features).values()
        return self.settings.weight * tensorflow().add_n([cross_entropy(one, targets) for one in logits])

    def term(self, step: Step) -> Any:
        """Compute the mean term of the batch."""
        return tensorflow().reduce_mean(self.attack_term(step.batch, step.targets, step.forward))
