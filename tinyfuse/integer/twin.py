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
from tinyfuse.integer.model import Codes, Tick, input_tensors
from tinyfuse.integer.operators import OPERATORS, Node
from tinyfuse.integer.work import check_work
from tinyfuse.tflite.graph import Graph

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
        """Return the prefix of some of the samples."""
        return Prefix(self.varying, {index: values[rows] for index, values in self.values.items()})


class Twin:
    """One model, ready to run. Inputs and gradients go by input name; every array is batched: [n, ...].

    Results of a sample do not depend on the others: integers are exact, and gradients run in chunks of one fixed
    size, in which every operator computes each sample alike wherever it stands.

    Raises :class:`ModelError` for an operator, type or option that it does not compute exactly as TFLite Micro does.
    """

    def __init__(self, graph: Graph) -> None:
        check_work(graph)
        self.graph = graph
        self.inputs = {graph.tensors[index].name: index for index in graph.inputs}
        self.steps = [_step(graph, number) for number in range(len(graph.operators))]
        # For each computed tensor the graph inputs that it depends on.
        self._origin = {index: frozenset({index}) for index in graph.inputs}
        for step in self.steps:
            self._origin[step.output] = frozenset().union(*(self._origin[index] for index in step.inputs))

    def run(self, codes: Codes, *, tensor: int | None = None, prefix: Prefix | None = None,
            tick: Tick = lambda: None) -> np.ndarray:
        """Compute the codes [n, ...] of ``tensor`` (default: the first output) for input ``codes`` by name.

        With a ``prefix`` only its varying inputs are needed. ``tick`` is called once for each sample.
        """
        wanted = self.graph.outputs[0] if tensor is None else tensor
        return _computed(self._needed(wanted, prefix), self._columns(codes, prefix), {wanted}, tick)[wanted]

    def finish(self, values: np.ndarray, tensor: int) -> np.ndarray:
        """Compute codes [n, ...] of the first output from codes [n, ...] of ``tensor``, on which alone it depends."""
        return self.run({}, prefix=Prefix((), {tensor: values}))

    def tensors(self, codes: Codes) -> Values:
        """Compute every tensor that is no constant by index, the inputs among them, as integers [n, ...]."""
        return _computed(self.steps, self._columns(codes, None), {*self.graph.computed})

    def gradient(self, codes: Codes, seed: Seed, wrt: Sequence[str], *, tensor: int | None = None,
                 prefix: Prefix | None = None) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Compute codes of ``tensor`` (default: the first output) and the gradient of a loss for each input of ``wrt``.

        ``seed(codes, rows)`` returns, for the codes [m, ...] of ``tensor`` in these rows, d loss / d code [m, ...].
        Gradients are float32 in units of loss per input code. Straight-through: a rounding has derivative 1, an
        active clamp 0, the input itself 1.
        """
        wanted = self.graph.outputs[0] if tensor is None else tensor
        targets = {self._index(name): name for name in wrt}
        steps = self._needed(wanted, prefix)

        def one(part: Values, rows: slice) -> tuple[np.ndarray, dict[str, np.ndarray]]:
            count = rows.stop - rows.start
            padded = {index: _padded(values) for index, values in part.items()}
            saved = _forward(steps, padded, {wanted}, keep=True)
            output = padded[wanted]
            slope = np.zeros(output.shape, np.float32)
            slope[:count] = seed(output[:count], rows)
            found = self._backward(steps, saved, wanted, slope, targets)
            return output[:count], {name: values[:count] for name, values in found.items()}

        parts = _each_chunk(self._columns(codes, prefix), one)
        return (np.concatenate([output for output, _ in parts]),
                {name: np.concatenate([found[name] for _, found in parts]) for name in wrt})

    def prefix(self, codes: Codes, varying: Iterable[str]) -> Prefix:
        """Compute once, for ``codes`` of all inputs, what does not depend on the ``varying`` ones."""
        names = tuple(varying)
        moving = {self._index(name) for name in names}
        fixed = [step for step in self.steps if not self._origin[step.output] & moving]
        later = [step for step in self.steps if self._origin[step.output] & moving]
        border = {index for step in later for index in step.inputs
                  if not self._origin[index] & moving} | ({*self.graph.outputs} & {step.output for step in fixed})
        return Prefix(names, _computed(fixed, self._columns(codes, None), border))

    def _index(self, name: str) -> int:
        if name not in self.inputs:
            raise UsageError(f"'{self.graph.name}' has no input '{name}'{nearest(name, self.inputs)}; it has "
                             f"{', '.join(self.inputs)}")
        return self.inputs[name]

    def _columns(self, codes: Codes, prefix: Prefix | None) -> Values:
        """The tensors to start from, and nothing that no step needs."""
        columns = (input_tensors(self.graph, codes, self.inputs, {}) if prefix is None else
                   input_tensors(self.graph, codes, prefix.varying, prefix.values))
        if not len(next(iter(columns.values()))):
            raise UsageError(f"{self.graph.name}: no samples; give at least one")
        return columns

    def _needed(self, wanted: int, prefix: Prefix | None) -> list[Step]:
        """The steps that ``wanted`` depends on and ``prefix`` does not hold, in their order."""
        held = {} if prefix is None else prefix.values
        needed, open_tensors = [], {wanted}
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
        nothing = {index: np.zeros((CHUNK, *self.graph.tensors[index].shape[1:]), np.float32)
                   for index in targets.keys() - found.keys()}
        return {name: (found | nothing)[index] for index, name in targets.items()}


def _step(graph: Graph, number: int) -> Step:
    operator = graph.operators[number]
    if operator.name not in OPERATORS:
        raise ModelError(f"{graph.name}: operator {operator.index} ({operator.name}) is not supported; "
                         "`tinyfuse ls operators` lists those that are")
    computed = tuple(index for index in operator.inputs if index >= 0 and graph.tensors[index].data is None)
    try:
        return Step(OPERATORS[operator.name](operator, graph), computed, operator.outputs[0])
    except ModelError as error:
        where = "" if "'" in str(error) else f"'{graph.tensors[operator.outputs[0]].name}': "
        raise ModelError(f"{graph.name}: operator {operator.index} ({operator.name}): {where}{error}") from error


def _forward(steps: Sequence[Step], values: Values, wanted: set[int], *, keep: bool) -> list[Any]:
    """Run ``steps`` on ``values``, dropping tensors after their last use unless ``wanted``; return what they save."""
    last = {index: number for number, step in enumerate(steps) for index in step.inputs}
    saved = []
    for number, step in enumerate(steps):
        values[step.output], state = step.node.forward([values[index] for index in step.inputs])
        if keep:
            saved.append(state)
        for index in set(step.inputs):
            if last[index] == number and index not in wanted:
                del values[index]
    return saved


def _computed(steps: Sequence[Step], columns: Values, wanted: set[int], tick: Tick = lambda: None) -> Values:
    """Run ``steps`` on the samples of ``columns``; return the tensors ``wanted`` [n, ...] by index."""

    def one(part: Values, rows: slice) -> Values:
        _forward(steps, part, wanted, keep=False)
        for _ in range(rows.stop - rows.start):
            tick()
        return {index: part[index] for index in wanted}

    parts = _each_chunk(columns, one)
    return {index: np.concatenate([part[index] for part in parts]) for index in sorted(wanted)}


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
    """``values`` with the last row repeated up to CHUNK rows."""
    return values if len(values) == CHUNK else values[np.minimum(np.arange(CHUNK), len(values) - 1)]
