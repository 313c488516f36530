"""Executors of a ``.tflite``: batches of codes in, codes out, of the output or of every tensor.

``tflm`` is TFLite Micro's reference kernels, what a microcontroller computes; ``twin`` computes the same bits in
batches; ``litert-reference`` and ``litert`` (XNNPACK) are what a phone runs, and round differently (DESIGN decision 1).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from tinyfuse.tflite.graph import Graph

ARENA_BYTES_LIMIT = 64 << 20
Tick = Callable[[], None]


class Executor(Protocol):
    """One model loaded for execution; inputs go by position in ``graph.inputs``, [n, ...] each."""

    def run(self, columns: Sequence[np.ndarray], tick: Tick) -> np.ndarray:
        """Codes [n, ...] of the first output."""

    def tensors(self, columns: Sequence[np.ndarray]) -> dict[int, np.ndarray]:
        """Codes [n, ...] of every computed tensor by index."""


class TwinExecutor:
    """The twin."""

    def __init__(self, data: bytes, graph: Graph) -> None:
        from tinyfuse.integer.twin import Twin

        del data
        self._twin = Twin(graph)
        self._names = [graph.tensors[index].name for index in graph.inputs]

    def run(self, columns: Sequence[np.ndarray], tick: Tick) -> np.ndarray:
        return self._twin.run(dict(zip(self._names, columns, strict=True)), tick=tick)

    def tensors(self, columns: Sequence[np.ndarray]) -> dict[int, np.ndarray]:
        return self._twin.tensors(dict(zip(self._names, columns, strict=True)))


class _RowByRow:
    """What the interpreters share: one sample at a time, batch size 1 as on the device."""

    def __init__(self, data: bytes, graph: Graph) -> None:
        self._data, self._graph = data, graph
        self._computed = [t.index for t in graph.tensors if t.data is None and t.index in _used(graph)]
        self._plain = self._create(every=False)
        self._keeping: Any = None

    def run(self, columns: Sequence[np.ndarray], tick: Tick) -> np.ndarray:
        output = self._graph.tensors[self._graph.outputs[0]]
        found = np.empty((len(columns[0]), *output.shape[1:]), output.dtype)
        for row in range(len(found)):
            self._invoke(self._plain, [column[row:row + 1] for column in columns])
            found[row] = self._get(self._plain, output.index).reshape(output.shape)[0]
            tick()
        return found

    def tensors(self, columns: Sequence[np.ndarray]) -> dict[int, np.ndarray]:
        if self._keeping is None:
            self._keeping = self._create(every=True)
        shapes = {index: self._graph.tensors[index] for index in self._computed}
        found = {index: np.empty((len(columns[0]), *tensor.shape[1:]), tensor.dtype)
                 for index, tensor in shapes.items()}
        for row in range(len(columns[0])):
            self._invoke(self._keeping, [column[row:row + 1] for column in columns])
            for index, tensor in shapes.items():
                found[index][row] = self._get(self._keeping, index).reshape(tensor.shape)[0]
        return found

    def _create(self, *, every: bool) -> Any:
        raise NotImplementedError

    def _invoke(self, interpreter: Any, codes: list[np.ndarray]) -> None:
        raise NotImplementedError

    def _get(self, interpreter: Any, index: int) -> np.ndarray:
        raise NotImplementedError


class Tflm(_RowByRow):
    """TFLite Micro's reference kernels."""

    def _create(self, *, every: bool) -> Any:
        from tflite_micro.python.tflite_micro import runtime

        configs = runtime.InterpreterConfig
        config = configs.kPreserveAllTensors if every else configs.kAllocationRecording
        return runtime.Interpreter.from_bytes(self._data, arena_size=ARENA_BYTES_LIMIT, intrepreter_config=config)

    def _invoke(self, interpreter: Any, codes: list[np.ndarray]) -> None:
        for place, value in enumerate(codes):
            interpreter.set_input(value, place)
        interpreter.invoke()

    def _get(self, interpreter: Any, index: int) -> np.ndarray:
        if index == self._graph.outputs[0]:
            return np.array(interpreter.get_output(0))
        return np.array(interpreter.GetTensor(index, 0)["tensor_data"])


class LiteRt(_RowByRow):
    """LiteRT with the default kernels (XNNPACK)."""

    resolver = "AUTO"

    def _create(self, *, every: bool) -> Any:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*experimental_preserve_all_tensors")
            # One thread: more make batch-1 inference many times slower when processes share the cores.
            interpreter = Interpreter(model_content=self._data, num_threads=1, experimental_preserve_all_tensors=every,
                                      experimental_op_resolver_type=OpResolverType[self.resolver])
        interpreter.allocate_tensors()
        return interpreter

    def _invoke(self, interpreter: Any, codes: list[np.ndarray]) -> None:
        for index, value in zip(self._graph.inputs, codes, strict=True):
            interpreter.set_tensor(index, value)
        interpreter.invoke()

    def _get(self, interpreter: Any, index: int) -> np.ndarray:
        return np.array(interpreter.get_tensor(index))


class LiteRtReference(LiteRt):
    """LiteRT with the reference kernels."""

    resolver = "BUILTIN_REF"


EXECUTORS: dict[str, Callable[[bytes, Graph], Executor]] = {
    "tflm": Tflm, "twin": TwinExecutor, "litert": LiteRt, "litert-reference": LiteRtReference}


def _used(graph: Graph) -> set[int]:
    used = {*graph.inputs, *graph.outputs}
    for operator in graph.operators:
        used |= {*operator.inputs, *operator.outputs}
    return used
