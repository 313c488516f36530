"""From a float network to a stock ``.tflite`` whose weights are exactly n-bit integers.

TensorFlow's converter makes the int8 graph once for each network; it ignores widths below 8 bits, so the
integers of every recipe are written into that graph here: codes, per-channel scales and int32 biases. Which of its
operators computes which layer of the float network is told by its weights. 9-bit codes are the sum of two int8 weights:
the kernel holds both, [W1, W2], and reads its input twice.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyfuse.core.backend import stderr_silenced, tensorflow
from tinyfuse.core.errors import ConversionError, RecipeError
from tinyfuse.data.samples import Input, Samples
from tinyfuse.nn.network import Network
from tinyfuse.quantize.activations import Activation, lay_out
from tinyfuse.quantize.folded_layers import FoldedLayer, folded_layers
from tinyfuse.quantize.input_grids import name_inputs
from tinyfuse.quantize.recipe import QAT, Recipe, from_table
from tinyfuse.quantize.refinement import Refinement, input_moments
from tinyfuse.quantize.tensor_units import WEIGHTED, copy_tensor, new_operator, relabel
from tinyfuse.quantize.weight_codes import Codes, LayerSize, layer_size, split
from tinyfuse.tflite import flatbuffer
from tinyfuse.tflite.editing import constant, drop_unused, set_constant
from tinyfuse.tflite.flatbuffer import operator_name, schema

MIN_CALIBRATION_SAMPLES = 20


@dataclass(frozen=True)
class Baseline:
    """One network's int8 graph as TensorFlow writes it (``data``) and its folded float layers.

    ``inputs`` are those of the ``.tflite``, ``known_inputs`` the names of all, also of those that the network ignores.
    ``refinement`` remembers what recipes made of each layer. ``trained_for`` is the recipe of a quantisation-aware
    training, the only one that its weights fit.
    """

    model: str
    data: bytes
    layers: tuple[FoldedLayer, ...]
    inputs: tuple[Input, ...]
    known_inputs: tuple[str, ...]
    refinement: Refinement = field(repr=False, compare=False)
    trained_for: Recipe | None = None


@dataclass(frozen=True)
class Conversion:
    """A ``.tflite`` in memory, not yet proven: ``data`` and what its recipe did to each layer.

    ``activations``: of the layers that hand on a ReLU's output; ``units``: the factor between the weight scales in the
    file and those of the ``codes``, see :mod:`tinyfuse.quantize.tensor_units`.
    """

    model: str
    recipe: Recipe
    data: bytes
    layers: tuple[LayerSize, ...]
    codes: Mapping[str, Codes]
    activations: Mapping[str, Activation] = field(default_factory=dict)
    units: Mapping[str, float] = field(default_factory=dict)


def baseline(network: Network, calibration: Samples) -> Baseline:
    """Convert ``network`` with int8 inputs and outputs; ranges come from ``calibration`` samples (training part).

    The ``.tflite`` has just the inputs that the network looks at. ``network.model`` must not change afterwards: the
    first recipe with a method runs it again on ``calibration``. ConversionError if there are too few samples.
    """
    if len(calibration) < MIN_CALIBRATION_SAMPLES:
        raise ConversionError(f"{len(calibration)} calibration samples; at least {MIN_CALIBRATION_SAMPLES} are needed")
    seen = calibration.only(network.input_names)
    return Baseline(network.name, _int8_graph(network, seen), tuple(folded_layers(network.model)), network.inputs,
                    tuple(network.model.input_shape), Refinement(lambda: input_moments(network.model, seen)),
                    trained_for(network))


def trained_for(network: Network) -> Recipe | None:
    """Read the recipe that ``network`` was trained for; None for a float network."""
    table = network.table.get("recipe")
    return from_table(table, str(network.path.with_suffix(".toml"))) if table else None


def _int8_graph(network: Network, calibration: Samples) -> bytes:
    """Convert the network with TensorFlow; an input that it ignores is 0."""
    tf, model = tensorflow(), network.model

    def serve(**given: Any) -> dict[str, Any]:
        batch = {name: given.get(name, tf.zeros((1, *shape[1:]))) for name, shape in model.input_shape.items()}
        return {"logits": model(batch, training=False)}

    function = tf.function(serve).get_concrete_function(
        **{one.name: tf.TensorSpec((1, *one.shape), tf.float32, name=one.name) for one in network.inputs})
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        calibration.take(slice(row, row + 1)).inputs for row in range(len(calibration)))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    with stderr_silenced(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow announces that its own interpreter moved to LiteRT
        try:
            return bytes(converter.convert())
        except Exception as error:  # TensorFlow raises whatever its passes do
            raise ConversionError(f"TensorFlow cannot convert '{network.name}' ({type(error).__name__})") from error


def convert(base: Baseline, recipe: Recipe) -> Conversion:
    """Write the n-bit integers of ``recipe`` into the int8 graph of ``base``; RecipeError if it does not fit."""
    _check_recipe(base, recipe)
    model = flatbuffer.read(base.data, base.model)
    name_inputs(model, base.inputs)
    layers = _match_layers(model, base.layers, base.model)
    widths, cuts = lay_out(model, layers, recipe)
    graph, codes, sizes, operators = model.subgraphs[0], {}, [], []
    for operator in graph.operators:
        if layer := layers.get(id(operator)):
            written = codes[layer.name] = _write_layer(model, operator, layer, base.refinement, recipe)
            if written.doubled:
                operators.append(_double_input(model, operator, layer.name))
            sizes.append(layer_size(layer.name, written, int(np.prod(graph.tensors[operator.outputs[0]].shape[:-1]))))
        operators.append(operator)
    graph.operators = operators
    units = relabel(model, cuts) if cuts else {}
    model.description = f"tinyfuse {base.model} {recipe.name}".encode()
    model.metadata = [m for m in model.metadata or [] if m.name == b"min_runtime_version"]
    drop_unused(model)
    return Conversion(base.model, recipe, flatbuffer.write(model), tuple(sizes), codes, widths, units)


def _check_recipe(base: Baseline, recipe: Recipe) -> None:
    if recipe.scheme != "symmetric":
        raise RecipeError(f"recipe '{recipe.name}' simulates scheme '{recipe.scheme}' in float; "
                          "only 'symmetric' recipes become .tflite files")
    if base.trained_for not in (None, recipe):
        raise RecipeError(f"recipe '{recipe.name}': these weights were trained for '{base.trained_for.name}'; "
                          f"give that recipe, or the float network {base.model}.keras")
    if base.trained_for is None and QAT in recipe.methods:
        raise RecipeError(f"recipe '{recipe.name}': '{QAT}' needs weights that were trained for it; "
                          "quantize.qat.train_or_load makes them")
    recipe.check_network([layer.name for layer in base.layers], base.known_inputs)


def _match_layers(model: Any, layers: Sequence[FoldedLayer], network: str) -> dict[int, FoldedLayer]:
    """Find the layer of each convolution and dense layer of ``model`` (an object tree), by ``id`` of the operator."""
    remaining = {layer.name: layer for layer in layers}
    found = {id(operator): remaining.pop(_matching(model, operator, remaining))
             for operator in model.subgraphs[0].operators if operator_name(model, operator) in WEIGHTED}
    if remaining:
        raise ConversionError(f"the int8 graph of '{network}' lacks layers {', '.join(remaining)}")
    return found


def _matching(model: Any, operator: Any, layers: Mapping[str, FoldedLayer]) -> str:
    """Name the layer whose folded kernel is what ``operator`` holds, up to TensorFlow's own 8-bit rounding."""
    tensor = model.subgraphs[0].tensors[operator.inputs[1]]
    stored = constant(model, tensor, np.int8).astype(np.float64)
    scale = np.asarray(tensor.quantization.scale, np.float64).reshape((-1,) + (1,) * (stored.ndim - 1))
    for name, layer in layers.items():
        if layer.kernel.shape == stored.shape and (np.abs(layer.kernel - stored * scale) / scale).max() < 0.75:
            return name
    raise ConversionError(f"no float layer has the weights of '{tensor.name.decode()}' in the int8 graph")


