"""Reconstruction: an autoencoder learns what is normal, and a large error tells what is not.

Samples of class 0 are normal, all others anomalies. The anomaly score of a sample is the mean square error between its
input and what the network returns (MLPerf Tiny, anomaly detection; Koizumi et al. 2020, DCASE task 2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import UsageError
from tinyfuse.data.samples import Batch, Samples
from tinyfuse.nn.objectives.objective import Step, Work
from tinyfuse.nn.objectives.run import Run
from tinyfuse.nn.predict import predict

NORMAL = 0
NEED_CLASSES = ("adversarial", "trades", "mixup", "density-mixup")
"""Parts that would attack, mix or score what an autoencoder returns as if it were logits."""


@dataclass(frozen=True)
class Reconstruction:
    """Settings: none. The network returns its only input, not classes."""

    name: ClassVar[str] = "reconstruction"
    rebuilds_input: ClassVar[bool] = True

    def attach(self, run: Run) -> Work:
        """Return the part at work; see :class:`tinyfuse.nn.objectives.objective.Part`."""
        only_input({one.name: one for one in run.dataset.inputs})
        beside = [part.name for part in run.parts if part.name in NEED_CLASSES]
        if beside:
            raise UsageError(f"reconstruction and {' and '.join(beside)} cannot be parts of one objective: an "
                             f"autoencoder returns no classes, and {beside[0]} is about classes; leave one out")
        return ReconstructionWork(run)


class ReconstructionWork(Work):
    """Minimises the mean square error between output and input on the normal samples of a batch."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def base(self, step: Step) -> Any:
        """Compute the mean square error over the normal samples."""
        tf = tensorflow()
        given = tf.reshape(only_input(step.batch), tf.shape(step.logits))
        errors = tf.reduce_mean(tf.square(step.logits - given), axis=1)
        normal = tf.cast(tf.equal(step.targets.labels, NORMAL), tf.float32)
        return tf.reduce_sum(errors * normal) / tf.maximum(tf.reduce_sum(normal), 1.0)

    def measure(self, samples: Samples) -> float:
        """Return the AUC of telling anomalies from normal samples by their error, see :func:`auc`."""
        return auc(anomaly_scores(predict(self.run.model, samples), samples.inputs), samples.label)


def only_input(batch: Mapping[str, Any]) -> Any:
    """Return the one input of a batch; UsageError if there are several."""
    if len(batch) != 1:
        raise UsageError(f"reconstruction needs data with one input; given: {', '.join(batch)}")
    return next(iter(batch.values()))


def anomaly_scores(outputs: np.ndarray, inputs: Batch) -> np.ndarray:
    """Compute the mean square error, float64 [n], of ``outputs`` [n, values] beside the only one of ``inputs``."""
    given = np.asarray(only_input(inputs)[:], np.float64).reshape(len(outputs), -1)
    return np.asarray(np.mean(np.square(outputs.reshape(len(outputs), -1) - given), axis=1))


def auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of pairs of an anomaly and a normal sample that ``scores`` [n] put in order, ties as one half.

    That is the area under the receiver operating characteristic. UsageError: one of the kinds is missing.
    """
    anomalous = np.asarray(labels) != NORMAL
    if anomalous.all() or not anomalous.any():
        raise UsageError(f"{int(anomalous.sum())} of {len(anomalous)} samples are anomalies (a label other than "
                         f"{NORMAL}); validation and test data need both kinds to tell how well they are told apart")
    from scipy.stats import rankdata

    count = int(anomalous.sum())
    above = rankdata(scores)[anomalous].sum() - count * (count + 1) / 2
    return float(above / (count * (len(anomalous) - count)))
