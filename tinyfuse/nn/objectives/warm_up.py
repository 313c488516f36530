"""Warm-up: steps grow from nearly nothing at the beginning of a training, as attention needs it (Goyal et al. 2017)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import UsageError
from tinyfuse.nn.objectives.objective import Step, Work
from tinyfuse.nn.objectives.run import Run


@dataclass(frozen=True)
class WarmUp:
    """Settings: the learning rate grows linearly over the first ``share`` of the training."""

    name: ClassVar[str] = "warm-up"
    share: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise UsageError(f"warm-up: share is {self.share}; give a share of the training of at least 0 and below 1")

    def further(self, facts: Mapping[str, Any]) -> Mapping[str, Any]:
        """Begin at full speed: the network has learnt already."""
        return {"share": 0.0}

    def attach(self, run: Run) -> Work:
        """Return the part at work; see :class:`tinyfuse.nn.objectives.objective.Part`."""
        return WarmUpWork(self, run)


class WarmUpWork(Work):
    """Scales every update, which is what a learning rate does, also of Adam."""

    def __init__(self, settings: WarmUp, run: Run) -> None:
        self.settings, self.run = settings, run

    def scales(self, variables: Sequence[Any], step: Step) -> Mapping[int, Any]:
        """Return (t + 1) / (steps of the warm-up) of step t, at most 1, for every variable."""
        if not self.settings.share:
            return {}
        whole = self.run.epochs * self.run.steps
        return dict.fromkeys(range(len(variables)), tensorflow().minimum(
            1.0, (self.run.progress * whole + 1) / (self.settings.share * whole)))
