"""Density and convexity of each class, and whether they go with what an attack breaks (Li et al. 2022, figure 4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tinyfuse.analyses.analysis import Advance, Analysis, Finding, Quantity, register
from tinyfuse.analyses.inner_cut import InnerCut, last_hidden
from tinyfuse.analyses.subject import AnalysisSubject
from tinyfuse.attacks import PGD, SampleAttack, Universal
from tinyfuse.attacks.adversarial import misclassified
from tinyfuse.attacks.attack import at_least
from tinyfuse.attacks.universal import judge
from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.data.samples import Batch, Samples
from tinyfuse.nn.density import convexity, density
from tinyfuse.threats.code_threats import code_problem
from tinyfuse.threats.threat import Threat

ALL = "all"
PLACES = ("input", "inner", "features")
ATTACKS = ("pgd", "universal")
PERMUTATIONS = 4999
TRAIN_SEED = 0
Measured = dict[tuple[str, ...], np.ndarray]
"""What was measured for each class, [classes], by what it is: ("density", branch) or ("convexity", place, varied)."""


@dataclass(frozen=True, eq=False)
class _Place:
    """A place in a model where samples are mixed: its ``values`` [n, ...] by name, and the class that they give."""

    name: str
    values: Mapping[str, np.ndarray]
    classify: Callable[[dict[str, np.ndarray]], np.ndarray]

    def ways(self) -> list[tuple[str, tuple[str, ...]]]:
        """Tell what may be mixed: everything, and each name alone while the others stay."""
        names = tuple(self.values)
        return [(ALL, names), *((name, (name,)) for name in names if len(names) > 1)]


@register
@dataclass(frozen=True)
class ClassShape(Analysis):
    """How dense and how convex the classes lie, on ``train_samples``, against what an attack takes from each.

    ``share``: the samples nearest to the mean of a class that fill its core. ``pairs`` of samples are mixed at each of
    ``places`` (joined by "+"): "input", "inner" (ahead of the last hidden layer; float networks), "features" (what the
    head reads: always 1, for the regions of a linear layer are convex) or names of layers. ``attack``: "pgd", or
    "universal" (one perturbation for all samples, as in the paper), with ``steps`` (of universal: epochs), on all
    inputs at ``epsilon`` of the range of each.
    """

    name = "shape"
    title = "Density and convexity of classes"
    needs = ("head",)
    least = at_least(train_samples=2, share=0, pairs=1, epsilon=0, steps=1)
    quantities = (
        Quantity("density", "density ρ / n", "", "samples of a class by logarithm of volume, divided by their number: "
                 "0.896 evenly filled, far less where a few samples lie far out; no value: no spread", ("branch",)),
        Quantity("core density", "density ρ / n up to the 99 % quantile", "", "the same without the farthest 1 %"),
        Quantity("convexity", "convexity κ", "", "share of mixtures of two samples of a class, both right, that are of "
                 "this class too; at a place in the network, everything or one input or layer being mixed",
                 ("place", "mixed")),
        Quantity("clean accuracy", "clean accuracy", "", "of the judged samples of a class"),
        Quantity("attacked accuracy", "accuracy under attack", "", "of the same samples"),
        Quantity("drop", "drop rate", "", "share of the clean accuracy that the attack takes away"),
        Quantity("rank correlation", "rank correlation with the drop", "", "Spearman's, over classes: below 0, denser "
                 "or more convex classes lose less; none where all classes are alike; n counts classes", ("measure",)),
        Quantity("p value", "p of that correlation", "", "share of 4999 permutations with at least that correlation",
                 ("measure",)),
    )
    train_samples: int = 500
    share: float = 0.8
    pairs: int = 200
    places: str = "input+inner"
    attack: str = "pgd"
    steps: int = 10
    epsilon: float = 0.03

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.attack not in ATTACKS:
            raise UsageError(f"shape: unknown attack '{self.attack}'{nearest(self.attack, ATTACKS)}; use "
                             f"{' or '.join(ATTACKS)}")
        if not 0 < self.share < 1 or not 0 <= self.epsilon <= 1:
            raise UsageError(f"shape: share is {self.share} and epsilon {self.epsilon}; give 0 < share < 1 and a share "
                             "of the range of values as epsilon")

    def work(self, subject: AnalysisSubject, samples: Samples) -> int:
        return len(subject.classes) + 1

    def run(self, subject: AnalysisSubject, samples: Samples, advance: Advance) -> Iterator[Finding]:
        train = subject.dataset.train.balanced(self.train_samples, seed=TRAIN_SEED)
        known: Measured = {}
        yield from self._densities(subject, train, known)
        yield from self._convexities(subject, train, known, advance)
        drop = np.full(len(subject.classes), np.nan)
        yield from self._drops(subject, samples, drop)
        advance()
        for what, values in known.items():
            usable = np.isfinite(values)
            if usable.any():
                of = {"branch": what[1]} if what[0] == "density" else {"place": what[1], "mixed": what[2]}
                yield Finding(what[0], of, float(values[usable].mean()), len(train))
            found = rank_correlation(values, drop)
            for quantity, value in zip(("rank correlation", "p value"), found or (), strict=False):
                yield Finding(quantity, {"measure": " ".join(what)}, value, int(np.isfinite(values + drop).sum()))

    def _densities(self, subject: AnalysisSubject, train: Samples, known: Measured) -> Iterator[Finding]:
        assert subject.head is not None
        features = subject.head.features(train.inputs)
        if len(features) > 1:
            features[ALL] = np.concatenate(list(features.values()), axis=1)
        for branch, values in features.items():
            found = np.full(len(subject.classes), np.nan)
            for index, name in enumerate(subject.classes):
                mine = values[train.label == index]
                of, n = {"branch": branch, "class": name}, max(len(mine), 1)
                found[index] = density(mine, share=self.share) / n
                yield Finding("density", of, found[index], len(mine))
                core = density(mine, share=self.share, outer=0.99) / n if self.share < 0.99 else None
                yield Finding("core density", of, core, len(mine))
            known["density", branch] = found

    def _convexities(self, subject: AnalysisSubject, train: Samples, known: Measured,
                     advance: Advance) -> Iterator[Finding]:
        places = _places(subject, train.inputs, self.places)
        for index, name in enumerate(subject.classes):
            for place in places:
                mine = {key: values[train.label == index] for key, values in place.values.items()}
                for varied, names in place.ways():
                    value = convexity(place.classify, mine, index, pairs=self.pairs, varying=names) if np.any(
                        train.label == index) else float("nan")
                    column = ("convexity", place.name, varied)
                    known.setdefault(column, np.full(len(subject.classes), np.nan))[index] = value
                    yield Finding("convexity", {"class": name, "place": place.name, "mixed": varied}, value, self.pairs)
            advance()

    def _drops(self, subject: AnalysisSubject, samples: Samples, drop: np.ndarray) -> Iterator[Finding]:
        right, held = self._attacked(subject, samples)
        for index, name in enumerate(subject.classes):
            mine = samples.label == index
            n = int(mine.sum())
            if n:
                clean, attacked = float(right[mine].mean()), float((right & held)[mine].mean())
                drop[index] = (clean - attacked) / clean if clean else np.nan
                for quantity, value in (("clean accuracy", clean), ("attacked accuracy", attacked),
                                        ("drop", drop[index])):
                    yield Finding(quantity, {"class": name}, value, n)

    def _attacked(self, subject: AnalysisSubject, samples: Samples) -> tuple[np.ndarray, np.ndarray]:
        """Attack all inputs of ``samples``; return bool [n]: right when clean, right when attacked."""
        threat, batch = self._problem(subject, samples.inputs)
        right = ~misclassified(subject.target.logits(batch), samples.label)
        if self.attack == "universal":
            learnt = subject.dataset.train.balanced(self.train_samples, seed=TRAIN_SEED)
            making, training = self._problem(subject, learnt.inputs)
            made = Universal(epochs=self.steps).run(subject.target, training, learnt.label, making)
            return right, ~judge(subject.target, batch, samples.label, threat, made.delta).broken
        plan: SampleAttack = PGD(steps=self.steps)
        return right, ~plan.run(subject.target, batch, samples.label, threat, survivors_only=True).broken

    def _problem(self, subject: AnalysisSubject, inputs: Batch) -> tuple[Threat, Batch]:
        threat = Threat.of(subject.inputs, {one.name: self.epsilon * one.span for one in subject.inputs})
        grids = subject.target.grids
        return (threat, subject.given(inputs)) if grids is None else code_problem(threat, inputs, grids, "codes")


def _places(subject: AnalysisSubject, inputs: Batch, wanted: str) -> list[_Place]:
    """Find the places that the setting ``wanted`` names, with the values there; an integer model has no inner one."""
    found, layers = list[_Place](), list[str]()
    for name in wanted.split("+"):
        if name == "input":
            found.append(_Place("input", {one: inputs[one] for one in subject.input_names}, subject.predict))
        elif name == "inner" and subject.network is not None:
            inner = last_hidden(subject.network.model)
            found += [_inner(subject, inputs, inner)] if inner else []
        elif name == "features":
            found.append(_at_head(subject, inputs))
        elif name != "inner":
            layers.append(name)
    if layers and subject.network is None:
        raise UsageError(f"shape: an integer model has no layer {', '.join(layers)}; its places are input and features")
    return [*found, *([_inner(subject, inputs, layers)] if layers else [])]


def _inner(subject: AnalysisSubject, inputs: Batch, layers: Sequence[str]) -> _Place:
    assert subject.network is not None
    cut = InnerCut.at(subject.network.model, layers)
    return _Place("inner" if len(layers) > 1 else layers[0], cut.values(inputs), cut.classify)


def _at_head(subject: AnalysisSubject, inputs: Batch) -> _Place:
    head = subject.head
    assert head is not None
    return _Place("features", head.features(inputs),
                  lambda values: np.asarray((sum(head.scores(values).values()) + head.bias).argmax(axis=1)))


def rank_correlation(one: np.ndarray, other: np.ndarray, *, seed: int = 0) -> tuple[float, float] | None:
    """Compute Spearman's correlation where both are finite, and its two-sided p by permutations.

    None where it is undefined: fewer than three values, or all alike.
    """
    from scipy.stats import rankdata

    usable = np.isfinite(one) & np.isfinite(other)
    if usable.sum() < 3 or np.ptp(one[usable]) == 0 or np.ptp(other[usable]) == 0:
        return None
    a, b = (rankdata(values[usable]) for values in (one, other))
    a, b = ((ranks - ranks.mean()) / np.linalg.norm(ranks - ranks.mean()) for ranks in (a, b))
    rng = np.random.default_rng(seed)
    drawn = np.array([a @ rng.permutation(b) for _ in range(PERMUTATIONS)])
    found = float(a @ b)
    return found, float((1 + (np.abs(drawn) >= abs(found) - 1e-12).sum()) / (1 + PERMUTATIONS))
