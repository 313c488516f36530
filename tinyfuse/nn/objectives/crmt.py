"""CRMT: every branch separates the classes by itself, and counts as much as its steepness allows (Yang et al. 2024).

Step 1 trains with an orthogonal head and a loss on the margins of each branch (eq 12); step 2 sets the weights of
classes and branches so that the radii within which decisions stand grow (eq 10). Together with "adversarial" or "mixup"
it is the paper's CRMT-AT or CRMT-Mix: both steps' loss is that of the batch as those parts make it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tinyfuse.core.backend import compiled, tensorflow
from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.data.samples import Input, Samples
from tinyfuse.nn.objectives.crmt_head import OrthogonalHead
from tinyfuse.nn.objectives.crmt_weights import AIMS, JOINT, Scored, enlarge
from tinyfuse.nn.objectives.objective import Forward, Step, Work
from tinyfuse.nn.objectives.run import Run
from tinyfuse.nn.objectives.training_threat import Budget

STEPS = ("both", "first", "second", "head")
FIRST, SECOND = STEPS[:2], (STEPS[0], STEPS[2])
CHUNK = 100
DIGITS = 6
FAR = 1e9


@dataclass(frozen=True)
class Crmt:
    """Settings of CRMT.

    ``weight``: of the loss on margins beside the cross-entropy (the paper's rho). ``steps``: "both", "first" or
    "second" alone, or "head": the orthogonal head only (the paper's OJT). ``radius``: what step 2 enlarges; see
    :func:`tinyfuse.nn.objectives.crmt_weights.enlarge`. ``budget``: the unit of radii, one for all inputs or by input;
    with that of an adversary, an input that it may change more counts as steeper. ``samples``: training samples whose
    radii step 2 enlarges; ``slope_samples``: those whose gradients estimate Lipschitz constants.
    """

    name: ClassVar[str] = "crmt"
    weight: float = 2.0
    steps: str = "both"
    radius: str = JOINT
    budget: Budget = 1.0
    samples: int = 2000
    slope_samples: int = 200

    def __post_init__(self) -> None:
        for what, value, allowed in (("steps", self.steps, STEPS), ("radius", self.radius, AIMS)):
            if value not in allowed:
                raise UsageError(f"crmt: unknown {what} '{value}'{nearest(value, allowed)}; choose one of "
                                 f"{', '.join(allowed)}")
        if not 0 <= self.weight < float("inf") or min(self.samples, self.slope_samples) < 1:
            raise UsageError(f"crmt: weight {self.weight}, samples {self.samples}, slope_samples {self.slope_samples}: "
                             "give a finite weight of at least 0 and at least one sample of each kind")

    def attach(self, run: Run) -> Work:
        """Return the part at work; see :class:`tinyfuse.nn.objectives.objective.Part`."""
        run.view.need_streams("crmt")
        if self.steps in SECOND and run.view.streams is not run.view.rows:
            raise UsageError(f"crmt: step 2 needs features that depend on one input each, and in "
                             f"'{run.view.model.name}' all inputs reach them; set crmt.steps=first")
        return CrmtWork(self, run)


def units(budget: Budget, inputs: Sequence[Input]) -> dict[str, float]:
    """Return the unit of radii by input; UsageError unless each of ``inputs`` has one."""
    names = [one.name for one in inputs]
    given = dict.fromkeys(names, float(budget)) if isinstance(budget, (int, float)) else dict(budget)
    for name in given:
        if name not in names:
            raise UsageError(f"crmt: budget for '{name}'{nearest(name, names)}; the network's inputs are "
                             f"{', '.join(names)}")
    if not all(0 < given.get(name, 0) < float("inf") for name in names):
        raise UsageError(f"crmt: budget {budget}: step 2 measures radii in it, so give a finite number above 0 for "
                         f"each of {', '.join(names)}")
    return given


def margin_losses(scores: Mapping[str, Any], labels: Any) -> Any:
    """Compute log sum over branches m and classes k != y of exp(s_k^m - s_y^m), [n] (eq 12).

    It is at least minus the smallest margin of a branch, and at most log(branches * (classes - 1)) above that. One
    logsumexp: the form of the paper's code overflows, and its form for mixed samples can be the log of a negative.
    """
    tf = tensorflow()
    every = tf.stack(list(scores.values()), 1)
    own = tf.one_hot(labels, every.shape[2])[:, None]
    behind = every - tf.reduce_sum(every * own, 2, keepdims=True)
    return tf.reduce_logsumexp(behind - FAR * own, axis=[1, 2])


class CrmtWork(Work):
    """Replaces the head of the network, which stays a dense layer: each publication folds this head into it."""

    needs_features = True

    def __init__(self, settings: Crmt, run: Run) -> None:
        self.settings, self.run = settings, run
        self.units = units(settings.budget, run.inputs) if settings.steps in SECOND else {}
        self.orthogonal = OrthogonalHead(run.view, run.view.streams, run.seed)
        self.variables = self.orthogonal.variables
        self.branches = tuple(run.view.streams)

    def head(self, forward: Forward) -> Any:
        """Compute the logits of the orthogonal head."""
        return self.orthogonal.logits(self.run.view.of_streams(forward.features))

    def term(self, step: Step) -> Any | None:
        """Compute the loss of step 1 on margins."""
        if self.settings.steps not in FIRST:
            return None
        scores = self.orthogonal.scores(self.run.view.of_streams(step.forward.features))
        return self.settings.weight * step.targets.mean(lambda labels: margin_losses(scores, labels))

    def publish(self) -> None:
        """Fold the head into the dense layer."""
        self.orthogonal.publish()

    def finish(self) -> Mapping[str, Any]:
        """Set the weights anew (step 2) and tell what that did."""
        if self.settings.steps not in SECOND:
            return {}
        scored = self.scored(self.run.dataset.train)
        before = np.stack([np.asarray(self.orthogonal.weights[one], np.float64) for one in self.branches])
        score = self.run.score(self.run.dataset.validation)
        after = enlarge(scored, before, self.settings.radius)
        for branch, values in zip(self.branches, after, strict=True):
            self.orthogonal.weights[branch].assign(values)
        self.publish()
        facts = {"lipschitz_estimate": self._by_branch(scored.slopes), "before": self._facts(scored, before, score),
                 "after": self._facts(scored, after, self.run.score(self.run.dataset.validation))}
        self.run.report("crmt step 2: " + ", ".join(
            f"{what.replace('_', ' ')} {facts['before'][what]:.4g} -> {facts['after'][what]:.4g}"
            for what in ("joint_radius_mean", "joint_radius_median", "validation")))
        return facts

    def scored(self, samples: Samples) -> Scored:
        """Compute scores and, from fewer ``samples``, the steepest gradients of each score, in inference mode."""
        run = self.run
        chosen = samples.balanced(min(self.settings.samples, len(samples)), seed=run.seed)
        compute = compiled(self._scores)
        parts = [compute(batch) for batch in _batches(chosen)]
        scores = [np.concatenate([np.asarray(part[one], np.float64) for part in parts]) for one in self.branches]
        fewer = chosen.balanced(min(self.settings.slope_samples, len(chosen)), seed=run.seed)
        return Scored(np.stack(scores), chosen.label, self._steepest(fewer), self.orthogonal.bias)

    def _scores(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        return self.orthogonal.scores(self.run.view.forward(batch, training=False).features)

    def _steepest(self, samples: Samples) -> np.ndarray:
        """Compute the largest L2 norm, [branches, classes], of gradients of scores s_k^m by the branch's inputs.

        Inputs count in units of their budgets. A branch has inputs of its own, so that one backward pass serves all
        branches.
        """
        tf, view = tensorflow(), self.run.view

        def sizes(batch: Mapping[str, Any], k: Any) -> Any:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(batch)
                total = tf.add_n([tf.gather(one, k, axis=1) for one in self._scores(batch).values()])
            found = tape.gradient(total, batch, unconnected_gradients="zero")
            squares = {name: tf.reduce_sum(tf.reshape(unit * found[name], [found[name].shape[0], -1]) ** 2, 1)
                       for name, unit in self.units.items()}
            return [tf.sqrt(tf.add_n([squares[name] for name in view.inputs_of(branch)])) for branch in self.branches]

        classes, compute = len(self.orthogonal.bias), compiled(sizes)
        found = [[np.stack(compute(batch, tf.constant(k))) for k in range(classes)] for batch in _batches(samples)]
        return np.asarray(np.concatenate([np.stack(one, 2) for one in found], 1).max(axis=1), np.float64)

    def _by_branch(self, values: np.ndarray) -> dict[str, Any]:
        return {branch: np.round(found, DIGITS).tolist() for branch, found in zip(self.branches, values, strict=True)}

    def _facts(self, scored: Scored, weights: np.ndarray, score: float) -> dict[str, Any]:
        """Describe weights: radii, vulnerability by branch and the largest of them over the smallest."""
        radii, vulnerability = scored.radii(weights), scored.vulnerability(weights)
        return {"validation": round(score, DIGITS),
                "joint_radius_mean": round(float(radii[0].mean()), DIGITS),
                "joint_radius_median": round(float(np.median(radii[0])), DIGITS),
                "vulnerability_ratio": round(float(vulnerability.max() / max(vulnerability.min(), 1e-30)), DIGITS),
                "radius_mean": self._by_branch(radii[1:].mean(axis=1)),
                "radius_median": self._by_branch(np.median(radii[1:], axis=1)),
                "vulnerability": self._by_branch(vulnerability), "weights": self._by_branch(weights)}


def _batches(samples: Samples) -> Iterator[dict[str, Any]]:
    tf = tensorflow()
    for start in range(0, len(samples), CHUNK):
        part = samples.take(slice(start, start + CHUNK))
        yield {name: tf.constant(np.asarray(values[:])) for name, values in part.inputs.items()}
