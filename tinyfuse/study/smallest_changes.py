"""The smallest changes before the front end that were seen to fool a model, as figures and as a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyfuse.attacks.minimal import Median, median
from tinyfuse.study.rows import Subject
from tinyfuse.threats.budget_text import size_text
from tinyfuse.threats.frame_budgets import FRAME, FrameBudget
from tinyfuse.threats.wave_budgets import WAVE, WaveBudget


@dataclass(frozen=True, eq=False)
class SmallestChanges:
    """What was found for each of n recordings or frames: ``sizes`` float64 [n] of a budget in the norm of ``largest``.

    0 where the clean sample is misclassified, inf where nothing up to ``largest`` succeeded. ``made``: the int16
    recordings or uint8 frames that did, or the clean ones. ``attack``: its name and settings. ``through``: what is not
    usual between them and the model.
    """

    subject: Subject
    name: str
    attack: Mapping[str, Any]
    largest: WaveBudget | FrameBudget
    sizes: np.ndarray = field(repr=False)
    made: Sequence[np.ndarray] = field(repr=False)
    queries: int
    through: Mapping[str, str] = field(default_factory=dict)

    @property
    def threat(self) -> str:
        """The threat model."""
        return WAVE if isinstance(self.largest, WaveBudget) else FRAME

    def median(self) -> Median:
        """Return the median size over samples that are right when clean."""
        return median(self.sizes[self.sizes > 0], self.largest.size)

    def amounts(self) -> list[float | None]:
        """Return the amount (in units) for each sample; None where nothing was found, or nothing was needed."""
        return [round(type(self.largest).of_size(self.largest.norm, float(size)).amount, 2) if 0 < size < np.inf
                else None for size in self.sizes]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        middle, subject = self.median(), self.subject
        figures = {key: size_text(self.largest.norm, size) if size <= middle.largest else None
                   for key, size in (("median", middle.value), ("low", middle.low), ("high", middle.high))}
        return {"model": subject.model, "precision": subject.precision, "executor": subject.executor,
                "threat": self.threat, "attack": {**self.attack, **self.through}, "attacked": [self.name],
                "norm": self.largest.norm, "largest": str(self.largest), "amounts": self.amounts(),
                "samples": middle.samples, **figures, "wrong_when_clean": int(np.sum(self.sizes == 0)),
                "queries": self.queries}

    def text(self) -> str:
        """Say the result in one sentence."""
        middle, norm, subject = self.median(), self.largest.norm, self.subject
        beyond, what = f"none up to {self.largest}", "recordings" if self.threat == WAVE else "frames"
        value, low, high = (size_text(norm, size) if size <= middle.largest else beyond
                            for size in (middle.value, middle.low, middle.high))
        return (f"{subject.model} {subject.precision} in {subject.executor}, {self.attack['name']} on the "
                f"{self.threat} of {self.name}: median smallest change {norm} {value} (95 % interval {low} to {high}) "
                f"over {middle.samples} {what} that are right when clean; {int(np.sum(np.isinf(self.sizes)))} hold at "
                f"{self.largest}")
