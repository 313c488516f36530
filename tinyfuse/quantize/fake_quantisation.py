"""A folded network whose weights and activations are rounded in the forward pass, built with TFMOT's tools.

TFMOT's own n-bit quantisers end at 8 bits and round to grids that its converter then replaces by 8-bit ones, so the
weights get a quantizer of their own here: the very codes and scales that are written into the ``.tflite`` later.
Importing this file loads TensorFlow; import it inside functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinyfuse.core.backend import model_optimization, tensorflow
from tinyfuse.data import Pairs
from tinyfuse.nn.batch_norm_folding import without_batch_norm
from tinyfuse.quantize.folded_layers import branch_of, folded_layers
from tinyfuse.quantize.recipe import Precision
from tinyfuse.quantize.weight_codes import container_level, level

tf = tensorflow()
keras = model_optimization().quantization.keras
Parts = Sequence[tuple[int, int, int]]
"""(start, stop, bits) of each slice of a layer's input channels."""

SLACK = 1 - 1e-6  # what codes.quantize allows for rounding before it takes the next coarser grid


def grid(kernel: Any, parts: Parts) -> tuple[Any, Any]:
    """Codes (whole float32, shaped like ``kernel``) and scales float32 [o] of a float32 ``kernel`` [..., i, o].

    These are the grids of :func:`tinyfuse.quantize.weight_codes.quantize` up to two details that make them survive it:
    when ``scale * codes`` is quantised, the same codes and scales come out, bit for bit. Scales are rounded up to 16
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
    """The next float32 whose last 8 bits of 24 are zero."""
    return tf.bitcast(tf.bitwise.bitwise_and(tf.bitcast(scale, tf.int32) + 0xFF, ~0xFF), tf.float32)


class WeightGrid(keras.quantizers.Quantizer):  # type: ignore[misc, name-defined]
    """Rounds a kernel to its :func:`grid`; the gradient passes straight through.

    Clipping it would change nothing: the range of a grid reaches to the largest weight, so none lies outside.
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = [(int(start), int(stop), int(bits)) for start, stop, bits in parts]

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """No state: a grid follows from the weights."""
        return {}

    def __call__(self, inputs: Any, training: bool, weights: Any, **_: Any) -> Any:
        """``scale * codes`` of ``inputs``."""

        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def rounded(kernel: Any) -> Any:
            codes, scale = grid(kernel, self.parts)
            return codes * scale, lambda upstream: upstream

        return rounded(tf.convert_to_tensor(inputs))

    def get_config(self) -> dict[str, Any]:
        """What the quantizer is made from."""
        return {"parts": self.parts}


class LayerConfig(keras.QuantizeConfig):  # type: ignore[misc, name-defined]
    """A kernel on the grids of ``parts``, or an output (of a ReLU) in ``bits`` over the moving average of its range.

    Biases stay float, as int32 has room for them; so does what only a residual sum reads, which is rounded finely next
    to the sum itself.
    """

    def __init__(self, parts: Parts = (), bits: int | None = None) -> None:
        self.parts, self.bits = parts, bits

    def get_weights_and_quantizers(self, layer: Any) -> list[tuple[Any, WeightGrid]]:
        """The kernel, where it has grids."""
        return [(layer.kernel, WeightGrid(self.parts))] if self.parts else []

    def get_activations_and_quantizers(self, layer: Any) -> list[Any]:
        """None: ReLUs are layers of their own."""
        return []

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        """One over the whole tensor, zero included, where the output has a width."""
        return [keras.quantizers.MovingAverageQuantizer(self.bits, per_axis=False, symmetric=False,
                                                        narrow_range=False)] if self.bits else []

    def set_quantize_weights(self, layer: Any, quantize_weights: list[Any]) -> None:
        """Let the layer compute with the rounded kernel."""
        for weight in quantize_weights:
            layer.kernel = weight

    def set_quantize_activations(self, layer: Any, quantize_activations: list[Any]) -> None:
        """Nothing to set."""

    def get_config(self) -> dict[str, Any]:
        """What the configuration is made from."""
        return {"parts": self.parts, "bits": self.bits}


