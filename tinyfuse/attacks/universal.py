"""Universal perturbations: one change per modality that is added to every sample of a set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tinyfuse.attacks.adversarial import Parameter, misclassified
from tinyfuse.attacks.guards import check_request, sound_gradient, sound_logits
from tinyfuse.attacks.losses import check_loss, loss_and_slope
from tinyfuse.attacks.query_search import check_numbers
from tinyfuse.attacks.target import Batch, DifferentiableTarget, Focus, Target, focused
from tinyfuse.core.errors import UsageError
from tinyfuse.threats.audit import audit
from tinyfuse.threats.norms import BALLS, DIRECTIONS
from tinyfuse.threats.threat import Threat

_FULL_VOTE = 0.0
"""No floor under the length of a gradient: a confident sample has as much of a say as any other."""
_NUDGE = np.float32(1 + 2.0**-20)


@dataclass(frozen=True, eq=False)
class Verdict:
    """What one perturbation does to n samples; every flag is bool [n], as the target's forward pass sees it.

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

    @property
    def robust_accuracy(self) -> float:
        """Share of samples that are right both clean and perturbed."""
        return float(np.mean(~self.missed & ~self.broken))


@dataclass(frozen=True, eq=False)
class Universal:
    """One perturbation for a whole set: ``delta`` float32 [1, h, w, c] per attacked modality, in the threat's units.

    ``verdict`` is about the samples that made it, which flatters the attack: judge others with :func:`judge`.
    ``queries``: gradients and forward passes over all samples.
    """

    threat: Threat
    parameters: dict[str, Parameter]
    delta: dict[str, np.ndarray] = field(repr=False)
    verdict: Verdict
    queries: int

    def describe(self) -> dict[str, Parameter]:
        """Return attack, threat and hyper-parameters as one flat table for a results row."""
        return {"attack": "universal", **self.threat.describe(), **self.parameters}


