"""The program of a process that runs interpreters of others: a crash ends this process, not the caller's.

Requests come on standard input, answers go to standard output: :mod:`tinyfuse.integer.executors.process` writes and
reads them. The program imports nothing of tinyfuse, so that it starts at once.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import IO, Any

import numpy as np

ARENA_BYTES_LIMIT = 64 << 20
_ARENA_STEP = 16  # bytes to which TFLite Micro aligns


def write_message(stream: IO[bytes], header: dict[str, Any], parts: Sequence[bytes] = ()) -> None:
    """Write a JSON ``header`` and ``parts`` of bytes, each behind its length."""
    text = json.dumps({**header, "parts": [len(part) for part in parts]}).encode()
    stream.write(struct.pack("<I", len(text)) + text)
    for part in parts:
        stream.write(part)
    stream.flush()


def read_message(stream: IO[bytes]) -> tuple[dict[str, Any], list[bytes]]:
    """Read what :func:`write_message` wrote; raises EOFError where the other side has ended."""
    (size,) = struct.unpack("<I", _exactly(stream, 4))
    header = json.loads(_exactly(stream, size))
    return header, [_exactly(stream, part) for part in header["parts"]]


def _exactly(stream: IO[bytes], size: int) -> bytes:
    found = stream.read(size)
    if len(found) < size:
        raise EOFError
    return found


class TflmSession:
    """TFLite Micro's reference kernels, what a microcontroller computes; with ``every`` it keeps all tensors."""

    def __init__(self, data: bytes, every: bool, inputs: Sequence[int], outputs: Sequence[int],
                 arena: int = ARENA_BYTES_LIMIT) -> None:
        from tflite_micro.python.tflite_micro import runtime

        configs = runtime.InterpreterConfig
        self._outputs = {index: place for place, index in enumerate(outputs)}
        self._interpreter = runtime.Interpreter.from_bytes(
            data, arena_size=arena,
            intrepreter_config=configs.kPreserveAllTensors if every else configs.kAllocationRecording)

    def invoke(self, columns: Sequence[np.ndarray]) -> None:
        """Run one sample, from the state after a reset: codes [1, ...] in the order of the graph's inputs."""
        self._interpreter.reset()
        for place, codes in enumerate(columns):
            self._interpreter.set_input(codes, place)
        self._interpreter.invoke()

    def get(self, index: int) -> np.ndarray:
        """Return the codes of one tensor after the last run."""
        if index in self._outputs:
            return np.array(self._interpreter.get_output(self._outputs[index]))
        return np.array(self._interpreter.GetTensor(index, 0)["tensor_data"])


class LiteRtSession:
    """LiteRT, what a phone runs, with the kernels of ``resolver``; with ``every`` it keeps all tensors."""

    def __init__(self, data: bytes, every: bool, inputs: Sequence[int], outputs: Sequence[int], *,
                 resolver: str) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        self._inputs, self._outputs = inputs, {index: place for place, index in enumerate(outputs)}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*experimental_preserve_all_tensors")
            # One thread: more make batch-1 inference many times slower when processes share the cores.
            self._interpreter = Interpreter(model_content=data, num_threads=1, experimental_preserve_all_tensors=every,
                                            experimental_op_resolver_type=OpResolverType[resolver])
        self._interpreter.allocate_tensors()

    def invoke(self, columns: Sequence[np.ndarray]) -> None:
        self._interpreter.reset_all_variables()
        for index, codes in zip(self._inputs, columns, strict=True):
            self._interpreter.set_tensor(index, codes)
        self._interpreter.invoke()

    def get(self, index: int) -> np.ndarray:
        """Return the codes of one tensor after the last run; outputs go by their place."""
        if index in self._outputs:
            index = self._interpreter.get_output_details()[self._outputs[index]]["index"]
        return np.array(self._interpreter.get_tensor(index))


