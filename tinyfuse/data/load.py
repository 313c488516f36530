"""One loader for every source: read, split, pair, compute features, scale."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from tinyfuse.data.augment import augmented_features, clean_features, variant_count
from tinyfuse.data.features import FeatureScaling
from tinyfuse.data.folder import read_folder
from tinyfuse.data.pairing import Rows, plan
from tinyfuse.data.pairs import Dataset, Pairs, Variants
from tinyfuse.data.sources import Source
from tinyfuse.errors import DataError


def load(source: str | Path | None = None, *, split: str = "official", spoken: str = "auto",
         held_out: str | None = None, seed: int = 0, limit: int | None = None) -> Dataset:
    """Load a data set."""
    return assemble(read_folder(Path(str(source)), spoken), split=split, held_out=held_out, seed=seed, limit=limit)


def assemble(source: Source, *, split: str, held_out: str | None, seed: int, limit: int | None) -> Dataset:
    """Split, pair, compute features and scale what a reader returned."""
    train, validation, test = plan(source, split=split, held_out=held_out, seed=seed, limit=limit)
    utterances, row_of_pair = np.unique(train.spoken, return_inverse=True)
    raw = augmented_features(source.spoken, utterances, variant_count(len(utterances)), seed=seed)
    scaling = FeatureScaling.fit(raw[:, 0])
    variants = Variants(scaling.apply(raw), row_of_pair.astype(np.int64))
    parts = (_pairs(source, train, variants.audio[:, 0][row_of_pair]),
             *(_pairs(source, rows, _clean_audio(source, rows, scaling)) for rows in (validation, test)))
    return Dataset(source.name, split, seed, *parts, variants, scaling, source.spoken.speaker_names,
                   _checksum(source, parts, scaling))


def _clean_audio(source: Source, rows: Rows, scaling: FeatureScaling) -> np.ndarray:
    utterances, inverse = np.unique(rows.spoken, return_inverse=True)
    audio: np.ndarray = scaling.apply(clean_features(source.spoken, utterances))[inverse]
    return audio


def _pairs(source: Source, rows: Rows, audio: np.ndarray) -> Pairs:
    if not np.isfinite(audio).all():
        raise DataError(f"{source.name}: a spoken feature is not finite")
    written, spoken = source.written, source.spoken
    image = (written.images[rows.written].astype(np.float32) / np.float32(255.0))[..., None]
    return Pairs(image, audio, written.label[rows.written], written.writer[rows.written],
                 spoken.speaker[rows.spoken], rows.written, rows.spoken)


def _checksum(source: Source, parts: tuple[Pairs, ...], scaling: FeatureScaling) -> str:
    digest = hashlib.sha256(f"{source.written.digest} {source.spoken.digest} {scaling.to_table()}".encode())
    for pairs in parts:
        for array in (pairs.written_id, pairs.spoken_id, pairs.label):
            digest.update(f"{array.dtype.str}{array.shape}".encode() + array.tobytes())
    return digest.hexdigest()
