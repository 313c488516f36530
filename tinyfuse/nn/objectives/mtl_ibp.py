"""MTL-IBP: a weighted sum of the losses of adversarial training and of intervals (De Palma et al. 2024, section 4).

(1 - alpha) CE(logits of samples attacked by PGD) + alpha CE(-lower bounds of margins in the whole box).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tinyfuse.core.errors import UsageError
from tinyfuse.nn.objectives.ibp import AttackedSettings, AttackedWork
from tinyfuse.nn.objectives.objective import Work
from tinyfuse.nn.objectives.run import Run


@dataclass(frozen=True)
class MtlIbp(AttackedSettings):
    """Settings: ``alpha`` is the weight of the intervals (1: ``ibp``, 0: adversarial training)."""

    name: ClassVar[str] = "mtl-ibp"
    alpha: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.alpha <= 1:
            raise UsageError(f"mtl-ibp: alpha is {self.alpha}; give a share between 0 and 1")

    @property
    def last_kappa(self) -> float:
        """The weight of the cross-entropy of attacked samples once the budget has grown."""
        return 1 - self.alpha

    def attach(self, run: Run) -> Work:
        """Return the part at work; see :class:`tinyfuse.nn.objectives.objective.Part`."""
        return AttackedWork(self, run)