def open_session(kind: str, data: bytes, every: bool, inputs: Sequence[int],
                 outputs: Sequence[int]) -> TflmSession | LiteRtSession:
    """Load a model; ``kind``: "tflm", or the name of one of LiteRT's resolvers."""
    if kind == "tflm":
        return TflmSession(data, every, inputs, outputs)
    return LiteRtSession(data, every, inputs, outputs, resolver=kind)


class Server:
    """Answers requests: each method takes the header and the parts of one, and returns the parts of the answer."""

    def __init__(self) -> None:
        self.sessions: dict[int, TflmSession | LiteRtSession] = {}

    def open(self, header: dict[str, Any], parts: list[bytes]) -> list[bytes]:
        """Load the model ``parts[0]`` as session ``id``."""
        self.sessions[header["id"]] = open_session(header["kind"], parts[0], header["every"], header["inputs"],
                                                   header["outputs"])
        return []

    def run(self, header: dict[str, Any], parts: list[bytes]) -> list[bytes]:
        """Run ``rows`` samples; ``columns``: type and shape [1, ...] of each input, whose codes are ``parts``.

        Returns the bytes of each tensor of ``tensors``, all samples one after the other.
        """
        session, rows = self.sessions[header["id"]], header["rows"]
        columns = [np.frombuffer(part, kind).reshape(rows, *shape)
                   for part, (kind, shape) in zip(parts, header["columns"], strict=True)]
        found: list[list[bytes]] = [[] for _ in header["tensors"]]
        for row in range(rows):
            session.invoke([column[row] for column in columns])
            for place, index in enumerate(header["tensors"]):
                found[place].append(session.get(index).tobytes())
        return [b"".join(one) for one in found]

    def arena(self, header: dict[str, Any], parts: list[bytes]) -> list[bytes]:
        """Find the smallest arena, in bytes, in which TFLite Micro allocates and runs the model ``parts[0]``."""
        low, high = 0, 1 << 11
        while not works_in_arena(parts[0], high):
            _check_arena(high)
            low, high = high, 2 * high
        while high - low > _ARENA_STEP:
            middle = (low + high) // 2 // _ARENA_STEP * _ARENA_STEP
            low, high = (low, middle) if works_in_arena(parts[0], middle) else (middle, high)
        while not works_in_arena(parts[0], high, header["columns"]):
            _check_arena(high)
            high += _ARENA_STEP
        return [str(high).encode()]


def _check_arena(size: int) -> None:
    if size >= ARENA_BYTES_LIMIT:
        raise ValueError(f"it does not run in an arena of {size} bytes")


def works_in_arena(data: bytes, arena: int, columns: Sequence[tuple[str, Sequence[int]]] = ()) -> bool:
    """Tell whether TFLite Micro allocates a model in ``arena`` bytes and, given type and shape of its inputs, runs."""
    return _survives(lambda: _allocate(data, arena, columns))


def _allocate(data: bytes, arena: int, columns: Sequence[tuple[str, Sequence[int]]]) -> None:
    """Load a model into ``arena`` bytes and, if ``columns`` are given, run it on zeros."""
    session = TflmSession(data, False, (), (), arena)
    if columns:
        session.invoke([np.zeros(shape, kind) for kind, shape in columns])


def _survives(action: Callable[[], None]) -> bool:
    """Whether ``action`` ends without an error, in a process of its own: TFLite Micro crashes in some small arenas."""
    child = os.fork()
    if not child:
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)  # where the caller's process would report it
        try:
            action()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests until the other side ends."""
    server = Server()
    while True:
        try:
            header, parts = read_message(requests)
        except EOFError:
            return
        for number in header.get("forget", ()):
            server.sessions.pop(number, None)
        try:
            found = getattr(server, header["do"])(header, parts)
        except (RuntimeError, ValueError, KeyError, ImportError, MemoryError) as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            write_message(answers, {"error": first or type(error).__name__})
        else:
            write_message(answers, {}, found)


def main() -> None:
    """Serve standard input and output; what the interpreters print goes nowhere."""
    import resource

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller ends by itself, and this process with it
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
