"""What is left when an input is missing, and what each input is worth alone.

A missing input is not nothing: something stands in its place. Zeros are the convention of the papers and often a
confident wrong input (a black picture); the training mean says less. The mean feature says nothing at all: what the
input adds to the logits is what it adds on average. Networks without a linear head on features of each input get the
mean of their answers over training samples of the missing inputs, which is the same where that head exists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tinyfuse.analyses.analysis import Advance, Analysis, Finding, Quantity, register
from tinyfuse.analyses.head import Head
from tinyfuse.analyses.subject import AnalysisSubject
from tinyfuse.attacks.attack import at_least
from tinyfuse.checks.alone import chance, mean_answer, with_others
from tinyfuse.core.statistics import wilson
from tinyfuse.data.samples import Batch, Samples

ZERO, MEAN, FEATURE, ANSWER = "zero", "mean input", "mean feature", "mean answer"
SEED = 0
Hear = Callable[[Sequence[str]], np.ndarray]
"""f(inputs that are there) -> logits [n, classes]."""


@register
@dataclass(frozen=True)
class Missing(Analysis):
    """Accuracy without each input, and from each input alone, by what stands in for the missing ones.

    ``mean_samples``: training samples over which features are averaged; ``answers``: those over which logits are.
    """

    name = "missing"
    title = "Missing inputs, and each input alone"
    needs = ("several",)
    least = at_least(mean_samples=1, answers=1)
    quantities = (
        Quantity("accuracy alone", "accuracy from it alone", "share", "share of samples that are right when something "
                 "stands in for all other inputs", ("input", "stand-in")),
        Quantity("accuracy without", "accuracy without it", "share", "share of samples that are right when something "
                 "stands in for this input", ("input", "stand-in")),
        Quantity("accuracy", "accuracy", "share", "share of samples that are right with all inputs, and by chance",
                 ("inputs",)),
    )
    mean_samples: int = 200
    answers: int = 10

    def run(self, subject: AnalysisSubject, samples: Samples, advance: Advance) -> Iterable[Finding]:
        names = subject.input_names
        yield _accuracy("accuracy", {"inputs": "all"}, subject.logits(samples.inputs), samples.label)
        yield Finding("accuracy", {"inputs": "none"}, chance(samples.label), len(samples))
        for stand_in, hear in self._conventions(subject, samples).items():
            for name in names:
                others = tuple(other for other in names if other != name)
                for quantity, kept in (("accuracy alone", (name,)), ("accuracy without", others)):
                    of = {"input": name, "stand-in": stand_in}
                    yield _accuracy(quantity, of, hear(kept), samples.label)

    def _conventions(self, subject: AnalysisSubject, samples: Samples) -> dict[str, Hear]:
        train, names = subject.dataset.train, subject.input_names
        inputs = samples.only(names).inputs
        zeros = {one.name: np.full(one.shape, np.clip(0.0, one.low, one.high), np.float32) for one in subject.inputs}
        means = train.means(names)
        found: dict[str, Hear] = {
            ZERO: lambda kept: subject.logits(with_others(inputs, kept, zeros)),
            MEAN: lambda kept: subject.logits(with_others(inputs, kept, means))}
        head = subject.head
        if head is not None and not subject.lacks("branches"):
            average = {branch: values.mean(axis=0) for branch, values in
                       head.features(train.balanced(self.mean_samples, seed=SEED).only(names).inputs).items()}
            features = head.features(inputs)
            return {**found, FEATURE: lambda kept: feature_logits(head, features, average, kept)}
        references = train.balanced(self.answers, seed=SEED).only(names).inputs
        return {**found, ANSWER: lambda kept: mean_answer(subject.logits, inputs, kept, references)}


def feature_logits(head: Head, features: Batch, average: Mapping[str, np.ndarray], kept: Sequence[str]) -> np.ndarray:
    """Compute the logits [n, classes] when each branch without an input ``kept`` has its ``average`` feature [d]."""
    known = {branch: values if set(head.branches[branch]) & set(kept)
             else np.broadcast_to(average[branch], values.shape) for branch, values in features.items()}
    return np.asarray(sum(head.scores(known).values()) + head.bias)


def _accuracy(quantity: str, of: dict[str, str], logits: np.ndarray, labels: np.ndarray) -> Finding:
    right = logits.argmax(axis=1) == labels
    return Finding(quantity, of, float(right.mean()), len(labels), *wilson(int(right.sum()), len(labels)))
