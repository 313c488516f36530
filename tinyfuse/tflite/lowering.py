"""Operators that only look at codes in another way become RESHAPE and STRIDED_SLICE, which every executor knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.tflite.filter_state import filters_split
from tinyfuse.tflite.graph import Graph, Operator, Option, Tensor

_NO_SCALE = np.empty(0, np.float32), np.empty(0, np.int64)


def lowered(graph: Graph) -> Graph:
    """Return ``graph`` in which every operator has one output; tensors keep their places, constants may follow them."""
    made = _Made(graph)
    operators = [one for operator in graph.operators for one in made.replaced(operator)]
    return replace(graph, tensors=tuple(made.tensors), operators=tuple(operators))


class _Made:
    """The tensors of a graph, and constants that come to them."""

    def __init__(self, graph: Graph) -> None:
        self.tensors = list(graph.tensors)

    def replaced(self, operator: Operator) -> Iterator[Operator]:
        """Yield what stands for ``operator``: itself, where it needs no replacement."""
        if operator.name in LOWERED:
            try:
                yield from LOWERED[operator.name](self, operator)
            except ModelError as error:
                raise ModelError(f"operator {operator.index} ({operator.name}): {error}") from error
        elif len(operator.outputs) != 1:
            raise ModelError(f"operator {operator.index} ({operator.name}): {len(operator.outputs)} outputs, but "
                             "exactly one is supported")
        else:
            yield operator

    def constant(self, values: list[int]) -> int:
        """Add a constant int32 vector; return its index."""
        data = np.array(values, np.int32)
        data.setflags(write=False)
        self.tensors.append(Tensor(len(self.tensors), "", data.shape, data.dtype, *_NO_SCALE, 0, data))
        return len(self.tensors) - 1

    def numbers(self, operator: Operator, place: int) -> list[int]:
        """Return a constant input of ``operator`` as a list of integers."""
        tensor = self.tensors[operator.inputs[place]] if operator.inputs[place] >= 0 else None
        if tensor is None or tensor.data is None or tensor.dtype.kind not in "iu":
            raise ModelError(f"its input {place} must be constant integers; convert the model with fixed ones")
        return [int(value) for value in tensor.data.ravel()]

    def cuts(self, operator: Operator, source: int, axis: int, sizes: list[int], *,
             dropped: bool = False) -> Iterator[Operator]:
        """Yield one STRIDED_SLICE of ``source`` for each output: ``sizes`` places of ``axis`` one after the other."""
        shape = self.tensors[source].shape
        axis += len(shape) if axis < 0 else 0
        if not 0 <= axis < len(shape) or len(sizes) != len(operator.outputs) or sum(sizes) != shape[axis]:
            raise ModelError(f"{len(operator.outputs)} outputs of {sizes[:8]} places do not make up axis {axis} of "
                             f"{list(shape)}")
        counted = operator.options.get("num", operator.options.get("num_splits", len(sizes)))
        if counted != len(sizes):
            raise ModelError(f"its options count {counted} outputs, but it has {len(sizes)}; convert the model again")
        if self.tensors[source].data is not None:
            raise ModelError(f"its input '{self.tensors[source].name}' is constant; fold it into its results")
        strides, start = self.constant([1] * len(shape)), 0
        for size, output in zip(sizes, operator.outputs, strict=True):
            begin = self.constant([start if one == axis else 0 for one in range(len(shape))])
            end = self.constant([start + size if one == axis else shape[one] for one in range(len(shape))])
            masks: dict[str, Option] = {"begin_mask": 0, "end_mask": 0, "ellipsis_mask": 0, "new_axis_mask": 0,
                     "shrink_axis_mask": 1 << axis if dropped else 0, "of": operator.name}
            yield Operator(operator.index, "STRIDED_SLICE", (source, begin, end, strides), (output,), masks)
            start += size


def _reshape(made: _Made, operator: Operator) -> Iterator[Operator]:
    """EXPAND_DIMS and SQUEEZE: the same codes in the shape that the file gives to the output."""
    if len(operator.outputs) != 1:
        raise ModelError(f"{len(operator.outputs)} outputs, but it has exactly one")
    if operator.name == "EXPAND_DIMS":
        axis, shape = made.numbers(operator, 1)[0], list(made.tensors[operator.inputs[0]].shape)
        found = list(made.tensors[operator.outputs[0]].shape)
        place = axis + len(shape) + 1 if axis < 0 else axis
        if not 0 <= place <= len(shape) or found != [*shape[:place], 1, *shape[place:]]:
            raise ModelError(f"a new axis {axis} of {shape} does not give {found}; convert the model again")
    else:
        _check_squeezed(operator, list(made.tensors[operator.inputs[0]].shape),
                        list(made.tensors[operator.outputs[0]].shape))
    yield replace(operator, name="RESHAPE", inputs=operator.inputs[:1], options={})


def _check_squeezed(operator: Operator, shape: list[int], found: list[int]) -> None:
    """Raise unless the axes that the options name, or else all of size 1, leave the shape of the output."""
    named = [int(axis) for axis in str(operator.options.get("squeeze_dims", "")).split()]
    axes = [axis + len(shape) if axis < 0 else axis for axis in named] or [
        axis for axis, size in enumerate(shape) if size == 1]
    if any(not 0 <= axis < len(shape) or shape[axis] != 1 for axis in axes) or found != [
            size for axis, size in enumerate(shape) if axis not in axes]:
        raise ModelError(f"without the axes {named[:8] or 'of size 1'} {shape} does not give {found}; convert the "
                         "model again")


def _split(made: _Made, operator: Operator) -> Iterator[Operator]:
    axis, source = made.numbers(operator, 0)[0], operator.inputs[1]
    shape = made.tensors[source].shape
    parts = len(operator.outputs)
    yield from made.cuts(operator, source, axis, [shape[axis] // parts] * parts if -len(shape) <= axis < len(shape)
                         else [])


def _split_by_sizes(made: _Made, operator: Operator) -> Iterator[Operator]:
    source, axis, sizes = operator.inputs[0], made.numbers(operator, 2)[0], made.numbers(operator, 1)
    shape = made.tensors[source].shape
    if sizes.count(-1) == 1 and -len(shape) <= axis < len(shape):
        sizes[sizes.index(-1)] = shape[axis] - sum(sizes) - 1
    if min(sizes) < 1:
        raise ModelError(f"sizes of {sizes[:8]}; each must be at least 1")
    yield from made.cuts(operator, source, axis, sizes)


def _slice(made: _Made, operator: Operator) -> Iterator[Operator]:
    """SLICE: from a constant place on, a constant number of codes of each axis; -1 stands for the rest."""
    shape, begins, sizes = made.tensors[operator.inputs[0]].shape, made.numbers(operator, 1), made.numbers(operator, 2)
    if not len(begins) == len(sizes) == len(shape):
        raise ModelError(f"a begin and a size for each axis of {list(shape)} are needed, not {begins[:8]} and "
                         f"{sizes[:8]}")
    ends = [whole if size == -1 else begin + size for begin, size, whole in zip(begins, sizes, shape, strict=True)]
    if any(not 0 <= begin < end <= whole for begin, end, whole in zip(begins, ends, shape, strict=True)):
        raise ModelError(f"from {begins[:8]}, sizes of {sizes[:8]}; they must lie in {list(shape)}")
    cut = [made.constant(values) for values in (begins, ends, [1] * len(shape))]
    masks = dict.fromkeys(("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask"), 0)
    yield replace(operator, name="STRIDED_SLICE", inputs=(operator.inputs[0], *cut),
                  options={**masks, "of": operator.name})


def _unpack(made: _Made, operator: Operator) -> Iterator[Operator]:
    yield from made.cuts(operator, operator.inputs[0], int(operator.options["axis"]), [1] * len(operator.outputs),
                         dropped=True)


LOWERED: dict[str, Callable[[_Made, Operator], Iterator[Operator]]] = {
    "EXPAND_DIMS": _reshape, "SQUEEZE": _reshape, "SLICE": _slice, "SPLIT": _split, "SPLIT_V": _split_by_sizes,
    "SVDF": lambda made, operator: filters_split(operator), "UNPACK": _unpack}
"""Builtin name -> what stands for it."""
