"""What the data box hands on: parts made of image+audio pairs, and the data set that holds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields

import numpy as np

from tinyfuse.data.digits.features import FeatureScaling

MODALITIES: tuple[str, ...] = ("image", "audio")
CLASSES = 10


def class_quota(available: np.ndarray, limit: int) -> np.ndarray:
    """Share ``limit`` items over classes as equally as ``available`` (int [classes]) allows; int64 [classes].

    The first classes get the items that do not divide; the sum is ``min(limit, available.sum())``.
    """
    quota = np.zeros(len(available), np.int64)
    left = min(int(limit), int(available.sum()))
    while left > 0:
        open_classes = np.flatnonzero(quota < available)
        share = max(left // len(open_classes), 1)
        for index in open_classes:
            step = min(share, int(available[index] - quota[index]), left)
            quota[index] += step
            left -= step
    return quota


@dataclass(frozen=True)
class Pairs:
    """One part of a data set; all arrays have the same first dimension n.

    ``image`` and ``audio`` are float32 [n, 28, 28, 1] in [0, 1]; ``label`` is int64 [n] in 0..9; ``writer`` and
    ``speaker`` are int32 [n], -1 where unknown; ``written_id`` and ``spoken_id`` are int64 [n]: the rows of the
    written sample and of the utterance in their sources.
    """

    image: np.ndarray
    audio: np.ndarray
    label: np.ndarray
    writer: np.ndarray
    speaker: np.ndarray
    written_id: np.ndarray
    spoken_id: np.ndarray

    def __len__(self) -> int:
        return len(self.label)

    def take(self, rows: np.ndarray) -> Pairs:
        """The pairs at ``rows`` (integer positions, a slice or a boolean mask), in that order."""
        return Pairs(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def inputs(self) -> dict[str, np.ndarray]:
        """The two model inputs by name, each float32 [n, 28, 28, 1]."""
        return {"image": self.image, "audio": self.audio}

    def balanced(self, n: int, *, seed: int) -> Pairs:
        """At most ``n`` pairs, drawn with ``seed``, classes as equal as the part allows, in the part's order."""
        counts = np.bincount(self.label, minlength=CLASSES)
        generator = np.random.default_rng([seed, n])
        chosen = [generator.permutation(np.flatnonzero(self.label == digit))[:quota]
                  for digit, quota in enumerate(class_quota(counts, n))]
        return self.take(np.sort(np.concatenate(chosen)))


@dataclass(frozen=True)
class Variants:
    """Augmented features of the training utterances.

    ``audio`` is float32 [u, v, 28, 28, 1] in [0, 1], variant 0 is the clean one; ``row_of_pair`` is int64
    [len(train)]: the utterance u that belongs to each training pair.
    """

    audio: np.ndarray
    row_of_pair: np.ndarray


@dataclass(frozen=True)
class Dataset:
    """Three parts that share no written sample and no utterance, and what is needed to feed new audio.

    ``split`` is ``official`` or ``speaker``; ``speakers`` holds the names, indexed by speaker id; ``checksum`` is the
    SHA-256 (hex) over everything that defines the parts, fit as a results key. ``rescaled`` makes the same data set
    with another feature scaling (None where the features have none).
    """

    name: str
    split: str
    seed: int
    train: Pairs
    validation: Pairs
    test: Pairs
    variants: Variants
    scaling: FeatureScaling
    speakers: tuple[str, ...]
    checksum: str
    rescaled: Callable[[FeatureScaling], Dataset] | None = field(default=None, repr=False, compare=False)

    def scaled_as(self, scaling: FeatureScaling) -> Dataset:
        """The same data with the feature scaling that a network was trained with, which is part of the network."""
        return self if self.rescaled is None or scaling == self.scaling else self.rescaled(scaling)
