"""Exact integer intervals of every tensor of a ``.tflite``: lower and upper codes, for a batch of boxes of inputs.

What the twin computes for any codes inside the input boxes lies inside the box of each tensor. A box of one point gives
the point's codes. What is lost between two operators is that codes which move together are taken for independent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tinyfuse.analyses.certificates import lookups, monotone, weighted_sums  # noqa: F401  (they enter their rules)
from tinyfuse.analyses.certificates.rules import Box, Rule, Site, rule_of
from tinyfuse.core.errors import UsageError
from tinyfuse.integer.twin import CHUNK, Twin
from tinyfuse.tflite.graph import Graph

Boxes = dict[int, Box]
"""By tensor index, lower and upper codes [n, ...]."""


class Intervals:
    """The intervals of the tensors of ``twin`` that ``wanted`` depends on (default: its first output).

    Raises :class:`ModelError` for an operator without bounds.
    """

    def __init__(self, twin: Twin, wanted: int | None = None) -> None:
        self.twin = twin
        self.graph: Graph = twin.graph
        self.wanted = self.graph.outputs[0] if wanted is None else wanted
        self.sites: dict[int, Site] = {}
        self.inputs_of: dict[int, tuple[int, ...]] = {}
        needed = {self.wanted}
        for number in reversed(range(len(twin.steps))):
            step = twin.steps[number]
            if step.output in needed:
                self.sites[step.output] = Site(step.node, self.graph.operators[number], self.graph)
                self.inputs_of[step.output] = step.inputs
                needed.update(step.inputs)
        self.order = [step.output for step in twin.steps if step.output in self.sites]
        self.rules: dict[int, Rule] = {index: rule_of(self.sites[index]) for index in self.order}

    def run(self, boxes: Mapping[str, Box], *, every: bool = False) -> Boxes:
        """Bound the wanted tensor, or with ``every`` all tensors, for input ``boxes`` by name, integers [n, ...]."""
        columns, parts = self.columns(boxes), list[Boxes]()
        for start in range(0, len(next(iter(columns.values()))[0]), CHUNK):
            found = self.propagate(take_rows(columns, slice(start, start + CHUNK)))
            parts.append(found if every else {self.wanted: found[self.wanted]})
        return joined(parts)

    def columns(self, boxes: Mapping[str, Box]) -> Boxes:
        """Return input ``boxes`` by tensor index, in the types of the tensors; UsageError if one is no box of codes."""
        found = {}
        for name, index in self.twin.inputs.items():
            if name not in boxes:
                raise UsageError(f"{self.graph.name} needs a box of '{name}'; given: {', '.join(boxes)}")
            tensor, (low, high) = self.graph.tensors[index], boxes[name]
            limits = np.iinfo(tensor.dtype) if tensor.dtype != np.bool_ else None
            first, last = (limits.min, limits.max) if limits else (0, 1)
            if np.any(low > high) or np.any(low < first) or np.any(high > last):
                raise UsageError(f"the box of '{name}' leaves the codes {first} to {last} or is empty")
            found[index] = (np.ascontiguousarray(low, tensor.dtype), np.ascontiguousarray(high, tensor.dtype))
        return found

    def propagate(self, part: Boxes, tighter: Callable[[int, Boxes], Box] | None = None) -> Boxes:
        """Bound every tensor of one chunk; ``tighter`` may replace the box of a tensor before it is used."""
        found = dict(part)
        for index in self.order:
            found[index] = self.rules[index]([found[source] for source in self.inputs_of[index]])
            if tighter is not None:
                found[index] = tighter(index, found)
        return found


def take_rows(boxes: Boxes, rows: slice | np.ndarray) -> Boxes:
    """Return the boxes of some samples."""
    return {index: (low[rows], high[rows]) for index, (low, high) in boxes.items()}


def joined(parts: Sequence[Boxes]) -> Boxes:
    """Return the boxes of the samples of all ``parts``, at least one."""
    return {index: (np.concatenate([part[index][0] for part in parts]),
                    np.concatenate([part[index][1] for part in parts])) for index in parts[0]}