class AsAnnotated(keras.QuantizeScheme):  # type: ignore[misc, name-defined]
    """Quantise what is annotated and nothing else.

    TFMOT's default scheme would put 8-bit quantizers on inputs and on the concatenation of early fusion.
    """

    def get_layout_transformer(self) -> Any:
        """The scheme itself: layers stay as they are."""
        return self

    def get_quantize_registry(self) -> Any:
        """The scheme itself: no layer has a default."""
        return self

    def apply(self, model: Any, layer_quantize_map: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The layout, unchanged."""
        return model, layer_quantize_map

    def supports(self, layer: Any) -> bool:
        """False."""
        return False


def fake_quantised(network: Any, precision: Precision, calibration: Pairs) -> Any:
    """A trainable copy of a folded ``network``, with layers of the same names, that rounds as ``precision`` says.

    The ranges of activations begin with those of ``network`` on ``calibration`` pairs.
    """
    import tf_keras

    configs = _configs(network, precision)

    def annotate(layer: Any) -> Any:
        copy = type(layer).from_config(layer.get_config())
        return keras.quantize_annotate_layer(copy, configs[layer.name]) if layer.name in configs else copy

    annotated = tf_keras.models.clone_model(network, clone_function=annotate)
    with keras.quantize_scope({"LayerConfig": LayerConfig}):
        model = keras.quantize_apply(annotated, AsAnnotated(), quantized_layer_name_prefix="")
    for name, config in configs.items():
        if config.parts:
            for variable, value in zip(_trained(model, name), network.get_layer(name).get_weights(), strict=True):
                variable.assign(value)
    for name, highest in _highest(network, calibration).items():
        lowest, top = (_variable(model.get_layer(name).weights, f"output_{end}") for end in ("min", "max"))
        lowest.assign(0.0)
        top.assign(highest)
    return model


def _configs(network: Any, precision: Precision) -> dict[str, LayerConfig]:
    """The configuration of each layer that is quantised."""
    weighted = {layer.name: LayerConfig([(part.start, part.stop, part.bits) for part in layer.slices(precision)])
                for layer in folded_layers(network)}
    relus = {layer.name: _producer(layer.name, weighted) for layer in network.layers if type(layer).__name__ == "ReLU"}
    return weighted | {relu: LayerConfig(bits=precision.activation_bits_for(producer, branch_of(producer)))
                       for relu, producer in relus.items()}


def _producer(relu: str, weighted: Mapping[str, LayerConfig]) -> str:
    """The convolution that a ReLU belongs to: its own, or the second one of a residual block."""
    stem = relu.removesuffix("_relu")
    return stem if stem in weighted else f"{stem}_conv2"


def _highest(network: Any, calibration: Pairs) -> dict[str, float]:
    """The largest output of each ReLU."""
    import tf_keras

    outputs = {layer.name: layer.output for layer in network.layers if type(layer).__name__ == "ReLU"}
    found = tf_keras.Model(network.input, outputs)(calibration.inputs(), training=False)
    return {name: float(np.asarray(value).max()) for name, value in found.items()}


def _trained(model: Any, layer: str) -> tuple[Any, Any]:
    """Kernel and bias variables; the layer's own ``kernel`` is the rounded tensor of its last forward pass."""
    weights = model.get_layer(layer).trainable_weights
    return _variable(weights, "kernel"), _variable(weights, "bias")


def _variable(variables: Sequence[Any], name: str) -> Any:
    return next(variable for variable in variables if variable.name.split(":")[0].rsplit("/", 1)[-1] == name)


def codes_in_use(model: Any) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Codes (int16 [o, ..., i]) and float32 scales [o] of the forward pass of a fake-quantised model, by layer name."""
    found = {}
    for name, parts in _weighted(model):
        codes, scale = grid(_trained(model, name)[0], parts)
        found[name] = (np.moveaxis(np.asarray(codes), -1, 0).astype(np.int16), np.asarray(scale))
    return found


def snapped(model: Any, network: Any) -> Any:
    """The plain network of a fake-quantised ``model`` of ``network``: kernels are ``scale * codes``, exactly."""
    found = without_batch_norm(network)
    for name, parts in _weighted(model):
        kernel, bias = _trained(model, name)
        codes, scale = grid(kernel, parts)
        found.get_layer(name).set_weights([np.asarray(codes * scale), np.asarray(bias)])
    return found


def _weighted(model: Any) -> list[tuple[str, Parts]]:
    """Names and grids of the layers with a kernel."""
    configs = {layer.name: getattr(layer, "quantize_config", None) for layer in model.layers}
    return [(name, config.parts) for name, config in configs.items() if config is not None and config.parts]
