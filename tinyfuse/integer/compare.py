"""Where executors of one model disagree: tensor by tensor, on random or real inputs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tinyfuse.core.errors import UsageError
from tinyfuse.integer.interpreters import IntegerModel, Interpreter

BLOCK = 32  # samples whose tensors are held at a time


@dataclass
class TensorDifference:
    """One tensor in two executors: values compared, how many differ, and by how many codes at most."""

    name: str
    values: int = 0
    differing: int = 0
    max_abs: int = 0

    def add(self, a: np.ndarray, b: np.ndarray) -> None:
        """Count the differences of two arrays of codes."""
        gap = np.abs(a.astype(np.int64) - b.astype(np.int64))
        self.values += gap.size
        self.differing += int(np.count_nonzero(gap))
        self.max_abs = max(self.max_abs, int(gap.max(initial=0)))


@dataclass(frozen=True)
class PairDifference:
    """Executor ``a`` beside ``b`` on ``samples`` inputs; ``argmax_differing``: samples with another arg-max."""

    a: str
    b: str
    samples: int
    tensors: tuple[TensorDifference, ...]
    argmax_differing: int

    @property
    def values(self) -> int:
        """Values compared over all tensors."""
        return sum(tensor.values for tensor in self.tensors)

    @property
    def differing(self) -> int:
        """Values that differ."""
        return sum(tensor.differing for tensor in self.tensors)

    @property
    def max_abs(self) -> int:
        """The largest difference in codes."""
        return max((tensor.max_abs for tensor in self.tensors), default=0)


@dataclass(frozen=True)
class Comparison:
    """All pairs of executors, and the output codes of each executor [n, k]."""

    pairs: tuple[PairDifference, ...]
    outputs: Mapping[str, np.ndarray]


def random_codes(model: IntegerModel, count: int, *, seed: int) -> dict[str, np.ndarray]:
    """Uniform codes [count, ...] over the whole range of each input; the first two samples are all low, all high."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, grid in model.grids.items():
        port = next(port for port in model.inputs if port.name == name)
        codes = rng.integers(grid.low, grid.high + 1, (count, *port.shape[1:])).astype(port.dtype)
        codes[:1], codes[1:2] = grid.low, grid.high
        found[name] = codes
    return found


def compare(model: IntegerModel, executors: Sequence[str], codes: Mapping[str, np.ndarray], *,
            tick: Callable[[int], None] = lambda done: None) -> Comparison:
    """Run ``codes`` [n, ...] through every executor and compare all computed tensors of each pair.

    ``tick`` is called with the number of samples that every executor has finished.

    Raises:
        UsageError: fewer than two executors, an unknown one, or no samples.
        ModelError: an executor cannot run the model.
    """
    if len(set(executors)) < 2:
        raise UsageError(f"a comparison needs two executors; given: {', '.join(executors) or 'none'}")
    count = len(next(iter(codes.values())))
    if not count:
        raise UsageError("a comparison needs at least one sample")
    loaded = {name: Interpreter(model, name) for name in dict.fromkeys(executors)}
    names = {index: model.graph.tensors[index].name for index in range(len(model.graph.tensors))}
    found: dict[tuple[str, str], dict[int, TensorDifference]] = {
        pair: {} for pair in itertools.combinations(loaded, 2)}
    outputs: dict[str, list[np.ndarray]] = {name: [] for name in loaded}
    for start in range(0, count, BLOCK):
        part = {name: values[start:start + BLOCK] for name, values in codes.items()}
        tensors = {name: interpreter.tensors(part) for name, interpreter in loaded.items()}
        for name, values in tensors.items():
            outputs[name].append(values[model.graph.outputs[0]].reshape(len(values[model.graph.outputs[0]]), -1))
        for (a, b), differences in found.items():
            for index in tensors[a].keys() & tensors[b].keys():
                differences.setdefault(index, TensorDifference(names[index])).add(tensors[a][index], tensors[b][index])
        tick(min(start + BLOCK, count))
    stacked = {name: np.concatenate(parts) for name, parts in outputs.items()}
    return Comparison(tuple(_pair(model, pair, differences, stacked) for pair, differences in found.items()), stacked)


def _pair(model: IntegerModel, pair: tuple[str, str], differences: Mapping[int, TensorDifference],
          outputs: Mapping[str, np.ndarray]) -> PairDifference:
    """The tensors in the order in which the graph computes them."""
    order = [*model.graph.inputs, *(operator.outputs[0] for operator in model.graph.operators)]
    a, b = (outputs[name] for name in pair)
    return PairDifference(*pair, len(a), tuple(differences[index] for index in order if index in differences),
                          int(np.sum(a.argmax(1) != b.argmax(1))))