def universal(target: DifferentiableTarget, batch: Batch, labels: np.ndarray, threat: Threat, *, epochs: int = 10,
              step: float = 1.0, batch_size: int = 100, loss: str = "cross-entropy",
              seed: int = 0) -> Universal:
    """Return the perturbation under ``threat`` that breaks most of the samples of ``batch`` at once.

    ``batch``: float32 [n, h, w, c] per input; ``labels``: true classes, int [n]. Each of ``epochs`` visits all
    samples in batches of about ``batch_size``, in an order drawn from ``seed``. At a batch, every sample votes with
    the steepest direction of its own ``loss`` (the sign of its gradient, or for L2 the gradient over its length), so
    that samples already broken do not drown the others; delta moves by ``step`` along the steepest direction of the
    mean vote (for L-inf its sign) and returns to the ball. ``step`` is a share of each modality's epsilon that
    shrinks linearly to 0 over all steps: one that is short from the start gets stuck where few samples are broken. On
    a lattice it stays at least one code. The box clips each sample; its gradient counts as if it had not. After each
    epoch the whole set is judged, and the best delta is kept: most samples broken that were right when clean, then
    the highest mean loss; 0 is the first candidate. Costs epochs * n gradients and (epochs + 1) * n forward passes.

    On a lattice delta moves in fractions, and what is queried and returned is truncated to whole codes, the same for
    every sample; so an L2 budget far below the root of the number of coordinates moves little.

    Raises:
        UsageError: a threat that does not fit the target or the batch, or bad parameters.
        TinyfuseError: NaN or infinite gradients or logits, or probabilities instead of logits.
    """
    check_request(target, batch, labels, [threat])
    check_loss(loss)
    check_numbers("universal", {"epochs": (epochs, 1), "batch_size": (batch_size, 1), "step": (step, 0),
                                "seed": (seed, 0)})
    labels, batches = np.asarray(labels), -(-len(labels) // batch_size)
    run = _Run(focused(target, batch, threat.modalities), target.name, batch, labels, threat, loss)
    delta = {name: np.zeros_like(batch[name][:1]) for name in threat.modalities}
    everything = np.arange(len(labels))
    clean = run.logits(batch, everything)
    best = run.held(delta, clean, clean)
    for epoch in range(epochs):
        for part, rows in enumerate(np.array_split(_order(len(labels), epoch, seed), batches)):
            delta = run.climb(delta, rows, step * (1 - (epoch * batches + part) / (epochs * batches)))
        whole = _realised(delta, threat)
        found = run.held(whole, clean, run.logits(perturbed(batch, threat, whole), everything))
        best = max(best, found, key=lambda held: held.worth)
    parameters: dict[str, Parameter] = {"epochs": epochs, "step": step, "batch_size": batch_size, "loss": loss,
                                        "seed": seed}
    return Universal(threat, parameters, best.delta, run.verdict(best), len(labels) * (2 * epochs + 1))


def perturbed(clean: Batch, threat: Threat, delta: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return ``clean`` with ``delta`` [1, h, w, c] added to each attacked modality and every sample clipped to its box.

    A ``delta`` in the ball and the mask of ``threat`` gives legal samples: clipping lets no norm grow.
    """
    return {**clean, **{name: threat.boxed(name, clean[name] + delta[name]) for name in threat.modalities}}


def judge(target: Target, batch: Batch, labels: np.ndarray, threat: Threat, delta: Mapping[str, np.ndarray]) -> Verdict:
    """Return what ``delta`` does to samples that may be others than those that made it; costs two forward passes.

    ``threat`` holds for ``batch``: single samples may have their own boxes, which clip ``delta``.

    Raises:
        UsageError: a threat that does not fit the target or the batch, or a delta of the wrong shape.
        TinyfuseError: a perturbed sample that ``threat`` does not allow (see :func:`audit`), NaN or infinite logits,
            or probabilities instead of logits.
    """
    check_request(target, batch, labels, [threat])
    _check_shapes(batch, threat, delta)
    labels, point = np.asarray(labels), perturbed(batch, threat, delta)
    clean, after = (sound_logits(np.asarray(target.logits(at)), target.name, labels) for at in (batch, point))
    return _verdict(batch, threat, labels, clean, after, point)


@dataclass(frozen=True, eq=False)
class _Held:
    """A candidate: its perturbation, the logits before and after, and its worth (the larger, the better)."""

    delta: dict[str, np.ndarray]
    clean: np.ndarray
    after: np.ndarray
    worth: tuple[int, float]


@dataclass(frozen=True, eq=False)
class _Run:
    """What stays the same over all steps of one attack."""

    focus: Focus
    name: str
    batch: Batch
    labels: np.ndarray
    threat: Threat
    loss: str

    def climb(self, delta: dict[str, np.ndarray], rows: np.ndarray, step: float) -> dict[str, np.ndarray]:
        """Return ``delta`` after one step along the mean vote of the samples ``rows``."""
        threat, norm = self.threat.take(rows), self.threat.norm
        clean = {name: self.batch[name][rows] for name in threat.modalities}
        seen, labels = perturbed(clean, threat, _realised(delta, threat)), self.labels[rows]
        gradient = sound_gradient(self.focus.gradient(seen, labels, rows, self.loss), self.name, seen, labels,
                                  threat.modalities)
        moved = {}
        for name, slope in threat.masked(gradient.wrt).items():
            votes = DIRECTIONS[norm](slope, _FULL_VOTE).mean(axis=0, keepdims=True, dtype=np.float64)
            length = np.float32(_length(threat, name, step))
            change = delta[name] + length * DIRECTIONS[norm](votes, _FULL_VOTE).astype(np.float32)
            moved[name] = BALLS[norm](change, threat.epsilon[name])
        return moved

    def logits(self, point: Batch, rows: np.ndarray) -> np.ndarray:
        """Logits [m, k] of ``point``, which stands for ``rows``."""
        attacked = {name: point[name] for name in self.threat.modalities}
        return sound_logits(np.asarray(self.focus.logits(attacked, rows)), self.name, self.labels[rows])

    def held(self, delta: dict[str, np.ndarray], clean: np.ndarray, after: np.ndarray) -> _Held:
        """The candidate ``delta`` with its worth."""
        fresh = misclassified(after, self.labels) & ~misclassified(clean, self.labels)
        return _Held(delta, clean, after, (int(fresh.sum()),
                                           float(loss_and_slope(self.loss, after, self.labels)[0].mean())))

    def verdict(self, held: _Held) -> Verdict:
        """What the candidate does to the samples that made it."""
        point = perturbed(self.batch, self.threat, held.delta)
        return _verdict(self.batch, self.threat, self.labels, held.clean, held.after, point)


def _verdict(batch: Batch, threat: Threat, labels: np.ndarray, clean: np.ndarray, after: np.ndarray,
             point: dict[str, np.ndarray]) -> Verdict:
    """The flags from logits ``clean`` and ``after``; every sample of ``point`` is audited before it counts."""
    audit(point, batch, threat)
    return Verdict(misclassified(clean, labels), misclassified(after, labels),
                   np.asarray(clean.argmax(axis=1) != after.argmax(axis=1)), point)


def _order(count: int, epoch: int, seed: int) -> np.ndarray:
    """The order in which ``epoch`` visits the samples."""
    return np.random.default_rng([seed, epoch]).permutation(count)


def _length(threat: Threat, name: str, step: float) -> float:
    """The length of a step in the units of the threat: on a lattice at least one code, but never beyond the budget."""
    epsilon = threat.epsilon[name]
    return max(step * epsilon, min(1.0, epsilon)) if threat.lattice and step > 0 else step * epsilon


def _realised(delta: Mapping[str, np.ndarray], threat: Threat) -> dict[str, np.ndarray]:
    """``delta`` as samples see it: on a lattice truncated to whole codes, before it is added to any of them.

    The relative nudge keeps k codes at k where scaling to the ball in float32 made them 0.9999999 k.
    """
    return {name: np.trunc(values * _NUDGE) if threat.lattice else values for name, values in delta.items()}


def _check_shapes(batch: Batch, threat: Threat, delta: Mapping[str, np.ndarray]) -> None:
    for name in threat.modalities:
        if name not in delta or delta[name].shape != (1, *batch[name].shape[1:]):
            given = ", ".join(f"{key} {list(values.shape)}" for key, values in delta.items()) or "nothing"
            raise UsageError(f"universal: the threat attacks '{name}', so give its delta of shape "
                             f"{[1, *batch[name].shape[1:]]}; given: {given}")
