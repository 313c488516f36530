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
from tinyfuse.data.digits.features import COEFFICIENTS, FRAMES, SIDE, VALUES
from tinyfuse.data.digits.readers import read_npy
from tinyfuse.data.digits.sources import TEST, TRAIN, Features, Source, Spoken, Written, check_labels

WRITTEN, SPOKEN, LABELS = ("data_wr",), ("data_sp",), ("labels", "label")
PARTS = {TRAIN: "train", TEST: "test"}


def _find(folder: Path, stems: tuple[str, ...], part: str) -> Path | None:
    return next((path for stem in stems if (path := folder / f"{stem}_{part}.npy").is_file()), None)


def has_khacef(folder: Path) -> bool:
    """Whether one of the written or spoken files lies in ``folder``."""
    return any(_find(folder, stems, part) is not None for stems in (WRITTEN, SPOKEN) for part in PARTS.values())


def _read(folder: Path, stems: tuple[str, ...], part: str, expected: str) -> tuple[Path, np.ndarray]:
    path = _find(folder, stems, part)
    if path is None:
        raise DataError(f"{folder}: {stems[0]}_{part}.npy is missing; expected {expected} there")
    array = read_npy(path, expected=expected)
    if array.dtype.kind not in "biuf" or array.ndim == 0 or not len(array):
        raise DataError(f"{path}: shape {array.shape}, dtype {array.dtype}; expected {expected}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise DataError(f"{path}: it holds NaN or infinity; expected {expected}")
    return path, array


def _images(folder: Path, part: str) -> np.ndarray:
    path, array = _read(folder, WRITTEN, part, "images [n, 784]")
    if array.size != len(array) * SIDE * SIDE:
        raise DataError(f"{path}: shape {array.shape}; expected images [n, {SIDE * SIDE}]")
    if array.min() < 0 or array.max() > 255:
        raise DataError(f"{path}: values from {array.min()} to {array.max()}; expected pixels in 0..1 or 0..255")
    scale = 255.0 if array.max() <= 1 else 1.0
    pixels: np.ndarray = np.rint(array.astype(np.float32) * np.float32(scale)).astype(np.uint8)
    return pixels.reshape(-1, SIDE, SIDE)


def _features(folder: Path, part: str) -> np.ndarray:
    path, array = _read(folder, SPOKEN, part, f"speech features [n, {VALUES}]")
    if array.size != len(array) * VALUES:
        raise DataError(f"{path}: shape {array.shape}; expected speech features [n, {VALUES}] or [n, {FRAMES}, "
                        f"{COEFFICIENTS}]")
    return np.ascontiguousarray(array.reshape(-1, FRAMES, COEFFICIENTS), dtype=np.float32)


def _labels(folder: Path, part: str) -> np.ndarray:
    path, array = _read(folder, LABELS, part, "labels [n] or one-hot [n, 10]")
    if array.ndim == 2 and array.shape[1] == 10:
        if not ((array == 0) | (array == 1)).all() or (array.sum(axis=1) != 1).any():
            raise DataError(f"{path}: rows that are not one-hot; expected labels [n] or one-hot [n, 10]")
        digits: np.ndarray = np.argmax(array, axis=1).astype(np.int64)
        return digits
    return check_labels(array.reshape(-1) if array.ndim == 2 and array.shape[1] == 1 else array, path)


def _part(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    images, features, labels = _images(folder, part), _features(folder, part), _labels(folder, part)
    if not len(images) == len(features) == len(labels):
        raise DataError(f"{folder}: the {part} files hold {len(images)} images, {len(features)} utterances and "
                        f"{len(labels)} labels; expected the same number of each")
    return images, features, labels


def _utterances(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    digests = [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in features]
    number: dict[bytes, int] = {}
    partner = np.array([number.setdefault(digest, len(number)) for digest in digests], np.int64)
    first = np.full(len(number), len(digests), np.int64)
    np.minimum.at(first, partner, np.arange(len(digests)))
    return partner, first


def read_khacef(folder: Path) -> Source:
    """The six files of ``folder`` as a source that keeps its pairs; features in [0, 1] are taken as they are."""
    parts = {part: _part(folder, name) for part, name in PARTS.items()}
    images, features, labels = (np.concatenate([parts[part][index] for part in PARTS]) for index in range(3))
    part_of_pair = np.concatenate([np.full(len(parts[part][2]), part, np.int8) for part in PARTS])
    digest = sha256_hex(images.tobytes() + features.tobytes() + labels.tobytes() + part_of_pair.tobytes())
    partner, first = _utterances(features)
    # An utterance that occurs in both parts counts as test; its training pairs are left out when the parts are made.
    part_of_utterance = np.full(len(first), TRAIN, np.int8)
    part_of_utterance[partner[part_of_pair == TEST]] = TEST
    scaled = bool(features.min() >= 0 and features.max() <= 1)
    unknown = np.full(len(first), -1, np.int32)
    written = Written("khacef", images, labels, part_of_pair, np.full(len(labels), -1, np.int32), digest)
    spoken = Spoken("khacef", labels[first], part_of_utterance, unknown, (), digest,
                    Features(features[first], scaled))
    return Source(written, spoken, partner)
