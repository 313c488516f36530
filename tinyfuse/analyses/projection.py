"""A picture of the features in two dimensions: principal components, or t-SNE (Li et al. 2022, figure 3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tinyfuse.analyses.analysis import Advance, Analysis, Finding, Quantity, register
from tinyfuse.analyses.head import chunks
from tinyfuse.analyses.subject import AnalysisSubject
from tinyfuse.attacks.attack import at_least
from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.data.samples import Samples

METHODS = ("pca", "tsne")
ALL = "all"
PERPLEXITY = 30.0
FEW = 300
"""Samples up to which t-SNE without its approximation takes less time."""


def principal_components(features: np.ndarray, count: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Project ``features`` [n, d] on their first ``count`` principal components.

    Returns coordinates [n, count] and the share of the variance of each. The sign is such that the largest weight of a
    component is positive.
    """
    centred = features - features.mean(axis=0)
    _, lengths, axes = np.linalg.svd(centred, full_matrices=False)
    found, shares = np.zeros((len(features), count)), np.zeros(count)
    for place, axis in enumerate(axes[:count]):
        found[:, place] = centred @ axis * np.sign(axis[np.abs(axis).argmax()])
        shares[place] = lengths[place] ** 2 / max(float((lengths**2).sum()), np.finfo(float).tiny)
    return found, shares


def neighbour_embedding(features: np.ndarray, seed: int) -> np.ndarray:
    """Place ``features`` [n, d] in two dimensions, [n, 2], so that neighbours stay neighbours (t-SNE, scikit-learn)."""
    from sklearn.manifold import TSNE

    method = "exact" if len(features) <= FEW else "barnes_hut"
    made = TSNE(perplexity=min(PERPLEXITY, (len(features) - 1) / 3), init="pca", random_state=seed, method=method)
    return np.asarray(made.fit_transform(features), np.float64)


@register
@dataclass(frozen=True)
class Projection(Analysis):
    """Where the features of each sample lie, by branch and of all branches together.

    ``method``: "pca" (linear, so that distances mean something) or "tsne" (neighbours only, drawn with ``seed``).
    """

    name = "projection"
    title = "Features in two dimensions"
    needs = ("head",)
    least = at_least(seed=0)
    quantities = (
        Quantity("coordinate", "coordinate", "", "where a sample lies along an axis of the picture; the value is the "
                 "share of the variance that the axis holds (pca)"),
        Quantity("variance shown", "share of the variance that the picture shows", "", "of the features; the rest is "
                 "not seen", ("branch",)),
        Quantity("label", "right class", "", "place of the right class, sample by sample; the value is the accuracy"),
        Quantity("prediction", "predicted class", "", "place of the class that the model gives, sample by sample"),
    )
    method: str = "pca"
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method not in METHODS:
            raise UsageError(f"projection: unknown method '{self.method}'{nearest(self.method, METHODS)}; use "
                             f"{' or '.join(METHODS)}")

    def work(self, subject: AnalysisSubject, samples: Samples) -> int:
        return chunks(len(samples))

    def run(self, subject: AnalysisSubject, samples: Samples, advance: Advance) -> Iterator[Finding]:
        if len(samples) < 4:
            raise UsageError(f"projection: a picture of {len(samples)} samples shows nothing; give at least 4")
        head = subject.head
        assert head is not None
        features = head.features(samples.inputs, advance)
        logits = sum(head.scores(features).values()) + head.bias
        predicted = np.asarray(logits.argmax(axis=1))
        n = len(samples)
        yield Finding("label", {}, float((predicted == samples.label).mean()), n, each=samples.label)
        yield Finding("prediction", {}, None, n, each=predicted)
        if len(features) > 1:
            features[ALL] = np.concatenate(list(features.values()), axis=1)
        for branch, values in features.items():
            found, shares = principal_components(values)
            if self.method == "tsne":
                found = neighbour_embedding(values, self.seed)
            else:
                yield Finding("variance shown", {"branch": branch}, float(shares.sum()), n)
            for axis, (coordinates, share) in enumerate(zip(found.T, shares, strict=True), start=1):
                value = float(share) if self.method == "pca" else None
                yield Finding("coordinate", {"branch": branch, "axis": str(axis)}, value, n, each=coordinates)
