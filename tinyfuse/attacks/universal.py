"""Universal perturbations: one change per attacked input that is added to every sample of a set."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tinyfuse.attacks.adversarial import misclassified
from tinyfuse.attacks.attack import Attack, at_least
from tinyfuse.attacks.guards import check_request, checked_logits
from tinyfuse.attacks.losses import CROSS_ENTROPY, loss_and_slope
from tinyfuse.attacks.oracle import Oracle
from tinyfuse.attacks.target import DifferentiableTarget, Target
from tinyfuse.core.errors import UsageError
from tinyfuse.data.samples import Batch
from tinyfuse.threats.audit import audit
from tinyfuse.threats.threat import Threat

FULL_VOTE = 0.0  # no floor under the length of a gradient: a confident sample has as much of a say as any other
_NUDGE = np.float32(1 + 2.0**-20)  # keeps k codes at k where scaling to the ball in float32 made them 0.9999999 k


@dataclass(frozen=True, eq=False)
class Verdict:
    """What one perturbation does to n samples; every flag is bool [n].

    ``missed``: misclassified when clean; ``broken``: misclassified when perturbed; ``changed``: the predicted class is
    not that of the clean sample, whether or not that was right. ``point`` holds all inputs, perturbed.
    """

    missed: np.ndarray = field(repr=False)
    broken: np.ndarray = field(repr=False)
    changed: np.ndarray = field(repr=False)
    point: dict[str, np.ndarray] = field(repr=False)

    @property
    def fooling_rate(self) -> float:
        """Share of samples whose predicted class changes (Moosavi-Dezfooli et al. 2017)."""
        return float(self.changed.mean())


@dataclass(frozen=True, eq=False)
class Perturbation:
    """One perturbation for a whole set: ``delta`` float32 [1, ...] per attacked input, in the threat's units.

    ``verdict`` is about the samples that made it, which flatters the attack: judge others with :func:`judge`.
    ``queries``: gradients and forward passes over all samples.
    """

    threat: Threat
    delta: dict[str, np.ndarray] = field(repr=False)
    verdict: Verdict
    queries: int


@dataclass(frozen=True)
class OneForAll(Attack, ABC):
    """An attack that makes one perturbation for a whole set; ``train_samples`` of the training data are to make it."""

    one_for_all = True
    train_samples: int = 200

    def run(self, target: DifferentiableTarget, batch: Batch, labels: np.ndarray, threat: Threat) -> Perturbation:
        """Make the perturbation on all samples of ``batch`` (float32 [n, ...] by input; ``labels`` int [n]).

        Raises what :meth:`SampleAttack.run` raises.
        """
        self.check_norm(threat.norm.name)
        check_request(target, batch, labels, [threat])
        oracle = Oracle(target, batch, np.asarray(labels), threat.attacked)
        oracle.focus()
        return self.solve(oracle, batch, np.asarray(labels), threat)

    @abstractmethod
    def solve(self, oracle: Oracle, batch: Batch, labels: np.ndarray, threat: Threat) -> Perturbation:
        """Make the perturbation on all samples of ``batch``, which is that of ``oracle``."""


@dataclass(frozen=True)
class Universal(OneForAll):
    """The perturbation that breaks most of the samples of a set at once.

    Each of ``epochs`` visits all samples in batches of about ``batch_size``, in an order drawn from ``seed``. At a
    batch, every sample votes with the steepest direction of its own ``loss`` (the sign of its gradient, or for L2 the
    gradient over its length), so that samples already broken do not drown the others; delta moves by ``step`` along the
    steepest direction of the mean vote (for L-inf its sign) and returns to the ball. ``step`` is a share of each
    input's epsilon that shrinks linearly to 0 over all steps: one that is short from the start gets stuck where few
    samples are broken. On a lattice it stays at least one code. The box clips each sample; its gradient counts as if it
    had not. After each epoch the whole set is judged, and the best delta is kept: most samples broken that were right
    when clean, then the highest mean loss; 0 is the first candidate. Costs epochs * n gradients and (epochs + 1) * n
    forward passes.

    On a lattice delta moves in fractions, and what is queried and returned is truncated to whole codes, the same for
    every sample; so an L2 budget far below the root of the number of coordinates moves little.
    """

    name = "universal"
    least = at_least(epochs=1, step=0, batch_size=1, seed=0, train_samples=1)
    epochs: int = 10
    step: float = 1.0
    batch_size: int = 100
    loss: str = CROSS_ENTROPY
    seed: int = 0

    def solve(self, oracle: Oracle, batch: Batch, labels: np.ndarray, threat: Threat) -> Perturbation:
        count, batches, every = len(labels), -(-len(labels) // self.batch_size), np.arange(len(labels))
        delta = {name: np.zeros_like(batch[name][:1]) for name in threat.attacked}
        clean = oracle.logits(batch, every)
        best = self._worth(labels, clean, clean), delta, clean
        for epoch in range(self.epochs):
            order = np.random.default_rng([self.seed, epoch]).permutation(count)
            for part, rows in enumerate(np.array_split(order, batches)):
                clean_part = {name: batch[name][rows] for name in delta}
                seen = perturbed(clean_part, threat.take(rows), realised(delta, threat))
                step = self.step * (1 - (epoch * batches + part) / (self.epochs * batches))
                delta = _moved(delta, oracle.gradient(seen, rows, self.loss).wrt, threat, step)
            seen = realised(delta, threat)
            after = oracle.logits(perturbed(batch, threat, seen), every)
            best = max(best, (self._worth(labels, clean, after), seen, after), key=lambda candidate: candidate[0])
        _, delta, after = best
        verdict = verdict_of(batch, threat, labels, clean, after, perturbed(batch, threat, delta))
        return Perturbation(threat, delta, verdict, count * (2 * self.epochs + 1))

    def _worth(self, labels: np.ndarray, clean: np.ndarray, after: np.ndarray) -> tuple[int, float]:
        """Return what a perturbation that turns logits ``clean`` into ``after`` is worth; the larger, the better."""
        fresh = misclassified(after, labels) & ~misclassified(clean, labels)
        return int(fresh.sum()), float(loss_and_slope(self.loss, after, labels)[0].mean())


def perturbed(clean: Batch, threat: Threat, delta: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return ``clean`` with ``delta`` [1, ...] added to each attacked input and every sample clipped to its box.

    A ``delta`` in the ball and the mask of ``threat`` gives legal samples: clipping lets no norm grow.
    """
    return {**clean, **{name: threat.boxed(name, clean[name] + delta[name]) for name in threat.attacked}}


