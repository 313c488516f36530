"""Where executors of one model disagree, tensor by tensor, on random or real inputs, and what that does to accuracy."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyfuse.core.console import progress
from tinyfuse.core.errors import InputsError, ModelError, ParityError, UsageError
from tinyfuse.integer.class_values import class_values
from tinyfuse.integer.executors import EXECUTORS, check_executor, open_executor
from tinyfuse.integer.executors.installed import is_here
from tinyfuse.integer.model import Codes, IntegerModel, random_codes

if TYPE_CHECKING:
    from tinyfuse.data.dataset import Dataset

BLOCK = 32  # samples whose tensors are held at a time


@dataclass
class TensorDifference:
    """One tensor in two executors: values compared, how many differ, and by how many codes at most."""

    name: str
    values: int = 0
    differing: int = 0
    max_abs: int = 0

    def add(self, a: np.ndarray, b: np.ndarray) -> None:
        """Count the differences of two arrays of codes."""
        gap = np.abs(a.astype(np.int64) - b.astype(np.int64))
        self.values += gap.size
        self.differing += int(np.count_nonzero(gap))
        self.max_abs = max(self.max_abs, int(gap.max(initial=0)))


@dataclass(frozen=True)
class Difference:
    """Executor ``a`` beside ``b`` on ``samples`` inputs, over all ``tensors`` in the order in which they are computed.

    ``argmax_differing``: samples with another arg-max.
    """

    a: str
    b: str
    samples: int
    values: int
    differing: int
    max_abs: int
    argmax_differing: int
    tensors: tuple[TensorDifference, ...]

    def text(self) -> list[str]:
        """Return lines to read: the two executors, then each tensor in which they differ."""
        return [f"{self.a} and {self.b}: {self.differing} of {self.values} values differ, by at most {self.max_abs}; "
                f"another arg-max on {self.argmax_differing} of {self.samples} samples",
                *(f"    {tensor.name}: {tensor.differing} of {tensor.values} differ, by at most {tensor.max_abs}"
                  for tensor in self.tensors if tensor.differing)]


@dataclass(frozen=True)
class Comparison:
    """Every two executors of ``model`` side by side on ``data`` (in words), and the accuracy of each on labelled data.

    ``outputs``: output codes [n, k] by executor. ``left_out``: why an executor that nobody asked for is missing.
    """

    model: str
    differences: tuple[Difference, ...]
    outputs: Mapping[str, np.ndarray] = field(repr=False)
    data: str = "the given codes"
    accuracy: Mapping[str, float] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain values: one entry for every two executors."""
        return {"model": self.model, "data": self.data, "accuracy": dict(self.accuracy),
                "left_out": dict(self.left_out),
                "differences": [{**vars(one), "tensors": [vars(tensor) for tensor in one.tensors]}
                                for one in self.differences]}

    def text(self) -> str:
        """Return the same as lines to read."""
        lines = [f"{self.model} on {self.data}", *(line for difference in self.differences
                                                   for line in difference.text())]
        lines += [f"{name}: {100 * share:.2f} % correct" for name, share in self.accuracy.items()]
        lines += [f"without {name}: {reason}" for name, reason in self.left_out.items()]
        return "\n".join(lines) + "\n"

    def check(self) -> None:
        """Raise :class:`ParityError` if the twin and TFLite Micro differ anywhere."""
        for found in self.differences:
            if {found.a, found.b} == {"tflm", "twin"} and found.differing:
                first = next(tensor.name for tensor in found.tensors if tensor.differing)
                raise ParityError(f"{self.model}: the twin differs from TFLite Micro in {found.differing} of "
                                  f"{found.values} values, first in '{first}'; do not trust its results, and report "
                                  "this model")


