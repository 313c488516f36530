"""Codes and bias of each layer at given widths, by the methods of a recipe; computed once for each combination.

Rounding errors of weights matter as far as inputs carry them on: E[(x^T (w - q))^2] = (w - q)^T H (w - q) with
H = E[x x^T] over all patches x that a kernel is applied to (GPTQ, Frantar et al. 2023, eq. 1), and the mean error is
(q - w)^T m with m = E[x] (Nagel et al. 2019, section 4.2).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinyfuse.core.backend import tensorflow
from tinyfuse.data.samples import Samples
from tinyfuse.nn.batch_norm_folding import deployed_layers
from tinyfuse.nn.kernels import DEPTHWISE, TRANSPOSED
from tinyfuse.quantize.folded_layers import FoldedLayer
from tinyfuse.quantize.recipe import Recipe
from tinyfuse.quantize.roundings import ROUNDINGS, Rounding
from tinyfuse.quantize.weight_codes import Codes, RoundedLayer, check, join, quantize

BATCH = 20  # samples whose patches are held at once


@dataclass(frozen=True)
class Moments:
    """Input patches x of one layer: ``mean`` m = E[x] float64 [k] and ``second`` H = E[x x^T] float64 [k, k].

    k = kh * kw * i in the order of a flattened kernel [kh, kw, i]; the zeros of SAME padding count. A depthwise layer
    has moments for each of its outputs, [o, k] and [o, k, k], as these see channels of their own.
    """

    mean: np.ndarray
    second: np.ndarray


def input_moments(model: Any, samples: Samples) -> dict[str, Moments]:
    """Measure the moments of each layer of a ``tf_keras`` network that is deployed with weights, by its name.

    The network runs in inference mode; inputs that ``samples`` lack are zeros.
    """
    from tf_keras import Model

    layers = deployed_layers(model)
    features = Model(model.input, [layer.input for layer in layers])
    sums = {layer.name: [np.zeros(())] * 3 for layer in layers}
    for start in range(0, len(samples), BATCH):
        part = samples.take(slice(start, start + BATCH))
        found = features({name: part.inputs.get(name, np.zeros((len(part), *shape[1:]), np.float32))
                          for name, shape in model.input_shape.items()}, training=False)
        for layer, values in zip(layers, found if len(layers) > 1 else [found], strict=True):
            patches = patches_of(layer, values)
            more = np.array(patches.shape[-2]), patches.sum(axis=-2), np.swapaxes(patches, -1, -2) @ patches
            sums[layer.name] = [one + other for one, other in zip(sums[layer.name], more, strict=True)]
    return {name: Moments(first / count, second / count) for name, (count, first, second) in sums.items()}


def patches_of(layer: Any, values: Any) -> np.ndarray:
    """Cut the input ``values`` of ``layer`` into what its kernel is applied to: float64 [positions, k].

    Of a depthwise layer [o, positions, k].
    """
    kind = type(layer).__name__
    if kind == "Dense":
        return np.asarray(values, np.float64).reshape(-1, values.shape[-1])
    if kind == "BatchNormalization":
        return np.asarray(values, np.float64).reshape(-1, values.shape[-1]).T[..., None]
    if kind == TRANSPOSED:
        return _transposed_patches(layer, values)
    patches = tensorflow().image.extract_patches(
        values, sizes=(1, *layer.kernel_size, 1), strides=(1, *layer.strides, 1), rates=(1, *layer.dilation_rate, 1),
        padding=layer.padding.upper())
    found = np.asarray(patches, np.float64).reshape(-1, patches.shape[-1])
    if kind != DEPTHWISE:
        return found
    by_channel = found.reshape(len(found), -1, values.shape[-1]).transpose(2, 0, 1)
    return np.repeat(by_channel, layer.depth_multiplier, axis=0)


def _transposed_patches(layer: Any, values: Any) -> np.ndarray:
    """Cut the input of a transposed convolution: what it adds up is a convolution of values with zeros between them.

    Each output position is taken with the taps in the order of the kernel; taps that meet no value are zero.
    """
    tf, channels = tensorflow(), values.shape[-1]
    height, width = layer.kernel_size
    taps = np.eye(height * width, dtype=np.float32).reshape(height, width, height * width)
    found = []
    for channel in range(channels):
        kernel = taps[..., None]
        target = (values.shape[0], *layer.output_shape[1:3], height * width)
        found.append(np.asarray(tf.nn.conv2d_transpose(
            values[..., channel:channel + 1], kernel, target, layer.strides, layer.padding.upper()), np.float64))
    return np.stack(found, axis=-1).reshape(-1, height * width * channels)


class Refinement:
    """Rounds the layers of one network as any recipe has them.

    ``measure`` gives each layer's input moments by name; it is called once, for the first recipe with a method.
    """

    def __init__(self, measure: Callable[[], Mapping[str, Moments]]) -> None:
        self._moments = functools.cache(measure)
        self._done: dict[tuple[object, ...], tuple[Codes, np.ndarray]] = {}

    def layer(self, layer: FoldedLayer, recipe: Recipe, *, least_scale: np.ndarray) -> tuple[Codes, np.ndarray]:
        """Round ``layer`` by ``recipe``: the codes to write, and the bias float64 [o] before that one's own rounding.

        ``least_scale`` [o]: see :func:`tinyfuse.quantize.weight_codes.make_grid`.
        """
        key = (layer.name, layer.slices(recipe), recipe.methods, least_scale.tobytes())
        if key not in self._done:
            refined = self._refine(layer, recipe, least_scale)
            check(refined[0], layer.name)
            self._done[key] = refined
        return self._done[key]

    def _refine(self, layer: FoldedLayer, recipe: Recipe, least_scale: np.ndarray) -> tuple[Codes, np.ndarray]:
        codes = quantize(layer.kernel, layer.slices(recipe), least_scale=least_scale)
        roundings = [ROUNDINGS[name] for name in recipe.methods if name in ROUNDINGS]
        if not roundings:
            return codes, layer.bias
        found = self._moments()[layer.name]
        if not layer.depthwise:
            return _rounded(RoundedLayer(layer.kernel, layer.bias, codes, least_scale, found.mean, found.second),
                            roundings)
        channels = [_rounded(RoundedLayer(layer.kernel[[o]], layer.bias[[o]], codes.take(o), least_scale[[o]],
                                          found.mean[o], found.second[o]), roundings) for o in range(len(layer.bias))]
        return join([one for one, _ in channels]), np.concatenate([bias for _, bias in channels])


def _rounded(layer: RoundedLayer, roundings: Sequence[Rounding]) -> tuple[Codes, np.ndarray]:
    """Bring ``layer``, whose ``moment`` is E[x x^T], to few bits by ``roundings``, one after the other."""
    if any(one.corrects_mean for one in roundings):  # only the covariance H - m m^T is left to keep small
        layer = replace(layer, moment=layer.moment - np.outer(layer.mean, layer.mean))
    for rounding in roundings:
        layer = rounding.refine(layer)
    return layer.codes, layer.bias
