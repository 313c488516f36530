"""PMR: branches that lag behind learn from the distances to the mean features of classes (Fan et al., CVPR 2023).

A prototype is the mean of a branch's features over a class. Of a sample, a branch gives class k the similarity
s_k = -||feature - prototype_k||, not squared, and the share q = softmax(s). How far a branch is ahead is the ratio of
its sum of q at the labels to the mean of that of the others; the published rules are for two branches, where that is
the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tinyfuse.core.backend import compiled, tensorflow
from tinyfuse.core.errors import UsageError
from tinyfuse.data.samples import Samples
from tinyfuse.nn.objectives.branch_scores import label_scores, score_ratios, while_at_most
from tinyfuse.nn.objectives.objective import Step, Work
from tinyfuse.nn.objectives.run import Run, cross_entropy
from tinyfuse.nn.predict import in_batches

SAMPLES_PER_CLASS = 10  # at least, for prototypes of small data
FAR = -1e9  # similarity to the prototype of a class of which no sample has been seen
LEAST_SQUARE = 1e-12  # keeps the gradient of a distance of 0 finite


@dataclass(frozen=True)
class Pmr:
    """Settings of the released rule: a branch whose ratio is below 1 gets ``alpha`` times its own cross-entropy of s.

    That happens in the first share ``until`` of the training. Prototypes are means over the ``share`` of the training
    samples, drawn anew for each epoch with classes balanced, in inference mode and as the data gave them; the share
    ``smoothing`` of the previous prototypes stays.
    """

    name: ClassVar[str] = "pmr"
    alpha: float = 1.0
    smoothing: float = 0.2
    until: float = 0.5
    share: float = 0.1

    def __post_init__(self) -> None:
        _check(self.name, vars(self))

    def further(self, facts: Mapping[str, Any]) -> Mapping[str, Any]:
        """Stay out of it where the share of the training in which it worked is over."""
        return {} if self.until == 1 else {"alpha": 0.0}

    def attach(self, run: Run) -> Work:
        """Return the part at work; see :class:`tinyfuse.nn.objectives.objective.Part`."""
        run.view.need_branches(self.name)
        return PmrWork(self, run)


@dataclass(frozen=True)
class PmrPaper:
    """Settings of the rule of the paper, put together from its abstract and from memory: not verified.

    In place of a switch, a branch of ratio r gets alpha * clip(1 / r - 1, 0, 1) times its cross-entropy of s. In the
    first share ``entropy_until`` of the training a branch that is ahead is held back: ``entropy`` * clip(r - 1, 0, 1)
    times the entropy of its q is taken off the loss. The other settings are those of ``pmr``.
    """

    name: ClassVar[str] = "pmr-paper"
    alpha: float = 1.0
    smoothing: float = 0.2
    until: float = 0.5
    share: float = 0.1
    entropy: float = 0.1
    entropy_until: float = 0.2

    def __post_init__(self) -> None:
        _check(self.name, vars(self))

    def further(self, facts: Mapping[str, Any]) -> Mapping[str, Any]:
        """Stay out of what was over in the first training."""
        return {key: 0.0 for key, until in (("alpha", self.until), ("entropy", self.entropy_until)) if until < 1}

    def attach(self, run: Run) -> Work:
        """Return the part at work; see :class:`tinyfuse.nn.objectives.objective.Part`."""
        run.view.need_branches(self.name)
        return PmrPaperWork(self, run)


def _check(part: str, settings: Mapping[str, float]) -> None:
    for key, value in settings.items():
        top = float("inf") if key in ("alpha", "entropy") else 1.0
        if not (0 <= value <= top and value < float("inf")):
            allowed = "a number of at least 0" if top > 1 else "a share from 0 to 1"
            raise UsageError(f"{part}: {key} is {value}; give {allowed}")


class PmrWork(Work):
    """Keeps prototypes, and adds the cross-entropy of similarities of branches that lag behind."""

    needs_features = True

    def __init__(self, settings: Pmr | PmrPaper, run: Run) -> None:
        tf = tensorflow()
        self.settings, self.run, classes = settings, run, len(run.dataset.classes)
        self.prototypes = {branch: tf.Variable(tf.zeros([classes, len(rows)]), trainable=False)
                           for branch, rows in run.view.rows.items()}
        self.seen = tf.Variable(tf.zeros([classes], "bool"), trainable=False)
        self.state = [*self.prototypes.values(), self.seen]
        self._features = compiled(lambda batch: run.view.forward(batch, training=False).features)

    def epoch_start(self, epoch: int) -> None:
        """Compute prototypes from the weights as they are."""
        train = self.run.dataset.train
        count = max(round(self.settings.share * len(train)), SAMPLES_PER_CLASS * len(self.run.dataset.classes))
        seed = int(np.random.SeedSequence([self.run.seed, epoch]).generate_state(1)[0])
        self.update(train.balanced(min(count, len(train)), seed=seed))

    def update(self, samples: Samples) -> None:
        """Move the prototypes to the class means of ``samples``; a class without samples keeps its own."""
        inputs, before = samples.only(tuple(self.run.model.input_shape)), self.seen.numpy()
        features = in_batches(self._features, inputs.inputs)
        for branch, prototypes in self.prototypes.items():
            means, found = class_means(features[branch], samples.label, len(before))
            kept = np.where(before, self.settings.smoothing, 0.0)[:, None]
            smoothed = (1 - kept) * means + kept * prototypes.numpy()
            prototypes.assign(np.where(found[:, None], smoothed, prototypes.numpy()))
        self.seen.assign(before | found)

    def similarities(self, step: Step) -> dict[str, Any]:
        """Compute by branch the similarities s [n, classes] of a step's samples to the prototypes."""
        return {branch: similarities(values, self.prototypes[branch], self.seen)
                for branch, values in step.forward.features.items()}

    def ratios(self, found: Mapping[str, Any], step: Step) -> dict[str, Any]:
        """Compute by branch how far it is ahead, from its similarities."""
        return score_ratios(label_scores(found, step.targets))

    def urgency(self, ratio: Any) -> Any:
        """Return what the cross-entropy of a branch of this ratio counts, from 0 to 1."""
        return tensorflow().cast(ratio < 1, "float32")

    def term(self, step: Step) -> Any:
        """Compute the mean cross-entropies of similarities, each times alpha and the urgency of its branch."""
        tf, found = tensorflow(), self.similarities(step)
        ratios = self.ratios(found, step)
        losses = [self.urgency(ratios[branch]) * tf.reduce_mean(cross_entropy(values, step.targets))
                  for branch, values in found.items()]
        return self.settings.alpha * while_at_most(self.run, self.settings.until) * tf.add_n(losses)


