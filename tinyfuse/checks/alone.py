"""Does a network still listen to each of its inputs? What it gets right from one input alone.

Training against attacks can silence an input: the network then withstands every attack on it, because it no longer
listens. So each input is heard alone, the others at their training mean. Of some networks a mean is a misleading input
(the mean of pictures looks like one class), so an input that seems silent is heard a second time: the logits are
averaged over training samples of the other inputs. With a linear head on features of each input that is the answer for
the others at their mean feature. Some networks need all inputs at once; so of an input that still seems silent it is
told what the network loses when that input comes from a sample of another class: if nothing, it is not listened to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinyfuse.core.statistics import wilson
from tinyfuse.data.samples import Batch

if TYPE_CHECKING:
    from tinyfuse.checks.experiments import Measured

Logits = Callable[[Batch], np.ndarray]
REFERENCES = 10
"""Training samples whose other inputs are averaged over, classes as equal as possible."""
MOST_SAMPLES = 200
ALONE, SWAPPED = "alone", "swapped"
"""Kinds of probes."""
JOINT, CHANCE = "all", "none"
"""In the names of probes in the place of an input: all of them, and what no input gives (input names exclude both)."""


def with_others(batch: Batch, kept: Sequence[str], others: Batch) -> dict[str, np.ndarray]:
    """Return ``batch`` with each input but ``kept`` replaced, in every sample, by that of ``others`` ([...] each)."""
    return {name: values if name in kept else np.broadcast_to(others[name], values.shape)
            for name, values in batch.items()}


def mean_answer(logits: Logits, batch: Batch, kept: Sequence[str], references: Batch) -> np.ndarray:
    """Average the logits [n, k] of ``batch`` over ``references`` [r, ...], whose samples stand in for all but ``kept``.

    With logits that are a sum over inputs, it is the answer for the mean of what the others add.
    """
    count = len(next(iter(references.values())))
    every = [logits(with_others(batch, kept, {name: values[row] for name, values in references.items()}))
             for row in range(count)]
    return np.asarray(np.mean(every, axis=0))


def chance(labels: np.ndarray) -> float:
    """Tell the share that a constant answer gets right at best, the share of the most frequent class."""
    return float(np.bincount(labels).max() / len(labels))


def of_other_classes(labels: np.ndarray) -> np.ndarray:
    """Choose for each sample one of another class, int [n]; of a class with more than half of all some keep theirs."""
    order = np.argsort(labels, kind="stable")
    found = np.empty(len(labels), np.int64)
    found[order] = np.roll(order, len(labels) // 2)
    return found


def hear_each(logits: Logits, batch: Batch, labels: np.ndarray, means: Batch,
              references: Batch) -> Iterator[tuple[str, Measured]]:
    """Yield ("alone-" and an input, accuracy from it alone), then those of all inputs and of none (chance).

    Of an input that seems silent also "swapped-" and its name: the accuracy when it is of samples of other classes.
    ``batch`` [n, ...], ``means`` [...] and ``references`` [r, ...] in what ``logits`` takes, of all inputs.
    """
    from tinyfuse.checks.experiments import Measured

    luck, n = chance(labels), len(labels)

    def right(found: np.ndarray) -> float:
        return float(np.mean(found.argmax(axis=1) == labels))

    for name in batch:
        alone, said = right(logits(with_others(batch, (name,), means))), "others at their training mean"
        if at_chance(alone, n, luck):
            again = right(mean_answer(logits, batch, (name,), references))
            said = f"{alone:.1%} with the others at their training mean, {again:.1%} averaged over training samples"
            alone = max(alone, again)
        yield f"{ALONE}-{name}", Measured(alone, n, said)
        if at_chance(alone, n, luck):
            swapped = {**batch, name: batch[name][of_other_classes(labels)]}
            yield f"{SWAPPED}-{name}", Measured(right(logits(swapped)), n, f"{name} of samples of other classes")
    yield f"{ALONE}-{JOINT}", Measured(right(logits(batch)), n, "all inputs as they are")
    yield f"{ALONE}-{CHANCE}", Measured(luck, n, "share of the most frequent class")


def at_chance(accuracy: float, n: int, luck: float) -> bool:
    """Tell whether the 95 % interval of an ``accuracy`` on ``n`` samples reaches down to chance."""
    return wilson(round(accuracy * n), n)[0] <= luck
