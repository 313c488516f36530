"""Reconstruction: an autoencoder learns what is normal, and a large error tells what is not.

Samples of class 0 are normal, all others anomalies. The anomaly score of a sample is the mean square error between its
input and what the network returns (MLPerf Tiny, anomaly detection; Koizumi et al. 2020, DCASE task 2).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import UsageError
from tinyfuse.data.samples import Batch, Samples

NORMAL = 0


class Reconstruction:
    """Mean square error between a network's output and its only input, on the normal samples of a batch."""

    rebuilds_input = True

    def loss(self, model: Any, batch: Mapping[str, Any], labels: Any) -> Any:
        """Compute the loss of one step; see :class:`tinyfuse.nn.objectives.Objective`."""
        tf = tensorflow()
        rebuilt = model(batch, training=True)
        given = tf.reshape(only_input(batch), tf.shape(rebuilt))
        errors = tf.reduce_mean(tf.square(rebuilt - given), axis=1)
        normal = tf.cast(tf.equal(labels, NORMAL), tf.float32)
        mean = tf.reduce_sum(errors * normal) / tf.maximum(tf.reduce_sum(normal), 1.0)
        return mean + (tf.add_n(model.losses) if model.losses else 0.0)

    def score(self, outputs: np.ndarray, samples: Samples) -> float:
        """Return the AUC of telling anomalies from normal samples by their error, see :func:`auc`."""
        return auc(anomaly_scores(outputs, samples.inputs), samples.label)


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
