"""The smallest change of each camera's frame that fools the deployed chain: in levels, pixels, per cent or degrees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tinyfuse.attacks import misclassified
from tinyfuse.attacks.frame.scene_changes import CHANGES
from tinyfuse.attacks.minimal import halvings
from tinyfuse.data import Batch
from tinyfuse.study.frame_attack import Eye, FrameTask, check_patch, make_frames
from tinyfuse.study.smallest_changes import SmallestChanges
from tinyfuse.threats.frame_budgets import FrameBudget


def minimal_frame(eye: Eye, task: FrameTask) -> SmallestChanges:
    """Look for the smallest whole amount, up to that of ``task``, for each of its frames.

    Levels of pixels and sides of patches are bisected, changes of the whole frame are tried one after the other, both
    ways; whole levels are judged each time.
    """
    check_patch(eye, task.budget)
    label, frames = task.samples.label, eye.camera.frames_of(task.samples.inputs[eye.name])
    others = {name: np.asarray(values) for name, values in task.samples.inputs.items() if name != eye.name}
    search = _Search(eye, task, frames, others, label)
    (search.scan if task.budget.norm in CHANGES else search.bisect)()
    return SmallestChanges(eye.subject, eye.name, task.settings(eye).attack, task.budget, search.sizes,
                           list(search.made), search.queries)


class _Search:
    """Frames uint8 [n, h, w, c], what is known of each, and what was found."""

    def __init__(self, eye: Eye, task: FrameTask, frames: np.ndarray, others: Batch, label: np.ndarray) -> None:
        self.eye, self.task, self.frames, self.others, self.label = eye, task, frames, others, label
        self.made, self.queries = frames.copy(), len(frames)
        self.sizes = np.where(self._wrong(frames, np.arange(len(frames))), 0.0, np.inf)

    def scan(self) -> None:
        """Try 1, 2, ... in both directions on what is still right."""
        norm, most = self.task.budget.norm, self.task.budget.amount
        for amount in dict.fromkeys([*np.arange(1.0, most), most]):
            for signed in (-amount, amount):
                rows = np.flatnonzero(np.isinf(self.sizes))
                if not len(rows):
                    return
                self._keep(rows, CHANGES[norm](self.frames[rows], signed), amount)
                self.queries += len(rows)

    def bisect(self) -> None:
        """Run the attack of the task on brackets of whole amounts."""
        most = int(self.task.budget.amount)
        lower, upper = np.zeros(len(self.frames), np.int64), np.where(self.sizes == 0, 0, most + 1)
        for amount, rows in halvings(lower, upper):
            task = replace(self.task, budget=FrameBudget(self.task.budget.norm, amount))
            made, queries = make_frames(self.eye, task, self.frames[rows], self._beside(rows), self.label[rows], rows)
            self.queries += queries
            broken = self._keep(rows, made, amount)
            lower[rows[~broken]] = amount
            upper[rows[broken]] = self.sizes[rows[broken]].astype(np.int64)

    def _keep(self, rows: np.ndarray, made: np.ndarray, amount: float) -> np.ndarray:
        """Keep of the frames ``made`` those that fool the model; return bool: which."""
        broken = self._wrong(made, rows)
        for place in np.flatnonzero(broken):
            row = rows[place]
            change = np.abs(made[place].astype(np.int64) - self.frames[row])
            self.sizes[row] = change.max() if self.task.budget.norm == "pixels" else amount
            self.made[row] = made[place]
        return broken

    def _wrong(self, frames: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return misclassified(self.eye.output(self.eye.inputs(frames, self._beside(rows))), self.label[rows])

    def _beside(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        return {name: values[rows] for name, values in self.others.items()}
