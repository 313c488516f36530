"""The operators of the twin, one file for each family; importing the package fills the table."""

from __future__ import annotations

from tinyfuse.integer.operators import (  # noqa: F401
    binary,
    concatenation,
    convolution,
    depthwise,
    fully_connected,
    layout,
    mean,
    pooling,
    sigmoid,
    softmax,
    table,
)
from tinyfuse.integer.operators.base import OPERATORS, Node

__all__ = ["OPERATORS", "Node"]
