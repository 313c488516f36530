"""Scores of detection and of several labels at once: average precision, area under the ROC curve, and d'."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tinyfuse.analyses.analysis import Advance, Analysis, Finding, Quantity, register
from tinyfuse.analyses.subject import AnalysisSubject
from tinyfuse.data.samples import Samples
from tinyfuse.nn.objectives.reconstruction import auc


@register
@dataclass(frozen=True)
class Detection(Analysis):
    """How well the logit of each class detects it among all samples, whatever the other logits say."""

    name = "detection"
    title = "Each class as a detector"
    quantities = (
        Quantity("average precision", "average precision", "share", "mean precision over the ranks of the class's own "
                 "samples when all are sorted by its logit"),
        Quantity("AUC", "AUC", "share", "share of pairs of a sample of the class and another one that its logit puts "
                 "in order"),
        Quantity("d'", "d′", "", "distance in standard deviations between two normal distributions with that AUC; none "
                 "at an AUC of 1"),
        Quantity("mAP", "mAP", "share", "mean of the average precision over classes that occur", ()),
        Quantity("mean AUC", "mean AUC", "share", "mean of the AUC over classes that occur", ()),
        Quantity("mean d'", "d′ of the mean AUC", "", "d′ of the mean AUC, as AudioSet's figures are", ()),
    )

    def run(self, subject: AnalysisSubject, samples: Samples, advance: Advance) -> Iterable[Finding]:
        logits, n = subject.logits(samples.inputs), len(samples)
        truth = samples.label[:, None] == np.arange(logits.shape[1])
        judged = [index for index in range(logits.shape[1]) if 0 < truth[:, index].sum() < n]
        areas = {index: auc(logits[:, index], truth[:, index]) for index in judged}
        for index, area in areas.items():
            of = {"class": subject.classes[index]}
            yield Finding("average precision", of, average_precision(logits[:, index], truth[:, index]), n)
            yield Finding("AUC", of, area, n)
            yield Finding("d'", of, d_prime(area), n)
        if areas:
            mean = float(np.mean(list(areas.values())))
            yield Finding("mAP", {}, mean_average_precision(logits, truth), n)
            yield Finding("mean AUC", {}, mean, n)
            yield Finding("mean d'", {}, d_prime(mean), n)


def average_precision(scores: np.ndarray, truth: np.ndarray) -> float:
    """Compute the mean, over true samples, of the precision at the threshold of their ``scores`` [n]; ties count whole.

    It is the area under the precision-recall curve by steps, without interpolation.
    """
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(np.asarray(truth, int), scores))


def mean_average_precision(scores: np.ndarray, truth: np.ndarray) -> float:
    """Average it over the classes of ``scores`` [n, k] that occur in ``truth`` bool [n, k], of any number of labels."""
    present = np.flatnonzero(truth.any(axis=0))
    return float(np.mean([average_precision(scores[:, index], truth[:, index]) for index in present]))


def d_prime(area: float) -> float:
    """Compute sqrt(2) times the normal quantile of an AUC; infinite at 0 and 1."""
    from scipy.stats import norm

    return float(np.sqrt(2) * norm.ppf(area))