def judge(target: Target, batch: Batch, labels: np.ndarray, threat: Threat, delta: Mapping[str, np.ndarray]) -> Verdict:
    """Return what ``delta`` does to samples that may be others than those that made it; costs two forward passes.

    ``threat`` holds for ``batch``: every sample may have its own box, which clips ``delta``. A threat or a delta that
    does not fit is a UsageError; NaN or infinite logits, probabilities, and a perturbed sample that ``threat`` does not
    allow (see :func:`audit`) are TinyfuseErrors.
    """
    check_request(target, batch, labels, [threat])
    for name in threat.attacked:
        wanted = (1, *batch[name].shape[1:])
        if name not in delta or delta[name].shape != wanted:
            given = ", ".join(f"{key} {list(values.shape)}" for key, values in delta.items()) or "nothing"
            raise UsageError(f"universal: the threat attacks '{name}', so give its delta of shape {list(wanted)}; "
                             f"given: {given}")
    labels, point = np.asarray(labels), perturbed(batch, threat, delta)
    clean, after = (checked_logits(target, at, labels) for at in (batch, point))
    return verdict_of(batch, threat, labels, clean, after, point)


def _moved(delta: Batch, gradient: Batch, threat: Threat, step: float) -> dict[str, np.ndarray]:
    """Return ``delta`` after one step along the mean vote of the samples that ``gradient`` belongs to."""
    norm, budget = threat.norm, threat.budget
    votes = {name: values.mean(axis=0, keepdims=True, dtype=np.float64)
             for name, values in norm.directions(threat.masked(gradient), budget, FULL_VOTE).items()}
    change = {}
    # Votes are in units of the budgets already, so here all budgets count alike.
    for name, direction in norm.directions(votes, dict.fromkeys(votes, 1.0), FULL_VOTE).items():
        # On a lattice at least one code, but never beyond the budget.
        least = min(1.0, budget[name]) if threat.lattice and step > 0 else 0.0
        change[name] = delta[name] + np.float32(max(step * budget[name], least)) * direction.astype(np.float32)
    return norm.shrunk(change, budget)


def verdict_of(batch: Batch, threat: Threat, labels: np.ndarray, clean: np.ndarray, after: np.ndarray,
             point: dict[str, np.ndarray]) -> Verdict:
    """Return the flags from logits ``clean`` and ``after`` once all of ``point`` is found legal."""
    audit(point, batch, threat)
    return Verdict(misclassified(clean, labels), misclassified(after, labels),
                   np.asarray(clean.argmax(axis=1) != after.argmax(axis=1)), point)


def realised(delta: Mapping[str, np.ndarray], threat: Threat) -> dict[str, np.ndarray]:
    """Return ``delta`` as samples see it: on a lattice truncated to whole codes, before it is added to any of them."""
    return {name: np.trunc(values * _NUDGE) if threat.lattice else values for name, values in delta.items()}
