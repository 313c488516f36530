"""From a float network to a stock ``.tflite`` whose weights are exactly n-bit integers (DESIGN decision 3).

TensorFlow's converter makes the int8 graph once for each network; it ignores widths below 8 bits, so the
integers of every recipe are written into that graph here: codes, per-channel scales and int32 biases.
"""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyfuse.core.backend import stderr_silenced, tensorflow
from tinyfuse.core.errors import ConversionError, RecipeError
from tinyfuse.data import Pairs
from tinyfuse.quantize import activations
from tinyfuse.quantize.folded_layers import FoldedLayer, folded_layers
from tinyfuse.quantize.input_moments import input_moments
from tinyfuse.quantize.layer_size import LayerSize, layer_size
from tinyfuse.quantize.recipe import Precision
from tinyfuse.quantize.refinement import Refinement
from tinyfuse.quantize.tensor_units import WEIGHTED, relabel
from tinyfuse.quantize.weight_codes import Codes, split
from tinyfuse.tflite import flatbuffer

INPUT_SCALE, INPUT_ZERO_POINT = 1 / 255, -128  # inputs are in [0, 1] by contract, so their codes are 0..255 - 128
MIN_CALIBRATION_PAIRS = 20


@dataclass(frozen=True)
class Baseline:
    """One network's int8 graph as TensorFlow writes it (``data``) and its folded float layers.

    ``refinement`` remembers what recipes made of each layer: the next recipe that asks for the same costs nothing.
    ``trained_for`` is the recipe of a quantisation-aware training, the only one that its weights fit.
    """

    model: str
    data: bytes
    layers: tuple[FoldedLayer, ...]
    inputs: tuple[str, ...]
    refinement: Refinement = field(repr=False, compare=False)
    trained_for: Precision | None = None


@dataclass(frozen=True)
class Conversion:
    """A ``.tflite`` in memory, not yet proven: ``data`` and what its recipe did to each layer.

    ``activations``: of the layers that hand on a ReLU's output; ``units``: the factor between the weight scales of a
    layer in the file and those of its ``codes``, see :mod:`tinyfuse.quantize.tensor_units`.
    """

    model: str
    precision: Precision
    data: bytes
    layers: tuple[LayerSize, ...]
    codes: dict[str, Codes]
    activations: dict[str, activations.Activation] = field(default_factory=dict)
    units: dict[str, float] = field(default_factory=dict)


