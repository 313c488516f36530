"""Adversarial weight perturbation: gradients are taken where the weights are a little worse (Wu, Xia, Wang 2020).

With gamma near the rounding error of n-bit weights relative to their norm, it trains for their rounding as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import UsageError
from tinyfuse.nn.objectives.objective import Work
from tinyfuse.nn.objectives.run import Run

SMALLEST = 1e-12


@dataclass(frozen=True)
class Awp:
    """Settings: each kernel moves by ``gamma`` times its norm, once the share ``after`` of the training is done."""

    name: ClassVar[str] = "awp"
    gamma: float = 0.01
    after: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.gamma < 1 and 0 <= self.after < 1):
            raise UsageError(f"awp: gamma {self.gamma}, after {self.after}: give shares of at least 0 and below 1")

    def further(self, facts: Mapping[str, Any]) -> Mapping[str, Any]:
        """Begin at once."""
        return {"after": 0.0}

    def attach(self, run: Run) -> Work:
        """Return the part at work; see :class:`tinyfuse.nn.objectives.objective.Part`."""
        return AwpWork(self, run)


class AwpWork(Work):
    """Moves the kernels up the loss, takes the gradients there, and brings the weights back bit for bit."""

    def __init__(self, settings: Awp, run: Run) -> None:
        self.settings, self.run = settings, run

    def gradients(self, compute: Callable[[], Any], variables: Sequence[Any]) -> Any:
        """Compute loss, gradients and scales at the moved weights."""
        tf = tensorflow()
        begun = tf.cast(self.run.progress >= self.settings.after, "float32")
        # Statistics of batch norm must not move twice, nor at weights that are not those of the network.
        untrained = [one for one in self.run.model.non_trainable_variables if one.dtype.is_floating]
        before = [tf.identity(one) for one in untrained]
        _, uphill, _ = compute()
        after = [tf.identity(one) for one in untrained]
        restore(untrained, before)
        kept = [tf.identity(one) for one in variables]
        for variable, change in zip(variables, perturbation(variables, uphill, begun * self.settings.gamma),
                                    strict=True):
            if change is not None:
                variable.assign_add(change)
        found = compute()
        restore(variables, kept)
        restore(untrained, after)
        return found


def perturbation(variables: Sequence[Any], gradients: Sequence[Any], gamma: Any) -> list[Any | None]:
    """Compute v = gamma ||w|| g / ||g|| for each kernel w of ``variables`` with gradient g; None for vectors."""
    tf = tensorflow()
    return [gamma * tf.norm(variable) * gradient / tf.maximum(tf.norm(gradient), SMALLEST)
            if len(variable.shape) > 1 else None for variable, gradient in zip(variables, gradients, strict=True)]


def restore(variables: Sequence[Any], values: Sequence[Any]) -> None:
    """Set ``variables`` to ``values``: adding and subtracting a change would drift in float32."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
