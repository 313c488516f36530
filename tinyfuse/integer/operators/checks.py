"""What several operators require of their tensors, refused in one line when the twin is built."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.arithmetic import quantize_multiplier
from tinyfuse.integer.operators.fixed_point import rescaled
from tinyfuse.tflite.graph import Graph, Operator, Tensor

TYPES: dict[str, np.dtype[Any]] = {
    "int8": np.dtype(np.int8), "int16": np.dtype(np.int16), "int32": np.dtype(np.int32),
    "int64": np.dtype(np.int64), "float32": np.dtype(np.float32)}
QUANTISED = ("int8", "int16")
ONE_COMPUTED = {"RESHAPE": (1, 2), "TRANSPOSE": (2, 2), "STRIDED_SLICE": (4, 4), "PAD": (2, 3), "PADV2": (2, 3),
                "RELU": (1, 1), "RELU6": (1, 1), "LEAKY_RELU": (1, 1), "LOGISTIC": (1, 1), "TANH": (1, 1),
                "SOFTMAX": (1, 1), "QUANTIZE": (1, 1), "DEQUANTIZE": (1, 1)}
"""Fewest and most inputs of the operators whose inputs are constant but for the first."""


def source_and_target(operator: Operator, graph: Graph, types: Mapping[str, Iterable[str]]) -> tuple[Tensor, Tensor]:
    """The first input, computed, and the output; ``types``: for each input type the output types that exist."""
    _check_inputs(operator, graph)
    source, target = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
    given = f"{source.dtype} -> {target.dtype}"
    allowed = [f"{a} -> {b}" for a, others in types.items() for b in others]
    if source.data is not None:
        raise ModelError(f"'{source.name}': the input of {operator.name} is constant; fold it into its result")
    if given not in allowed:
        raise ModelError(f"'{target.name}': {operator.name} {given} is not supported; supported: {', '.join(allowed)}")
    for tensor in (source, target):
        if tensor.dtype in (np.int8, np.int16):
            one_scale(operator, tensor)
        if not tensor.shape or tensor.shape[0] != 1:
            raise ModelError(f"'{tensor.name}': {operator.name} with shape {list(tensor.shape)} moves the batch axis; "
                             "the first axis must stay 1")
    return source, target


def _check_inputs(operator: Operator, graph: Graph) -> None:
    """Refuse a missing first input and, for the operators of the table, a wrong number or a second computed one."""
    given = operator.inputs
    fewest, most = ONE_COMPUTED.get(operator.name, (1, max(len(given), 1)))
    if not fewest <= len(given) <= most or given[0] < 0 or (operator.name in ONE_COMPUTED and min(given) < 0):
        raise ModelError(f"operator {operator.index}: {operator.name} has inputs {list(given)}; it takes {fewest} to "
                         f"{most}, all given")
    for index in given[1:] if operator.name in ONE_COMPUTED else ():
        if graph.tensors[index].data is None:
            raise ModelError(f"'{graph.tensors[index].name}': {operator.name} needs it constant, not computed")


def one_scale(operator: Operator, tensor: Tensor) -> None:
    """Refuse a tensor that does not have one usable scale and one zero point."""
    if not (len(tensor.scale) == len(tensor.zero_point) == 1 and np.isfinite(tensor.scale[0]) and tensor.scale[0] > 0):
        raise ModelError(f"'{tensor.name}': {operator.name} needs one scale, finite and positive, and one zero point")


def same_type(*names: str) -> dict[str, tuple[str]]:
    """``types`` of :func:`source_and_target` where the output has the type of the input."""
    return {name: (name,) for name in names}


def same_shape(operator: Operator, source: Tensor, target: Tensor) -> None:
    """Refuse an element-wise operator whose output has another shape than its input."""
    require_shape(operator, target, source.shape)


def require_shape(operator: Operator, target: Tensor, shape: Iterable[int]) -> None:
    """Refuse an output whose shape is not what the operator computes."""
    if target.shape != tuple(shape):
        raise ModelError(f"'{target.name}' has shape {list(target.shape)}, but {operator.name} computes {list(shape)}")


def centred(operator: Operator, *tensors: Tensor) -> None:
    """Refuse 16-bit tensors with a zero point, which TFLite Micro ignores or refuses."""
    for tensor in tensors:
        if tensor.dtype == np.int16 and int(tensor.zero_point[0]) != 0:
            raise ModelError(f"'{tensor.name}': {operator.name} needs zero point 0 for int16, "
                             f"not {int(tensor.zero_point[0])}")


def constant(operator: Operator, graph: Graph, place: int, dtype: np.dtype[Any] = TYPES["int32"]) -> np.ndarray:
    """The constant input at ``place``, for example paddings or a permutation."""
    if place >= len(operator.inputs) or operator.inputs[place] < 0:
        raise ModelError(f"'{graph.tensors[operator.outputs[0]].name}': {operator.name} lacks input {place}")
    tensor = graph.tensors[operator.inputs[place]]
    if tensor.data is None or tensor.dtype != dtype:
        raise ModelError(f"'{tensor.name}': input {place} of {operator.name} must be a constant {dtype}")
    return tensor.data


def rescaled_codes(operator: Operator, values: np.ndarray, real: float) -> np.ndarray:
    """Int64 ``values`` rescaled by ``real`` with double rounding; refused where TFLite Micro's 32 bits overflow."""
    multiplier, shift = quantize_multiplier(real)
    if values.size and int(np.abs(values).max()) << max(shift, 0) >= 1 << 31:
        raise ModelError(f"{operator.name}: a rescaling by {real:.3g} overflows 32 bits; its scales do not fit")
    return np.asarray(rescaled(values, multiplier, shift))