class PmrPaperWork(PmrWork):
    """Weighs branches continuously, and keeps one that is ahead unsure early in the training."""

    settings: PmrPaper

    def urgency(self, ratio: Any) -> Any:
        """Return clip(1 / ratio - 1, 0, 1)."""
        return tensorflow().clip_by_value(1 / ratio - 1, 0.0, 1.0)

    def term(self, step: Step) -> Any:
        """Add the entropies of the branches that are ahead."""
        tf, found = tensorflow(), self.similarities(step)
        ratios = self.ratios(found, step)
        bonus = tf.add_n([tf.clip_by_value(ratios[branch] - 1, 0.0, 1.0) * tf.reduce_mean(entropy(values))
                          for branch, values in found.items()])
        early = while_at_most(self.run, self.settings.entropy_until)
        return super().term(step) - self.settings.entropy * early * bonus


def class_means(features: np.ndarray, labels: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Average ``features`` [n, d] by class: float64 [classes, d], 0 where a class has none; and bool, which have."""
    counts = np.bincount(labels, minlength=classes)
    sums = np.zeros((classes, features.shape[1]))
    np.add.at(sums, labels, features.astype(np.float64))
    return sums / np.maximum(counts, 1)[:, None], counts > 0


def similarities(features: Any, prototypes: Any, seen: Any) -> Any:
    """Compute -||feature - prototype|| [n, classes] of ``features`` [n, d]; ``seen``: which classes have a prototype.

    Prototypes are constants in the gradient.
    """
    tf = tensorflow()
    gaps = features[:, tf.newaxis] - tf.stop_gradient(tf.convert_to_tensor(prototypes))[tf.newaxis]
    return tf.where(seen, -tf.sqrt(tf.reduce_sum(gaps * gaps, axis=2) + LEAST_SQUARE), FAR)


def entropy(logits: Any) -> Any:
    """Compute the entropy [n], in nats, of the softmax of ``logits`` [n, classes]."""
    tf = tensorflow()
    return -tf.reduce_sum(tf.nn.softmax(logits) * tf.nn.log_softmax(logits), axis=1)
