"""The operators of the twin, one file for each family; importing the package fills the table."""

from __future__ import annotations

from tinyfuse.integer.operators import (  # noqa: F401
    absolute,
    arg_max,
    batch_matmul,
    binary,
    blocks,
    broadcast_to,
    cast,
    comparison,
    concatenation,
    convolution,
    depthwise,
    division,
    elu,
    fully_connected,
    gather,
    gather_nd,
    hard_swish,
    l2_normalization,
    layout,
    log_softmax,
    lstm,
    mean,
    mirror_pad,
    pack,
    pooling,
    prelu,
    reduce_all,
    reduce_max,
    resize_bilinear,
    resize_nearest,
    rsqrt,
    running_sum,
    sigmoid,
    softmax,
    squared_difference,
    svdf,
    table,
    transpose_conv,
)
from tinyfuse.integer.operators.base import OPERATORS, Node

__all__ = ["OPERATORS", "Node"]
