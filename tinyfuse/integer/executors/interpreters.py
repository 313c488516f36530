"""Interpreters of others as executors, fed sample by sample in a process of their own: TFLite Micro, and LiteRT."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinyfuse.integer.executors.installed import check_here
from tinyfuse.integer.executors.process import Loaded, RemoteSession
from tinyfuse.integer.model import Codes, IntegerModel, Tick

_BLOCK_BYTES = 8 << 20  # of inputs and tensors that go through the pipe at a time
_BLOCK_ROWS = 32


class RowExecutor:
    """Feeds an interpreter one sample at a time, batch size 1 as on the device.

    ``kind``: "tflm" or the name of a resolver of LiteRT. A crash of the interpreter is a ModelError; UsageError if it
    is not installed.
    """

    def __init__(self, name: str, kind: str, model: IntegerModel) -> None:
        check_here(name)
        self.name, self.model, self._kind = name, model, kind
        self._session = self._opened(every=False)
        self._tracing: RemoteSession | None = None

    def run(self, codes: Codes, *, tick: Tick = lambda: None) -> np.ndarray:
        output = self.model.graph.outputs[0]
        found = self._collected(self._session, codes, [output], tick)[output]
        return found.reshape(len(found), int(np.prod(self.model.output.shape)))

    def tensors(self, codes: Codes) -> dict[int, np.ndarray]:
        if self._tracing is None:
            self._tracing = self._opened(every=True)
        return self._collected(self._tracing, codes, self.model.graph.computed, lambda: None)

    def _opened(self, *, every: bool) -> RemoteSession:
        graph = self.model.graph
        return RemoteSession(self.name, self._kind, Loaded(self.model.name, self.model.data, graph.inputs,
                                                           graph.outputs), every=every)

    def _collected(self, session: RemoteSession, codes: Codes, indices: Sequence[int],
                   tick: Tick) -> dict[int, np.ndarray]:
        """Collect the codes [n, ...] of the tensors ``indices``, for all samples one after the other."""
        given = self.model.columns(codes)
        columns, count = list(given.values()), len(next(iter(given.values())))
        tensors = [self.model.graph.tensors[index] for index in indices if index not in given]
        found = {tensor.index: np.empty((count, *tensor.shape[1:]), tensor.dtype) for tensor in tensors}
        bytes_a_row = 1 + sum(array[:1].nbytes for array in (*columns, *found.values()))
        rows = max(1, min(_BLOCK_ROWS, _BLOCK_BYTES // bytes_a_row))
        for start in range(0, count, rows):
            part = slice(start, min(start + rows, count))
            answers = session.run([column[part, None] for column in columns], [tensor.index for tensor in tensors])
            for tensor, answer in zip(tensors, answers, strict=True):
                found[tensor.index][part] = np.frombuffer(answer, tensor.dtype).reshape(-1, *tensor.shape[1:])
            for _ in range(part.start, part.stop):
                tick()
        return {**given, **found}
