"""Pictures of two written digits, of which the speech names one: where it stands is the truth about a network's map.

Each picture of 28x28 shows two different digits of 14x14 in two of its quadrants, side by side or diagonally. The label
is the spoken digit; the truth (``Samples.regions``) is its quadrant, which training never sees. The other digit is one
of the same part of the data, so that parts still share no written digit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tinyfuse.core.errors import UsageError
from tinyfuse.core.files import sha256_hex
from tinyfuse.data.dataset import Augment, Dataset
from tinyfuse.data.digits.features import SIDE
from tinyfuse.data.digits.load import load
from tinyfuse.data.samples import PARTS, Batch, Samples
from tinyfuse.data.sources import register_paths, register_source

NAME = "composed"
PICTURE = "image"
HALF = SIDE // 2
# Pairs (quadrant of the spoken digit, of the other one), counted in rows of two; one above the other is left out.
_SIDE_BY_SIDE = ((0, 1), (1, 0), (2, 3), (3, 2))
_DIAGONAL = ((0, 3), (3, 0), (1, 2), (2, 1))
LAYOUTS = np.array(_SIDE_BY_SIDE + _DIAGONAL)


def register_composed() -> None:
    """Make the composed pictures known as a data source."""
    register_source(NAME, load_composed)
    register_paths(recognises, load_composed)


def recognises(source: Path) -> bool:
    """Tell whether ``source`` is ``composed:`` and what the digits are read from."""
    return str(source).startswith(f"{NAME}:")


def load_composed(source: str | Path | None = None, *, split: str = "official", spoken: str = "auto",
                  held_out: str | None = None, seed: int = 0, limit: int | None = None) -> Dataset:
    """Load pictures of two digits each with the speech of one of them.

    ``source``: ``"composed"`` (of the embedded digits), or ``"composed:"`` and what :func:`tinyfuse.data.digits.load`
    reads, such as ``composed:DIR``. The other arguments are those of that function.
    """
    inner = str(source or NAME).removeprefix(NAME).removeprefix(":") or None
    return compose(load(inner, split=split, spoken=spoken, held_out=held_out, seed=seed, limit=limit))


def compose(digits: Dataset) -> Dataset:
    """Make pictures of two digits of a data set of written and spoken digits; ``refit`` and variants go along."""
    refit = digits.refit
    train, validation, test = (composed_part(digits.part(part), np.random.default_rng([digits.seed, 5, place]))
                               for place, part in enumerate(PARTS))
    return replace(digits, name=f"{NAME}-{digits.name}", checksum=sha256_hex(f"{NAME}-1 {digits.checksum}".encode()),
                   train=train, validation=validation, test=test,
                   augment=None if digits.augment is None else ComposedAugmentation(digits.augment, digits.train),
                   refit=None if refit is None else lambda table: compose(refit(table)),
                   front_ends=_without_picture(digits.front_ends))


def _without_picture(front_ends: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Leave out the front end of the picture: a camera's picture is not put together of two."""
    return {name: table for name, table in front_ends.items() if name != PICTURE}


def composed_part(samples: Samples, rng: np.random.Generator) -> Samples:
    """Put another digit beside that of each of ``samples``; their label, speech and group stay."""
    picture = samples.inputs[PICTURE]
    layout = LAYOUTS[rng.integers(len(LAYOUTS), size=len(samples))]
    made = composed_pictures(picture, picture[partners(samples.label, samples.label, rng)], layout)
    return replace(samples, inputs={**samples.inputs, PICTURE: made}, regions={PICTURE: quadrant_mask(layout[:, 0])})


def partners(label: np.ndarray, known: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw for each ``label`` (int [n]) the place of an entry of ``known`` (int [m]) that differs: int64 [n]."""
    found = np.empty(len(label), np.int64)
    for digit in np.unique(label):
        others = np.flatnonzero(known != digit)
        if not len(others):
            raise UsageError("a picture of two digits needs samples of two classes in each part; give more samples")
        found[label == digit] = rng.choice(others, size=int((label == digit).sum()))
    return found


def composed_pictures(spoken: np.ndarray, other: np.ndarray, layout: np.ndarray) -> np.ndarray:
    """Put pictures float32 [n, 28, 28, 1], halved, into the quadrants ``layout`` int [n, 2] of an empty picture."""
    made = np.zeros_like(spoken)
    for digit, quadrant in zip((spoken, other), layout.T, strict=True):
        small = halved(digit)
        for place in range(4):
            rows = quadrant == place
            made[rows, *_quadrant(place)] = small[rows]
    return made


def halved(picture: np.ndarray) -> np.ndarray:
    """Average each 2x2 of pictures float32 [n, 28, 28, 1]: [n, 14, 14, 1]."""
    return np.asarray(picture.reshape(len(picture), HALF, 2, HALF, 2, 1).mean(axis=(2, 4), dtype=np.float32))


def quadrant_mask(quadrant: np.ndarray) -> np.ndarray:
    """Mark the quadrants int [n]: bool [n, 28, 28, 1]."""
    mask = np.zeros((len(quadrant), SIDE, SIDE, 1), bool)
    for place in range(4):
        mask[quadrant == place, *_quadrant(place)] = True
    return mask


def _quadrant(place: int) -> tuple[slice, slice]:
    row, column = divmod(place, 2)
    return slice(row * HALF, (row + 1) * HALF), slice(column * HALF, (column + 1) * HALF)


@dataclass(frozen=True, eq=False)
class ComposedAugmentation:
    """New pictures in each epoch: another variant of both digits, another partner, another layout."""

    digits: Augment
    train: Samples

    def __call__(self, rows: np.ndarray, rng: np.random.Generator) -> Batch:
        """Draw new inputs for the training samples ``rows``."""
        changed = self.digits(rows, rng)
        # The partner is drawn among the same rows, whose pictures have just been changed.
        label = self.train.label[rows]
        layout = LAYOUTS[rng.integers(len(LAYOUTS), size=len(rows))]
        picture = changed[PICTURE]
        return {**changed, PICTURE: composed_pictures(picture, picture[partners(label, label, rng)], layout)}
