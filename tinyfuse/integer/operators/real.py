"""How large the real numbers in a graph may become, and so which of them QUANTIZE turns into codes as C defines it.

Real numbers come from codes (DEQUANTIZE) and integers (CAST), and move; TFLite Micro converts their quotient by a scale
to int32, which C defines for numbers that fit alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.operators.lookup import ANY, Bounds, input_limit, number_bounds
from tinyfuse.tflite.graph import Graph, Operator, Tensor

MOST = 1 << 30
"""Codes up to which a quotient, its rounding and a zero point lie well inside int32."""
_WHOLE = {"bool": 1, "int8": 1 << 7, "int16": 1 << 15}
_NUMBERS = (np.dtype(np.int32), np.dtype(np.float32))


def most_codes(graph: Graph, source: Tensor, target: Tensor) -> float:
    """Raise :class:`ModelError` unless each number of ``source`` is less than 2^30 codes of ``target``.

    Integers that the model is given are kept small by whoever gives them (:func:`number_range`): returns the number of
    codes beyond which they are refused, infinity if real numbers are given, which saturate.
    """
    largest, given = _largest(graph, source.index)
    if not largest < MOST * target.unit:  # NaN too
        raise ModelError(f"'{target.name}': QUANTIZE of numbers up to {largest:g}, {largest / target.unit:g} codes of "
                         f"its scale {target.unit:g}; C defines it below 2^31: give it a larger scale")
    return float("inf") if given else 2.0 * MOST


def number_range(graph: Graph, index: int) -> tuple[int, int] | None:
    """Find the first and the last integer that the input ``index`` may hold; None: any.

    Some count the rows of a table, and a QUANTIZE reads others, which CAST has made real numbers.
    """
    rows, most = input_limit(graph, index), _most(graph, index)
    if rows is not None:
        return 0, min(rows - 1, MOST if most is None else most)
    return None if most is None else (-most, most)


def _most(graph: Graph, index: int) -> int | None:
    reached, found = {index}, list[int]()
    for operator in graph.operators:
        if reached.intersection(operator.inputs):
            if graph.tensors[operator.outputs[0]].dtype in _NUMBERS:
                reached.update(operator.outputs)
            elif operator.name == "QUANTIZE" and graph.tensors[operator.inputs[0]].dtype == np.float32:
                found.append(int(min(MOST * graph.tensors[operator.outputs[0]].unit, MOST)))
    return min(found, default=None)


def _largest(graph: Graph, index: int) -> tuple[float, bool]:
    """The largest size of a number moved into the float32 tensor ``index``; whether some are given to the model."""
    makers = {operator.outputs[0]: operator for operator in graph.operators}
    left, seen, made, largest = [index], set[int](), list[Operator](), 0.0
    while left:
        tensor = graph.tensors[left.pop()]
        if tensor.index in seen:
            continue
        seen.add(tensor.index)
        maker = makers.get(tensor.index)
        moved = [] if maker is None else [one for one in maker.inputs if one >= 0 and
                                          graph.tensors[one].dtype == np.float32]
        if moved:
            left += moved
        elif maker is not None:
            made.append(maker)
        elif tensor.index not in graph.inputs:
            sizes = np.full(1, np.inf) if tensor.data is None else np.abs(tensor.data)
            largest = max(largest, float(np.where(np.isnan(sizes), np.inf, sizes).max(initial=0.0)))
    whole = number_bounds(graph) if any(graph.tensors[one.inputs[0]].dtype == np.int32 for one in made) else {}
    return max([largest, *(_made(graph, operator, whole) for operator in made)]), not seen.isdisjoint(graph.inputs)


def _made(graph: Graph, operator: Operator, whole: Mapping[int, Bounds]) -> float:
    """The largest number that DEQUANTIZE or CAST makes."""
    source = graph.tensors[operator.inputs[0]]
    if source.dtype == np.int32:
        bounds = whole.get(source.index, ANY)
        return 0.0 if bounds is None else float(max(map(abs, bounds)))
    if operator.name == "CAST":
        return float(_WHOLE.get(source.dtype.name, float("inf")))
    limits = np.iinfo(source.dtype)
    return max(abs(limit - source.zero) for limit in (int(limits.min), int(limits.max))) * source.unit
