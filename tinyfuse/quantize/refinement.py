"""Codes and bias of each layer at given widths, by the methods of a recipe; computed once for each combination.

Rounding errors of weights matter as far as inputs carry them on: E[(x^T (w - q))^2] = (w - q)^T H (w - q) with
H = E[x x^T] over all patches x that a kernel is applied to (GPTQ, Frantar et al. 2023, eq. 1), and the mean error is
(q - w)^T m with m = E[x] (Nagel et al. 2019, section 4.2).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyfuse.core.backend import tensorflow
from tinyfuse.data.samples import Samples
from tinyfuse.nn.batch_norm_folding import WEIGHTED
from tinyfuse.quantize.folded_layers import FoldedLayer
from tinyfuse.quantize.recipe import Recipe
from tinyfuse.quantize.roundings import ROUNDINGS
from tinyfuse.quantize.weight_codes import Codes, RoundedLayer, check, quantize

BATCH = 20  # samples whose patches are held at once


@dataclass(frozen=True)
class Moments:
    """Input patches x of one layer: ``mean`` m = E[x] float64 [k] and ``second`` H = E[x x^T] float64 [k, k].

    k = kh * kw * i in the order of a flattened kernel [kh, kw, i]; the zeros of SAME padding count.
    """

    mean: np.ndarray
    second: np.ndarray


def input_moments(model: Any, samples: Samples) -> dict[str, Moments]:
    """Measure the moments of each convolution and dense layer of a ``tf_keras`` network, by layer name.

    The network runs in inference mode; inputs that ``samples`` lack are zeros.
    """
    from tf_keras import Model

    layers = [layer for layer in model.layers if type(layer).__name__ in WEIGHTED]
    features = Model(model.input, [layer.input for layer in layers])
    sums = {layer.name: [np.zeros(())] * 3 for layer in layers}
    for start in range(0, len(samples), BATCH):
        part = samples.take(slice(start, start + BATCH))
        found = features({name: part.inputs.get(name, np.zeros((len(part), *shape[1:]), np.float32))
                          for name, shape in model.input_shape.items()}, training=False)
        for layer, values in zip(layers, found if len(layers) > 1 else [found], strict=True):
            patches = _patches(layer, values)
            more = np.array(len(patches)), patches.sum(axis=0), patches.T @ patches
            sums[layer.name] = [one + other for one, other in zip(sums[layer.name], more, strict=True)]
    return {name: Moments(first / count, second / count) for name, (count, first, second) in sums.items()}


def _patches(layer: Any, values: Any) -> np.ndarray:
    """Cut the input ``values`` of ``layer`` into what its kernel is applied to: float64 [positions, k]."""
    if type(layer).__name__ == "Dense":
        return np.asarray(values, np.float64).reshape(-1, values.shape[-1])
    patches = tensorflow().image.extract_patches(
        values, sizes=(1, *layer.kernel_size, 1), strides=(1, *layer.strides, 1), rates=(1, *layer.dilation_rate, 1),
        padding=layer.padding.upper())
    return np.asarray(patches, np.float64).reshape(-1, patches.shape[-1])


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
        moment = found.second
        if any(one.corrects_mean for one in roundings):  # only the covariance H - m m^T is left to keep small
            moment = moment - np.outer(found.mean, found.mean)
        rounded = RoundedLayer(layer.kernel, layer.bias, codes, least_scale, found.mean, moment)
        for rounding in roundings:
            rounded = rounding.refine(rounded)
        return rounded.codes, rounded.bias
