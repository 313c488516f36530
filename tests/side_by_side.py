"""Graphs of several operators side by side, built from scratch: one compilation serves many cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from one_operator import Spec, Step, build


@dataclass
class Net:
    """Tensors and operators so far; the output is the last tensor that an operator made."""

    rng: np.random.Generator
    specs: list[Spec] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)

    def tensor(self, shape: Sequence[int], dtype: type = np.int8, *, scale: float = 0.1, zero: int = 0) -> int:
        """A tensor that an operator will make."""
        self.specs.append(Spec(list(shape), dtype, [scale], [zero]))
        return len(self.specs) - 1

    def input(self, shape: Sequence[int], dtype: type = np.int8, *, scale: float = 0.1, zero: int = 0) -> int:
        """An input named after its number."""
        self.inputs.append(self.tensor(shape, dtype, scale=scale, zero=zero))
        self.specs[-1].name = f"x{len(self.inputs)}"
        return self.inputs[-1]

    def state(self, shape: Sequence[int], dtype: type, *, scale: float, zero: int = 0) -> int:
        """A variable that one operator keeps between inferences."""
        self.specs.append(Spec(list(shape), dtype, [scale], [zero], variable=True))
        return len(self.specs) - 1

    def constant(self, data: np.ndarray, dtype: type, scale: Sequence[float] = (), zero: Sequence[int] = (),
                 axis: int = 0) -> int:
        """A constant; without ``scale`` it holds plain numbers."""
        self.specs.append(Spec(data.shape, dtype, scale, zero, axis, data))
        return len(self.specs) - 1

    def step(self, name: str, inputs: Sequence[int], output: int, options: str = "",
             values: Mapping[str, object] | None = None) -> int:
        """One operator; returns ``output``."""
        self.steps.append(Step(name, inputs, [output], options, values or {}))
        return output

    def data(self) -> bytes:
        """The ``.tflite``."""
        return build(self.specs, self.steps, self.inputs, [self.steps[-1].outputs[0]])

    def zero(self, dtype: type) -> int:
        """A random zero point: int16 tensors have none."""
        return int(self.rng.integers(-128, 128)) if dtype == np.int8 else 0

    def pick(self, *choices: int) -> int:
        """One of ``choices``."""
        return int(self.rng.choice(choices))
