"""Arithmetic on shapes, done while a graph is read: what Flatten and Reshape of a batch of any size make of a network.

TFLite Micro computes it anew for every inference, from sizes that never change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tinyfuse.tflite.graph import Graph, Operator, Option, Tensor

MOST = 1024  # values of a folded tensor, and of what it is folded from
_PLAIN = ("int32", "int64", "bool")  # types whose kernels compute with the numbers themselves
REPEATING = {"FILL": ("int8", "int32", "float32"), "ZEROS_LIKE": ("int8", "int32", "int64", "float32")}
"""Operators that read no scale: types that they write, in any number."""
Arrays = Sequence[np.ndarray]
Options = Mapping[str, Option]
SHAPE_READERS = ("SHAPE", "RANK", "ZEROS_LIKE")
"""Operators whose result is known although their input is not."""


def folded(graph: Graph) -> Graph:
    """Return ``graph`` in which integers that depend on constants and shapes alone are constants."""
    tensors, operators = list(graph.tensors), []
    for operator in graph.operators:
        value = _value(operator, tensors)
        if value is None:
            operators.append(operator)
            continue
        value.setflags(write=False)
        index = operator.outputs[0]
        tensors[index] = replace(tensors[index], data=value)
    return replace(graph, tensors=tuple(tensors), operators=tuple(operators))


def _value(operator: Operator, tensors: Sequence[Tensor]) -> np.ndarray | None:
    """The result of ``operator``, None unless it is known and has the type and shape that the file gives it."""
    target = tensors[operator.outputs[0]]
    given = [tensors[index] for index in operator.inputs if index >= 0]
    if operator.name in REPEATING:
        return _repeated(operator, given, target) if target.dtype.name in REPEATING[operator.name] else None
    if len(operator.outputs) != 1 or target.dtype.name not in _PLAIN or _size(target) > MOST:
        return None
    if operator.name in SHAPE_READERS:
        shape = given[0].shape
        found: Any = np.array(shape if operator.name == "SHAPE" else len(shape))
    elif operator.name not in FOLDED or any(one.data is None or one.dtype.name not in _PLAIN or _size(one) > MOST
                                            for one in given):
        return None
    else:
        arrays = [one.data.astype(np.int64) for one in given if one.data is not None]
        try:
            found = np.asarray(FOLDED[operator.name](arrays, operator.options, target))
        except (ValueError, IndexError, TypeError, KeyError):
            return None
    exact = found.astype(target.dtype)
    return exact.copy() if exact.shape == target.shape and np.array_equal(exact, found) else None


def _repeated(operator: Operator, given: Sequence[Tensor], target: Tensor) -> np.ndarray | None:
    """FILL and ZEROS_LIKE: one number, which is a code where the tensor holds codes, in each place of ``target``."""
    if operator.name == "ZEROS_LIKE":
        return np.zeros(target.shape, target.dtype) if given[0].shape == target.shape else None
    dims, value = given[0].data, given[-1].data
    if dims is None or value is None or given[-1].dtype != target.dtype or value.ndim or (
            dims.shape != (len(target.shape),) or dims.tolist() != list(target.shape)):
        return None  # TFLite Micro looks at these as well
    return np.full(target.shape, value.item(), target.dtype)


def _size(tensor: Tensor) -> int:
    return int(np.prod(tensor.shape, dtype=np.int64))


def _reshaped(arrays: Arrays, options: Options, target: Tensor) -> np.ndarray:
    return arrays[0].reshape(target.shape)


def _packed(arrays: Arrays, options: Options, target: Tensor) -> np.ndarray:
    return np.stack(arrays, axis=int(options["axis"]))


def _joined(arrays: Arrays, options: Options, target: Tensor) -> np.ndarray:
    return np.concatenate(arrays, axis=int(options["axis"]))


def _gathered(arrays: Arrays, options: Options, target: Tensor) -> np.ndarray:
    if options.get("batch_dims") or arrays[1].min(initial=0) < 0:
        raise ValueError
    return np.take(arrays[0], arrays[1], axis=int(options.get("axis", 0)))


def _cut(arrays: Arrays, options: Options, target: Tensor) -> np.ndarray:
    """SLICE: begins and sizes, of which -1 is all the rest."""
    begins, sizes = arrays[1].ravel(), arrays[2].ravel()
    if len(begins) != arrays[0].ndim or begins.min(initial=0) < 0:
        raise ValueError
    return arrays[0][tuple(slice(begin, None if size == -1 else begin + size)
                           for begin, size in zip(begins.tolist(), sizes.tolist(), strict=True))]


def _strided(arrays: Arrays, options: Options, target: Tensor) -> np.ndarray:
    """STRIDED_SLICE, by Python's own rules."""
    source, *ends = arrays
    if any(options.get(key) for key in ("ellipsis_mask", "new_axis_mask", "offset")):
        raise ValueError
    places: list[Any] = []
    for axis, (begin, end, step) in enumerate(zip(*(one.ravel().tolist() for one in ends), strict=True)):
        masked = {key: int(options.get(f"{key}_mask", 0)) >> axis & 1 for key in ("begin", "end", "shrink_axis")}
        places.append(begin if masked["shrink_axis"] else
                      slice(None if masked["begin"] else begin, None if masked["end"] else end, step))
    return np.asarray(source[tuple(places)])


def _of_two(compute: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[[Arrays, Options, Tensor], np.ndarray]:
    def found(arrays: Arrays, options: Options, target: Tensor) -> np.ndarray:
        if options.get("fused_activation_function", "NONE") != "NONE":
            raise ValueError
        return compute(arrays[0], arrays[1])

    return found


def _reduced(compute: Callable[..., np.ndarray]) -> Callable[[Arrays, Options, Tensor], np.ndarray]:
    def found(arrays: Arrays, options: Options, target: Tensor) -> np.ndarray:
        axes = tuple(arrays[1].ravel().tolist())
        return np.asarray(compute(arrays[0], axis=axes, keepdims=bool(options.get("keep_dims"))))

    return found


FOLDED: Mapping[str, Callable[[Arrays, Options, Tensor], np.ndarray]] = {
    **dict.fromkeys(("RESHAPE", "EXPAND_DIMS", "SQUEEZE", "CAST"), _reshaped),
    "PACK": _packed, "CONCATENATION": _joined, "GATHER": _gathered, "SLICE": _cut, "STRIDED_SLICE": _strided,
    "ADD": _of_two(np.add), "SUB": _of_two(np.subtract), "MUL": _of_two(np.multiply),
    "MAXIMUM": _of_two(np.maximum), "MINIMUM": _of_two(np.minimum),
    "REDUCE_PROD": _reduced(np.prod), "REDUCE_MAX": _reduced(np.max), "REDUCE_MIN": _reduced(np.min),
    "SUM": _reduced(np.sum)}
"""What is computed of integer constants, int64: builtin name -> function of the inputs, the options and the output."""
