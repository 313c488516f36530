"""Finds catastrophic overfitting: one step of FGSM is withstood better and better, several steps no longer.

As Wong, Rice and Kolter (2020) do: between two epochs the accuracy under PGD on training samples falls by more than
0.2. A network that merely forgets loses its accuracy under FGSM as well, and that is not called so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tinyfuse.core.backend import tensorflow
from tinyfuse.nn.objectives.objective import Targets
from tinyfuse.nn.objectives.run import Run
from tinyfuse.nn.objectives.training_threat import TrainingThreat, pgd

SAMPLES = 256
STEPS = 10
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
        self._climb, self._right = tf.function(self._climbed), tf.function(self._is_right)

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
        tf = tensorflow()
        chosen = self.run.dataset.train.balanced(min(SAMPLES, len(self.run.dataset.train)), seed=0)
        clean = {name: tf.constant(np.asarray(values[:])) for name, values in chosen.inputs.items()}
        labels = tf.constant(chosen.label)
        alive = self._right(clean, labels).numpy()
        fgsm = alive & self._right(self._climb(clean, clean, labels, tf.constant(1.0)), labels).numpy()
        point: Mapping[str, Any] = clean
        for _ in range(STEPS):
            point = self._climb(point, clean, labels, tf.constant(2.5 / STEPS))
            alive &= self._right(point, labels).numpy()
        return float(fgsm.mean()), float(alive.mean())

    def _climbed(self, point: Any, clean: Any, labels: Any, length: Any) -> Any:
        def loss(values: Mapping[str, Any]) -> Any:
            return tensorflow().reduce_sum(self.run.attack_loss(values, Targets.of(labels)))

        ones = dict.fromkeys(self.threat.attacked, tensorflow().constant(1.0))
        return pgd(loss, clean, self.threat, 1, length, ones, point)

    def _is_right(self, point: Any, labels: Any) -> Any:
        tf = tensorflow()
        return tf.equal(tf.argmax(self.run.logits(point, training=False), 1), labels)