def baseline(model: Any, calibration: Pairs, *, inputs: tuple[str, ...]) -> Baseline:
    """Convert a ``tf_keras`` network with int8 inputs and outputs; ranges come from ``calibration`` (training) pairs.

    ``inputs`` are the modalities that the network looks at; the ``.tflite`` has just these. ``model`` must not change
    afterwards: the first recipe with a method runs it again on ``calibration``.
    """
    if len(calibration) < MIN_CALIBRATION_PAIRS:
        raise ConversionError(f"{len(calibration)} calibration pairs; at least {MIN_CALIBRATION_PAIRS} are needed")
    tf = tensorflow()
    shapes = {name: (1, *calibration.inputs()[name].shape[1:]) for name in inputs}

    def serve(**given: Any) -> dict[str, Any]:
        batch = {name: given.get(name, tf.zeros((1, *model.input_shape[name][1:]))) for name in model.input_shape}
        return {"logits": model(batch, training=False)}

    function = tf.function(serve).get_concrete_function(
        **{name: tf.TensorSpec(shape, tf.float32, name=name) for name, shape in shapes.items()})
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        {name: calibration.inputs()[name][row:row + 1] for name in inputs} for row in range(len(calibration)))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    with stderr_silenced(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow announces that its own interpreter moved to LiteRT
        try:
            data = converter.convert()
        except Exception as error:  # TensorFlow raises whatever its passes do
            raise ConversionError(f"TensorFlow cannot convert '{model.name}' ({type(error).__name__})") from error
    refinement = Refinement(lambda: input_moments(model, calibration, inputs=inputs))
    return Baseline(model.name, data, tuple(folded_layers(model)), inputs, refinement)


def convert(base: Baseline, precision: Precision) -> Conversion:
    """Write the n-bit integers of ``precision`` into the int8 graph of ``base``."""
    _check_recipe(base, precision)
    precision.check_layers([layer.name for layer in base.layers])
    model = flatbuffer.read(base.data, base.model)
    _name_inputs(model, base.inputs)
    layers = _matched(model, base)
    layout = activations.lay_out(model, layers, precision)
    codes, sizes, operators = {}, [], []
    for operator in model.subgraphs[0].operators:
        if layer := layers.get(id(operator)):
            written = _write_layer(model, operator, layer, base.refinement, precision)
            if written.doubled:
                operators.append(_double_input(model, operator, layer.name))
            codes[layer.name] = written
            sizes.append(layer_size(layer.name, written, _output_pixels(model, operator)))
        operators.append(operator)
    model.subgraphs[0].operators = operators
    units = relabel(model, layout.cuts) if layout.cuts else {}
    model.description = f"tinyfuse {base.model} {precision.name}".encode()
    model.metadata = [m for m in model.metadata or [] if m.name == b"min_runtime_version"]
    flatbuffer.drop_unused(model)
    return Conversion(base.model, precision, flatbuffer.write(model), tuple(sizes), codes, layout.widths, units)


def _check_recipe(base: Baseline, precision: Precision) -> None:
    if precision.scheme != "symmetric":
        raise RecipeError(f"recipe '{precision.name}' simulates scheme '{precision.scheme}' in float; "
                          "only 'symmetric' recipes become .tflite files")
    if base.trained_for not in (None, precision):
        raise RecipeError(f"recipe '{precision.name}': these weights were trained for '{base.trained_for.name}'; "
                          f"give that recipe, or the float network {base.model}.keras")
    if base.trained_for is None and "qat" in precision.methods:
        raise RecipeError(f"recipe '{precision.name}': 'qat' needs weights that were trained for it; "
                          "quantize.qat.obtain makes them")


def _name_inputs(model: Any, names: tuple[str, ...]) -> None:
    """Name and order the inputs, and give them (and their plain concatenation) the scale of [0, 1] in 8 bits."""
    graph = model.subgraphs[0]
    signature = {entry.name.decode(): int(entry.tensorIndex) for entry in model.signatureDefs[0].inputs}
    graph.inputs = np.array([signature[name] for name in names], np.int32)
    model.signatureDefs[0].inputs.sort(key=lambda entry: names.index(entry.name.decode()))
    graph.tensors[graph.outputs[0]].name = b"logits"
    shared = set()
    for name in names:
        graph.tensors[signature[name]].name = name.encode()
        shared.add(signature[name])
    for operator in graph.operators:
        if flatbuffer.operator_name(model, operator) == "CONCATENATION" and set(operator.inputs) <= shared:
            shared.add(int(operator.outputs[0]))
    for index in shared:
        flatbuffer.set_scale(graph.tensors[index], np.array([INPUT_SCALE]), np.array([INPUT_ZERO_POINT]))


def _matched(model: Any, base: Baseline) -> dict[int, FoldedLayer]:
    """The layer of each convolution and dense layer, by ``id`` of the operator."""
    remaining = {layer.name: layer for layer in base.layers}
    found = {id(operator): remaining.pop(_match(model, operator, remaining))
             for operator in model.subgraphs[0].operators if flatbuffer.operator_name(model, operator) in WEIGHTED}
    if remaining:
        raise ConversionError(f"the int8 graph of '{base.model}' lacks layers {', '.join(remaining)}")
    return found


def _match(model: Any, operator: Any, layers: dict[str, FoldedLayer]) -> str:
    """The layer whose folded kernel is what ``operator`` holds, up to TensorFlow's own 8-bit rounding."""
    tensor = model.subgraphs[0].tensors[operator.inputs[1]]
    scale = np.asarray(tensor.quantization.scale, np.float64)
    stored = flatbuffer.constant(model, tensor, np.int8).astype(np.float64)
    column = (-1,) + (1,) * (stored.ndim - 1)
    for name, layer in layers.items():
        if layer.kernel.shape == stored.shape:
            error = np.abs(layer.kernel - stored * scale.reshape(column)) / scale.reshape(column)
            if error.max() < 0.75:
                return name
    raise ConversionError(f"no float layer has the weights of '{tensor.name.decode()}' in the int8 graph")


def _write_layer(model: Any, operator: Any, layer: FoldedLayer, refinement: Refinement,
                 precision: Precision) -> Codes:
    graph = model.subgraphs[0]
    source = graph.tensors[operator.inputs[0]]
    input_scale = float(np.float32(source.quantization.scale[0]))
    least = np.abs(layer.bias) / (input_scale * 2.0**30)
    refined = refinement.layer(layer, precision, least_scale=least)
    codes = refined.codes
    weights = graph.tensors[operator.inputs[1]]
    values = np.concatenate(split(codes.values), axis=-1) if codes.doubled else codes.values.astype(np.int8)
    flatbuffer.set_constant(model, weights, values, codes.scale)
    weights.name = f"{layer.name}/weights".encode()
    bias_scale = input_scale * codes.scale.astype(np.float64)
    bias = _bias_tensor(model, operator)
    flatbuffer.set_constant(model, bias, np.rint(refined.bias / bias_scale).astype(np.int32), bias_scale)
    bias.name = f"{layer.name}/bias".encode()
    return codes


def _bias_tensor(model: Any, operator: Any) -> Any:
    """The bias of ``operator``, added where the converter dropped a zero one; never shared between operators."""
    tensor = copy.copy(model.subgraphs[0].tensors[operator.inputs[1]])
    tensor.type = flatbuffer.schema().TensorType.INT32
    model.subgraphs[0].tensors.append(tensor)
    operator.inputs = np.array([*operator.inputs[:2], len(model.subgraphs[0].tensors) - 1], np.int32)
    return tensor


def _double_input(model: Any, operator: Any, layer: str) -> Any:
    """Insert CONCATENATION(x, x) before ``operator``, whose weights are [W1; W2] with W = W1 + W2."""
    graph, schema = model.subgraphs[0], flatbuffer.schema()
    doubled = copy.copy(graph.tensors[operator.inputs[0]])
    shape = np.array(doubled.shape, np.int32)
    shape[-1] *= 2
    doubled.shape, doubled.shapeSignature, doubled.name = shape, None, f"{layer}/doubled_input".encode()
    graph.tensors.append(doubled)
    concat = schema.OperatorT()
    version = 2 if doubled.type == schema.TensorType.INT8 else 3
    concat.opcodeIndex = flatbuffer.operator_code(model, "CONCATENATION", version)
    concat.inputs = np.array([operator.inputs[0]] * 2, np.int32)
    concat.outputs = np.array([len(graph.tensors) - 1], np.int32)
    concat.builtinOptionsType = schema.BuiltinOptions.ConcatenationOptions
    concat.builtinOptions = schema.ConcatenationOptionsT()
    concat.builtinOptions.axis = len(shape) - 1
    operator.inputs = np.array([concat.outputs[0], *operator.inputs[1:]], np.int32)
    return concat


def _output_pixels(model: Any, operator: Any) -> int:
    """How often the kernel is applied: output positions of a convolution, 1 for a dense layer."""
    shape = model.subgraphs[0].tensors[operator.outputs[0]].shape
    return int(np.prod(shape[:-1]))
