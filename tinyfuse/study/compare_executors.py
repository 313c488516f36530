"""``tinyfuse compare``: where the executors of one model differ, and what that does to accuracy on real data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyfuse.core.console import progress
from tinyfuse.core.errors import ParityError
from tinyfuse.integer.compare import Comparison, PairDifference, compare, random_codes
from tinyfuse.integer.executors import EXECUTORS
from tinyfuse.integer.interpreters import IntegerModel, check_executor
from tinyfuse.study.samples import real_codes

if TYPE_CHECKING:
    from tinyfuse.data import Dataset


@dataclass(frozen=True)
class Compared:
    """A comparison of ``model`` on ``inputs`` (a name for the data), with the accuracy of each executor on it."""

    model: str
    inputs: str
    comparison: Comparison
    accuracy: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """Plain values: one entry for each pair of executors, over all tensors and by tensor."""
        return {"model": self.model, "inputs": self.inputs, "accuracy": dict(self.accuracy),
                "pairs": [_pair_json(pair) for pair in self.comparison.pairs]}

    def text(self) -> str:
        """The same as lines to read: each pair, and below it the tensors that differ."""
        lines = [f"{self.model} on {self.inputs}"]
        for pair in self.comparison.pairs:
            lines.append(f"{pair.a} and {pair.b}: {pair.differing} of {pair.values} values differ, by at most "
                         f"{pair.max_abs}; another arg-max on {pair.argmax_differing} of {pair.samples} samples")
            lines += [f"    {tensor.name}: {tensor.differing} of {tensor.values} differ, by at most {tensor.max_abs}"
                      for tensor in pair.tensors if tensor.differing]
        lines += [f"{name}: {100 * share:.2f} % correct" for name, share in self.accuracy.items()]
        return "\n".join(lines) + "\n"

    def check(self) -> None:
        """Raise :class:`ParityError` if the twin and TFLite Micro differ anywhere."""
        for pair in self.comparison.pairs:
            if {pair.a, pair.b} == {"tflm", "twin"} and pair.differing:
                first = next(tensor.name for tensor in pair.tensors if tensor.differing)
                raise ParityError(f"{self.model}: the twin differs from TFLite Micro in {pair.differing} of "
                                  f"{pair.values} values, first in '{first}'; do not trust its results, and report "
                                  "this model")


def compare_model(model: IntegerModel, executors: Sequence[str] | None, dataset: Dataset | None, *, samples: int,
                  seed: int) -> Compared:
    """Compare ``executors`` (default: all) on ``samples`` test pairs of ``dataset``, or on random codes without one."""
    from tinyfuse.integer.twin import Twin

    chosen = list(dict.fromkeys(executors or EXECUTORS))
    for name in chosen:
        check_executor(name)
    # The interpreters trust a file and may end the process on a hostile one; what the twin accepts is sound.
    Twin(model.graph)
    labels = None
    if dataset is None:
        codes, inputs = random_codes(model, samples, seed=seed), f"{samples} random inputs (seed {seed})"
    else:
        pairs = dataset.test.balanced(samples, seed=0)
        codes, labels = real_codes(model, pairs.inputs()), pairs.label
        inputs = f"{len(pairs)} test pairs of {dataset.name}"
    with progress("comparing", len(next(iter(codes.values())))) as advance:
        done = 0

        def tick(finished: int) -> None:
            nonlocal done
            advance(finished - done)
            done = finished

        found = compare(model, chosen, codes, tick=tick)
    accuracy = {} if labels is None else {name: float(np.mean(output.argmax(1) == labels))
                                          for name, output in found.outputs.items()}
    return Compared(model.name, inputs, found, accuracy)


def _pair_json(pair: PairDifference) -> dict[str, Any]:
    return {"a": pair.a, "b": pair.b, "samples": pair.samples, "values": pair.values, "differing": pair.differing,
            "max_abs": pair.max_abs, "argmax_differing": pair.argmax_differing,
            "tensors": [vars(tensor) for tensor in pair.tensors]}
