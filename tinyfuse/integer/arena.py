"""RAM of a model in TFLite Micro: the smallest arena that it works with."""

from __future__ import annotations

from tinyfuse.integer.executors.installed import ORACLE, is_here
from tinyfuse.integer.executors.process import ask
from tinyfuse.integer.model import IntegerModel


def tflm_arena_bytes(model: IntegerModel) -> int:
    """Search the bytes of tensor arena with which TFLM allocates and runs ``model`` on this 64-bit host.

    A 32-bit microcontroller needs a little less: the tail holds pointers. 0 where TFLM is not installed.
    """
    if not is_here(ORACLE):
        return 0
    (answer,) = ask(ORACLE, ORACLE, model.name, {"do": "arena", "columns": model.file_inputs}, [model.source])
    return int(answer)
