"""Template of a part of a training objective: copy this file, change what the work does and register the part.

As it stands it is label smoothing: the target is 1 - s + s / k at the label and s / k at each other of k classes
(Szegedy et al. 2016, section 7).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from tinyfuse.core.backend import tensorflow
from tinyfuse.nn.objectives import register
from tinyfuse.nn.objectives.objective import Step, Work
from tinyfuse.nn.objectives.run import Run


@dataclass(frozen=True)
class LabelSmoothing:
    """Settings: targets leave the share ``smoothing`` of each sample to all classes alike."""

    name: ClassVar[str] = "label-smoothing"
    smoothing: float = 0.1

    def attach(self, run: Run) -> Work:
        """Return the part at work; see :class:`tinyfuse.nn.objectives.objective.Part`."""
        return LabelSmoothingWork(self)


class LabelSmoothingWork(Work):
    """Replaces the mean cross-entropy; every other hook of :class:`Work` may be overridden likewise."""

    def __init__(self, settings: LabelSmoothing) -> None:
        self.settings = settings

    def base(self, step: Step) -> Any:
        """Compute the mean cross-entropy to smoothed targets."""
        tf = tensorflow()
        classes, share = step.logits.shape[1], self.settings.smoothing

        def losses(labels: Any) -> Any:
            target = (1 - share) * tf.one_hot(labels, classes) + share / classes
            return tf.nn.softmax_cross_entropy_with_logits(target, step.logits)

        return step.targets.mean(losses)


register(LabelSmoothing)
