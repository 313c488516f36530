"""From a float network to a stock ``.tflite`` whose weights are exactly n-bit integers.

TensorFlow's converter makes the int8 graph once for each network; it ignores widths below 8 bits, so the
integers of every recipe are written into that graph here: codes, per-channel scales and int32 biases. Which of its
operators computes which layer of the float network is told by its weights and by the inputs that reach it. 9-bit codes
are the sum of two int8 weights: the kernel holds both and reads its input twice, see :mod:`tinyfuse.quantize.doubling`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyfuse.core.backend import compiled, stderr_silenced, tensorflow
from tinyfuse.core.errors import ConversionError, RecipeError
from tinyfuse.data.samples import Input, Samples
from tinyfuse.nn.batch_norm_folding import for_converter
from tinyfuse.nn.network import Network
from tinyfuse.nn.origin import branch
from tinyfuse.quantize.activations import Activation, lay_out
from tinyfuse.quantize.dead_outputs import with_ranges
from tinyfuse.quantize.doubling import double_input, stored_values
from tinyfuse.quantize.folded_layers import FoldedLayer, folded_layers
from tinyfuse.quantize.input_grids import name_inputs
from tinyfuse.quantize.recipe import QAT, Recipe, from_table
from tinyfuse.quantize.refinement import Refinement, input_moments
from tinyfuse.quantize.tensor_units import LONG_BIAS, WEIGHTED, copy_tensor, new_operator, places, relabel, sources
from tinyfuse.quantize.unit_changes import change_units
from tinyfuse.quantize.weight_codes import Codes, LayerSize, layer_size
from tinyfuse.tflite import flatbuffer
from tinyfuse.tflite.editing import constant, drop_unused, set_constant, set_scale
from tinyfuse.tflite.flatbuffer import operator_name, schema

MIN_CALIBRATION_SAMPLES = 20


@dataclass(frozen=True)
class Baseline:
    """One network's int8 graph as TensorFlow writes it (``data``) and its folded float layers.

    ``inputs`` are those of the ``.tflite``, ``known_inputs`` the names of all, also of those that the network ignores.
    ``refinement`` remembers what recipes made of each layer. ``trained_for`` is the recipe of a quantisation-aware
    training, the only one that its weights fit. ``softmax``: the network's author had one at the end, which the
    ``.tflite`` has again.
    """

    model: str
    data: bytes
    layers: tuple[FoldedLayer, ...]
    inputs: tuple[Input, ...]
    known_inputs: tuple[str, ...]
    refinement: Refinement = field(repr=False, compare=False)
    trained_for: Recipe | None = None
    softmax: bool = False


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
    softmax: bool = False


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
                    trained_for(network), bool(network.table.get("softmax")))


def trained_for(network: Network) -> Recipe | None:
    """Read the recipe that ``network`` was trained for; None for a float network."""
    table = network.table.get("recipe")
    return from_table(table, str(network.path.with_suffix(".toml"))) if table else None


def _int8_graph(network: Network, calibration: Samples) -> bytes:
    """Convert the network with TensorFlow; an input that it ignores is 0."""
    tf, model = tensorflow(), for_converter(network.model)

    def serve(**given: Any) -> dict[str, Any]:
        batch = {name: given.get(name, tf.zeros((1, *shape[1:]))) for name, shape in model.input_shape.items()}
        return {"logits": model(batch, training=False)}

    function = compiled(serve).get_concrete_function(
        **{one.name: tf.TensorSpec((1, *one.shape), tf.float32, name=one.name) for one in network.inputs})
    # The converter saves what holds the variables; of a whole network it would trace every layer again, for nothing.
    holder = tf.Module()
    holder.variables_of_network = list(model.variables)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], holder)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        calibration.take(slice(row, row + 1)).inputs for row in range(len(calibration)))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    with stderr_silenced(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow announces that its own interpreter moved to LiteRT
        try:
            return with_ranges(bytes(converter.convert()))
        except Exception as error:  # TensorFlow raises whatever its passes do
            said = next((line.strip() for line in str(error).splitlines() if line.strip()), "")[:200]
            raise ConversionError(f"TensorFlow cannot convert '{network.name}' ({type(error).__name__}: {said})"
                                  ) from error


def convert(base: Baseline, recipe: Recipe) -> Conversion:
    """Write the n-bit integers of ``recipe`` into the int8 graph of ``base``; RecipeError if it does not fit."""
    _check_recipe(base, recipe)
    model = flatbuffer.read(base.data, base.model)
    name_inputs(model, base.inputs)
    layers = _match_layers(model, base.layers, base.model)
    pixels = {id(operator): _pixels(model, operator) for operator in model.subgraphs[0].operators
              if id(operator) in layers}
    widths, cuts = lay_out(model, layers, recipe)
    graph, codes, sizes, operators = model.subgraphs[0], {}, [], []
    for operator in graph.operators:
        if layer := layers.get(id(operator)):
            written = codes[layer.name] = _write_layer(model, operator, layer, base.refinement, recipe)
            if written.doubled:
                operators += double_input(model, operator, layer.name)
            sizes.append(layer_size(layer.name, written, pixels[id(operator)], depthwise=layer.depthwise))
        operators.append(operator)
    graph.operators = operators
    units = relabel(model, cuts, change_units(model, cuts)) if cuts else {}
    if base.softmax:
        _add_softmax(model)
    model.description = f"tinyfuse {base.model} {recipe.name}".encode()
    model.metadata = [m for m in model.metadata or [] if m.name == b"min_runtime_version"]
    drop_unused(model)
    return Conversion(base.model, recipe, flatbuffer.write(model), tuple(sizes), codes, widths, units,
                      base.softmax)


def _add_softmax(model: Any) -> None:
    """Put a SOFTMAX behind the logits; probabilities have the codes of 1/256 that its kernel is made for."""
    graph = model.subgraphs[0]
    logits = int(graph.outputs[0])
    made = copy_tensor(model, logits, b"probabilities")
    set_scale(graph.tensors[made], np.array([1 / 256]), np.array([-128]))
    operator = new_operator(model, "Softmax", 2, [logits], made)
    operator.builtinOptions.beta = 1.0
    graph.operators = [*graph.operators, operator]
    graph.outputs = np.array([made], np.int32)
    for entry in model.signatureDefs[0].outputs:
        entry.name, entry.tensorIndex = b"probabilities", made


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


def _pixels(model: Any, operator: Any) -> int:
    """Count the places at which the kernel of ``operator`` is applied; a transposed one's are those of its input."""
    transposed = operator_name(model, operator) == "TRANSPOSE_CONV"
    index = sources(model, operator)[0] if transposed else int(operator.outputs[0])
    return int(np.prod(model.subgraphs[0].tensors[index].shape[:-1]))


