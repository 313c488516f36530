"""The operators of the twin, one file for each family; importing the package fills the table."""

from __future__ import annotations

from tinyfuse.integer.operators import (  # noqa: F401
    batch_matmul,
    binary,
    blocks,
    concatenation,
    convolution,
    depthwise,
    elu,
    fully_connected,
    gather,
    hard_swish,
    layout,
    log_softmax,
    lstm,
    mean,
    pack,
    pooling,
    prelu,
    reduce_max,
    resize_bilinear,
    resize_nearest,
    sigmoid,
    softmax,
    squared_difference,
    svdf,
    table,
    transpose_conv,
)
from tinyfuse.integer.operators.base import OPERATORS, Node

__all__ = ["OPERATORS", "Node"]
