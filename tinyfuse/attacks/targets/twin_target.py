"""An integer model as a target that is attacked with its own gradients: batches of codes in, straight-through out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tinyfuse.attacks.losses import loss_and_slope
from tinyfuse.attacks.target import Gradient
from tinyfuse.core.errors import ModelError, UsageError
from tinyfuse.data.samples import Batch
from tinyfuse.integer.class_values import class_values, ending, has_one_sigmoid
from tinyfuse.integer.model import IntegerModel
from tinyfuse.integer.undouble import undoubled
from tinyfuse.threats.code_grid import Grids

if TYPE_CHECKING:
    from tinyfuse.integer.twin import Prefix


class TwinTarget:
    """Logits and input gradients of the twin of ``model``; a batch holds whole codes as float32 [n, ...] by name.

    A softmax or sigmoid at the end is left out, as attacks need what goes into it, but it decides: where its codes name
    another class (they may tie), the logit of that class is raised to just above the others. The logits of one sigmoid
    of z are 0 and z. Gradients are d loss / d code, straight-through.
    """

    executor = "twin"

    def __init__(self, model: IntegerModel) -> None:
        from tinyfuse.integer.twin import Twin

        self.model, self.name = model, model.name
        self.output = model.output.name
        self.inputs: tuple[str, ...] = tuple(port.name for port in model.inputs)
        self.grids: Grids | None = model.grids
        self.twin = Twin(undoubled(model.graph))
        self._shapes = {port.name: port.shape[1:] for port in model.inputs}
        self.logit_tensor = (ending(self.twin.graph) or self.twin.graph.outputs)[-1]
        self._one_sigmoid = has_one_sigmoid(self.twin.graph)
        tensor = model.graph.tensors[self.logit_tensor]
        self._scale, self._zero_point = float(tensor.scale[0]), int(tensor.zero_point[0])

    def logits(self, batch: Batch, prefix: Prefix | None = None) -> np.ndarray:
        """Return dequantised logits float64 [n, k]; with a ``prefix`` only what varies has to be in ``batch``."""
        return self._real(self.twin.run(self._codes(batch, prefix), tensor=self.logit_tensor, prefix=prefix))

    def gradient(self, batch: Batch, labels: np.ndarray, wrt: tuple[str, ...], loss: str = "cross-entropy",
                 prefix: Prefix | None = None) -> Gradient:
        """Return per-sample gradients float32 of ``loss`` to ``labels`` (int [n]) for the codes of ``wrt``."""
        labels = np.asarray(labels)
        losses = np.empty(len(labels))

        def seed(values: np.ndarray, rows: slice) -> np.ndarray:
            losses[rows], slope = loss_and_slope(loss, self._real(values), labels[rows])
            slope = slope[:, 1:] if self._one_sigmoid else slope
            return (slope * self._scale).reshape(values.shape)

        values, found = self.twin.gradient(self._codes(batch, prefix), seed, wrt, tensor=self.logit_tensor,
                                           prefix=prefix)
        return Gradient(self._real(values), losses, found)

    def focus(self, batch: Batch, varying: tuple[str, ...]) -> TwinFocus:
        """Return the same target while only ``varying`` of ``batch`` change: the rest is computed once."""
        return TwinFocus(self, self.twin.prefix(self._codes(batch, None), varying))

    def _real(self, values: np.ndarray) -> np.ndarray:
        logits = (values.reshape(len(values), -1).astype(np.float64) - self._zero_point) * self._scale
        logits = np.insert(logits, 0, 0.0, axis=1) if self._one_sigmoid else logits
        if self.logit_tensor != self.twin.graph.outputs[0]:
            final = class_values(self.twin.finish(values, self.logit_tensor), self.model).argmax(axis=1)
            other = np.flatnonzero(logits.argmax(axis=1) != final)
            logits[other, final[other]] = np.nextafter(logits[other].max(axis=1), np.inf)
        return logits

    def _codes(self, batch: Batch, prefix: Prefix | None) -> dict[str, np.ndarray]:
        """Return int32 codes: whole numbers inside the grid, or an error, as nothing is rounded here."""
        codes = {}
        for name in self.inputs if prefix is None else prefix.varying:
            if name not in batch or batch[name].shape[1:] != self._shapes[name]:
                given = ", ".join(f"{key} {list(value.shape[1:])}" for key, value in batch.items())
                raise ModelError(f"{self.name} takes '{name}' of shape {list(self._shapes[name])}; given: {given}")
            codes[name] = batch[name].astype(np.int32)
            grid = self.grids[name] if self.grids else None
            if not np.array_equal(codes[name], batch[name]) or (
                    grid and (codes[name].min() < grid.low or codes[name].max() > grid.high)):
                raise UsageError(f"'{name}' holds values that are no codes of {self.name}; bring real inputs to its "
                                 "grid first")
        return codes


class TwinFocus:
    """A :class:`TwinTarget` for one batch of which only some inputs change; ``rows`` are places in that batch."""

    def __init__(self, target: TwinTarget, prefix: Prefix) -> None:
        self._target, self._prefix = target, prefix

    def logits(self, point: Batch, rows: np.ndarray) -> np.ndarray:
        return self._target.logits(point, self._prefix.take(rows))

    def gradient(self, point: Batch, labels: np.ndarray, rows: np.ndarray, loss: str = "cross-entropy") -> Gradient:
        return self._target.gradient(point, labels, self._prefix.varying, loss, self._prefix.take(rows))
