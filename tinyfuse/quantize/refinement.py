"""Codes and bias of each layer at given widths, by the methods of a recipe; computed once for each combination."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tinyfuse.quantize.folded_layers import FoldedLayer
from tinyfuse.quantize.input_moments import Moments
from tinyfuse.quantize.recipe import Precision
from tinyfuse.quantize.roundings.bias import corrected_bias
from tinyfuse.quantize.roundings.gptq import compensated
from tinyfuse.quantize.roundings.mse import clipped_grid
from tinyfuse.quantize.weight_codes import Codes, check, grid, nearest, quantize


@dataclass(frozen=True)
class Refined:
    """What is written for one layer: its ``codes``, and its ``bias`` float64 [o] before its own rounding."""

    codes: Codes
    bias: np.ndarray


class Refinement:
    """The layers of one network as any recipe has them.

    ``measure`` gives each layer's input moments by name; it is called once, for the first recipe with a method.
    """

    def __init__(self, measure: Callable[[], dict[str, Moments]]) -> None:
        self._measure = measure
        self._moments: dict[str, Moments] | None = None
        self._done: dict[tuple[object, ...], Refined] = {}

    def layer(self, layer: FoldedLayer, precision: Precision, *, least_scale: np.ndarray) -> Refined:
        """``layer`` with the widths and methods of ``precision``.

        ``least_scale`` [o]: see :func:`tinyfuse.quantize.weight_codes.quantize`.
        """
        key = (layer.name, layer.slices(precision), precision.methods, least_scale.tobytes())
        if key not in self._done:
            self._done[key] = self._refine(layer, precision, least_scale)
        return self._done[key]

    def _refine(self, layer: FoldedLayer, precision: Precision, least_scale: np.ndarray) -> Refined:
        slices, methods = layer.slices(precision), precision.methods
        if not methods:
            codes = quantize(layer.kernel, slices, least_scale=least_scale)
            check(codes, layer.name)
            return Refined(codes, layer.bias)
        moments = self._moments_of(layer.name)
        # Once biases make up for the mean error, only what varies around it is left to keep small.
        moment = moments.covariance if "bias" in methods else moments.second
        on = (clipped_grid(layer.kernel, slices, moment, least_scale=least_scale) if "mse" in methods else
              grid(layer.kernel, slices, least_scale=least_scale))
        codes = compensated(layer.kernel, on, moment) if "gptq" in methods else nearest(layer.kernel, on)
        check(codes, layer.name)
        bias = (corrected_bias(layer.bias, layer.kernel, codes.real, moments.mean) if "bias" in methods else
                layer.bias)
        return Refined(codes, bias)

    def _moments_of(self, layer: str) -> Moments:
        if self._moments is None:
            self._moments = self._measure()
        return self._moments[layer]
