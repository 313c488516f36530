"""What is analysed: a float network or an integer model, as a target that takes real inputs by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tinyfuse.analyses.attention_map import keras_map, twin_map
from tinyfuse.analyses.head import Head, head_of_network, head_of_twin
from tinyfuse.attacks.target import DifferentiableTarget
from tinyfuse.attacks.targets.anomaly import float_target
from tinyfuse.attacks.targets.twin_target import TwinTarget
from tinyfuse.data.dataset import Dataset
from tinyfuse.data.samples import Batch, Input
from tinyfuse.nn.network import Network

BATCH = 40
"""Samples that a float network computes at a time; full batches of 50 round differently by place in the batch."""


@dataclass(frozen=True, eq=False)
class AnalysisSubject:
    """A model under analysis, as rows name it; ``inputs`` are those that it looks at, of ``dataset``.

    ``target`` gives logits and gradients: on real inputs of a float network, on codes of an integer model (see
    :meth:`given`). ``network`` is None for an integer model.
    """

    model: str
    precision: str
    sha256: str
    seed: int
    inputs: tuple[Input, ...]
    dataset: Dataset
    target: DifferentiableTarget
    network: Network | None = None

    @classmethod
    def of_network(cls, network: Network, dataset: Dataset) -> AnalysisSubject:
        """Analyse a float ``network`` in Keras."""
        target = float_target(network, dataset, batch_size=BATCH)
        return cls(network.name, "float", network.sha256, network.seed, network.inputs, dataset, target, network)

    @property
    def executor(self) -> str:
        """What computes it: "keras" or "twin"."""
        return self.target.executor

    @property
    def twin(self) -> TwinTarget | None:
        """The target of an integer model, None for a float network."""
        return self.target if isinstance(self.target, TwinTarget) else None

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs that it looks at."""
        return tuple(one.name for one in self.inputs)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.dataset.classes

    def given(self, inputs: Batch) -> Batch:
        """Turn real ``inputs`` [n, ...] into what the target takes: themselves, or codes as float32."""
        if self.twin is None:
            return {name: inputs[name] for name in self.input_names}
        return {name: codes.astype(np.float32) for name, codes in self.twin.model.codes_of(inputs).items()}

    def logits(self, inputs: Batch) -> np.ndarray:
        """Compute logits [n, classes] of real ``inputs``."""
        return self.target.logits(self.given(inputs))

    def predict(self, inputs: Batch) -> np.ndarray:
        """Compute the class, int [n], of real ``inputs``."""
        return np.asarray(self.logits(inputs).argmax(axis=1))

    @cached_property
    def head(self) -> Head | None:
        """Its last layer, if that is dense and linear, with the features that it reads; None otherwise."""
        if self.network is not None and self.network.model.output_shape[-1] == len(self.classes):
            return head_of_network(self.network.model)
        return head_of_twin(self.twin) if self.twin is not None else None

    def lacks(self, need: str) -> str:
        """Say in words why the model does not have what ``need`` names; an empty text if it has it."""
        check, words = NEEDS[need]
        return "" if check(self) else words


def _apart(subject: AnalysisSubject) -> bool:
    head = subject.head
    names = [] if head is None else [name for inputs in head.branches.values() for name in inputs]
    return head is not None and len(set(names)) == len(names)


def _has_map(subject: AnalysisSubject) -> bool:
    if subject.twin is not None:
        return twin_map(subject.twin) is not None
    return subject.network is not None and keras_map(subject.network.model) is not None


NEEDS: dict[str, tuple[Callable[[AnalysisSubject], bool], str]] = {
    "float": (lambda one: one.network is not None, "a float network"),
    "integer": (lambda one: one.twin is not None, "an integer .tflite"),
    "head": (lambda one: one.head is not None, "a last layer that is dense and linear"),
    "branches": (lambda one: _apart(one) and one.head is not None and len(one.head.branches) > 1,
                 "a last layer that is dense, linear and reads features of each input apart, as late fusion does"),
    "axes": (lambda one: any(each.axes for each in one.inputs), "an input whose axes (bands, frames, rows) are named"),
    "map": (_has_map, "a map inside: a softmax over places, as the network localiser has"),
    "several": (lambda one: len(one.inputs) > 1, "two inputs or more"),
    "apart": (_apart, "a last layer that is dense and linear, and inputs that each reach it by one branch"),
}
"""What an analysis may need, by name: whether a model has it, and what it is in words."""
