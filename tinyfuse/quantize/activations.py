"""Activations of 6, 7, 8 and 9 bits on the stock kernels of int8 and int16.

A width belongs to what a convolution or dense layer hands on after its ReLU; the output of a residual block (ADD with
ReLU) belongs to the block's ``_conv2``. Pooled, flattened and concatenated tensors have the codes of what they are made
of; where both sides of a CONCATENATION differ, the narrower one is requantised to the grid of the wider. Inputs
(int8, scale 1/255) and logits (int8) are those of every recipe: an adversary has one grid.

- Below 8 bits the codes lie in [-128, -128 + 2^b - 1], because the kernel cuts there: a fused RELU6 whose scale is
  6/(2^b - 1) in the unit of :mod:`tinyfuse.quantize.tensor_units`. The cut is the calibrated maximum, of tensors that
  must share a unit the largest.
- 8 bits are int8 as TensorFlow calibrates it.
- 9 bits mean unsigned codes [0, 511] in an int16 container (zero point 0, int32 bias), with a RELU6 of scale 6/511.
  An operator computes in int16 if any of its activations has 9 bits; its narrower outputs have codes [0, 2^b - 1].
  QUANTIZE stands where int8 meets int16: with one scale on both sides, which moves codes and rounds nothing.
- What only ADD reads (``_conv2`` and shortcut before the sum) is signed and fills its container: int8, or int16 where
  the ADD computes in int16.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyfuse.core.errors import ConversionError
from tinyfuse.quantize.folded_layers import FoldedLayer
from tinyfuse.quantize.recipe import Precision
from tinyfuse.quantize.tensor_units import WEIGHTED, classes, sources
from tinyfuse.tflite import flatbuffer

WIDE_BITS = 9
"""The width that needs the int16 container."""
LOWEST = -128
"""The code of zero of a ReLU's int8 output."""
_LARGEST = {True: (1 << 15) - 1, False: 127}
_MOVING = ("AVERAGE_POOL_2D", "RESHAPE", "CONCATENATION")
_VERSIONS = {"CONV_2D": 8, "FULLY_CONNECTED": 11, "ADD": 3, "AVERAGE_POOL_2D": 3, "CONCATENATION": 3, "RESHAPE": 1}
"""Operator versions that know int16 activations and the type of their bias; older runtimes refuse the file."""


@dataclass(frozen=True)
class Activation:
    """What a layer hands on after its ReLU: ``bits`` of each of ``elements`` codes."""

    bits: int
    elements: int


@dataclass(frozen=True)
class Layout:
    """``widths`` by layer; ``cuts``: the real value at which a tensor (by index) is cut by a RELU6."""

    widths: dict[str, Activation]
    cuts: dict[int, float]


def relu_outputs(model: Any, names: Mapping[int, str]) -> dict[str, int]:
    """The tensor of each layer that hands on a ReLU's output; ``names``: layer names by ``id`` of their operator.

    A rectified sum belongs to the convolution before it that is no shortcut.
    """
    made: dict[int, str] = {}
    found: dict[str, int] = {}
    for operator in model.subgraphs[0].operators:
        target = int(operator.outputs[0])
        if id(operator) in names and not _rectified(operator):
            made[target] = names[id(operator)]
        elif _rectified(operator):
            summed = sorted((made[index] for index in sources(model, operator) if index in made),
                            key=lambda name: name.endswith("_shortcut"))
            owner = names.get(id(operator)) or next(iter(summed), None)
            if owner is not None:
                found[owner] = target
    return found


def _rectified(operator: Any) -> bool:
    return getattr(operator.builtinOptions, "fusedActivationFunction", 0) != 0