def _match_layers(model: Any, layers: Sequence[FoldedLayer], network: str) -> dict[int, FoldedLayer]:
    """Find the layer of each operator of ``model`` (an object tree) that has weights, by ``id`` of the operator."""
    remaining, reached = {layer.name: layer for layer in layers}, _branches(model)
    found = {id(operator): remaining.pop(_matching(model, operator, remaining, reached[int(operator.outputs[0])]))
             for operator in model.subgraphs[0].operators if operator_name(model, operator) in WEIGHTED}
    if remaining:
        raise ConversionError(f"the int8 graph of '{network}' lacks layers {', '.join(remaining)}")
    return found


def _branches(model: Any) -> dict[int, str]:
    """Find by tensor the input that alone reaches it, or "shared"."""
    graph = model.subgraphs[0]
    reached = {int(index): {graph.tensors[index].name.decode()} for index in graph.inputs}
    for operator in graph.operators:
        reached[int(operator.outputs[0])] = set().union(*(reached.get(int(index), set()) for index in operator.inputs))
    return {tensor: branch(tuple(names)) for tensor, names in reached.items()}


def _matching(model: Any, operator: Any, layers: Mapping[str, FoldedLayer], reached: str) -> str:
    """Name the layer whose folded kernel is what ``operator`` holds, up to TensorFlow's own 8-bit rounding.

    Of layers with the same weights (one that was called twice, say) the first that the same inputs reach.
    """
    at = places(model, operator)
    tensor = model.subgraphs[0].tensors[operator.inputs[at.weights]]
    stored = np.moveaxis(constant(model, tensor, np.int8).astype(np.float64), at.axis, 0)
    stored = np.moveaxis(stored, 1, -1) if at.axis else stored
    scale = np.asarray(tensor.quantization.scale, np.float64).reshape((-1,) + (1,) * (stored.ndim - 1))
    fitting = [layer for layer in layers.values() if layer.kernel.shape == stored.shape and
               (np.abs(layer.kernel - stored * scale) / scale).max() < 0.75]
    if not fitting:
        raise ConversionError(f"no float layer has the weights of '{tensor.name.decode()}' in the int8 graph")
    return next((layer for layer in fitting if layer.branch == reached), fitting[0]).name


def _write_layer(model: Any, operator: Any, layer: FoldedLayer, refinement: Refinement, recipe: Recipe) -> Codes:
    """Give ``operator`` the weights and bias that ``recipe`` makes of ``layer``; return its codes."""
    graph, at = model.subgraphs[0], places(model, operator)
    given = [int(index) for index in operator.inputs]
    input_scale = float(np.float32(graph.tensors[given[at.read]].quantization.scale[0]))
    least = np.abs(layer.bias) / (input_scale * 2.0**30)
    codes, real_bias = refinement.layer(layer, recipe, least_scale=least)
    users = sum(given[at.weights] in map(int, other.inputs) for other in graph.operators)
    if users > 1:  # the converter lets operators share equal weights
        given[at.weights] = copy_tensor(model, given[at.weights], b"")
    weights = graph.tensors[given[at.weights]]
    set_constant(model, weights, stored_values(codes.values, codes.doubled, layer.depthwise), codes.scale)
    weights.quantization.quantizedDimension = at.axis
    weights.name = f"{layer.name}/weights".encode()
    # A bias of its own: the converter drops one that is zero, and lets operators share one.
    bias = copy_tensor(model, given[at.weights], f"{layer.name}/bias".encode())
    operator.inputs = np.array([*given[:at.bias], bias], np.int32)
    kinds, types = schema().TensorType, {False: np.int32, True: np.int64}
    # Of the kernels for int16 only those of convolutions and dense layers take a bias of 32 bits.
    long = graph.tensors[given[at.read]].type == kinds.INT16 and operator_name(model, operator) in LONG_BIAS
    graph.tensors[bias].type = kinds.INT64 if long else kinds.INT32
    scale = input_scale * codes.scale.astype(np.float64)
    set_constant(model, graph.tensors[bias], np.rint(real_bias / scale).astype(types[long]), scale)
    return codes
