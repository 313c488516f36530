"""ExFMem: features are rebuilt from a memory of a MinSim network's, end to end (Tian and Xu 2021)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.data.samples import Samples
from tinyfuse.nn.objectives import memory
from tinyfuse.nn.objectives.minsim import MinSim, Projections, SimilarityWork
from tinyfuse.nn.objectives.objective import Forward, Step, Work
from tinyfuse.nn.objectives.run import Run
from tinyfuse.nn.predict import in_batches

METHODS = ("ista", "ridge")
COLUMNS = {"ista": 256, "ridge": 30}
NOT_YET = -1.0
"""Score of an epoch of the first stage, below that of every epoch that may be kept."""


@dataclass(frozen=True)
class ExFMem:
    """Settings of a memory with ``columns`` features for each branch, class-balanced, of length 1.

    ``method``: "ista" adds ``steps`` steps of ISTA to the network, "ridge" one matrix, which is folded into the head.
    ``penalty``: of the code; for ISTA as a share of the mean length of the features remembered. ``share``: how much of
    what is handed on is rebuilt, 0 leaves the network plain. ``weight``, ``projection``: of MinSim, on rebuilt
    features. ``fill``: the share of the training that is MinSim with an empty memory; 0 for a network that MinSim has
    trained already. Without ``columns``: 256 for ISTA, 30 for ridge, which with many more columns than features
    changes nothing.
    """

    name: ClassVar[str] = "exfmem"
    method: str = "ista"
    columns: int | None = None
    steps: int = 30
    penalty: float = 0.1
    share: float = 0.5
    weight: float = 1.0
    projection: int = 0
    fill: float = 0.5

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UsageError(f"exfmem: unknown method '{self.method}'{nearest(self.method, METHODS)}; choose one of "
                             f"{', '.join(METHODS)}")
        if self.room < 1 or self.steps < 1 or not (0 <= self.share < 1 and 0 <= self.fill < 1):
            raise UsageError(f"exfmem: columns {self.columns}, steps {self.steps}, share {self.share}, fill "
                             f"{self.fill}: give at least one column and step, and shares of at least 0 and below 1")
        if not 0 < self.penalty < float("inf"):
            raise UsageError(f"exfmem: penalty is {self.penalty}; give a finite number above 0")
        MinSim(self.weight, self.projection)

    @property
    def room(self) -> int:
        """How many features a memory holds."""
        return COLUMNS[self.method] if self.columns is None else self.columns

    def rebuild(self, model: Any) -> Any:
        """Return ``model`` with an empty memory; as it is where it has one, or needs none."""
        if self.method == "ridge" or self.share == 0 or memory.memories(model):
            memory.freeze(model)
            return model
        return memory.with_memory(model, self.room, self.steps)

    def attach(self, run: Run) -> Work:
        """Return the part at work; UsageError for what MinSim refuses."""
        similar = MinSim(self.weight, self.projection).attach(run)
        assert isinstance(similar, SimilarityWork)
        wrapped = run.model.output._keras_history.layer is not run.view.head  # rounded: a folded memory is in the head
        if self.method == "ridge" and not wrapped:
            return RidgeWork(self, run, similar.projections)
        return IstaWork(self, run, similar.projections) if memory.memories(run.model) else similar


class _Filling(SimilarityWork, ABC):
    """Fills the memory when the first stage is over; epochs before are not kept."""

    def __init__(self, settings: ExFMem, run: Run, projections: Projections) -> None:
        super().__init__(settings.weight, projections)
        self.settings, self.run = settings, run

    @abstractmethod
    def is_filled(self) -> bool:
        """Tell whether the memory holds anything."""

    @abstractmethod
    def fill(self, samples: Samples) -> None:
        """Remember the features of ``samples``."""

    def epoch_start(self, epoch: int) -> None:
        """Fill an empty memory from the first epoch of the second stage on."""
        if epoch >= int(self.settings.fill * self.run.epochs) and not self.is_filled():
            self.fill(self.run.dataset.train.balanced(self.settings.room, seed=self.run.seed))

    def score(self, samples: Samples) -> float | None:
        """Leave the score to others, but in the first stage, whose epochs are worse than all others."""
        return None if self.is_filled() else NOT_YET


class IstaWork(_Filling):
    """Works on a network of :func:`tinyfuse.nn.objectives.memory.with_memory`; its features are the rebuilt ones."""

    def is_filled(self) -> bool:
        """Read it off the weights, which a checkpoint holds."""
        return memory.is_filled(self.run.model)

    def fill(self, samples: Samples) -> None:
        """Fill the memory of each branch, and scale the head to what the branches now hand on."""
        settings, model = self.settings, self.run.model
        for prefix, features in in_batches(memory.remembered_features(model), samples.inputs).items():
            length = float(np.linalg.norm(features, axis=1).mean())
            memory.fill(model, prefix, memory.unit_columns(features), settings.penalty * length, settings.share)
        memory.scale_head(model, 1 - settings.share)


class RidgeWork(_Filling):
    """Trains a head of its own on the rebuilt features, whose fold into the model's head is exact."""

    def __init__(self, settings: ExFMem, run: Run, projections: Projections) -> None:
        super().__init__(settings, run, projections)
        tf, rows = tensorflow(), run.view.rows
        self._head = cast("Any", run.view.head)
        self.kernel = tf.Variable(self._head.kernel, name="rebuilt_head")
        self.matrices = {branch: tf.Variable(np.eye(len(rows[branch]), dtype=np.float32), trainable=False)
                         for branch in run.view.branches}
        self._filled = tf.Variable(0.0, trainable=False, dtype="float32")
        self.variables, self.state = [self.kernel], [*self.matrices.values(), self._filled]

    def is_filled(self) -> bool:
        """Tell whether the memory holds anything."""
        return bool(self._filled > 0)

    def fill(self, samples: Samples) -> None:
        """Compute the matrix of each branch."""
        view, settings = self.run.view, self.settings
        for branch, values in in_batches(lambda batch: view.forward(batch, training=False).features,
                                         samples.inputs).items():
            found = memory.ridge(memory.unit_columns(values), settings.penalty)
            self.matrices[branch].assign(memory.blended(found, settings.share).astype(np.float32))
        self._filled.assign(1.0)

    def rebuilt(self, forward: Forward) -> dict[str, Any]:
        """Compute the rebuilt features [n, d] by branch."""
        return {branch: values @ self.matrices[branch] for branch, values in forward.features.items()}

    def head(self, forward: Forward) -> Any:
        """Compute the logits of the rebuilt features."""
        tf, rows, bias = tensorflow(), self.run.view.rows, self._head.bias
        logits = tf.add_n([values @ tf.gather(self.kernel, rows[branch])
                           for branch, values in self.rebuilt(forward).items()])
        return logits if bias is None else logits + bias

    def similarity(self, forward: Forward) -> Any:
        """Compute the weighted similarity [n] of the rebuilt features."""
        return super().similarity(Forward(forward.logits, self.rebuilt(forward)))

    def term(self, step: Step) -> Any:
        """Add the weight decay of the head that is trained in place of the model's."""
        decay = self._head.kernel_regularizer
        return super().term(step) + (0.0 if decay is None else decay(self.kernel))

    def publish(self) -> None:
        """Fold the memory into the model's head."""
        kernel = np.asarray(self.kernel).copy()
        for branch, rows in self.run.view.rows.items():
            kernel[rows] = np.asarray(self.matrices[branch]) @ kernel[rows]
        self._head.kernel.assign(kernel)

    def finish(self) -> Mapping[str, Any]:
        """Tell which share of features in any direction passes the memory, mean over directions, by branch."""
        return {"passed": {branch: round(float(np.trace(matrix) / len(matrix)), 4)
                           for branch, matrix in ((name, np.asarray(one)) for name, one in self.matrices.items())}}
