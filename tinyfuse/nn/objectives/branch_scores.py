"""What each branch of a network says by itself: its slice of the linear head, and how sure of the labels that is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinyfuse.core.backend import tensorflow
from tinyfuse.nn.objectives.crmt_head import weight_rounding
from tinyfuse.nn.objectives.objective import Forward, Targets
from tinyfuse.nn.objectives.run import Run

SMALLEST = 1e-12
Tensors = Mapping[str, Any]


def branch_logits(run: Run, features: Tensors) -> dict[str, Any]:
    """Compute by branch the logits [n, classes] of its ``features`` [n, d] alone: W_m phi_m + b / branches.

    The bias is shared equally, so that the logits of all branches add up to those of the network.
    """
    tf = tensorflow()
    nothing = {branch: tf.zeros_like(values) for branch, values in features.items()}
    bias = _head(run, {branch: values[:1] for branch, values in nothing.items()})
    return {branch: _head(run, {**nothing, branch: values}) - bias * (1 - 1 / len(features))
            for branch, values in features.items()}


def _head(run: Run, features: Tensors) -> Any:
    """Compute the logits of the head in use: the one of a part, else the last layer of the network."""
    tf, last = tensorflow(), run.model.output._keras_history.layer
    found = (work.head(Forward(None, features)) for work in run.works)
    own = next((logits for logits in found if logits is not None), None)
    if own is not None:
        return own
    named = run.view.weights
    kernel = weight_rounding(last)(tf.convert_to_tensor(named["kernel"]))
    parts = [values @ tf.gather(kernel, run.view.rows[branch]) for branch, values in features.items()]
    return tf.add_n(parts) + named.get("bias", 0.0)


def label_scores(logits: Tensors, targets: Targets) -> dict[str, Any]:
    """Sum by branch the softmax of ``logits`` [n, classes] at the labels over the batch: scalars without a gradient."""
    tf = tensorflow()

    def score(values: Any) -> Any:
        shares = tf.nn.softmax(tf.stop_gradient(values))
        return tf.reduce_sum(targets.each(lambda labels: tf.gather(shares, labels, batch_dims=1)))

    return {branch: score(values) for branch, values in logits.items()}


def score_ratios(scores: Tensors) -> dict[str, Any]:
    """Divide the score of each branch by the mean score of the others; of two branches the ratios are inverse."""
    tf = tensorflow()
    others = {branch: tf.reduce_mean([score for other, score in scores.items() if other != branch])
              for branch in scores}
    return {branch: score / tf.maximum(others[branch], SMALLEST) for branch, score in scores.items()}


def while_at_most(run: Run, until: float) -> Any:
    """Return 1.0 in the first share ``until`` of the training, both ends included, and 0.0 after it."""
    tf = tensorflow()
    return tf.cast(run.progress <= until, "float32")
