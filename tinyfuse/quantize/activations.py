"""Activations of 6, 7, 8 and 9 bits on the stock kernels of int8 and int16.

A width belongs to what a convolution or dense layer hands on after its ReLU or ReLU6; the output of a residual block
(ADD with ReLU) belongs to the last convolution of the block's longer path. Pooled, padded, flattened and concatenated
tensors have the codes of what they are made of; where both sides of a CONCATENATION differ, the narrower one is
requantised to the grid of the wider, and where values of either sign meet, all of them to a grid of both signs. Inputs
and logits have the int8 codes that every recipe gives them: an adversary has one grid. So have products and curves
(MUL, BATCH_MATMUL, LOGISTIC, TANH, HARD_SWISH, LEAKY_RELU, SOFTMAX), which also read int8: 8 bits or fewer.

- Below 8 bits the codes lie in [-128, -128 + 2^b - 1], because the kernel cuts there: a fused RELU6 whose scale is
  6/(2^b - 1) in the unit of :mod:`tinyfuse.quantize.tensor_units`. The cut is the calibrated maximum, of tensors that
  must share a unit the largest.
- 8 bits are int8 as TensorFlow calibrates it; 9 bits are unsigned codes [0, 511] in an int16 container (zero point 0,
  int32 bias), with a RELU6 of scale 6/511. An operator computes in int16 if any of its activations has 9 bits; its
  narrower outputs have codes [0, 2^b - 1]. QUANTIZE stands where int8 meets int16, with one scale on both sides.
- What only ADD reads (the two paths of a residual block before their sum) is signed and fills its container: int8, or
  int16 where the ADD computes in int16.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from tinyfuse.core.errors import ConversionError, RecipeError
from tinyfuse.quantize.folded_layers import FoldedLayer
from tinyfuse.quantize.recipe import Recipe
from tinyfuse.quantize.tensor_units import (
    LONG_BIAS,
    MOVING,
    REAL,
    WEIGHTED,
    copy_tensor,
    new_operator,
    recode_constant,
    sources,
    unit_classes,
)
from tinyfuse.tflite.editing import operator_code, set_scale
from tinyfuse.tflite.flatbuffer import operator_name, schema

_WIDE_BITS = 9  # the width that needs the int16 container
SUM = "/sum"
_LOWEST = -128  # the code of zero of a ReLU's int8 output
_LARGEST = {True: (1 << 15) - 1, False: 127}
_EIGHT_BITS = (*REAL, "LEAKY_RELU")
_KNOWN = (*WEIGHTED, "ADD", "SUB", *MOVING, "QUANTIZE", *_EIGHT_BITS)
# Operator versions that know int16 activations and the type of their bias; older runtimes refuse the file.
_VERSIONS = {"CONV_2D": 8, "FULLY_CONNECTED": 11, "DEPTHWISE_CONV_2D": 5, "TRANSPOSE_CONV": 4, "ADD": 3, "SUB": 5,
             "MEAN": 3, "AVERAGE_POOL_2D": 3, "MAX_POOL_2D": 3, "CONCATENATION": 3, "PAD": 3, "TRANSPOSE": 5,
             "STRIDED_SLICE": 4, "RESIZE_NEAREST_NEIGHBOR": 4}


@dataclass(frozen=True)
class Activation:
    """What a layer hands on after its ReLU: ``bits`` of each of ``elements`` codes."""

    bits: int
    elements: int


def relu_outputs(model: Any, names: Mapping[int, str]) -> dict[str, int]:
    """Find the tensor of each layer that hands on a ReLU's output; ``names``: layer names by ``id`` of their operator.

    What is rectified later on (a sum) belongs to the deepest layer before it: the main path of a residual block, not
    its shortcut. If that has a ReLU of its own, the sum is named after it with :data:`SUM` behind.
    """
    nearest: dict[int, str] = {}
    depth: dict[int, int] = {}
    found: dict[str, int] = {}
    for operator in model.subgraphs[0].operators:
        target, read = int(operator.outputs[0]), sources(model, operator)
        name = names.get(id(operator))
        depth[target] = max((depth.get(index, 0) for index in read), default=0) + (name is not None)
        behind = [index for index in read if index in nearest]
        owner = name or (nearest[max(behind, key=lambda index: depth[index])] if behind else None)
        if owner:
            nearest[target] = owner
            if _rectified(operator):
                found[_free(owner, found)] = target
    return found


def _free(owner: str, taken: Mapping[str, int]) -> str:
    numbered = (f"{owner}{SUM}{number}" for number in itertools.count(2))
    return next(name for name in itertools.chain([owner, owner + SUM], numbered) if name not in taken)


def _rectified(operator: Any) -> bool:
    return getattr(operator.builtinOptions, "fusedActivationFunction", 0) != 0


def lay_out(model: Any, layers: Mapping[int, FoldedLayer],
            recipe: Recipe) -> tuple[dict[str, Activation], dict[int, float]]:
    """Give the activations of an int8 graph the widths of ``recipe``, in real units; weights come afterwards.

    ``layers``: by ``id`` of their operator. Returns the activations by layer, and the real value at which each tensor
    (by index) is cut by a RELU6. A graph whose activations all get 8 bits is left as it is. RecipeError for a width of
    layers that hand on no ReLU output, ConversionError for an operator or a ReLU that is not known here.
    """
    outputs = relu_outputs(model, {key: layer.name for key, layer in layers.items()})
    owners = {name: name.partition(SUM)[0] for name in outputs}
    recipe.check_rules((rule for rule in recipe.layers if rule.activation_bits is not None), list(owners.values()))
    branches = {layer.name: layer.branch for layer in layers.values()}
    own = {tensor: recipe.activation_bits_for(owners[name], branches[owners[name]]) for name, tensor in outputs.items()}
    tensors = model.subgraphs[0].tensors
    asked = recipe.activation_widths() - {8}
    if asked and not outputs:
        raise RecipeError(f"recipe '{recipe.name}': no layer of this network hands on the output of a ReLU in its own "
                          f"kernel, so nothing would have the {min(asked)} activation bits; give the recipe a8")
    widths = {name: Activation(own[tensor], int(np.prod(tensors[tensor].shape))) for name, tensor in outputs.items()}
    if set(own.values()) <= {8}:
        return widths, {}
    bits = _code_bits(model, own)
    wide = _wide(model, bits)
    cuts = _cuts(model, own, wide)
    _Writer(model, own, bits, wide, cuts).write()
    return widths, cuts


def _code_bits(model: Any, own: Mapping[int, int]) -> dict[int, int]:
    """Collect the bits of unsigned codes: ``own`` of ReLU outputs, 8 of inputs, and those of what is made of them."""
    graph = model.subgraphs[0]
    bits = {**dict.fromkeys((int(index) for index in graph.inputs), 8), **own}
    for operator in graph.operators:
        name, target = operator_name(model, operator), int(operator.outputs[0])
        if name not in _KNOWN:
            raise ConversionError(f"operator {name}: activations other than 8 bits are written for "
                                  f"{', '.join(_KNOWN)}; give the recipe a8")
        if _rectified(operator) and target not in own:
            raise ConversionError(f"no layer hands on '{graph.tensors[target].name.decode()}', so that "
                                  "its activation bits are unknown; give the recipe a8")
        read = sources(model, operator)
        if name in _EIGHT_BITS:
            _check_eight(graph, name, {index: bits[index] for index in read if index in bits})
            bits[target] = 8
        if name in (*MOVING, "QUANTIZE"):
            moved = [bits[index] for index in read if index in bits]
            signed = any(int(graph.tensors[index].quantization.zeroPoint[0]) != _LOWEST for index in read)
            if not (name == "CONCATENATION" and signed):  # else signed, as a sum
                bits |= {target: max(moved)} if moved else {}
    return bits


def _check_eight(graph: Any, name: str, read: Mapping[int, int]) -> None:
    for index, bits in read.items():
        if bits == _WIDE_BITS:
            raise ConversionError(f"{name} reads '{graph.tensors[index].name.decode()}', which would have {bits} bits; "
                                  "give the layers that make it 8 activation bits or fewer, by a rule in a recipe file")


def _wide(model: Any, bits: Mapping[int, int]) -> set[int]:
    """Find by ``id`` the operators that compute in int16: those of a 9-bit tensor, and those around an ADD of one."""
    near = {id(operator): {*sources(model, operator), int(operator.outputs[0])}
            for operator in model.subgraphs[0].operators if operator_name(model, operator) not in _EIGHT_BITS}
    tensors = {tensor for tensor, width in bits.items() if width == _WIDE_BITS}
    while True:
        wide = {operator for operator, touched in near.items() if touched & tensors}
        signed = {tensor for operator in wide for tensor in near[operator] if tensor not in bits}
        if signed <= tensors:
            return wide
        tensors |= signed


def _cuts(model: Any, own: Mapping[int, int], wide: set[int]) -> dict[int, float]:
    """Find the real cut of each ReLU output that does not just fill int8: the largest calibrated one of its unit."""
    graph, roots = model.subgraphs[0], unit_classes(model)
    cut = [int(operator.outputs[0]) for operator in graph.operators if int(operator.outputs[0]) in own and
           (id(operator) in wide or own[int(operator.outputs[0])] < 8)]
    return {tensor: max(_reach(graph.tensors[other])[1] for other in cut if roots[other] == roots[tensor])
            for tensor in cut}


def _codes_of(tensor: Any) -> tuple[int, float, int]:
    """Type, scale and zero point: what its codes mean."""
    return int(tensor.type), float(tensor.quantization.scale[0]), int(tensor.quantization.zeroPoint[0])


def _reach(tensor: Any) -> tuple[float, float]:
    """Find the real values of the first and last code of an int8 tensor."""
    scale, zero = float(tensor.quantization.scale[0]), int(tensor.quantization.zeroPoint[0])
    return (_LOWEST - zero) * scale, (_LARGEST[False] - zero) * scale


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
        graph, _ = self.model.subgraphs[0], self._kept_int8  # before operators change
        for operator in graph.operators:
            name, wide = operator_name(self.model, operator), id(operator) in self.wide
            joins_signs = name == "CONCATENATION" and int(operator.outputs[0]) not in self.bits
            read = self._join(operator, wide) if joins_signs else self._read(operator, wide)
            self.operators.append(operator)
            if wide:
                operator.opcodeIndex = operator_code(self.model, name, _VERSIONS.get(name, 1))
            if wide and name in ("ADD", "SUB"):
                operator.builtinOptions.potScaleInt16 = False
            elif wide and name in WEIGHTED and name not in LONG_BIAS:
                # LiteRT reads the bias as int64 unless it is told.
                operator.builtinOptions.quantizedBiasType = schema().TensorType.INT32
            if name in MOVING and not joins_signs:
                target = graph.tensors[operator.outputs[0]]
                target.type = read.type
                set_scale(target, read.quantization.scale, read.quantization.zeroPoint)
            elif not joins_signs:
                self._target(operator, wide)
        graph.operators = self.operators

    @cached_property
    def _kept_int8(self) -> set[int]:
        """The tensors that stay int8 though what makes them computes in int16: outputs, and what 8-bit kernels read."""
        graph = self.model.subgraphs[0]
        read = (sources(self.model, operator) for operator in graph.operators
                if operator_name(self.model, operator) in _EIGHT_BITS)
        return {*map(int, graph.outputs), *itertools.chain.from_iterable(read)}

    def _read(self, operator: Any, wide: bool) -> Any:
        """Let ``operator`` read all its sources in its type; return the one that the others are brought to."""
        tensors, given = self.model.subgraphs[0].tensors, sources(self.model, operator)
        scale = {index: float(tensors[index].quantization.scale[0]) for index in given}
        finest = max(given, key=lambda index: (self.bits.get(index, 8), scale[index]))
        one_grid = operator_name(self.model, operator) == "CONCATENATION"
        cast = {index: self._cast(index, wide, scale[finest if one_grid else index]) for index in given}
        operator.inputs = np.array([cast.get(int(index), int(index)) for index in operator.inputs], np.int32)
        return tensors[cast[finest]]

    def _join(self, operator: Any, wide: bool) -> Any:
        """Let a CONCATENATION of values of either sign read all of them in the grid of its output."""
        index, tensors = int(operator.outputs[0]), self.model.subgraphs[0].tensors
        target = tensors[index]
        if wide:
            self._grid(index, wide, max(map(abs, _reach(target))) / _LARGEST[wide])
        read = []
        for source in map(int, operator.inputs):
            made = source
            if _codes_of(tensors[source]) != _codes_of(target):
                made = copy_tensor(self.model, source, tensors[source].name + b"/joined")
                tensors[made].type = target.type
                set_scale(tensors[made], target.quantization.scale, target.quantization.zeroPoint)
                self._requantise(source, made)
            read.append(made)
        operator.inputs = np.array(read, np.int32)
        return target

    def _cast(self, index: int, wide: bool, scale: float) -> int:
        """Find or make the tensor that holds ``index`` as int16 (``wide``) or int8 codes of ``scale``."""
        source, key = self.model.subgraphs[0].tensors[index], (index, wide, scale)
        is_wide = source.type == schema().TensorType.INT16
        if (is_wide, float(source.quantization.scale[0])) == (wide, scale):
            return index
        if key not in self.casts:
            made = copy_tensor(self.model, index, source.name + (b"/int16" if wide else b"/int8"))
            self._grid(made, wide, scale)
            self._requantise(index, made)
            self.casts[key] = made
        return self.casts[key]

    def _requantise(self, index: int, made: int) -> None:
        """Let the tensor ``made`` hold the values of ``index`` on its own grid: by QUANTIZE, or at once if constant."""
        if not recode_constant(self.model, index, made):
            self.operators.append(new_operator(self.model, "Quantize", 2, [index], made))

    def _target(self, operator: Any, wide: bool) -> None:
        """Set the grid of what a convolution, dense layer or ADD makes."""
        made = index = int(operator.outputs[0])
        target, kinds = self.model.subgraphs[0].tensors[index], schema().ActivationFunctionType
        if wide and index in self._kept_int8:
            made = copy_tensor(self.model, index, target.name + b"/int16")
            operator.outputs = np.array([made], np.int32)
            self.operators.append(new_operator(self.model, "Quantize", 2, [made], index))
        if index in self.cuts:
            operator.builtinOptions.fusedActivationFunction = kinds.RELU6
            self._grid(made, wide, self.cuts[index] / ((1 << self.own[index]) - 1))
            if made != index:
                self._grid(index, False, self.cuts[index] / ((1 << min(self.own[index], 8)) - 1))
        elif wide:
            self._grid(made, wide, max(map(abs, _reach(target))) / _LARGEST[wide])
        elif _rectified(operator):  # it fills int8: the end of the codes cuts, at 6 or before, in any unit
            operator.builtinOptions.fusedActivationFunction = kinds.RELU

    def _grid(self, index: int, wide: bool, scale: float) -> None:
        tensor, types = self.model.subgraphs[0].tensors[index], schema().TensorType
        tensor.type = types.INT16 if wide else types.INT8
        set_scale(tensor, np.array([scale]), np.array([0 if wide else _LOWEST]))
