"""What a reader returns before pairing: written samples, and utterances as clips or as ready features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyfuse.core.errors import DataError

TRAIN, VALIDATION, TEST = 0, 1, 2


@dataclass(frozen=True)
class Written:
    """Handwritten digits: ``images`` uint8 [n, 28, 28], ``label`` int64 [n], ``part`` int8 [n] (TRAIN or TEST);
    ``digest`` is the SHA-256 of what was read.
    """

    name: str
    images: np.ndarray
    label: np.ndarray
    part: np.ndarray
    digest: str


@dataclass(frozen=True)
class Clips:
    """Utterances as sound: ``clip`` gives row -> float32 [samples] at 8 kHz, finite, in [-1, 1].

    ``noise`` is float32 [k, 8000] background at 8 kHz for the variants, or None.
    """

    clip: Callable[[int], np.ndarray]
    noise: np.ndarray | None = None


@dataclass(frozen=True)
class Features:
    """Utterances that come as features: ``values`` float32 [n, 39, 13]; ``scaled`` when they are final, in [0, 1]."""

    values: np.ndarray
    scaled: bool = False


@dataclass(frozen=True)
class Spoken:
    """Spoken digits: ``label`` int64 [n], ``part`` int8 [n] (the official split), ``speaker`` int32 [n] (-1 unknown,
    else an index into ``speaker_names``); ``digest`` is the SHA-256 of what was read.
    """

    name: str
    label: np.ndarray
    part: np.ndarray
    speaker: np.ndarray
    speaker_names: tuple[str, ...]
    digest: str
    voice: Clips | Features

    def __len__(self) -> int:
        return len(self.label)


@dataclass(frozen=True)
class Corpus:
    """Both sides of a data set; ``spoken_of_written`` (int64 [written]) is given when the source comes paired."""

    written: Written
    spoken: Spoken
    spoken_of_written: np.ndarray | None = None

    @property
    def name(self) -> str:
        """Join both names, such as ``mnist+fsdd``."""
        return "+".join(dict.fromkeys((self.written.name, self.spoken.name)))


def check_labels(label: np.ndarray, path: Path) -> np.ndarray:
    """Check labels, whole numbers 0..9 or ``DataError``, and return them as int64 [n]."""
    if label.ndim != 1 or not len(label):
        raise DataError(f"{path}: labels of shape {label.shape}; expected whole numbers [n]")
    if not np.isin(label, range(10)).all():
        raise DataError(f"{path}: a label lies outside 0..9; expected digits")
    return label.astype(np.int64)


def check_speakers(arrays: Mapping[str, np.ndarray], part: np.ndarray,
                   path: Path) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Check ``digit``, ``speaker`` and ``speaker_names`` of an archive; labels int64 [n], speakers int32 [n], names."""
    label, speaker, names = check_labels(arrays["digit"], path), arrays["speaker"], arrays["speaker_names"]
    if not label.shape == speaker.shape == part.shape:
        raise DataError(f"{path}: its arrays differ in length; expected {len(label)} of each")
    if names.ndim != 1 or not 0 <= int(speaker.min()) <= int(speaker.max()) < len(names):
        raise DataError(f"{path}: a speaker index lies outside the {names.size} names")
    return label, speaker.astype(np.int32), tuple(str(name) for name in names)
