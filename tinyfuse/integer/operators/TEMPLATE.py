"""A new operator of the twin, from start to end: ABS of int8 tensors. Copy this file, and register the class.

1. The file is named after the operator, and ``@register("ABS")`` stands above the class.
2. ``operators/__init__.py`` imports the file; that is the one registration.
3. A row in :data:`tinyfuse.tflite.signatures.SIGNATURES` says how many inputs it takes and which options it needs.
4. A test builds graphs of it and compares every value with TFLite Micro, as for this one.

The firmware's half is the file of the same name in ``tinyfuse/firmware/operators``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyfuse.integer.arithmetic import TYPE_RANGE, clamp, quantize_multiplier, rescaled
from tinyfuse.integer.operators.base import same_type, unary_tensors
from tinyfuse.tflite.graph import Graph, Operator


class Absolute:
    """One ABS. Reference: ``micro/kernels/elementwise.cc``, AbsEvalQuantized."""

    def __init__(self, operator: Operator, graph: Graph) -> None:
        # Parse: refuse, in one line, every type and shape for which TFLite Micro computes something else or nothing.
        source, target = unary_tensors(operator, graph, same_type("int8"))
        # Bind: the constants of the kernel, computed in the very precision of the reference.
        self.zero_in, self.zero_out = source.zero, target.zero
        self.ratio = float(np.float32(source.scale[0]) / np.float32(target.scale[0]))
        self.multiplier, self.shift = quantize_multiplier(self.ratio)
        self.low, self.high = TYPE_RANGE[target.dtype]

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        # Run: the integers of the reference kernel, and ``inside`` where the clamp did nothing.
        centred = inputs[0].astype(np.int64) - self.zero_in
        values = rescaled(np.abs(centred), self.multiplier, self.shift) + self.zero_out
        out, inside = clamp(values, self.low, self.high, np.dtype(np.int8))
        return out, inside * np.sign(centred).astype(np.float32)

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        """Gradient in codes, straight-through: the slope is the sign, and 0 where the clamp is active."""
        return [(gradient * saved * self.ratio).astype(np.float32)]
