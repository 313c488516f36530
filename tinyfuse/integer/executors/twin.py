"""The twin as an executor: TFLite Micro's integers, in batches."""

from __future__ import annotations

import numpy as np

from tinyfuse.integer.model import Codes, IntegerModel, Tick


class BatchExecutor:
    """Feeds the twin of ``model`` whole batches."""

    name = "twin"

    def __init__(self, model: IntegerModel) -> None:
        from tinyfuse.integer.twin import Twin

        self.model, self._twin = model, Twin(model.graph)

    def run(self, codes: Codes, *, tick: Tick = lambda: None) -> np.ndarray:
        size = int(np.prod(self.model.output.shape))
        if not any(len(values) for values in self.model.columns(codes).values()):
            return np.empty((0, size), self.model.output.dtype)
        return self._twin.run(codes, tick=tick).reshape(-1, size)

    def tensors(self, codes: Codes) -> dict[int, np.ndarray]:
        return self._twin.tensors(codes)
