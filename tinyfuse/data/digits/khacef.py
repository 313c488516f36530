"""The reference set: Khacef et al., "Written and spoken digits database for multimodal learning".

doi:10.5281/zenodo.3515935. Six ``.npy`` files, paired row by row: ``data_wr_*`` (784 values), ``data_sp_*`` (39 x 13 =
507 values) and ``labels_*`` for ``train`` and ``test``. Utterances occur more than once; equal rows are one utterance.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from tinyfuse.core.errors import DataError
from tinyfuse.core.files import sha256_hex
from tinyfuse.data.digits.corpus import TEST, TRAIN, Corpus, Features, Spoken, Written, check_labels
from tinyfuse.data.digits.features import COEFFICIENTS, FRAMES, SIDE, VALUES
from tinyfuse.data.read_files import read_npy

WRITTEN, SPOKEN, LABELS = ("data_wr",), ("data_sp",), ("labels", "label")
PARTS = {TRAIN: "train", TEST: "test"}


def _find(folder: Path, stems: tuple[str, ...], part: str) -> Path | None:
    return next((path for stem in stems if (path := folder / f"{stem}_{part}.npy").is_file()), None)


def has_khacef(folder: Path) -> bool:
    """Tell whether one of the written or spoken files lies in ``folder``."""
    return any(_find(folder, stems, part) for stems in (WRITTEN, SPOKEN) for part in PARTS.values())


def _read(folder: Path, stems: tuple[str, ...], part: str, expected: str, values: int = 0) -> tuple[Path, np.ndarray]:
    """Read one file of at least one row, of ``values`` numbers each where that is known."""
    path = _find(folder, stems, part)
    if path is None:
        raise DataError(f"{folder}: {stems[0]}_{part}.npy is missing; expected {expected} there")
    array = read_npy(path, "biuf", expected=expected)
    if array.ndim == 0 or not len(array) or (values and array.size != len(array) * values):
        raise DataError(f"{path}: shape {array.shape}; expected {expected}")
    return path, array


def _images(folder: Path, part: str) -> np.ndarray:
    path, array = _read(folder, WRITTEN, part, f"images [n, {SIDE * SIDE}]", SIDE * SIDE)
    if array.min() < 0 or array.max() > 255:
        raise DataError(f"{path}: values from {array.min()} to {array.max()}; expected pixels in 0..1 or 0..255")
    scale = 255.0 if array.max() <= 1 else 1.0
    pixels = np.rint(array.astype(np.float32) * np.float32(scale))
    return np.asarray(pixels, np.uint8).reshape(-1, SIDE, SIDE)


def _features(folder: Path, part: str) -> np.ndarray:
    expected = f"speech features [n, {VALUES}] or [n, {FRAMES}, {COEFFICIENTS}]"
    array = _read(folder, SPOKEN, part, expected, VALUES)[1]
    return np.ascontiguousarray(array.reshape(-1, FRAMES, COEFFICIENTS), dtype=np.float32)


def _labels(folder: Path, part: str) -> np.ndarray:
    path, array = _read(folder, LABELS, part, "labels [n] or one-hot [n, 10]")
    if array.ndim == 2 and array.shape[1] == 10:
        if not np.isin(array, (0, 1)).all() or (array.sum(axis=1) != 1).any():
            raise DataError(f"{path}: rows that are not one-hot; expected labels [n] or one-hot [n, 10]")
        array = np.argmax(array, axis=1)
    return check_labels(array.ravel() if array.shape[1:] == (1,) else array, path)


def _part(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    images, features, labels = _images(folder, part), _features(folder, part), _labels(folder, part)
    if not len(images) == len(features) == len(labels):
        raise DataError(f"{folder}: the {part} files hold {len(images)} images, {len(features)} utterances and "
                        f"{len(labels)} labels; expected the same number of each")
    return images, features, labels


def _utterances(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number equal rows alike, in the order of their first occurrence: number of each row, first row of each number."""
    number: dict[bytes, int] = {}
    digests = (hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in features)
    partner = np.array([number.setdefault(digest, len(number)) for digest in digests], np.int64)
    return partner, np.unique(partner, return_index=True)[1]


def read_khacef(folder: Path) -> Corpus:
    """Read the six files of ``folder``, paired as they are; features in [0, 1] are final."""
    parts = [_part(folder, name) for name in PARTS.values()]
    images, features, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    part_of_pair = np.repeat(np.array(list(PARTS), np.int8), [len(part[2]) for part in parts])
    digest = sha256_hex(images.tobytes() + features.tobytes() + labels.tobytes() + part_of_pair.tobytes())
    partner, first = _utterances(features)
    # An utterance that occurs in both parts counts as test; its training pairs are left out when the parts are made.
    part_of_utterance = np.full(len(first), TRAIN, np.int8)
    part_of_utterance[partner[part_of_pair == TEST]] = TEST
    scaled = bool(features.min() >= 0 and features.max() <= 1)
    spoken = Spoken("khacef", labels[first], part_of_utterance, np.full(len(first), -1, np.int32), (), digest,
                    Features(features[first], scaled))
    return Corpus(Written("khacef", images, labels, part_of_pair, digest), spoken, partner)
