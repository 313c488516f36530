"""PRELU: x, or alpha * x where x < 0, with an alpha for each channel or place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.arithmetic import TYPE_RANGE, quantize_multiplier, rescaled, wrapped
from tinyfuse.integer.operators.base import register
from tinyfuse.integer.operators.binary import ARITHMETIC, Arithmetic, Elementwise
from tinyfuse.tflite.graph import Operator, Tensor


def _prelu(operator: Operator, sources: Sequence[Tensor], target: Tensor) -> Arithmetic:
    """Reference: ``reference/prelu.h``."""
    if sources[0].data is not None:
        raise ModelError(f"'{target.name}': PRELU of the constant '{sources[0].name}' is not supported; fold it")
    identity, steep = (sources[0].unit / target.unit, sources[0].unit * sources[1].unit / target.unit)
    positive, negative = quantize_multiplier(identity), quantize_multiplier(steep)
    zero_a, zero_b, zero_out = (tensor.zero for tensor in (*sources, target))

    def values(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        x = a.astype(np.int64) - zero_a
        found = np.where(x >= 0, rescaled(x, *positive), rescaled(x * (b.astype(np.int64) - zero_b), *negative))
        return wrapped(found + zero_out)

    def slopes(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, ...]:
        x, alpha = a.astype(np.float32) - np.float32(zero_a), b.astype(np.float32) - np.float32(zero_b)
        return (np.where(x >= 0, np.float32(identity), alpha * np.float32(steep)),
                np.where(x >= 0, np.float32(0), x * np.float32(steep)))

    return Arithmetic(values, slopes, *TYPE_RANGE[target.dtype])


ARITHMETIC["PRELU"] = _prelu
register("PRELU")(Elementwise)
