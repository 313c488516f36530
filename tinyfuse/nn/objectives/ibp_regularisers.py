"""What keeps intervals narrow and ReLUs balanced while the budget grows (Shi et al. 2021, section 3.3).

Both terms look at the box of each tensor that a ReLU reads and vanish above a tolerance t. Tightness: how much wider
the box is than that of the inputs, mean over ReLUs of max(0, t - w_0 / w) / t. Balance: in a box's middle, what is
surely active should weigh as much as what is surely not, in mean and in variance: for each ratio r <= 1 of the two,
max(0, t - r) / t.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tinyfuse.core.backend import tensorflow
from tinyfuse.nn.objectives.ibp_layers import Box

FLOOR = 1e-12


def regularisation(inputs: Mapping[str, Box], before_relus: Sequence[Box], tolerance: float) -> Any:
    """Compute the scalar mean of both terms over the boxes that ReLUs read."""
    tf = tensorflow()
    if not before_relus:
        return tf.constant(0.0)
    first = tf.reduce_mean(tf.concat([tf.reshape(box.radius, [-1]) for box in inputs.values()], 0))
    terms = [_lack(first / tf.maximum(tf.reduce_mean(box.radius), FLOOR), tolerance) + _imbalance(box, tolerance)
             for box in before_relus]
    return tf.add_n(terms) / len(terms)


def _lack(ratio: Any, tolerance: float) -> Any:
    return tensorflow().nn.relu(tolerance - ratio) / tolerance


def _imbalance(box: Box, tolerance: float) -> Any:
    tf = tensorflow()
    active, inactive = (tf.cast(which, "float32") for which in (box.low > 0, box.high < 0))
    center = box.center
    spread = tf.square(center - tf.reduce_mean(center))
    means = (tf.reduce_sum(center * active), -tf.reduce_sum(center * inactive))
    spreads = (tf.reduce_sum(spread * active), tf.reduce_sum(spread * inactive))
    return tf.add_n([_lack(_share(*pair), tolerance) for pair in (means, spreads)])


def _share(first: Any, second: Any) -> Any:
    """Divide the smaller of two sums by the larger one; 1 where one of them is empty, which no step can balance."""
    tf = tensorflow()
    low, high = tf.minimum(first, second), tf.maximum(first, second)
    return tf.where(low > FLOOR, low / tf.maximum(high, FLOOR), 1.0)
