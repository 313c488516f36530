"""The layers of an integer model, changed one at a time: weights rounded further, or the mean output by channel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from tinyfuse.attacks.targets.twin_target import TwinTarget
from tinyfuse.data.samples import Samples
from tinyfuse.integer.model import IntegerModel
from tinyfuse.integer.undouble import undoubled
from tinyfuse.quantize.tensor_units import WEIGHTED
from tinyfuse.quantize.weight_codes import level
from tinyfuse.tflite.graph import Graph, Operator, Tensor


class IntegerLayers:
    """An integer ``model`` whose layers with constant weights can be changed, one at a time.

    Names are those of the weights, as conversion writes them. A layer that is removed has no weights left, and a bias
    that makes each of its channels give its mean code over ``samples``.
    """

    def __init__(self, model: IntegerModel, samples: Samples) -> None:
        graph = undoubled(model.graph)
        self._model = replace(model, graph=graph)
        self._layers = weighted_layers(graph)
        tensors = TwinTarget(self._model).twin.tensors(model.codes_of(samples.inputs))
        self._means = {name: _mean_codes(tensors[operator.outputs[0]]) for name, operator in self._layers.items()}
        self.target = TwinTarget(self._model)

    @contextmanager
    def rounded(self, name: str, bits: int) -> Iterator[TwinTarget]:
        """Round the weights of the layer ``name`` to ``bits`` bits; yield the model with them."""
        operator = self._layers[name]
        weights = self._model.graph.tensors[operator.inputs[WEIGHTED[operator.name].weights]]
        yield self._with({weights.index: rounded_codes(_data(weights), WEIGHTED[operator.name].axis, bits)})

    @contextmanager
    def removed(self, name: str) -> Iterator[TwinTarget]:
        """Let the layer ``name`` give its mean; yield the model that does."""
        operator, graph = self._layers[name], self._model.graph
        weights, bias = (graph.tensors[operator.inputs[place]] for place in _places(operator))
        end = graph.tensors[operator.outputs[0]]
        units = graph.tensors[operator.inputs[WEIGHTED[operator.name].read]].unit * np.float64(weights.scale)
        wanted = np.rint((self._means[name] - end.zero) * end.unit / units)
        limits = np.iinfo(bias.dtype)
        yield self._with({weights.index: np.zeros_like(_data(weights)),
                          bias.index: np.clip(wanted, limits.min, limits.max).astype(bias.dtype)})

    def _with(self, changed: dict[int, np.ndarray]) -> TwinTarget:
        graph = self._model.graph
        tensors = tuple(replace(tensor, data=changed[place]) if place in changed else tensor
                        for place, tensor in enumerate(graph.tensors))
        return TwinTarget(replace(self._model, graph=replace(graph, tensors=tensors)))


def weighted_layers(graph: Graph) -> dict[str, Operator]:
    """Return by name the operators of ``graph`` that have constant weights and a bias of their own."""
    found = {}
    for operator in graph.operators:
        if operator.name in WEIGHTED:
            held = [graph.tensors[operator.inputs[place]] for place in _places(operator)
                    if place < len(operator.inputs) and operator.inputs[place] >= 0]
            if len(held) == 2 and all(tensor.data is not None for tensor in held):
                found[held[0].name.removesuffix("/weights")] = operator
    return found


def rounded_codes(codes: np.ndarray, axis: int, bits: int) -> np.ndarray:
    """Round weight ``codes`` to the nearest of 2 level + 1 values between -max and max of each channel of ``axis``."""
    others = tuple(place for place in range(codes.ndim) if place != axis)
    step = np.abs(codes.astype(np.float64)).max(axis=others, keepdims=True) / level(bits)
    step = np.maximum(step, 1.0)  # fewer codes than that are in use already
    return np.asarray(np.rint(np.rint(codes / step) * step).astype(codes.dtype))


def _places(operator: Operator) -> tuple[int, int]:
    return WEIGHTED[operator.name].weights, WEIGHTED[operator.name].bias


def _data(tensor: Tensor) -> np.ndarray:
    assert tensor.data is not None
    return tensor.data


def _mean_codes(codes: np.ndarray) -> np.ndarray:
    """Return the mean of ``codes`` [n, ..., channels] by channel."""
    return np.asarray(codes.reshape(-1, codes.shape[-1]).mean(axis=0))
