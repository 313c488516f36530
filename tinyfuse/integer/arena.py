"""RAM of a model in TFLite Micro: the arena that its recording allocator reports."""

from __future__ import annotations

import os
import re
import tempfile

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.executors.interpreters import ARENA_BYTES_LIMIT
from tinyfuse.integer.model import IntegerModel


def tflm_arena_bytes(model: IntegerModel) -> int:
    """Measure the bytes of tensor arena (head and tail) that TFLM allocates for ``model`` on this 64-bit host.

    A 32-bit microcontroller needs a little less: the tail holds pointers.
    """
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(model.data, arena_size=ARENA_BYTES_LIMIT)
    text = _captured_stderr(interpreter.print_allocations)
    found = re.search(r"Arena allocation total (\d+) bytes", text)
    if not found:
        raise ModelError(f"{model.name}: TFLM's recording allocator reported no arena size")
    return int(found[1])


def _captured_stderr(action: object) -> str:
    """Return what ``action()`` writes to file descriptor 2: TFLM's allocator reports there and nowhere else."""
    saved = os.dup(2)
    with tempfile.TemporaryFile() as sink:
        os.dup2(sink.fileno(), 2)
        try:
            action()  # type: ignore[operator]
        finally:
            os.dup2(saved, 2)
            os.close(saved)
        sink.seek(0)
        return sink.read().decode(errors="replace")
