"""What a written ``.tflite`` really holds: its weight codes and what its kernels cut, read back from the bytes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinyfuse.core.errors import ConversionError
from tinyfuse.quantize.activations import relu_outputs
from tinyfuse.quantize.convert import Conversion
from tinyfuse.quantize.doubling import read_codes
from tinyfuse.quantize.tensor_units import CUT, WEIGHTED, in_unit, layer_of, weights_of
from tinyfuse.quantize.weight_codes import check
from tinyfuse.tflite import flatbuffer
from tinyfuse.tflite.flatbuffer import operator_name

_TYPE_RANGE = {"INT8": (-128, 127), "INT16": (-(1 << 15), (1 << 15) - 1)}


def written_codes(data: bytes, name: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Read the weight codes (int16 [o, ..., i], doubled ones added up) and float32 scales [o] by layer name."""
    model = flatbuffer.read(data, name)
    return {layer: (read_codes(model, operator), np.asarray(weights_of(model, operator).quantization.scale))
            for operator, layer in _weighted(model)}


def _weighted(model: Any) -> Iterator[tuple[Any, str]]:
    """Find the operators with weights, each with the name that these have."""
    for operator in model.subgraphs[0].operators:
        if operator_name(model, operator) in WEIGHTED:
            yield operator, layer_of(weights_of(model, operator))


def written_ranges(data: bytes, name: str) -> dict[str, tuple[int, int]]:
    """Find the first and last code that the kernel lets out, by name of the layer that hands on a ReLU's output."""
    model = flatbuffer.read(data, name)
    graph = model.subgraphs[0]
    made = {int(operator.outputs[0]): operator for operator in graph.operators}
    outputs = relu_outputs(model, {id(operator): layer for operator, layer in _weighted(model)})
    return {layer: _range(made[tensor], graph.tensors[tensor]) for layer, tensor in outputs.items()}


def _range(operator: Any, tensor: Any) -> tuple[int, int]:
    """Compute ``CalculateActivationRangeQuantized`` of TensorFlow Lite for RELU and RELU6."""
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
    """Raise ConversionError unless the file holds just the n-bit weights and activations that its recipe declares."""
    found = written_codes(conversion.data, conversion.model)
    ranges = written_ranges(conversion.data, conversion.model)
    for what, held, wanted in (("layers", found, conversion.codes), ("ReLUs after", ranges, conversion.activations)):
        if set(held) != set(wanted):
            raise ConversionError(f"'{conversion.model}': the file has {what} {', '.join(held)}; expected "
                                  f"{', '.join(wanted)}")
    for layer, codes in conversion.codes.items():
        check(codes, layer)
        values, scale = found[layer]
        declared = in_unit(codes.scale, conversion.units.get(layer, 1.0))
        if not (np.array_equal(values, codes.values) and np.array_equal(scale, declared)):
            raise ConversionError(f"layer '{layer}': the codes in the file are not the codes of "
                                  f"recipe '{conversion.recipe.name}'")
    for layer, (low, high) in ranges.items():
        bits = conversion.activations[layer].bits
        if high - low >= 1 << bits:
            raise ConversionError(f"layer '{layer}': the kernel lets out codes from {low} to {high}, more than the "
                                  f"{bits} bits of recipe '{conversion.recipe.name}'")
