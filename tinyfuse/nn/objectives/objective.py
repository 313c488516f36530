"""What a training objective is made of: parts, each with settings of its own and hooks into one training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from tinyfuse.core.backend import tensorflow
from tinyfuse.data.samples import Samples

if TYPE_CHECKING:
    from tinyfuse.nn.objectives.run import Run


@dataclass(frozen=True)
class Targets:
    """What the samples of a batch should be: pairs of a weight and labels int64 [n].

    One pair whose weight is None: plain labels. Mixed samples have several pairs, whose weights, scalars or [n], add up
    to 1.
    """

    parts: tuple[tuple[Any, Any], ...]

    @classmethod
    def of(cls, labels: Any) -> Targets:
        """Return the targets of samples that are not mixed."""
        return cls(((None, labels),))

    @property
    def labels(self) -> Any:
        """The labels of samples that are not mixed; of mixed ones those of the first pair."""
        return self.parts[0][1]

    def each(self, losses: Callable[[Any], Any]) -> Any:
        """Compute the loss [n] of each sample from ``losses(labels)`` [n], weighted over the pairs."""
        if self.parts[0][0] is None:
            return losses(self.labels)
        return tensorflow().add_n([weight * losses(labels) for weight, labels in self.parts])

    def mean(self, losses: Callable[[Any], Any]) -> Any:
        """Compute the mean of :meth:`each` over the batch."""
        return tensorflow().reduce_mean(self.each(losses))


@dataclass(frozen=True)
class Forward:
    """One pass of a network: ``logits`` [n, classes] of the model, and where it has a linear head its ``features``.

    Features are tensors [n, d] by branch.
    """

    logits: Any
    features: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """One training step, as the terms of a loss see it.

    ``batch`` and ``targets`` are what is trained on, ``clean`` and ``clean_targets`` what the data gave. ``logits``
    come from the head in use. ``seed``: int32 [2], another one in each step.
    """

    batch: Mapping[str, Any]
    targets: Targets
    clean: Mapping[str, Any]
    clean_targets: Targets
    forward: Forward
    logits: Any
    seed: Any


class Work:
    """A part at work on one network; every hook does nothing unless a part overrides it.

    ``variables``: further tf.Variables that are trained; ``state``: others that a checkpoint must keep. ``in_attack``:
    the adversary of training knows the term. ``needs_features``: steps need the features by branch.
    """

    in_attack = False
    needs_features = False
    variables: Sequence[Any] = ()
    state: Sequence[Any] = ()

    def prepare(self) -> None:
        """Get ready, once, before the first epoch of a training."""

    def epoch_start(self, epoch: int) -> None:
        """Take up ``epoch`` (from 0), on the weights as they are; also called when a training is resumed there."""

    def batch(self, batch: Mapping[str, Any], targets: Targets, seed: Any) -> tuple[Mapping[str, Any], Targets]:
        """Change what is trained on, in the compiled step: attack it or mix it."""
        return batch, targets

    def head(self, forward: Forward) -> Any | None:
        """Compute the logits in place of the model's own, or return None."""
        return None

    def base(self, step: Step) -> Any | None:
        """Compute a scalar in place of the mean cross-entropy, or return None."""
        return None

    def term(self, step: Step) -> Any | None:
        """Compute a scalar to add to the loss, or return None."""
        return None

    def attack_term(self, batch: Mapping[str, Any], targets: Targets, forward: Forward) -> Any | None:
        """Compute what an adversary who knows the term adds to the loss of each sample, [n]; for ``in_attack``."""
        return None

    def gradients(self, compute: Callable[[], Any], variables: Sequence[Any]) -> Any | None:
        """Compute a step's result in another way than at the present weights; ``compute()`` does it there.

        What ``compute`` returns is (loss, gradients of ``variables``, scales), and so is what this returns, or None.
        """
        return None

    def change(self, gradients: Sequence[Any], variables: Sequence[Any], step: Step) -> Sequence[Any]:
        """Change the ``gradients`` of ``variables`` before the optimizer sees them."""
        return gradients

    def scales(self, variables: Sequence[Any], step: Step) -> Mapping[int, Any]:
        """Return factors for the optimizer's updates of some of ``variables``, by their place among them."""
        return {}

    def publish(self) -> None:
        """Write into the model what it needs to stand alone: before each validation and at the end."""

    def score(self, samples: Samples) -> float | None:
        """Tell how good the published model is, which decides the epoch that is kept; None: by :meth:`measure`."""
        return None

    def measure(self, samples: Samples) -> float | None:
        """Compute what stands in the network's table in place of its accuracy, or return None."""
        return None

    def epoch_end(self, epoch: int) -> str | None:
        """Look at what ``epoch`` did; a text is shown to the user."""
        return None

    def finish(self) -> Mapping[str, Any]:
        """Do the second stage, on the best weights; return facts for the network's table."""
        return {}


class Part(Protocol):
    """A part of an objective: a frozen dataclass whose fields are its settings.

    One that adds layers to a network has also ``rebuild(model) -> model``, which is called before all else. One
    whose training has a beginning of its own has ``further(facts) -> settings``: those that change where a network goes
    on with rounded weights, by what the part found when it was trained.
    """

    name: ClassVar[str]

    def attach(self, run: Run) -> Work:
        """Return the part at work on the network of ``run``; UsageError if the network cannot carry it."""
