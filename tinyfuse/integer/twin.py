"""The twin of a ``.tflite``: what TFLite Micro computes, bit for bit on every tensor, in batches and with gradients."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyfuse.core.errors import ModelError, UsageError, nearest
from tinyfuse.integer.operators import OPERATORS, Node
from tinyfuse.tflite.graph import Graph, read_graph

CHUNK = 16  # samples that run together: their activations stay in the cache, and small batches waste little
THREADS = len(os.sched_getaffinity(0)) + 1  # one more than cores: while one converts to codes, another convolves
Values = dict[int, np.ndarray]
Seed = Callable[[np.ndarray, slice], np.ndarray]


@dataclass(frozen=True, eq=False)
class Step:
    """One operator in its place: its computed inputs and its output as tensor indices."""

    node: Node
    inputs: tuple[int, ...]
    output: int


@dataclass(frozen=True, eq=False)
class Prefix:
    """What stays the same while only ``varying`` inputs change: the tensors [n, ...] where both parts meet."""

    varying: tuple[str, ...]
    values: Values = field(repr=False)

    def take(self, rows: np.ndarray) -> Prefix:
        """The prefix of some of the samples."""
        return Prefix(self.varying, {index: values[rows] for index, values in self.values.items()})


class Twin:
    """One model, ready to run. Inputs and gradients go by input name; every array is batched: [n, ...].

    Results of a sample do not depend on the others: integers are exact, and gradients run in chunks of one fixed
    size (float32 gradients depend on the size of a batch).

    Raises:
        ModelError: an operator, type or option that the twin does not compute exactly as TFLite Micro does.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.inputs = {graph.tensors[index].name: index for index in graph.inputs}
        self.steps = [_step(graph, number) for number in range(len(graph.operators))]
        self._origin = _origins(self.steps, graph.inputs)

    @classmethod
    def from_bytes(cls, data: bytes, name: str) -> Twin:
        """The twin of the ``.tflite`` in ``data``; ``name`` is used in errors."""
        return cls(read_graph(data, name))

    def run(self, codes: Mapping[str, np.ndarray], *, tensor: int | None = None, prefix: Prefix | None = None,
            tick: Callable[[], None] = lambda: None) -> np.ndarray:
        """Codes [n, ...] of ``tensor`` (default: the first output) for input ``codes`` by name.

        With a ``prefix`` only its varying inputs are needed. ``tick`` is called once for each sample.
        """
        wanted = self.graph.outputs[0] if tensor is None else tensor
        steps = self._needed({wanted}, prefix)

        def one(part: Values, rows: slice) -> np.ndarray:
            _forward(steps, part, {wanted}, keep=False)
            for _ in range(rows.stop - rows.start):
                tick()
            return part[wanted]

        return np.concatenate(_each_chunk(self._columns(codes, prefix), one))

    def finish(self, values: np.ndarray, tensor: int) -> np.ndarray:
        """Codes [n, ...] of the first output for codes [n, ...] of ``tensor``, on which alone it depends."""
        return self.run({}, prefix=Prefix((), {tensor: values}))

    def tensors(self, codes: Mapping[str, np.ndarray]) -> Values:
        """Every computed tensor by index, the inputs among them, as integers [n, ...]."""
        everything = {*self.inputs.values(), *(step.output for step in self.steps)}

        def one(part: Values, rows: slice) -> Values:
            del rows
            _forward(self.steps, part, everything, keep=False)
            return part

        parts = _each_chunk(self._columns(codes, None), one)
        return {index: np.concatenate([part[index] for part in parts]) for index in sorted(everything)}

    def gradient(self, codes: Mapping[str, np.ndarray], seed: Seed, wrt: Sequence[str], *, tensor: int | None = None,
                 prefix: Prefix | None = None) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Codes of ``tensor`` (default: the first output) and the gradient of a loss for each input of ``wrt``.

        ``seed(codes, rows)`` returns, for the codes [m, ...] of ``tensor`` in these rows, d loss / d code [m, ...].
        Gradients are float32 in units of loss per input code. Straight-through: a rounding has derivative 1, an
        active clamp 0, the input itself 1.
        """
        wanted = self.graph.outputs[0] if tensor is None else tensor
        targets = {self._index(name): name for name in wrt}
        steps = self._needed({wanted}, prefix)

        def one(part: Values, rows: slice) -> tuple[np.ndarray, dict[str, np.ndarray]]:
            count = rows.stop - rows.start
            padded = {index: _padded(values) for index, values in part.items()}
            saved = _forward(steps, padded, {wanted}, keep=True)
            output = padded[wanted]
            slope = np.zeros(output.shape, np.float32)
            slope[:count] = seed(output[:count], rows)
            found = self._backward(steps, saved, wanted, slope, targets)
            return output[:count], {name: values[:count] for name, values in found.items()}

        columns = self._columns(codes, prefix)
        parts = _each_chunk(columns, one)
        return (np.concatenate([output for output, _ in parts]),
                {name: np.concatenate([found[name] for _, found in parts]) for name in wrt})

    def prefix(self, codes: Mapping[str, np.ndarray], varying: Iterable[str]) -> Prefix:
        """Compute once, for ``codes`` of all inputs, what does not depend on the ``varying`` ones."""
        names = tuple(varying)
        moving = {self._index(name) for name in names}
        fixed = [step for step in self.steps if not self._origin[step.output] & moving]
        later = [step for step in self.steps if self._origin[step.output] & moving]
        border = {index for step in later for index in step.inputs
                  if not self._origin[index] & moving} | ({*self.graph.outputs} & {step.output for step in fixed})

        def one(part: Values, rows: slice) -> Values:
            del rows
            _forward(fixed, part, border, keep=False)
            return {index: part[index] for index in border}

        parts = _each_chunk(self._columns(codes, None), one)
        return Prefix(names, {index: np.concatenate([part[index] for part in parts]) for index in border})

    def _index(self, name: str) -> int:
        if name not in self.inputs:
            raise UsageError(f"'{self.graph.name}' has no input '{name}'{nearest(name, self.inputs)}; it has "
                             f"{', '.join(self.inputs)}")
        return self.inputs[name]

    def _columns(self, codes: Mapping[str, np.ndarray], prefix: Prefix | None) -> Values:
        """The tensors to start from, and nothing that no step needs."""
        columns = {} if prefix is None else dict(prefix.values)
        for name, index in self.inputs.items():
            if prefix is not None and name not in prefix.varying:
                continue
            tensor = self.graph.tensors[index]
            if name not in codes:
                raise UsageError(f"'{self.graph.name}' needs input '{name}'; given: {', '.join(codes)}")
            columns[index] = np.ascontiguousarray(codes[name], tensor.dtype).reshape(-1, *tensor.shape[1:])
        if len({len(values) for values in columns.values()}) != 1 or not len(next(iter(columns.values()))):
            raise UsageError(f"'{self.graph.name}': the inputs hold "
                             f"{' and '.join(str(len(values)) for values in columns.values())} samples; give the same "
                             "number, at least 1, for each")
        return columns

    def _needed(self, wanted: set[int], prefix: Prefix | None) -> list[Step]:
        """The steps that ``wanted`` depends on and ``prefix`` does not hold, in their order."""
        held = {} if prefix is None else prefix.values
        needed, open_tensors = [], set(wanted)
        for step in reversed(self.steps):
            if step.output in open_tensors and step.output not in held:
                needed.append(step)
                open_tensors.update(step.inputs)
        return needed[::-1]

    def _backward(self, steps: Sequence[Step], saved: Sequence[Any], start: int, slope: np.ndarray,
                  targets: Mapping[int, str]) -> dict[str, np.ndarray]:
        found: Values = {start: slope}
        for step, state in zip(reversed(steps), reversed(saved), strict=True):
            if step.output not in found or not self._origin[step.output] & targets.keys():
                continue
            gradients = step.node.backward(state, found.pop(step.output))
            for index, gradient in zip(step.inputs, gradients, strict=True):
                if self._origin[index] & targets.keys():
                    found[index] = found[index] + gradient if index in found else gradient
        return {name: found[index] if index in found else self._nothing(index)
                for index, name in targets.items()}

    def _nothing(self, index: int) -> np.ndarray:
        return np.zeros((CHUNK, *self.graph.tensors[index].shape[1:]), np.float32)


def _step(graph: Graph, number: int) -> Step:
    operator = graph.operators[number]
    if operator.name not in OPERATORS:
        raise ModelError(f"{graph.name}: operator {operator.name} is not supported; supported: "
                         f"{', '.join(sorted(OPERATORS))}")
    computed = tuple(index for index in operator.inputs if index >= 0 and graph.tensors[index].data is None)
    return Step(OPERATORS[operator.name](operator, graph), computed, operator.outputs[0])


def _origins(steps: Iterable[Step], inputs: Iterable[int]) -> dict[int, frozenset[int]]:
    """For each computed tensor the graph inputs that it depends on."""
    origin = {index: frozenset({index}) for index in inputs}
    for step in steps:
        origin[step.output] = frozenset().union(*(origin[index] for index in step.inputs))
    return origin


def _forward(steps: Sequence[Step], values: Values, kept: set[int], *, keep: bool) -> list[Any]:
    """Run ``steps`` on ``values``, dropping each tensor after its last use unless it is ``kept``."""
    last = {index: number for number, step in enumerate(steps) for index in step.inputs}
    saved = []
    for number, step in enumerate(steps):
        values[step.output], state = step.node.forward([values[index] for index in step.inputs], keep)
        saved.append(state)
        for index in set(step.inputs):
            if last[index] == number and index not in kept:
                del values[index]
    return saved


def _each_chunk(columns: Values, run: Callable[[Values, slice], Any]) -> list[Any]:
    total = len(next(iter(columns.values())))
    spans = [slice(start, min(start + CHUNK, total)) for start in range(0, total, CHUNK)]

    def work(rows: slice) -> Any:
        return run({index: values[rows] for index, values in columns.items()}, rows)

    return [work(spans[0])] if len(spans) == 1 else list(_pool().map(work, spans))


@functools.cache
def _pool() -> ThreadPoolExecutor:
    """Threads that live on: new ones would fetch all their memory from the system again, page by page."""
    return ThreadPoolExecutor(THREADS)


def _padded(values: np.ndarray) -> np.ndarray:
    """``values`` repeated at the end up to CHUNK rows."""
    return values if len(values) == CHUNK else values[np.minimum(np.arange(CHUNK), len(values) - 1)]

