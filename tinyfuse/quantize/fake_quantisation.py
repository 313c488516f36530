"""A folded network whose weights and activations are rounded in the forward pass, built with TFMOT's tools.

TFMOT's own n-bit quantisers end at 8 bits and round to grids that its converter then replaces by 8-bit ones, so the
weights get a quantizer of their own here: the very codes and scales that are written into the ``.tflite`` later.
Importing this file loads TensorFlow; import it inside functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyfuse.core.backend import model_optimization, tensorflow
from tinyfuse.data.samples import Samples
from tinyfuse.nn.batch_norm_folding import other_layers, without_batch_norm
from tinyfuse.nn.kernels import attribute, columns, own_axes, set_kernel
from tinyfuse.nn.origin import parents
from tinyfuse.quantize.folded_layers import folded_layers
from tinyfuse.quantize.recipe import Recipe
from tinyfuse.quantize.weight_codes import container_level, level

tf = tensorflow()
keras = model_optimization().quantization.keras
Parts = Sequence[tuple[int, int, int]]  # (start, stop, bits) of each slice of a layer's input channels
SLACK = 1 - 1e-6  # what weight_codes.make_grid allows for rounding before it takes the next coarser grid


def grid(kernel: Any, parts: Parts) -> tuple[Any, Any]:
    """Compute codes (whole float32, shaped like ``kernel``) and scales float32 [o] of a float32 ``kernel`` [..., i, o].

    These are the grids of :func:`tinyfuse.quantize.weight_codes.quantize` up to two details by which they survive
    it: of ``scale * codes`` the same codes and scales come out again, bit for bit. Scales are rounded up to 16
    significant bits, so that their products with 9-bit codes are exact in float32; and the largest weight of each slice
    is rounded away from zero, so that the rounded slice still asks for the same spacing of its codes.
    """
    axes = list(range(len(kernel.shape) - 1))
    full = container_level({bits for _, _, bits in parts})
    slices = [kernel[..., start:stop, :] for start, stop, _ in parts]
    peaks = [tf.reduce_max(tf.abs(part), axes) for part in slices]
    finest = [level(bits) * (full // level(bits)) for _, _, bits in parts]
    wanted = tf.reduce_max(tf.stack([peak / top for peak, top in zip(peaks, finest, strict=True)]), 0)
    scale = _sixteen_bits(tf.where(wanted > 0, wanted, 1.0))
    codes = []
    for part, peak, (_, _, bits) in zip(slices, peaks, parts, strict=True):
        top = level(bits)
        stride = tf.clip_by_value(tf.math.ceil(peak / scale / top * SLACK), 1, full // top)
        size = tf.abs(part) / (stride * scale)
        size = tf.where(tf.abs(part) == peak, tf.math.ceil(size * SLACK), tf.round(size))
        codes.append(stride * tf.sign(part) * tf.minimum(size, top))
    return tf.concat(codes, -2), scale


def _sixteen_bits(scale: Any) -> Any:
    """Round up to the next float32 whose last 8 bits of 24 are zero."""
    return tf.bitcast(tf.bitwise.bitwise_and(tf.bitcast(scale, tf.int32) + 0xFF, ~0xFF), tf.float32)


class WeightGrid:
    """Rounds the kernel of a layer of this ``kind`` to its :func:`grid` as a TFMOT quantizer.

    The gradient passes straight through.
    """

    def __init__(self, parts: Parts, kind: str = "Conv2D") -> None:
        self.parts, self.kind = parts, kind

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        return {}  # no state: a grid follows from the weights

    def __call__(self, inputs: Any, training: bool, weights: Any) -> Any:
        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def rounded(kernel: Any) -> Any:
            codes, scale = grid(columns(self.kind, kernel), self.parts)
            shape = tuple(kernel.shape)
            return own_axes(self.kind, codes * scale, shape), lambda upstream: upstream  # none lies outside its grid

        return rounded(tf.convert_to_tensor(inputs))


@dataclass(frozen=True)
class LayerConfig:
    """Tells TFMOT to round the kernel of a ``kind`` of layer to the grids of ``parts``, or a ReLU to ``bits``.

    A ReLU is rounded over its moving range. Biases stay float, as int32 has room for them; so does what only a residual
    sum reads, which is rounded finely.
    """

    parts: Parts = ()
    bits: int | None = None
    kind: str = ""

    def get_weights_and_quantizers(self, layer: Any) -> list[tuple[Any, WeightGrid]]:
        kernel = attribute(self.kind)
        return [(getattr(layer, kernel), WeightGrid(self.parts, self.kind))] if self.parts else []

    def get_activations_and_quantizers(self, layer: Any) -> list[Any]:
        return []  # ReLUs are layers of their own

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        settings = {"per_axis": False, "symmetric": False, "narrow_range": False}
        return [keras.quantizers.MovingAverageQuantizer(self.bits, **settings)] if self.bits else []

    def set_quantize_weights(self, layer: Any, quantize_weights: list[Any]) -> None:
        for weight in quantize_weights:
            setattr(layer, attribute(self.kind), weight)

    def set_quantize_activations(self, layer: Any, quantize_activations: list[Any]) -> None:
        pass


def fake_quantised(network: Any, recipe: Recipe, calibration: Samples) -> Any:
    """Build a trainable copy of a folded ``network``, with layers of the same names, that rounds as ``recipe`` says.

    The ranges of activations begin with those of ``network`` on ``calibration`` samples. Layers are wrapped one by one,
    as ``quantize_apply`` would put 8-bit quantizers on inputs and on the concatenation of early fusion.
    """
    import tf_keras

    configs = _configs(network, recipe)

    def wrapped(layer: Any) -> Any:
        copy = type(layer).from_config(layer.get_config())
        config = configs.get(layer.name)
        return keras.QuantizeWrapperV2(copy, config, name_prefix="") if config else copy

    model = tf_keras.models.clone_model(network, clone_function=wrapped)
    ranges = _ranges(network, calibration)
    for layer in other_layers(network):
        model.get_layer(layer.name).set_weights(layer.get_weights())
    for name, config in configs.items():
        wanted = (attribute(config.kind), "bias") if config.parts else ("output_min", "output_max")
        variables = _variables(model, name, *wanted)
        values = network.get_layer(name).get_weights() if config.parts else ranges[name]
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
    return model


def _configs(network: Any, recipe: Recipe) -> dict[str, LayerConfig]:
    """Make the configuration of each layer that is quantised; a ReLU that belongs to no layer keeps 8 bits."""
    weighted = {layer.name: layer for layer in folded_layers(network)}
    configs = {name: LayerConfig([(part.start, part.stop, part.bits) for part in layer.slices(recipe)],
                                 kind=type(network.get_layer(name)).__name__) for name, layer in weighted.items()}
    relus = {relu: LayerConfig(bits=recipe.activation_bits_for(owner, weighted[owner].branch) if owner else 8)
             for relu, owner in relu_owners(network, list(weighted)).items()}
    return configs | relus


def relu_owners(network: Any, weighted: Sequence[str]) -> dict[str, str | None]:
    """Find for each ReLU the deepest ``weighted`` layer before it, as ``activations.relu_outputs`` does."""
    depth: dict[str, int] = {}
    nearest: dict[str, str | None] = {}
    for layer in network.layers:
        above = [one.name for one in parents(layer)]
        depth[layer.name] = max((depth[name] for name in above), default=0) + (layer.name in weighted)
        deepest = max(above, key=lambda name: (nearest[name] is not None, depth[name]), default=None)
        nearest[layer.name] = layer.name if layer.name in weighted else nearest[deepest] if deepest else None
    return {layer.name: nearest[layer.name] for layer in network.layers if type(layer).__name__ == "ReLU"}


def _ranges(network: Any, calibration: Samples) -> dict[str, tuple[float, float]]:
    """Measure from 0 to what the outputs of each ReLU go."""
    import tf_keras

    outputs = {layer.name: layer.output for layer in network.layers if type(layer).__name__ == "ReLU"}
    given = calibration.only(tuple(network.input_shape)).inputs
    found = tf_keras.Model(network.input, outputs)(given, training=False) if outputs else {}
    return {name: (0.0, float(np.asarray(value).max())) for name, value in found.items()}


def _variables(model: Any, layer: str, *names: str) -> list[Any]:
    """Find variables of a layer; its own ``kernel`` is no variable but the rounded tensor of the last forward pass."""
    found = {one.name.split(":")[0].rsplit("/", 1)[-1]: one for one in model.get_layer(layer).weights}
    return [found[name] for name in names]


def snapped(model: Any, network: Any) -> tuple[Any, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Read the plain network out of a fake-quantised ``model`` of ``network``: kernels are ``scale * codes``, exactly.

    Also returns by layer name these codes (int16 [o, ..., i]) and float32 scales [o], those of the forward pass.
    """
    plain, used = without_batch_norm(network), {}
    for layer in other_layers(network):
        plain.get_layer(layer.name).set_weights(model.get_layer(layer.name).get_weights())
    for layer in model.layers:
        config = getattr(layer, "quantize_config", None)
        if config and config.parts:
            kernel, bias = _variables(model, layer.name, attribute(config.kind), "bias")
            codes, scale = grid(columns(config.kind, tf.convert_to_tensor(kernel)), config.parts)
            set_kernel(plain.get_layer(layer.name), np.asarray(codes * scale), np.asarray(bias))
            used[layer.name] = np.moveaxis(np.asarray(codes), -1, 0).astype(np.int16), np.asarray(scale)
    return plain, used