def lay_out(model: Any, layers: Mapping[int, FoldedLayer], precision: Precision) -> Layout:
    """Give the activations of an int8 graph the widths of ``precision``, in real units; weights come afterwards.

    ``layers``: by ``id`` of their operator. A graph whose activations all get 8 bits is left as it is.

    Raises:
        RecipeError: an activation width for layers that hand on no ReLU output.
        ConversionError: an operator that is not known here, or a ReLU's output that no layer hands on.
    """
    outputs = relu_outputs(model, {key: layer.name for key, layer in layers.items()})
    _check_rules(precision, list(outputs))
    branches = {layer.name: layer.parts[0][0] if len(layer.parts) == 1 else "shared" for layer in layers.values()}
    own = {tensor: precision.activation_bits_for(name, branches[name]) for name, tensor in outputs.items()}
    tensors = model.subgraphs[0].tensors
    widths = {name: Activation(own[tensor], int(np.prod(tensors[tensor].shape))) for name, tensor in outputs.items()}
    if set(own.values()) <= {8}:
        return Layout(widths, {})
    bits = _code_bits(model, own)
    wide = _wide(model, bits)
    cuts = _cuts(model, own, wide)
    _Writer(model, own, bits, wide, cuts).write()
    return Layout(widths, cuts)


def _check_rules(precision: Precision, names: list[str]) -> None:
    """A rule that sets activations is of some layer that has them."""
    for rule in precision.layers:
        if rule.activation_bits is not None:
            Precision(precision.name, 8, 8, 8, (rule,)).check_layers(names)


def _code_bits(model: Any, own: Mapping[int, int]) -> dict[int, int]:
    """Bits of every tensor of unsigned codes: ``own`` of ReLU outputs, 8 of inputs, and what is made of them."""
    bits = {**dict.fromkeys((int(index) for index in model.subgraphs[0].inputs), 8), **own}
    for operator in model.subgraphs[0].operators:
        name = flatbuffer.operator_name(model, operator)
        if name not in (*WEIGHTED, "ADD", *_MOVING):
            raise ConversionError(f"operator {name}: activations other than 8 bits are written for "
                                  f"{', '.join((*WEIGHTED, 'ADD', *_MOVING))}; give the recipe a8")
        target = int(operator.outputs[0])
        if _rectified(operator) and target not in own:
            raise ConversionError(f"no layer hands on '{model.subgraphs[0].tensors[target].name.decode()}', so that "
                                  "its activation bits are unknown; give the recipe a8")
        if name in _MOVING:
            moved = [bits[index] for index in sources(model, operator) if index in bits]
            bits |= {target: max(moved)} if moved else {}
    return bits


def _wide(model: Any, bits: Mapping[int, int]) -> set[int]:
    """``id`` of the operators that compute in int16: those of a 9-bit tensor, and those around an ADD of one."""
    operators = model.subgraphs[0].operators
    tensors = {tensor for tensor, width in bits.items() if width == WIDE_BITS}
    while True:
        touching = [(operator, {*sources(model, operator), int(operator.outputs[0])}) for operator in operators]
        wide = [(operator, near) for operator, near in touching if near & tensors]
        signed = {tensor for _, near in wide for tensor in near if tensor not in bits}
        if signed <= tensors:
            return {id(operator) for operator, _ in wide}
        tensors |= signed


def _cuts(model: Any, own: Mapping[int, int], wide: set[int]) -> dict[int, float]:
    """The real cut of each ReLU output that does not just fill int8: the largest calibrated one of its unit."""
    graph, roots = model.subgraphs[0], classes(model)
    cut = [int(operator.outputs[0]) for operator in graph.operators if int(operator.outputs[0]) in own and
           (id(operator) in wide or own[int(operator.outputs[0])] < 8)]
    largest: dict[int, float] = {}
    for tensor in cut:
        largest[roots[tensor]] = max(largest.get(roots[tensor], 0.0), _reach(graph.tensors[tensor])[1])
    return {tensor: largest[roots[tensor]] for tensor in cut}


def _reach(tensor: Any) -> tuple[float, float]:
    """The real values of the first and last code of an int8 tensor."""
    scale, zero = float(tensor.quantization.scale[0]), int(tensor.quantization.zeroPoint[0])
    return (LOWEST - zero) * scale, (_LARGEST[False] - zero) * scale


