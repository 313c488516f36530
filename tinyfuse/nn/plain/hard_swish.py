"""The hard swish x * relu6(x + 3) / 6 as a layer, which ``tf_keras`` lacks."""

from __future__ import annotations

import functools
from typing import Any

from tinyfuse.core.backend import tensorflow


@functools.cache
def hard_swish_layer() -> Any:
    """Make the class of the layer, late: it needs TensorFlow."""
    tf = tensorflow()
    import tf_keras

    class HardSwish(tf_keras.layers.Layer):  # type: ignore[misc]
        """x * relu6(x + 3) / 6, which TensorFlow Lite computes as HARD_SWISH."""

        def call(self, inputs: Any) -> Any:
            return inputs * tf.nn.relu6(inputs + 3.0) * (1.0 / 6.0)

    return HardSwish
