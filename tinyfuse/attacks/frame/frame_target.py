"""A network with a camera before it: its input is the frame, the gradient goes back through the resize."""

from __future__ import annotations

import numpy as np

from tinyfuse.attacks.frame.camera import Camera
from tinyfuse.attacks.target import DifferentiableTarget, Gradient
from tinyfuse.data.samples import Batch
from tinyfuse.threats.code_grid import Grids


class FrameTarget:
    """``target`` behind the ``camera`` of its input ``name``, which holds levels 0 to 255, float32 [n, h, w, c].

    It sees whole levels. Integers get the codes of all inputs. Gradients are straight-through in both.
    """

    def __init__(self, target: DifferentiableTarget, name: str, camera: Camera) -> None:
        self.target, self.seen, self.camera = target, name, camera
        self.name, self.executor, self.inputs = target.name, target.executor, target.inputs
        self.grids: Grids | None = None

    def logits(self, batch: Batch) -> np.ndarray:
        return self.target.logits(self._behind(batch))

    def gradient(self, batch: Batch, labels: np.ndarray, wrt: tuple[str, ...],
                 loss: str = "cross-entropy") -> Gradient:
        found, grids = self.target.gradient(self._behind(batch), labels, wrt, loss), self.target.grids or {}
        slopes = {name: values / np.float32(grids[name].scale) if name in grids else values
                  for name, values in found.wrt.items()}
        if self.seen in slopes:
            slopes[self.seen] = self.camera.pull_back(np.rint(batch[self.seen]), slopes[self.seen])
        return Gradient(found.logits, found.loss, slopes)

    def _behind(self, batch: Batch) -> dict[str, np.ndarray]:
        grids = self.target.grids or {}
        made = {name: batch[name] for name in self.target.inputs if name != self.seen}
        made[self.seen] = self.camera.inputs(np.rint(batch[self.seen]))
        return {name: grids[name].quantise(values).astype(np.float32) if name in grids else values
                for name, values in made.items()}
