"""Interpreters as executors, fed sample by sample: TFLite Micro's reference kernels, and LiteRT."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from tinyfuse.core.backend import stderr_silenced
from tinyfuse.core.errors import ModelError
from tinyfuse.integer.model import Codes, IntegerModel, Tick

ARENA_BYTES_LIMIT = 64 << 20


@contextmanager
def _failures_named(model: IntegerModel, executor: str) -> Iterator[None]:
    """Turn what an interpreter raises into one line that names ``model`` and ``executor``."""
    try:
        yield
    except (RuntimeError, ValueError, KeyError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{model.name}: {executor} cannot run it ({first})") from error


class TflmSession:
    """TFLite Micro's reference kernels, what a microcontroller computes; with ``every`` it keeps all tensors."""

    def __init__(self, model: IntegerModel, every: bool) -> None:
        from tflite_micro.python.tflite_micro import runtime

        configs = runtime.InterpreterConfig
        config = configs.kPreserveAllTensors if every else configs.kAllocationRecording
        self._output = model.graph.outputs[0]
        self._interpreter = runtime.Interpreter.from_bytes(model.data, arena_size=ARENA_BYTES_LIMIT,
                                                           intrepreter_config=config)

    def invoke(self, columns: Sequence[np.ndarray]) -> None:
        """Run one sample: codes [1, ...] in the order of the graph's inputs."""
        for place, codes in enumerate(columns):
            self._interpreter.set_input(codes, place)
        self._interpreter.invoke()

    def get(self, index: int) -> np.ndarray:
        """Return the codes of one tensor after the last run."""
        if index == self._output:
            return np.array(self._interpreter.get_output(0))
        return np.array(self._interpreter.GetTensor(index, 0)["tensor_data"])


class LiteRtSession:
    """LiteRT, what a phone runs, with the kernels of ``resolver``; with ``every`` it keeps all tensors."""

    def __init__(self, model: IntegerModel, every: bool, *, resolver: str) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        self._inputs = model.graph.inputs
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*experimental_preserve_all_tensors")
            # One thread: more make batch-1 inference many times slower when processes share the cores.
            self._interpreter = Interpreter(model_content=model.data, num_threads=1,
                                            experimental_preserve_all_tensors=every,
                                            experimental_op_resolver_type=OpResolverType[resolver])
        self._interpreter.allocate_tensors()

    def invoke(self, columns: Sequence[np.ndarray]) -> None:
        for index, codes in zip(self._inputs, columns, strict=True):
            self._interpreter.set_tensor(index, codes)
        self._interpreter.invoke()

    def get(self, index: int) -> np.ndarray:
        return np.array(self._interpreter.get_tensor(index))


Session = TflmSession | LiteRtSession


class RowExecutor:
    """Feeds an interpreter one sample at a time, batch size 1 as on the device.

    ``open_session(model, every)`` keeps every tensor, or the output alone.
    """

    def __init__(self, name: str, open_session: Callable[[IntegerModel, bool], Session], model: IntegerModel) -> None:
        self.name, self.model, self._open_session = name, model, open_session
        self._session = self._opened(every=False)
        self._tracing: Session | None = None

    def run(self, codes: Codes, *, tick: Tick = lambda: None) -> np.ndarray:
        output = self.model.graph.outputs[0]
        found = self._collected(self._session, codes, [output], tick)[output]
        return found.reshape(len(found), int(np.prod(self.model.output.shape)))

    def tensors(self, codes: Codes) -> dict[int, np.ndarray]:
        if self._tracing is None:
            self._tracing = self._opened(every=True)
        return self._collected(self._tracing, codes, self.model.graph.computed, lambda: None)

    def _opened(self, *, every: bool) -> Session:
        with _failures_named(self.model, self.name), stderr_silenced():
            return self._open_session(self.model, every)

    def _collected(self, session: Session, codes: Codes, indices: Sequence[int], tick: Tick) -> dict[int, np.ndarray]:
        """Collect the codes [n, ...] of the tensors ``indices``, for all samples one after the other."""
        columns = list(self.model.columns(codes).values())
        tensors = [self.model.graph.tensors[index] for index in indices]
        found = {tensor.index: np.empty((len(columns[0]), *tensor.shape[1:]), tensor.dtype) for tensor in tensors}
        with _failures_named(self.model, self.name):
            for row in range(len(columns[0])):
                session.invoke([column[row:row + 1] for column in columns])
                for tensor in tensors:
                    found[tensor.index][row] = session.get(tensor.index).reshape(tensor.shape)[0]
                tick()
        return found
