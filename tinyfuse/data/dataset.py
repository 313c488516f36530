"""A data set: three parts of samples with the same named inputs and classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyfuse.core.errors import DataError
from tinyfuse.data.samples import Batch, Input, Samples

PARTS = ("train", "validation", "test")
Augment = Callable[[np.ndarray, np.random.Generator], Batch]
"""f(rows int [n], rng) -> inputs float32 [n, ...] by name: the training samples ``rows``, changed at random."""


@dataclass(frozen=True)
class DataTable:
    """Which data a network was trained on, as its table says; data of the same ``checksum`` are the same data."""

    name: str
    split: str
    seed: int
    checksum: str
    train_samples: int
    validation_samples: int
    test_samples: int


@dataclass(frozen=True, eq=False)
class Dataset:
    """Parts that share no group, and what is needed to train on them and to know them again.

    ``split`` says in a word how they were parted, with ``seed``. ``checksum``: SHA-256 (hex) of what was read and asked
    for, fit as a results key. ``fitted``: a plain table of what was fitted on the training part to compute the inputs
    (empty: nothing); it is kept with each network. ``refit`` makes the same data set from another such table.
    """

    name: str
    inputs: tuple[Input, ...]
    classes: tuple[str, ...]
    train: Samples = field(repr=False)
    validation: Samples = field(repr=False)
    test: Samples = field(repr=False)
    checksum: str
    split: str = "given"
    seed: int = 0
    augment: Augment | None = field(default=None, repr=False)
    fitted: Mapping[str, Any] = field(default_factory=dict, repr=False)
    refit: Callable[[Mapping[str, Any]], Dataset] | None = field(default=None, repr=False)

    def part(self, name: str) -> Samples:
        """Return the samples of part ``name``: train, validation or test."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]

    def table(self) -> DataTable:
        """Describe these data for the table of a network that is trained on them."""
        return DataTable(self.name, self.split, self.seed, self.checksum, *(len(self.part(part)) for part in PARTS))

    def epoch(self, number: int, *, seed: int) -> tuple[Batch, np.ndarray]:
        """Shuffle, and augment where that is given: inputs and labels of one epoch, every training sample once.

        They depend on ``seed`` and ``number`` alone, so that an interrupted training goes on with the same samples.
        """
        rng = np.random.default_rng([seed, number])
        order = rng.permutation(len(self.train))
        inputs = self.train.take(order).inputs if self.augment is None else self.augment(order, rng)
        return inputs, self.train.label[order]

    def as_trained(self, table: Mapping[str, Any], trained: str) -> Dataset:
        """Return the same data with what was fitted when a network was trained on it; ``table`` is the network's.

        DataError: the network ``trained`` was trained on other data.
        """
        data = table["data"] if isinstance(table.get("data"), Mapping) else {}
        if data.get("checksum") != self.checksum:
            raise DataError(f"{trained} was trained on {data.get('name', 'other data')} with another split, seed or "
                            f"limit than the {self.name} given; use the data it was trained on (its test part is only "
                            "unseen there)")
        fitted = table.get("fitted")
        return self if self.refit is None or not fitted or fitted == self.fitted else self.refit(fitted)
