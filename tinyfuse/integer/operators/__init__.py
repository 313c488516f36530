"""The operators of the twin, one file for each family; importing the package fills the table."""

from __future__ import annotations

from tinyfuse.integer.operators import (
    concatenation,
    convolution,
    depthwise,
    elementwise,
    fully_connected,
    layout,
    mean,
    pooling,
    relu,
    requantize,
    sigmoid,
    softmax,
)
from tinyfuse.integer.operators.base import OPERATORS, Node

__all__ = [
    "OPERATORS", "Node", "concatenation", "convolution", "depthwise", "elementwise", "fully_connected", "layout",
    "mean", "pooling", "relu", "requantize", "sigmoid", "softmax",
]
