"""Finds catastrophic overfitting: one step of FGSM is withstood better and better, several steps no longer.

As Wong, Rice and Kolter (2020) do: between two epochs the accuracy under PGD on training samples falls by more than
0.2. A network that merely forgets loses its accuracy under FGSM as well, and that is not called so.
"""

from __future__ import annotations

from typing import Any

from tinyfuse.core.backend import tensorflow
from tinyfuse.nn.objectives.robust_accuracy import STEPS, Climber
from tinyfuse.nn.objectives.run import Run
from tinyfuse.nn.objectives.training_threat import TrainingThreat

FALL = 0.2
NEVER = -1.0


class Monitor:
    """Watches one training of ``run`` against ``threat``, on fixed training samples, class-balanced.

    ``state``: tf.Variables that a checkpoint must hold: the latest accuracy under PGD and under FGSM, and the epoch of
    the first finding.
    """

    def __init__(self, run: Run, threat: TrainingThreat) -> None:
        tf = tensorflow()
        self.run, self.threat = run, threat
        self._last, self._last_fgsm, self._found = (
            tf.Variable(NEVER, trainable=False, dtype="float32") for _ in range(3))
        self.state = [self._last, self._last_fgsm, self._found]
        self._climber = Climber(run, threat)

    def check(self, epoch: int) -> str | None:
        """Measure the weights after ``epoch`` (from 0); return a line for the user if they overfit by now."""
        fgsm, now = self.accuracies()
        return self.judge(epoch, fgsm, now)

    def judge(self, epoch: int, fgsm: float, now: float) -> str | None:
        """Compare accuracies under FGSM and PGD with those of the epoch before; see :meth:`check`."""
        before, fgsm_before = float(self._last), float(self._last_fgsm)
        self._last.assign(now)
        self._last_fgsm.assign(fgsm)
        if before == NEVER or before - now <= FALL or fgsm_before - fgsm >= before - now:
            return None
        if float(self._found) == NEVER:
            self._found.assign(epoch + 1)
        return (f"catastrophic overfitting in epoch {epoch + 1}: accuracy under {STEPS} steps fell from {before:.2f} "
                f"to {now:.2f} on training samples, under one step it is {fgsm:.2f}; the epoch that is "
                "best on the validation part is kept. Use method n-fgsm or pgd, grad-align, or a smaller budget")

    def facts(self) -> dict[str, Any]:
        """Tell the first epoch (from 1) that overfitted, for the network's table; nothing if none did."""
        return {} if float(self._found) == NEVER else {"catastrophic_overfitting": int(self._found)}

    def accuracies(self) -> tuple[float, float]:
        """Measure the accuracy under one step of epsilon from the sample, and under PGD from the same place."""
        climber, (clean, labels) = self._climber, self._climber.batch(self.run.dataset.train)
        sizes = climber.sizes(self.threat.attacked)
        once = climber.climb(clean, clean, labels, sizes, 1.0)
        fgsm = climber.right(clean, labels) & climber.right(once, labels)
        return float(fgsm.mean()), float(climber.survivors(clean, labels, sizes, clean).mean())
