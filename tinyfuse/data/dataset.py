"""A data set: three parts of samples with the same named inputs and classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyfuse.core.errors import DataError
from tinyfuse.data.own.arrays import named_arrays, parts_of_arrays
from tinyfuse.data.own.as_arrays import arrays_of_pipeline, as_array, is_pipeline
from tinyfuse.data.own.assemble import Parts, Recording
from tinyfuse.data.own.settings import read_settings, with_ranges
from tinyfuse.data.samples import PARTS, Batch, Input, Samples, describe_shapes

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


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Parts that share no group, and what is needed to train on them and to know them again.

    ``split`` says in a word how they were parted, with ``seed``. ``checksum``: SHA-256 (hex) of what was read and asked
    for, fit as a results key. ``fitted``: a plain table of what was fitted on the training part to compute the inputs
    (empty: nothing); it is kept with each network. ``refit`` makes the same data set from another such table.
    ``front_ends``: by input, the table of the front end that made it of a recording, a picture or an array.
    ``recording`` gives the sound behind a sample, where there is one.
    """

    name: str
    inputs: tuple[Input, ...]
    classes: tuple[str, ...]
    train: Samples
    validation: Samples
    test: Samples
    checksum: str
    split: str = "given"
    seed: int = 0
    augment: Augment | None = None
    fitted: Mapping[str, Any] = field(default_factory=dict)
    refit: Callable[[Mapping[str, Any]], Dataset] | None = None
    front_ends: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    recording: Recording | None = None

    @classmethod
    def from_arrays(cls, inputs: Any, label: Any = None, *, group: Any = None, part: Any = None,
                    table: Mapping[str, Any] | None = None, seed: int = 0, limit: int | None = None,
                    **settings: Any) -> Dataset:
        """Make a data set of arrays: ``inputs`` by name, [n, ...] each, ``label`` [n] of class numbers or names.

        ``group`` [n]: which samples belong together (a speaker, a session); parts share none. ``part`` [n]: "train",
        "validation" or "test"; without it the samples are divided with ``seed``. ``table``: what a ``dataset.toml``
        says, as a plain table; its keys may be given as ``settings`` (classes, name, split), and ``low`` and ``high``
        for all inputs or by name. What is left out is inferred and said. ``limit`` caps the samples of each part.

        Arrays, lists, tensors and columns of a data frame will do; ``inputs`` may be a ``tf.data`` pipeline of (inputs
        by name, label). Memory-mapped arrays stay on disk. DataError: one line that says what does not fit.
        """
        if is_pipeline(inputs):
            inputs, label = arrays_of_pipeline(inputs)
        if not isinstance(inputs, Mapping):
            raise DataError(f"inputs is {type(inputs).__name__}; give arrays by name, such as {{'camera': pictures}}")
        named = {"label": label, "group": group, "part": part}
        extra = {name: as_array(values, name) for name, values in named.items() if values is not None}
        arrays = {str(name): as_array(values, str(name)) for name, values in inputs.items()}
        return cls.of_parts(parts_of_arrays(
            named_arrays({**arrays, **extra}, "arrays"),
            read_settings(with_ranges({**(table or {}), **settings}, arrays), "arrays"), name="arrays", seed=seed,
            limit=limit))

    @classmethod
    def of_parts(cls, parts: Parts) -> Dataset:
        """Wrap what own data was assembled into."""
        fields = {name: value for name, value in vars(parts).items() if name != "refit"}
        refit = parts.refit
        return cls(**fields, refit=None if refit is None else lambda table: cls.of_parts(refit(table)))

    def __repr__(self) -> str:
        names = ", ".join(self.classes[:4]) + (", ..." if len(self.classes) > 4 else "")
        counts = ", ".join(f"{len(self.part(part))} {part}" for part in PARTS)
        shapes = describe_shapes({one.name: one.shape for one in self.inputs})
        return f"Dataset({self.name}: {shapes}; {len(self.classes)} classes ({names}); {counts} samples)"

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
