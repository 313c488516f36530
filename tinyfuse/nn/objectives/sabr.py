"""SABR: small boxes around attacked samples in place of the whole box (Mueller et al. 2023, section 3).

A box of the share lambda of the budget is centred where PGD ends within the remaining share, so that it lies in the
whole box. Its intervals are narrower: more accuracy, and a little less that intervals certify.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from tinyfuse.core.errors import UsageError
from tinyfuse.nn.objectives.ibp import AttackedSettings, AttackedWork
from tinyfuse.nn.objectives.objective import Step, Targets, Work
from tinyfuse.nn.objectives.run import Run


@dataclass(frozen=True)
class Sabr(AttackedSettings):
    """Settings: ``share`` of the budget is the size of a box (1: the whole box, as ``ibp``)."""

    name: ClassVar[str] = "sabr"
    share: float = 0.4

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.share <= 1:
            raise UsageError(f"sabr: share is {self.share}; give a share of the budget above 0 and up to 1")

    def attach(self, run: Run) -> Work:
        """Return the part at work; see :class:`tinyfuse.nn.objectives.objective.Part`."""
        return SabrWork(self, run)


class SabrWork(AttackedWork):
    """Bounds small boxes around attacked samples."""

    settings: Sabr

    @property
    def reach(self) -> float:
        """What the box leaves of the budget."""
        return 1 - self.settings.share

    def around(self, step: Step) -> tuple[Mapping[str, Any], Targets, float]:
        """Return the attacked samples and the size of the small box."""
        return step.batch, step.targets, self.settings.share
