"""OGM-GE: the branch that is ahead learns slower, and noise makes up for what that costs (Peng et al., CVPR 2022).

How far a branch is ahead is the ratio of its score to the mean score of the others, a score being the sum over the
batch of the softmax of its own logits at the labels. The published rule is for two branches, where that is the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import UsageError
from tinyfuse.nn.objectives.branch_scores import branch_logits, label_scores, score_ratios, while_at_most
from tinyfuse.nn.objectives.objective import Step, Work
from tinyfuse.nn.objectives.run import Run

LEAST_FACTOR = 1e-3  # where noise is divided by the factor of its update, which can round to 0


@dataclass(frozen=True)
class Ogm:
    """Settings: ``alpha`` says how much a branch ahead is slowed down, ``noise`` whether its gradients get noise.

    Both happen in the first share ``until`` of the training. Defaults are those of the released code (alpha .1; 50 of
    100 epochs).
    """

    name: ClassVar[str] = "ogm"
    alpha: float = 0.1
    noise: bool = True
    until: float = 0.5

    def __post_init__(self) -> None:
        if not (0 <= self.alpha < float("inf") and 0 <= self.until <= 1):
            raise UsageError(f"ogm: alpha {self.alpha}, until {self.until}: give an alpha of at least 0 and a share of "
                             "the training from 0 to 1")

    def further(self, facts: Mapping[str, Any]) -> Mapping[str, Any]:
        """Stay out of it where the share of the training in which it worked is over."""
        return {} if self.until == 1 else {"alpha": 0.0, "noise": False}

    def attach(self, run: Run) -> Work:
        """Return the part at work; see :class:`tinyfuse.nn.objectives.objective.Part`."""
        run.view.need_branches(self.name)
        return OgmWork(self, run)


class OgmWork(Work):
    """Scales the updates of the kernels of each branch, and adds noise to their gradients.

    Kernels are weights of two and more dimensions of layers that one branch alone reaches; biases and batch norms stay
    as they are. It is the optimizer's update that is scaled, because Adam would undo a factor of the gradient; noise
    is divided by that factor, so that both together are k g + N(0, std(g)^2) times the optimizer's step.
    """

    needs_features = True

    def __init__(self, settings: Ogm, run: Run) -> None:
        self.settings, self.run = settings, run
        self._factors: dict[str, Any] = {}
        self.branch_of = {weight.ref(): branch for branch in run.view.branches for name in run.view.layers(branch)
                          for weight in run.model.get_layer(name).trainable_variables if len(weight.shape) > 1}

    def factors(self, step: Step) -> dict[str, Any]:
        """Compute by branch the factor of its updates in this step."""
        inside = while_at_most(self.run, self.settings.until)
        ratios = score_ratios(label_scores(branch_logits(self.run, step.forward.features), step.targets))
        return {branch: update_factor(ratio, self.settings.alpha * inside) for branch, ratio in ratios.items()}

    def change(self, gradients: Sequence[Any], variables: Sequence[Any], step: Step) -> Sequence[Any]:
        """Add noise to the gradient of each kernel.

        No gradient is known before the factors are: nothing else keeps TensorFlow from updating the head before
        they are computed from it.
        """
        tf = tensorflow()
        self._factors = self.factors(step)
        with tf.control_dependencies(list(self._factors.values())):
            changed = [tf.identity(one) for one in gradients]
        if self.settings.noise:
            inside = while_at_most(self.run, self.settings.until)
            for place, branch in self._places(variables):
                noise = gradient_noise(gradients[place], tf.random.experimental.stateless_fold_in(step.seed, place))
                changed[place] += inside * noise / tf.maximum(self._factors[branch], LEAST_FACTOR)
        return changed

    def scales(self, variables: Sequence[Any], step: Step) -> Mapping[int, Any]:
        """Return the factor for the update of each kernel, as :meth:`change` computed it for the same step."""
        return {place: self._factors[branch] for place, branch in self._places(variables)}

    def _places(self, variables: Sequence[Any]) -> list[tuple[int, str]]:
        return [(place, self.branch_of[one.ref()]) for place, one in enumerate(variables)
                if one.ref() in self.branch_of]


def update_factor(ratio: Any, alpha: Any) -> Any:
    """Return 1 - tanh(alpha * ratio) where ``ratio`` is above 1, else 1."""
    tf = tensorflow()
    return tf.where(ratio > 1, 1 - tf.tanh(alpha * ratio), 1.0)


def gradient_noise(gradient: Any, seed: Any) -> Any:
    """Draw noise in the shape of ``gradient``, normal with the standard deviation over the whole tensor."""
    tf = tensorflow()
    return tf.math.reduce_std(gradient) * tf.random.stateless_normal(tf.shape(gradient), seed)