def compare(model: IntegerModel, executors: Sequence[str], codes: Codes, *,
            tick: Callable[[int], None] = lambda done: None) -> Comparison:
    """Run ``codes`` [n, ...] through every executor and compare all computed tensors of each two.

    ``tick`` is called with the number of samples that every executor has finished since the last call.

    Raises :class:`UsageError` for fewer than two executors or no samples, and what :func:`open_executor` raises.
    """
    if len(set(executors)) < 2:
        raise UsageError(f"a comparison needs two executors; given: {', '.join(executors) or 'none'}")
    count = len(next(iter(codes.values())))
    if not count:
        raise UsageError("a comparison needs at least one sample")
    opened = {name: open_executor(model, name) for name in dict.fromkeys(executors)}
    output = model.graph.outputs[0]
    found: dict[tuple[str, str], dict[int, TensorDifference]] = {
        two: {index: TensorDifference(model.graph.tensors[index].name) for index in model.graph.computed}
        for two in itertools.combinations(opened, 2)}
    outputs: dict[str, list[np.ndarray]] = {name: [] for name in opened}
    for start in range(0, count, BLOCK):
        block = {name: values[start:start + BLOCK] for name, values in codes.items()}
        tensors = {name: executor.tensors(block) for name, executor in opened.items()}
        for name, values in tensors.items():
            outputs[name].append(values[output].reshape(len(values[output]), -1))
        for (a, b), differences in found.items():
            for index, difference in differences.items():
                difference.add(tensors[a][index], tensors[b][index])
        tick(min(BLOCK, count - start))
    joined = {name: np.concatenate(parts) for name, parts in outputs.items()}
    classes = {name: class_values(values, model).argmax(1) for name, values in joined.items()}
    return Comparison(model.name, tuple(_difference(*two, [*differences.values()], classes)
                                        for two, differences in found.items()), joined)


def _difference(a: str, b: str, tensors: Sequence[TensorDifference], classes: Mapping[str, np.ndarray]) -> Difference:
    other = int(np.sum(classes[a] != classes[b]))
    return Difference(a, b, len(classes[a]), sum(one.values for one in tensors), sum(one.differing for one in tensors),
                      max(one.max_abs for one in tensors), other, tuple(tensors))


def compare_model(model: IntegerModel, executors: Sequence[str] | None, dataset: Dataset | None, *, samples: int,
                  seed: int) -> Comparison:
    """Compare ``executors`` on test ``samples`` of ``dataset``, or on random codes without one.

    By default those that are installed and can run the model; the others are named with their reasons. Raises
    :class:`InputsError` if the model takes other inputs than the data have.
    """
    from tinyfuse.integer.twin import Twin

    chosen = list(dict.fromkeys(executors or filter(is_here, EXECUTORS)))
    for name in chosen:
        check_executor(name)
    # Interpreters trust a file and may end their process on a hostile one; what the twin accepts is sound.
    Twin(model.graph)
    left_out = {} if executors else _unable(model, chosen)
    chosen = [name for name in chosen if name not in left_out]
    if len(chosen) < 2 and left_out:
        raise ModelError(f"{model.name}: {'; '.join(left_out.values())}")
    labels = None
    if dataset is None:
        codes, data = random_codes(model, samples, seed=seed), f"{samples} random inputs (seed {seed})"
    else:
        batch = dataset.test.balanced(samples, seed=0)
        labels, data = batch.label, f"{len(batch)} test samples of {dataset.name}"
        try:
            codes = model.codes_of(batch.inputs)
        except InputsError as error:
            raise InputsError(f"{error}; or compare on random inputs (--random N)") from error
    with progress("comparing", len(next(iter(codes.values())))) as advance:
        found = compare(model, chosen, codes, tick=advance)
    accuracy = {} if labels is None else {name: float(np.mean(class_values(output, model).argmax(1) == labels))
                                          for name, output in found.outputs.items()}
    return replace(found, data=data, accuracy=accuracy, left_out=left_out)


def _unable(model: IntegerModel, names: Sequence[str]) -> dict[str, str]:
    """Those of ``names`` that cannot run ``model``, with what they say to one sample."""
    codes, found = random_codes(model, 1, seed=0), dict[str, str]()
    for name in names:
        try:
            open_executor(model, name).tensors(codes)
        except ModelError as error:
            found[name] = str(error).removeprefix(f"{model.name}: ")
    return found
