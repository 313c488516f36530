"""UNIDIRECTIONAL_SEQUENCE_LSTM, SVDF, and the state that an SVDF leaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tinyfuse.firmware.c_text import array, comment
from tinyfuse.firmware.operators.base import Kernel, Place, in_and_out, is_wide, register
from tinyfuse.firmware.operators.wide_functions import sigmoid_table
from tinyfuse.firmware.scale import Scale, sized
from tinyfuse.integer.operators import lstm, svdf
from tinyfuse.tflite.graph import Graph, Operator

Codes = np.ndarray
_INT16_BYTES = 2


@dataclass(frozen=True, eq=False)
class Lstm(Kernel):
    """An LSTM; arrays hold all gates one after the other, a row for each unit."""

    weights: Codes = field(repr=False)
    recurrent: Codes = field(repr=False)
    bias: Codes = field(repr=False)
    scales: tuple[tuple[Scale, ...], tuple[Scale, ...]]
    forget: Scale
    update: Scale
    hide: Scale
    shift: int
    zero_in: int
    zero_out: int
    low: int
    high: int
    steps: int
    depth: int
    units: int
    header = "tny_lstm.h"
    kind = "lstm"
    described = ("forget", "update", "hide", "shift", "zero_in", "zero_out", "low", "high", "steps", "depth", "units")
    call = ("tny_lstm",)

    @property
    def scratch_bytes(self) -> int:
        """The cell state."""
        return _INT16_BYTES * self.units

    def shared(self) -> tuple[str, ...]:
        return (sigmoid_table(),)

    def tables(self, number: int) -> str:
        return "".join([f"/* {comment(self.name)} */\n", array("int8_t", f"weights{number}", self.weights),
                        array("int8_t", f"recurrent{number}", self.recurrent),
                        array("int32_t", f"bias{number}", _c_integers(self.bias))])

    def members(self, number: int) -> Mapping[str, object]:
        scales = (f"{{{', '.join(map(str, one))}}}" for one in self.scales)
        return {**dict(zip(("weight_scales", "recurrent_scales"), scales, strict=True)), "sigmoids": "sigmoids",
                "weights": f"weights{number}", "recurrent": f"recurrent{number}", "bias": f"bias{number}",
                **super().members(number)}

    def calls(self, number: int, at: Place, scratch: str) -> tuple[str, ...]:
        (source,), target = self.sources, self.target
        return (f"tny_lstm(&lstm{number}, {at(source)}, {at(target)}, {scratch});",)


@register("UNIDIRECTIONAL_SEQUENCE_LSTM")
def _lstm(graph: Graph, operator: Operator, node: lstm.Lstm) -> Lstm:
    source, target = in_and_out(graph, operator)
    sized(target.name, "sizes", (node.steps, source.shape[-1], node.units), 16)
    low, high = (-32768, 32767) if node.clip is None else (-node.clip, node.clip)
    return Lstm(target.name, (source.index,), target.index, _rows(node.inputs), _rows(node.recurrent),
                np.concatenate([one.bias for one in node.inputs]),
                (tuple(_scale(one.scale) for one in node.inputs), tuple(_scale(one.scale) for one in node.recurrent)),
                _scale(node.forget), _scale(node.update), _scale(node.hide), node.shift, source.zero, target.zero,
                low, high, node.steps, source.shape[-1], node.units)


def _rows(parts: list[lstm.Part]) -> Codes:
    return np.concatenate([one.matrix.T.astype(int).ravel() for one in parts])


def _scale(given: tuple[int, int]) -> Scale:
    return Scale(given[0], -given[1])


def _c_integers(values: np.ndarray) -> list[str]:
    """Write int32 values; the lowest has no literal of its own in C."""
    return ["INT32_MIN" if value == -(1 << 31) else str(value) for value in values.tolist()]


@dataclass(frozen=True, eq=False)
class Svdf(Kernel):
    """An SVDF of ``units`` times ``rank`` filters, or (``state``) what it leaves."""

    features: Codes = field(repr=False)
    times: Codes = field(repr=False)
    bias: Codes = field(repr=False)
    scale: Scale
    out: Scale
    zero_in: int
    zero_state: int
    zero_out: int
    low: int
    high: int
    units: int
    rank: int
    depth: int
    memory: int
    wide: int
    state: bool
    header = "tny_svdf.h"
    kind = "svdf"
    described = ("scale", "out", "zero_in", "zero_state", "zero_out", "low", "high", "units", "rank", "depth", "memory")

    def tables(self, number: int) -> str:
        arrays = [array("int8_t", f"features{number}", self.features.ravel())]
        if not self.state:
            arrays += [array("int16_t" if self.wide else "int8_t", f"times{number}", self.times.ravel()),
                       array("int32_t", f"bias{number}", _c_integers(self.bias))]
        return "".join([f"/* {comment(self.name)} */\n", *arrays])

    def members(self, number: int) -> Mapping[str, object]:
        return {"features": f"features{number}", "times": "NULL" if self.state else f"times{number}",
                "bias": "NULL" if self.state else f"bias{number}", **super().members(number)}

    def calls(self, number: int, at: Place, scratch: str) -> tuple[str, ...]:
        function = "tny_svdf_state" if self.state else "tny_svdf"
        given = ", ".join(at(tensor) for tensor in (*self.sources, self.target))
        return (f"{function}(&svdf{number}, {given}, {self.wide});",)


@register("SVDF")
def _svdf(graph: Graph, operator: Operator, node: svdf.Svdf) -> Svdf:
    return _filters(graph, operator, node, node.rank, Scale(node.final[0], -node.final[1]), node.bias, node.zero_out)


@register("SVDF_STATE")
def _state(graph: Graph, operator: Operator, node: svdf.SvdfState) -> Svdf:
    return _filters(graph, operator, node, 1, Scale(0, 0), np.empty(0, int), 0)


def _filters(graph: Graph, operator: Operator, node: svdf.Features, rank: int, out: Scale, bias: Codes,
             zero_out: int) -> Svdf:
    source, state = (graph.tensors[operator.inputs[place]] for place in (0, svdf.STATE))
    times, target = graph.tensors[operator.inputs[svdf.TIMES]].data, graph.tensors[operator.outputs[0]]
    assert times is not None
    sized(target.name, "sizes", (source.shape[-1], *times.shape), 16)
    return Svdf(target.name, (source.index, state.index), target.index, node.matrix.T.astype(int), times, bias,
                _scale(node.scale), out, source.zero, state.zero, zero_out, node.low, node.high,
                node.filters // rank, rank, source.shape[-1], node.memory, is_wide(state), operator.name != "SVDF")