def _write_layer(model: Any, operator: Any, layer: FoldedLayer, refinement: Refinement, recipe: Recipe) -> Codes:
    """Give ``operator`` the weights and bias that ``recipe`` makes of ``layer``; return its codes."""
    graph = model.subgraphs[0]
    input_scale = float(np.float32(graph.tensors[operator.inputs[0]].quantization.scale[0]))
    least = np.abs(layer.bias) / (input_scale * 2.0**30)
    codes, real_bias = refinement.layer(layer, recipe, least_scale=least)
    weights = graph.tensors[operator.inputs[1]]
    values = np.concatenate(split(codes.values), axis=-1) if codes.doubled else codes.values.astype(np.int8)
    set_constant(model, weights, values, codes.scale)
    weights.name = f"{layer.name}/weights".encode()
    # A bias of its own: the converter drops one that is zero, and lets operators share one.
    bias = copy_tensor(model, operator.inputs[1], f"{layer.name}/bias".encode())
    operator.inputs = np.array([*operator.inputs[:2], bias], np.int32)
    graph.tensors[bias].type = schema().TensorType.INT32
    scale = input_scale * codes.scale.astype(np.float64)
    set_constant(model, graph.tensors[bias], np.rint(real_bias / scale).astype(np.int32), scale)
    return codes


def _double_input(model: Any, operator: Any, layer: str) -> Any:
    """Make the CONCATENATION(x, x) that goes before ``operator``, whose weights are [W1, W2]; lets it read that."""
    source = int(operator.inputs[0])
    made = copy_tensor(model, source, f"{layer}/doubled_input".encode())
    doubled = model.subgraphs[0].tensors[made]
    doubled.shape, doubled.shapeSignature = np.array([*doubled.shape[:-1], 2 * doubled.shape[-1]], np.int32), None
    version = 2 if doubled.type == schema().TensorType.INT8 else 3
    concat = new_operator(model, "Concatenation", version, [source, source], made)
    concat.builtinOptions.axis = len(doubled.shape) - 1
    operator.inputs = np.array([made, *operator.inputs[1:]], np.int32)
    return concat
