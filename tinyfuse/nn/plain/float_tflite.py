"""Rebuilds a plain network from a float ``.tflite``: the door for PyTorch, JAX and SavedModels.

Which layer an operator is follows from its builtin code; constants are weights. Arithmetic on shapes is left out: every
size is known here, except for the batch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.nn.plain.builder import Builder, Value
from tinyfuse.tflite import flatbuffer
from tinyfuse.tflite.flatbuffer import operator_name, value_name

_DTYPES = {"FLOAT32": np.float32, "FLOAT16": np.float16, "INT32": np.int32, "INT64": np.int64, "BOOL": np.bool_}
_SHAPE_ARITHMETIC = ("SHAPE", "STRIDED_SLICE", "PACK", "CONCATENATION", "GATHER", "CAST", "ADD", "MUL", "SUB",
                     "REDUCE_PROD", "SLICE", "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "BROADCAST_ARGS", "SELECT_V2",
                     "EQUAL")
_CURVES = {"RELU": "relu", "RELU6": "relu6", "LOGISTIC": "sigmoid", "TANH": "tanh", "HARD_SWISH": "hard_swish",
           "SOFTMAX": "softmax"}
_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED")
_KERAS = re.compile(r"([^/;]+)/(?:Conv[12]D|depthwise|separable_conv2d|MatMul|conv[12]d_transpose)")
_MODULE = re.compile(r"(?:\w+\.)+[^\W_]+_(\w+)")


@dataclass(frozen=True, eq=False)
class FloatGraph:
    """A float ``.tflite``: its object tree, and the tensors of its inputs and outputs by name."""

    model: Any = field(repr=False)
    where: str
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]

    @property
    def input_shapes(self) -> dict[str, tuple[int | None, ...]]:
        """Shapes by input name without the batch axis, None for a size that varies."""
        found = {}
        for name, index in self.inputs.items():
            tensor = self.model.subgraphs[0].tensors[index]
            declared = tensor.shapeSignature if tensor.shapeSignature is not None else tensor.shape
            found[name] = tuple(None if size < 0 else int(size) for size in list(declared)[1:])
        return found


def is_float(data: bytes) -> bool:
    """Tell whether a ``.tflite`` computes in floats; ModelError if it is damaged."""
    tensors = flatbuffer.read(data, "model").subgraphs[0].tensors
    kinds = {value_name("TensorType", tensor.type) for tensor in tensors}
    return "FLOAT32" in kinds and not kinds & {"INT8", "UINT8", "INT16", "INT4"}


def read_float_graph(data: bytes, where: str, signature: str | None = None) -> FloatGraph:
    """Read the bytes of a float ``.tflite``; inputs have the names of its ``signature``, or those of its tensors."""
    model = flatbuffer.read(data, where)
    graph, tensors = model.subgraphs[0], model.subgraphs[0].tensors
    known = {_text(one.signatureKey): one for one in model.signatureDefs or []}
    if len(known) > 1 and signature not in known:
        raise ModelError(f"{where}: it has the signatures {', '.join(known)}; name one with --signature")
    chosen = known.get(signature or next(iter(known), ""))

    def named(entries: Any, indices: Any) -> dict[str, int]:
        by_index = {int(entry.tensorIndex): _text(entry.name) for entry in entries or ()}
        return {by_index.get(int(index)) or _plain_name(_text(tensors[index].name)): int(index)
                for index in (() if indices is None else indices) if 0 <= int(index) < len(tensors)}

    inputs = named(chosen.inputs if chosen else (), graph.inputs)
    outputs = named(chosen.outputs if chosen else (), graph.outputs)
    if not inputs or not outputs:
        raise ModelError(f"{where}: it has {len(inputs)} inputs and {len(outputs)} outputs; at least one of each is "
                         "needed")
    return FloatGraph(model, where, inputs, outputs)


def build_float_graph(graph: FloatGraph, inputs: Mapping[str, Value], builder: Builder) -> dict[str, Value]:
    """Rebuild ``graph`` on ``inputs`` by name; return its outputs by name."""
    reader = _Reader(graph, builder, {graph.inputs[name]: value for name, value in inputs.items()})
    for number, operator in enumerate(graph.model.subgraphs[0].operators):
        kind = operator_name(graph.model, operator)
        try:
            reader.read(operator, kind)
        except ModelError as error:
            raise ModelError(f"{graph.where}: operator {number} ({kind}): {error}") from error
        except (TypeError, ValueError, IndexError, KeyError, AttributeError) as error:
            raise ModelError(f"{graph.where}: operator {number} ({kind}) cannot be read "
                             f"({' '.join(str(error).split())[:120]}); convert the model again") from error
    missing = [name for name, index in graph.outputs.items() if index not in reader.values]
    if missing:
        raise ModelError(f"{graph.where}: nothing computes its output '{missing[0]}'; convert the model again")
    return {name: reader.values[index] for name, index in graph.outputs.items()}


@dataclass(eq=False)
class _Reader:
    graph: FloatGraph
    builder: Builder
    values: dict[int, Value]
    constants: dict[int, np.ndarray] = field(default_factory=dict)
    shapes: set[int] = field(default_factory=set)

    def read(self, operator: Any, kind: str) -> None:
        """Add the layers of one operator."""
        inputs = [] if operator.inputs is None else [int(index) for index in operator.inputs]
        output = int(operator.outputs[0])
        if kind == "DEQUANTIZE" and self.constant(inputs[0]) is not None:  # weights in float16
            self.constants[output] = np.asarray(self.constant(inputs[0]), np.float32)
        elif (kind in _SHAPE_ARITHMETIC and not any(index in self.values for index in inputs)) or kind == "SHAPE":
            self.shapes.add(output)
        else:
            name = self.name_of(output, kind, inputs)
            made = self.layer(kind, name, operator, inputs)
            self.values[output] = self.fused(name, operator, made)

    def layer(self, kind: str, name: str, operator: Any, inputs: list[int]) -> Value:
        """Add the layer that an operator of this ``kind`` is."""
        options, build = operator.builtinOptions, self.builder
        match kind:
            case "CONV_2D" | "DEPTHWISE_CONV_2D":
                return self.convolution(kind, name, options, inputs)
            case "TRANSPOSE_CONV":
                kernel, bias = self.weights(inputs[1]), self.optional(inputs, 3)
                return build.transposed(name, self.value(inputs[2]), kernel.transpose(1, 2, 0, 3), bias,
                                        strides=(options.strideH, options.strideW), padding=_padding(options))
            case "FULLY_CONNECTED":
                kernel, bias, x = self.weights(inputs[1]), self.optional(inputs, 2), self.value(inputs[0])
                if not options.keepNumDims and x.shape != (kernel.shape[1],):
                    x = build.reshape(f"{name}_flat", build.plain(x, name), (kernel.shape[1],))
                return build.dense(name, x, kernel.T, bias)
            case "BATCH_MATMUL":
                kernel = self.weights(inputs[1]).reshape(self.weights(inputs[1]).shape[-2:])
                return build.dense(name, self.value(inputs[0]), kernel.T if options.adjY else kernel, None)
            case "AVERAGE_POOL_2D" | "MAX_POOL_2D":
                pool = "AveragePooling2D" if kind.startswith("AVERAGE") else "MaxPooling2D"
                window, strides = (options.filterHeight, options.filterWidth), (options.strideH, options.strideW)
                return build.add(pool, name, self.value(inputs[0]), pool_size=window, strides=strides,
                                 padding=_padding(options))
            case "MEAN" | "REDUCE_MAX" | "SUM":
                return self.reduced(kind, name, options, inputs)
            case "ADD" | "SUB" | "MUL" | "DIV":
                return self.arithmetic(kind, name, inputs)
            case "CONCATENATION":
                parts = [self.value(index) for index in inputs]
                rank = len(parts[0].shape) + 1
                axis = options.axis % rank
                return build.join("Concatenate", name, [build.plain(one, name) for one in parts],
                                  axis=-1 if axis == rank - 1 else axis)
            case "PAD" | "PADV2":
                return self.padded(name, inputs)
            case "RESHAPE" | "SQUEEZE" | "EXPAND_DIMS":
                return self.reshaped(kind, name, operator, inputs)
            case "TRANSPOSE":
                order = [int(one) for one in self.integers(inputs[1])]
                if order[:1] != [0]:
                    raise ModelError("it moves the batch axis; leave that first")
                return build.permute(name, self.value(inputs[0]), order[1:])
            case "RESIZE_NEAREST_NEIGHBOR":
                return self.enlarged(name, options, inputs)
            case "LEAKY_RELU":
                return build.activation(name, self.value(inputs[0]), "leaky_relu", slope=options.alpha)
            case _ if kind in _CURVES:
                return build.activation(name, self.value(inputs[0]), _CURVES[kind])
        raise ModelError("not known here; build the network of convolutions, dense layers, batch norm, pooling, Add, "
                         "Multiply, Concatenate and ReLU, LeakyReLU, sigmoid, tanh or hard swish")

    def convolution(self, kind: str, name: str, options: Any, inputs: list[int]) -> Value:
        x, kernel, bias = self.value(inputs[0]), self.weights(inputs[1]), self.optional(inputs, 2)
        if kernel.ndim != 4:
            raise ModelError(f"its weights have the shape {list(kernel.shape)}; convert the model again")
        settings: dict[str, Any] = {"strides": (options.strideH, options.strideW), "padding": _padding(options)}
        if max(options.dilationHFactor, options.dilationWFactor) > 1:
            settings["dilation_rate"] = (options.dilationHFactor, options.dilationWFactor)
        if kind == "CONV_2D":
            groups = max(x.shape[-1] // kernel.shape[3], 1)
            return self.builder.convolution(name, x, kernel.transpose(1, 2, 3, 0), bias, groups=groups, **settings)
        return self.builder.depthwise(name, x, kernel[0].reshape(*kernel.shape[1:3], x.shape[-1], -1), bias, **settings)

    def reduced(self, kind: str, name: str, options: Any, inputs: list[int]) -> Value:
        """Pool along rows and columns, or along the length of a sequence, wherever the channels are."""
        x = self.value(inputs[0])
        axes = sorted(int(axis) % (len(x.shape) + 1) for axis in self.integers(inputs[1]).reshape(-1))
        if len(x.shape) in (2, 3) and axes == list(range(2, len(x.shape) + 1)):
            flat = self.reduced_axes(kind, name, self.channels_last(name, x, 0), [axis - 1 for axis in axes], False)
            kept = (*flat.shape, *[1] * len(axes)) if options.keepDims else flat.shape
            return self.builder.reshape(f"{name}_kept", flat, kept)
        return self.reduced_axes(kind, name, x, axes, options.keepDims)

    def channels_last(self, name: str, x: Value, axis: int) -> Value:
        """Move ``axis`` of ``x``, counted without the batch, behind all others."""
        return self.builder.permute(f"{name}_turned", x, [*(one + 1 for one in range(len(x.shape)) if one != axis),
                                                          axis + 1])

    def reduced_axes(self, kind: str, name: str, x: Value, axes: list[int], keep: bool) -> Value:
        """Pool a map or sequence whose channels are last."""
        if len(x.shape) == 2 and axes == [1]:
            x = self.builder.as_line(x, name)
        elif len(x.shape) != 3 or axes != [1, 2]:
            raise ModelError(f"it goes along the axes {axes} of {list(x.shape)}; only rows and columns together, or "
                             "the length of a sequence, can be pooled")
        made = self.builder.whole_pool(name, x, "Max" if kind == "REDUCE_MAX" else "Average", keep=keep)
        count = float(np.prod(x.tensor.shape[1:3]))
        return self.builder.affine(f"{name}_sum", made, count, 0.0) if kind == "SUM" else made

    def arithmetic(self, kind: str, name: str, inputs: list[int]) -> Value:
        """Combine two tensors, or scale and shift one by constants for each channel."""
        fixed = [self.constant(index) for index in inputs]
        if fixed[0] is None and fixed[1] is None:
            if kind == "DIV":
                raise ModelError("it divides one computed tensor by another; multiply, or leave it to the application")
            both = [self.value(index) for index in inputs]
            if kind == "SUB":
                both[1] = self.builder.affine(f"{name}_negative", both[1], -1.0, 0.0)
            return self.builder.join("Multiply" if kind == "MUL" else "Add", name, both)
        first = fixed[0] is not None
        x, given = self.value(inputs[int(first)]), np.asarray(fixed[0] if first else fixed[1], np.float64)
        if kind == "DIV" and first:
            raise ModelError("it divides a constant by a computed tensor; no kernel does that")
        axis = self.axis_of(given, x)
        given = given.reshape(-1)
        gain, offset = {"ADD": (1.0, given), "SUB": (-1.0, given) if first else (1.0, -given), "MUL": (given, 0.0),
                        "DIV": (1 / given, 0.0)}[kind]
        if axis == len(x.shape) - 1:
            return self.builder.affine(name, x, gain, offset)
        made = self.builder.affine(name, self.channels_last(name, x, axis), gain, offset)
        order = list(range(1, len(x.shape)))
        return self.builder.permute(f"{name}_back", made, [*order[:axis], len(x.shape), *order[axis:]])

    def axis_of(self, given: np.ndarray, x: Value) -> int:
        """Find the axis of ``x``, without the batch, along which a constant has one number for each channel."""
        rank = len(x.shape)
        sizes = (1,) * (rank - given.ndim) + given.shape[max(given.ndim - rank, 0):]
        long = [axis for axis, size in enumerate(sizes) if size > 1] or [rank - 1]
        if len(long) > 1 or given.size not in (1, x.shape[long[0]]):
            raise ModelError(f"its constant has the shape {list(given.shape)}, for {list(x.shape)}; one number, or one "
                             "for each channel can be folded")
        return long[0]

    def enlarged(self, name: str, options: Any, inputs: list[int]) -> Value:
        """Repeat rows and columns."""
        x, size = self.builder.map(self.value(inputs[0]), name), [int(one) for one in self.integers(inputs[1])]
        height, width = (int(one) for one in x.tensor.shape[1:3])
        if options.alignCorners or size[0] % height or size[1] % width:
            raise ModelError(f"it brings {[height, width]} to {size}; only whole multiples without aligned corners can "
                             "be made by repeating rows and columns")
        return self.builder.add("UpSampling2D", name, x, size=(size[0] // height, size[1] // width))

    def padded(self, name: str, inputs: list[int]) -> Value:
        x, sides = self.value(inputs[0]), self.integers(inputs[1]).reshape(-1, 2)
        value = self.constant(inputs[2]) if len(inputs) > 2 else None
        if value is not None and float(value.reshape(-1)[0]) != 0:
            raise ModelError("it pads with another value than 0")
        if len(x.shape) == 2:
            x, sides = self.builder.as_line(x, name), np.insert(sides, 1, 0, axis=0)
        if sides.shape != (4, 2) or sides[[0, 3]].any():
            raise ModelError(f"it pads {sides.tolist()}; only rows and columns can be padded")
        return self.builder.add("ZeroPadding2D", name, x, padding=tuple(tuple(map(int, side)) for side in sides[1:3]))

    def reshaped(self, kind: str, name: str, operator: Any, inputs: list[int]) -> Value:
        """Bring a tensor to another shape, whatever computes that shape; the data says what the file leaves open."""
        x = self.builder.plain(self.value(inputs[0]), name)
        shape = self.shape_after(kind, operator, inputs, x.shape)
        if shape is None or math.prod(shape) != math.prod(x.shape):
            raise ModelError(f"it brings {list(x.shape)} to {shape or 'another batch'} and so moves values between "
                             "samples; keep the batch axis")
        return self.builder.reshape(name, x, shape)

    def shape_after(self, kind: str, operator: Any, inputs: list[int], before: tuple[int, ...]) -> list[int] | None:
        """Return the shape, without the batch, that an operator makes of ``before``; None if the batch is moved."""
        rank = len(before) + 1
        if kind == "EXPAND_DIMS":
            place = int(self.integers(inputs[1]).reshape(-1)[0]) % (rank + 1)
            return None if place == 0 else [*before[:place - 1], 1, *before[place - 1:]]
        dims = operator.builtinOptions.squeezeDims if kind == "SQUEEZE" else None
        if dims is not None and len(dims):
            gone = [int(axis) % rank for axis in dims]
            return None if 0 in gone else [size for axis, size in enumerate(before, 1) if axis not in gone]
        tensor = self.graph.model.subgraphs[0].tensors[int(operator.outputs[0])]
        declared = tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature
        sizes = [int(size) for size in declared[1:]]
        if sizes.count(-1) == 1:
            known = math.prod(size for size in sizes if size != -1)
            sizes[sizes.index(-1)] = math.prod(before) // max(known, 1)
        return sizes

    def fused(self, name: str, operator: Any, made: Value) -> Value:
        """Add the activation that is fused into an operator."""
        number = getattr(operator.builtinOptions, "fusedActivationFunction", 0)
        if number == 0:
            return made
        curve = {"RELU": "relu", "RELU6": "relu6", "TANH": "tanh"}.get(
            value_name("ActivationFunctionType", number) or "", f"number {number}")
        return self.builder.activation(f"{name}_{curve}", made, curve)

    def value(self, index: int) -> Value:
        """Return what was computed for the tensor ``index``."""
        if index not in self.values:
            raise ModelError(f"it reads tensor {index}, which nothing before it computes")
        return self.values[index]

    def weights(self, index: int) -> np.ndarray:
        """Return a constant of floats."""
        found = self.constant(index)
        if found is None:
            raise ModelError("its weights are computed; only constant ones can be quantised")
        if not np.isfinite(found).all():
            raise ModelError("its weights are not all finite; train the model again")
        return np.asarray(found, np.float32)

    def optional(self, inputs: list[int], place: int) -> np.ndarray | None:
        """Return the bias, if there is one."""
        return self.weights(inputs[place]) if len(inputs) > place and inputs[place] >= 0 else None

    def integers(self, index: int) -> np.ndarray:
        """Return a constant of whole numbers."""
        found = self.constant(index)
        if found is None:
            raise ModelError("its axes or sizes are computed; convert the model with fixed shapes")
        return found.astype(np.int64)

    def constant(self, index: int) -> np.ndarray | None:
        """Return the content of a constant tensor; None if it is computed."""
        if index in self.constants:
            return self.constants[index]
        tensors, buffers = self.graph.model.subgraphs[0].tensors, self.graph.model.buffers
        if not 0 <= index < len(tensors) or not 0 <= tensors[index].buffer < len(buffers):
            return None
        tensor, data = tensors[index], buffers[tensors[index].buffer].data
        if data is None or not len(data):
            return None
        kind = value_name("TensorType", tensor.type)
        if kind not in _DTYPES:
            raise ModelError(f"a constant is of the type {kind}; convert the model without quantisation")
        shape = () if tensor.shape is None else tuple(int(size) for size in tensor.shape)
        return np.frombuffer(np.asarray(data, np.uint8).tobytes(), _DTYPES[kind]).reshape(shape)

    def name_of(self, output: int, kind: str, inputs: list[int]) -> str:
        """Name a layer by what its author called it, as far as the names of tensors tell."""
        tensors = self.graph.model.subgraphs[0].tensors
        weighted = kind in _WEIGHTED and len(inputs) > 1
        if path := _torch_path(_text(tensors[inputs[1] if weighted else output].name)):
            return path if weighted else f"{path}_{kind.lower()}"
        if weighted and (found := _KERAS.search(_text(tensors[inputs[1]].name))):
            return found[1]  # the output has the name of the activation that is fused, or of the file's output
        parts = [part for part in _text(tensors[output].name).split(";")[0].split("/") if part]
        return parts[-2] if len(parts) > 1 else f"{kind.lower()}_{output}"


def _torch_path(name: str) -> str:
    """Find the attributes that lead to a module of PyTorch, such as "see.0", in what litert-torch calls a tensor.

    That lists the paths of modules, ``Net/torch.nn.modules.container.Sequential_see/torch.nn.modules.conv.Conv2d_0;``,
    the first one last where several were fused; a part is a class and, after an underscore, its attribute.
    """
    parts = name.split(";;")[-1].split(";")[0].split("/")[1:]
    found = [_MODULE.fullmatch(part) for part in parts]
    return ".".join(one[1] for one in found if one) if all(found) else ""


def _padding(options: Any) -> str:
    return str(value_name("Padding", options.padding)).lower()


def _plain_name(name: str) -> str:
    return name.removeprefix("serving_default_").split(":")[0]


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")
