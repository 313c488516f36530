"""An integer model in an interpreter, as a target that attacks are judged on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tinyfuse.core.errors import ModelError
from tinyfuse.integer.interpreters import IntegerModel, Interpreter, dequantize
from tinyfuse.threats.code_grid import InputGrid


class IntegerTarget:
    """``model`` run by ``executor`` (tflm, litert, litert-reference): float inputs in, dequantised logits out.

    It has logits and input grids but no gradients; the interpreter offers none.
    """

    def __init__(self, model: IntegerModel, executor: str) -> None:
        self.name, self.executor = model.name, executor
        self.inputs: tuple[str, ...] = tuple(port.name for port in model.inputs)
        self.grids: Mapping[str, InputGrid] = model.grids
        self._interpreter = Interpreter(model, executor)
        self._ports, self._output = model.inputs, model.output

    def logits(self, batch: Mapping[str, np.ndarray]) -> np.ndarray:
        """Dequantised logits float64 [n, k] of float inputs, which the device rounds to its codes."""
        for port in self._ports:
            if port.name not in batch or batch[port.name].shape[1:] != port.shape[1:]:
                given = ", ".join(f"{name} {list(value.shape[1:])}" for name, value in batch.items())
                raise ModelError(f"{self.name} takes '{port.name}' of shape {list(port.shape[1:])}; given: {given}")
        return self.judge({name: self.grids[name].quantise(batch[name]) for name in self.inputs})

    def judge(self, codes: Mapping[str, np.ndarray]) -> np.ndarray:
        """Dequantised logits float64 [n, k] of input codes by name."""
        return dequantize(self._interpreter.run(codes), self._output)
