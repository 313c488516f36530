"""Intervals of tables: the smallest and largest entry between two codes, exactly, whatever the table holds.

Sparse tables (Bender and Farach-Colton 2000): entry k of place i is the extreme of the 2^k places from i on, so that
two entries that overlap cover every span.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tinyfuse.analyses.certificates.rules import Box, Rule, Site, bounds, corners, need_no_wrap, rising
from tinyfuse.core.errors import ModelError
from tinyfuse.integer.arithmetic import quantize_multiplier

Extreme = Callable[[np.ndarray, np.ndarray], np.ndarray]


@bounds("RELU", "RELU6", "LEAKY_RELU", "QUANTIZE", "DEQUANTIZE", "ELU", "ABS", "HARD_SWISH", "RSQRT", "LOGISTIC",
        "TANH")
def _table(site: Site) -> Rule:
    if not hasattr(site.node, "values"):
        raise ModelError("a QUANTIZE of real numbers inside the graph has no bounds")
    return table_rule(site.node.values, site.node.first)


def table_rule(values: np.ndarray, first: int) -> Rule:
    """Return the rule of a table ``values`` whose first entry is that of the code ``first``."""
    steps = np.diff(values.astype(np.float64))
    if (steps >= 0).all():
        return lambda boxes: (values[_places(boxes[0][0], first)], values[_places(boxes[0][1], first)])
    lows, highs = _levels(values, np.minimum), _levels(values, np.maximum)

    def rule(boxes: Sequence[Box]) -> Box:
        low, high = (_places(end, first) for end in boxes[0])
        level = LOG2[high - low + 1]
        last = high + 1 - (1 << level)
        return (np.minimum(lows[level, low], lows[level, last]), np.maximum(highs[level, low], highs[level, last]))

    return rule


LOG2 = np.floor(np.log2(np.maximum(np.arange((1 << 16) + 1), 1))).astype(np.int64)
"""The whole part of log2 of each span of places."""


def _places(codes: np.ndarray, first: int) -> np.ndarray:
    return codes.astype(np.int64) - first


def _levels(values: np.ndarray, extreme: Extreme) -> np.ndarray:
    """The extremes [k, place] of the 2^k entries from each place on; those that leave the table are not read."""
    found = [values]
    while 2 ** len(found) <= len(values):
        half, step = found[-1], 1 << (len(found) - 1)
        wide = half.copy()
        wide[:-step] = extreme(half[:-step], half[step:])
        found.append(wide)
    return np.stack(found)


@bounds("ADD", "SUB", "MUL", "MINIMUM", "MAXIMUM", "PRELU", "SQUARED_DIFFERENCE")
def _pair(site: Site) -> Rule:
    """The extremes of two int8 operands come from their table of 65,536 cases; those of int16 ones lie at corners."""
    if site.node.tables is not None:
        return _int8_pair(site)
    name = site.operator.name
    if name == "MUL":
        _need_no_wrap_of_products(site)
    elif name not in ("ADD", "SUB", "MINIMUM", "MAXIMUM"):
        raise ModelError(f"{name} of int16 tensors has no bounds; int8 ones have")
    return corners(site.node)


def _need_no_wrap_of_products(site: Site) -> None:
    first, second = (site.graph.tensors[index] for index in site.operator.inputs)
    _, shift = quantize_multiplier(first.unit * second.unit / site.target.unit)
    need_no_wrap(1 << (30 + max(shift, 0)), f"a product of '{site.target.name}'")


def _int8_pair(site: Site) -> Rule:
    node = site.node
    cases = np.roll(node.tables[0].reshape(256, 256), (128, 128), (0, 1))  # by signed codes
    steps = [np.diff(cases.astype(np.int16), axis=axis) for axis in (0, 1)]
    if all((step >= 0).all() for step in steps):
        return rising(node)
    if all(((step >= 0).all(axis=axis) | (step <= 0).all(axis=axis)).all() for axis, step in enumerate(steps)):
        return corners(node)
    return _spans(node, cases)


def _spans(node: object, cases: np.ndarray) -> Rule:
    """Look up the extremes of ``cases`` [256, 256] over any span of rows and columns."""
    lows, highs = (_levels_of_both(cases, extreme) for extreme in (np.minimum, np.maximum))
    operands = node.operands  # type: ignore[attr-defined]
    shape = node.shape  # type: ignore[attr-defined]

    def rule(boxes: Sequence[Box]) -> Box:
        given = iter(boxes)
        ends = []
        for operand in operands:
            low, high = (operand.constant,) * 2 if operand.constant is not None else map(operand.rows_of, next(given))
            ends.append(np.broadcast_arrays(*(_places(one, -128) for one in (low, high))))
        (a, b), (c, d) = ends
        rows, columns = LOG2[b - a + 1], LOG2[d - c + 1]
        e, f = b + 1 - (1 << rows), d + 1 - (1 << columns)
        found = [extreme.reduce([table[rows, columns, i, j] for i in (a, e) for j in (c, f)])
                 for extreme, table in ((np.minimum, lows), (np.maximum, highs))]
        return found[0].reshape(-1, *shape), found[1].reshape(-1, *shape)

    return rule


def _levels_of_both(cases: np.ndarray, extreme: Extreme) -> np.ndarray:
    """The extremes [k, l, row, column] over 2^k rows and 2^l columns."""
    return np.stack([np.moveaxis(_levels(np.ascontiguousarray(wide.T), extreme), 2, 1)
                     for wide in _levels(cases, extreme)])
