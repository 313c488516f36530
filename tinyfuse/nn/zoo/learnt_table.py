"""A layer that adds learnt numbers to each sample: positions of tokens, which ``tf_keras`` has no layer for."""

from __future__ import annotations

import functools
from typing import Any

from tinyfuse.nn.zoo.resnet8 import keras


@functools.cache
def learnt_table() -> Any:
    """Make the class of the layer, late: it needs TensorFlow."""

    class LearntTable(keras().layers.Layer):  # type: ignore[misc]
        """x + table, of the shape of a sample; TensorFlow Lite computes it as ADD of a constant."""

        def build(self, input_shape: Any) -> None:
            self.table = self.add_weight("table", input_shape[1:], initializer=keras().initializers.RandomNormal(
                stddev=0.02))
            super().build(input_shape)

        def call(self, inputs: Any) -> Any:
            return inputs + self.table

    return LearntTable
