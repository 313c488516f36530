"""A data set: three parts of samples with the same named inputs and classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyfuse.core.errors import DataError, InputsError
from tinyfuse.data.samples import Input, Samples

PARTS = ("train", "validation", "test")
Augment = Callable[[np.ndarray, np.random.Generator], Mapping[str, np.ndarray]]
"""f(rows int [n], rng) -> inputs float32 [n, ...] by name: the training samples ``rows``, changed at random."""


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
        """The samples of part ``name``: train, validation or test."""
        found: Samples = {"train": self.train, "validation": self.validation, "test": self.test}[name]
        return found

    def input(self, name: str) -> Input:
        """The input called ``name``."""
        for one in self.inputs:
            if one.name == name:
                return one
        raise InputsError(f"{self.name} has no input '{name}'; it has {', '.join(one.name for one in self.inputs)}")

    def epoch_inputs(self, rows: np.ndarray, rng: np.random.Generator) -> Mapping[str, np.ndarray]:
        """Inputs of the training samples ``rows`` for one epoch, augmented where the data set can be."""
        return self.train.take(rows).inputs if self.augment is None else self.augment(rows, rng)

    def as_trained(self, table: Mapping[str, Any], trained: str) -> Dataset:
        """The same data with what was fitted when a network was trained on it; ``table`` is the network's.

        Raises:
            DataError: the network ``trained`` was trained on other data.
        """
        data = table.get("data")
        if not isinstance(data, Mapping) or data.get("checksum") != self.checksum:
            name = data.get("name") if isinstance(data, Mapping) else "other data"
            raise DataError(f"{trained} was trained on {name} with another split, seed or limit than the {self.name} "
                            "given; use the data it was trained on (its test part is only unseen there)")
        fitted = table.get("fitted")
        return self if self.refit is None or not fitted or fitted == self.fitted else self.refit(fitted)
