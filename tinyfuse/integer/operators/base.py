"""What an operator of the twin is, the table of all of them, and what several require of their tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.arithmetic import activation_range, quantize_multiplier, rescaled
from tinyfuse.tflite.graph import Graph, Operator, Tensor


class Node(Protocol):
    """One operator, bound to its constants: codes of its computed inputs in, codes of its output out.

    Arrays are batched: where the graph says [1, ...] they have [n, ...]. ``forward`` also returns what ``backward``
    needs, which takes the float32 gradient with respect to the output codes and returns one for each computed input,
    in codes too. Straight-through: every rounding has derivative 1, an active clamp (the value before it lies strictly
    outside) has 0. Nodes hold no state between calls, so that threads may share them.
    """

    def forward(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, Any]:
        """Compute the output codes [n, ...] and the saved state."""

    def backward(self, saved: Any, gradient: np.ndarray) -> list[np.ndarray]:
        """Compute float32 gradients, one for each computed input."""


Builder = Callable[[Operator, Graph], Node]
AnyBuilder = TypeVar("AnyBuilder", bound=Builder)
OPERATORS: dict[str, Builder] = {}
"""Builtin name -> builder, filled by :func:`register`."""


def register(*names: str) -> Callable[[AnyBuilder], AnyBuilder]:
    """Enter a function or class into :data:`OPERATORS`; it raises ModelError for what it cannot compute exactly."""

    def add(builder: AnyBuilder) -> AnyBuilder:
        OPERATORS.update(dict.fromkeys(names, builder))
        return builder

    return add


def same_type(*names: str) -> dict[str, tuple[str]]:
    """Make the ``types`` of :func:`source_and_target` where the output has the type of the input."""
    return {name: (name,) for name in names}


_CODES = same_type("int8", "int16")
_INT32 = np.dtype(np.int32)


def source_and_target(operator: Operator, graph: Graph,
                      types: Mapping[str, Iterable[str]] = _CODES) -> tuple[Tensor, Tensor]:
    """Return the first input and the output, refused unless computed and of ``types``: input type to output types."""
    source, target = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
    given = f"{source.dtype} -> {target.dtype}"
    allowed = [f"{a} -> {b}" for a, others in types.items() for b in others]
    if source.data is not None:
        raise ModelError(f"'{source.name}': the input of {operator.name} is constant; fold it into its result")
    if given not in allowed:
        raise ModelError(f"'{target.name}': {operator.name} {given} is not supported; supported: {', '.join(allowed)}")
    for tensor in (source, target):
        need_batch_axis(operator, tensor)
    return source, target


def unary_tensors(operator: Operator, graph: Graph,
                  types: Mapping[str, Iterable[str]] = _CODES) -> tuple[Tensor, Tensor]:
    """Return :func:`source_and_target` of an operator whose output has the shape of its input."""
    source, target = source_and_target(operator, graph, types)
    need_shape(operator, target, source.shape)
    return source, target


def need_batch_axis(operator: Operator, tensor: Tensor) -> None:
    """Refuse a computed tensor whose first axis is not that of the batch."""
    if tensor.shape[:1] != (1,):
        raise ModelError(f"'{tensor.name}': {operator.name} with shape {list(tensor.shape)} moves the batch axis; "
                         "the first axis must stay 1")


def need_one_scale(operator: Operator, tensor: Tensor) -> None:
    """Refuse a tensor that does not have one scale, as constants and int32 tensors may."""
    if len(tensor.scale) != 1:
        raise ModelError(f"'{tensor.name}': {operator.name} needs one scale and one zero point")


def need_shape(operator: Operator, target: Tensor, shape: Iterable[int]) -> None:
    """Refuse an output whose shape is not what the operator computes."""
    if target.shape != tuple(shape):
        raise ModelError(f"'{target.name}' has shape {list(target.shape)}, but {operator.name} computes {list(shape)}")


def need_centred(operator: Operator, *tensors: Tensor) -> None:
    """Refuse 16-bit tensors with a zero point, which TFLite Micro ignores or refuses."""
    for tensor in tensors:
        if tensor.dtype == np.int16 and tensor.zero:
            raise ModelError(f"'{tensor.name}': {operator.name} needs zero point 0 for int16, not {tensor.zero}")


def fused_range(operator: Operator, target: Tensor) -> tuple[int, int]:
    """Return the first and last output code under the activation that is fused into ``operator``."""
    return activation_range(str(operator.options["fused_activation_function"]), target.unit, target.zero, target.dtype)


def constant(operator: Operator, graph: Graph, place: int, dtype: np.dtype[Any] = _INT32) -> np.ndarray:
    """Return the constant input at ``place``, for example paddings or a permutation."""
    if place >= len(operator.inputs) or operator.inputs[place] < 0:
        raise ModelError(f"'{graph.tensors[operator.outputs[0]].name}': {operator.name} lacks input {place}")
    tensor = graph.tensors[operator.inputs[place]]
    if tensor.data is None or tensor.dtype != dtype:
        raise ModelError(f"'{tensor.name}': input {place} of {operator.name} must be a constant {dtype}")
    return tensor.data


def rescaled_codes(operator: Operator, values: np.ndarray, real: float) -> np.ndarray:
    """Rescale int64 ``values`` by ``real`` with double rounding; refused where TFLite Micro's 32 bits overflow."""
    multiplier, shift = quantize_multiplier(real)
    if values.size and int(np.abs(values).max()) << max(shift, 0) >= 1 << 31:
        raise ModelError(f"a rescaling of {int(np.abs(values).max())} by {real:.6g} overflows 32 bits in "
                         f"{operator.name}; give its output a larger scale")
    return np.asarray(rescaled(values, multiplier, shift))