@dataclass
class _Writer:
    """Rewrites the operators of ``model`` in their order; see :func:`lay_out` for the rest."""

    model: Any
    own: Mapping[int, int]
    bits: Mapping[int, int]
    wide: set[int]
    cuts: Mapping[int, float]
    operators: list[Any] = field(default_factory=list)
    casts: dict[tuple[int, bool, float], int] = field(default_factory=dict)

    def write(self) -> None:
        """Replace the operators of the graph."""
        graph = self.model.subgraphs[0]
        for operator in graph.operators:
            name, wide = flatbuffer.operator_name(self.model, operator), id(operator) in self.wide
            read = self._read(operator, wide)
            self.operators.append(operator)
            if wide:
                operator.opcodeIndex = flatbuffer.operator_code(self.model, name, _VERSIONS[name])
            if wide and name == "ADD":
                operator.builtinOptions.potScaleInt16 = False
            elif wide and name in WEIGHTED:  # LiteRT reads the bias as int64 unless it is told
                operator.builtinOptions.quantizedBiasType = flatbuffer.schema().TensorType.INT32
            if name in _MOVING:
                target = graph.tensors[operator.outputs[0]]
                target.type = read.type
                flatbuffer.set_scale(target, read.quantization.scale, read.quantization.zeroPoint)
            else:
                self._target(operator, wide)
        graph.operators = self.operators

    def _read(self, operator: Any, wide: bool) -> Any:
        """Let ``operator`` read all its sources in its type; return the one that the others are brought to."""
        graph, given = self.model.subgraphs[0], sources(self.model, operator)
        scale = {index: float(graph.tensors[index].quantization.scale[0]) for index in given}
        finest = max(given, key=lambda index: (self.bits.get(index, 8), scale[index]))
        one_grid = flatbuffer.operator_name(self.model, operator) == "CONCATENATION"
        cast = {index: self._cast(index, wide, scale[finest if one_grid else index]) for index in given}
        count = len(given)
        operator.inputs = np.array([*(cast[index] for index in given), *operator.inputs[count:]], np.int32)
        return graph.tensors[cast[finest]]

    def _cast(self, index: int, wide: bool, scale: float) -> int:
        """The tensor that holds ``index`` as int16 (``wide``) or int8 codes of ``scale``, made where it is missing."""
        tensors = self.model.subgraphs[0].tensors
        source = tensors[index]
        if (_is_wide(source), float(source.quantization.scale[0])) == (wide, scale):
            return index
        key = index, wide, scale
        if key not in self.casts:
            self.casts[key] = self._copy(index, b"int16" if wide else b"int8")
            self._grid(self.casts[key], wide, scale)
            self._quantize(index, self.casts[key])
        return self.casts[key]

    def _target(self, operator: Any, wide: bool) -> None:
        """The grid of what a convolution, dense layer or ADD makes."""
        index, graph = int(operator.outputs[0]), self.model.subgraphs[0]
        if index in self.cuts:
            operator.builtinOptions.fusedActivationFunction = flatbuffer.schema().ActivationFunctionType.RELU6
            self._grid(index, wide, self.cuts[index] / ((1 << self.own[index]) - 1))
        elif wide:
            made = index
            if index in graph.outputs:
                made = self._copy(index, b"int16")
                operator.outputs = np.array([made], np.int32)
                self._quantize(made, index)
            self._grid(made, wide, max(map(abs, _reach(graph.tensors[index]))) / _LARGEST[wide])

    def _copy(self, index: int, suffix: bytes) -> int:
        tensors = self.model.subgraphs[0].tensors
        made = copy.copy(tensors[index])
        made.name = tensors[index].name + b"/" + suffix
        tensors.append(made)
        return len(tensors) - 1

    def _grid(self, index: int, wide: bool, scale: float) -> None:
        tensor, types = self.model.subgraphs[0].tensors[index], flatbuffer.schema().TensorType
        tensor.type = types.INT16 if wide else types.INT8
        flatbuffer.set_scale(tensor, np.array([scale]), np.array([0 if wide else LOWEST]))

    def _quantize(self, source: int, target: int) -> None:
        schema = flatbuffer.schema()
        operator = schema.OperatorT()
        operator.opcodeIndex = flatbuffer.operator_code(self.model, "QUANTIZE", 2)
        operator.inputs, operator.outputs = np.array([source], np.int32), np.array([target], np.int32)
        operator.builtinOptionsType = schema.BuiltinOptions.QuantizeOptions
        operator.builtinOptions = schema.QuantizeOptionsT()
        self.operators.append(operator)


def _is_wide(tensor: Any) -> bool:
    return bool(tensor.type == flatbuffer.schema().TensorType.INT16)
