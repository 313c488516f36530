"""What a written ``.tflite`` really holds: its weight codes and what its kernels cut, read back from the bytes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinyfuse.core.errors import ConversionError
from tinyfuse.quantize.activations import relu_outputs
from tinyfuse.quantize.convert import Conversion
from tinyfuse.quantize.tensor_units import CUT, WEIGHTED, in_unit
from tinyfuse.quantize.weight_codes import check
from tinyfuse.tflite import flatbuffer

_TYPE_RANGE = {"INT8": (-128, 127), "INT16": (-(1 << 15), (1 << 15) - 1)}


def written_codes(data: bytes, name: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Weight codes (int16 [o, ..., i], doubled channels added up) and float32 scales [o] by layer name."""
    model = flatbuffer.read(data, name)
    graph = model.subgraphs[0]
    doubled = {int(operator.outputs[0]) for operator in graph.operators
               if flatbuffer.operator_name(model, operator) == "CONCATENATION"
               and len(set(operator.inputs)) == 1}
    found = {}
    for operator in graph.operators:
        if flatbuffer.operator_name(model, operator) in WEIGHTED:
            tensor = graph.tensors[operator.inputs[1]]
            values = flatbuffer.constant(model, tensor, np.int8).astype(np.int16)
            if int(operator.inputs[0]) in doubled:
                half = values.shape[-1] // 2
                values = values[..., :half] + values[..., half:]
            found[tensor.name.decode().removesuffix("/weights")] = (values, np.asarray(tensor.quantization.scale))
    return found


def written_ranges(data: bytes, name: str) -> dict[str, tuple[int, int]]:
    """First and last code that the kernel lets out, by name of the layer that hands on a ReLU's output."""
    model = flatbuffer.read(data, name)
    graph = model.subgraphs[0]
    names = {id(operator): graph.tensors[operator.inputs[1]].name.decode().removesuffix("/weights")
             for operator in graph.operators if flatbuffer.operator_name(model, operator) in WEIGHTED}
    made = {int(operator.outputs[0]): operator for operator in graph.operators}
    return {layer: _range(made[tensor], graph.tensors[tensor])
            for layer, tensor in relu_outputs(model, names).items()}


def _range(operator: Any, tensor: Any) -> tuple[int, int]:
    """``CalculateActivationRangeQuantized`` of TensorFlow Lite for RELU and RELU6."""
    kind = flatbuffer.value_name("TensorType", tensor.type) or ""
    activation = flatbuffer.value_name("ActivationFunctionType", operator.builtinOptions.fusedActivationFunction)
    if kind not in _TYPE_RANGE or activation not in ("RELU", "RELU6"):
        raise ConversionError(f"'{tensor.name.decode()}' is {kind} after {activation}; a ReLU's output is INT8 or "
                              "INT16 after RELU or RELU6: report this model")
    (low, high), zero = _TYPE_RANGE[kind], int(tensor.quantization.zeroPoint[0])
    cut = np.float32(CUT) / np.float32(tensor.quantization.scale[0])
    last = zero + math.floor(float(cut) + 0.5) if activation == "RELU6" else high
    return max(low, zero), min(high, last)


def check_written(conversion: Conversion) -> None:
    """Raise :class:`ConversionError` unless the file holds exactly the n-bit weights that its recipe declares, and its
    kernels keep activations within the declared bits.
    """
    found = written_codes(conversion.data, conversion.model)
    if set(found) != set(conversion.codes):
        raise ConversionError(f"'{conversion.model}': the file holds layers {', '.join(found)}; "
                              f"expected {', '.join(conversion.codes)}")
    for layer, codes in conversion.codes.items():
        check(codes, layer)
        values, scale = found[layer]
        declared = in_unit(codes.scale, conversion.units.get(layer, 1.0))
        if not (np.array_equal(values, codes.values) and np.array_equal(scale, declared)):
            raise ConversionError(f"layer '{layer}': the codes in the file are not the codes of "
                                  f"recipe '{conversion.precision.name}'")
    _check_ranges(conversion)


def _check_ranges(conversion: Conversion) -> None:
    ranges = written_ranges(conversion.data, conversion.model)
    if set(ranges) != set(conversion.activations):
        raise ConversionError(f"'{conversion.model}': the file has ReLUs after {', '.join(ranges)}; expected "
                              f"{', '.join(conversion.activations)}")
    for layer, (low, high) in ranges.items():
        bits = conversion.activations[layer].bits
        if high - low >= 1 << bits:
            raise ConversionError(f"layer '{layer}': the kernel lets out codes from {low} to {high}, more than the "
                                  f"{bits} bits of recipe '{conversion.precision.name}'")
