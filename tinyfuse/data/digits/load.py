"""One loader for every source: read, split, pair, compute features, scale."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from tinyfuse.core.errors import UsageError
from tinyfuse.core.files import sha256_hex
from tinyfuse.data.digits import features
from tinyfuse.data.digits import speech_variants as augment
from tinyfuse.data.digits.cache import cached, cached_path
from tinyfuse.data.digits.download import fetch
from tinyfuse.data.digits.embedded import read_embedded
from tinyfuse.data.digits.features import COEFFICIENTS, FRAMES, FeatureScaling
from tinyfuse.data.digits.folder import check_spoken, read_folder
from tinyfuse.data.digits.pairing import Rows, plan
from tinyfuse.data.digits.pairs import Dataset, Pairs, Variants
from tinyfuse.data.digits.sources import Clips, Features, Source, Spoken
from tinyfuse.data.digits.speech_variants import augmented_features, clean_features, variant_count


def load(source: str | Path | None = None, *, split: str = "official", spoken: str = "auto",
         held_out: str | None = None, seed: int = 0, limit: int | None = None) -> Dataset:
    """Load a data set as image+audio pairs.

    ``source``: None or ``"embedded"`` (ships with the package), ``"download"`` (MNIST and ``spoken`` into the user's
    cache), or a folder with MNIST and FSDD or Speech Commands, or with the Khacef ``.npy`` files.
    ``split``: ``"official"`` (the source's own) or ``"speaker"``, whose test speakers are ``held_out`` (comma
    separated; default: the last by name of at most six, else a seeded 20 %). ``spoken``: ``"auto"``, ``"fsdd"`` or
    ``"speech_commands"``. ``seed`` (>= 0) drives the validation cut, pairing and augmentation; ``limit`` caps the
    pairs of every part, classes as equal as possible.

    Raises ``DataError`` for missing or damaged files, ``UsageError`` for arguments that do not fit.
    """
    check_spoken(spoken)
    if not 0 <= seed < 2**32:
        raise UsageError(f"seed {seed} is out of range; allowed: 0 to {2**32 - 1}")
    if source is None or source == "embedded":
        if spoken != "auto":
            raise UsageError(f"spoken='{spoken}' needs a folder or 'download'; the embedded set has its own speech")
        found = read_embedded()
    elif source == "download":
        found = read_folder(fetch(spoken), spoken)
    else:
        found = read_folder(Path(source).expanduser(), spoken)
    return assemble(found, split=split, held_out=held_out, seed=seed, limit=limit)


def assemble(source: Source, *, split: str = "official", held_out: str | None = None, seed: int = 0,
             limit: int | None = None) -> Dataset:
    """Split, pair, compute features and scale what a reader returned; the scaling is fitted on clean training speech.

    Where speech is plentiful (``augment.variant_count``) there are fewer than 12 variants.
    """
    train, validation, test = plan(source, split=split, held_out=held_out, seed=seed, limit=limit)
    utterances, row_of_pair = np.unique(train.spoken, return_inverse=True)
    others, row_of_other = np.unique(np.concatenate([validation.spoken, test.spoken]), return_inverse=True)
    raw, raw_others = _raw_features(source.spoken, utterances, others, seed=seed)

    def scaled(scaling: FeatureScaling) -> Dataset:
        variants = Variants(scaling.apply(raw), row_of_pair.astype(np.int64))
        clean = scaling.apply(raw_others)
        parts = (_pairs(source, train, variants.audio[row_of_pair, 0]),
                 _pairs(source, validation, clean[row_of_other[: len(validation.spoken)]]),
                 _pairs(source, test, clean[row_of_other[len(validation.spoken) :]]))
        return Dataset(source.name, split, seed, *parts, variants, scaling, source.spoken.speaker_names,
                       _checksum(source, parts, _origin(source.spoken, raw.shape[1], seed)), scaled)

    return scaled(_scaling(source.spoken, raw[:, 0]))


def _raw_features(spoken: Spoken, train: np.ndarray, others: np.ndarray, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Variants of ``train``, [u, v, 39, 13], and clean features of ``others``, [o, 39, 13].

    When most of the source is needed, all of it is computed and cached: every split and limit then reads one file.
    """
    count = variant_count(len(train))
    if isinstance(spoken.voice, Clips):
        name = f"{spoken.name}-{sha256_hex(_origin(spoken, count, seed).encode())[:32]}"
        if 2 * len(train) >= len(spoken) or cached_path(name).is_file():
            rows = np.arange(len(spoken))
            everything = cached(name, (len(rows), count, FRAMES, COEFFICIENTS),
                                lambda: augmented_features(spoken, rows, count, seed=seed))
            return everything[train], everything[others, 0]
    return augmented_features(spoken, train, count, seed=seed), clean_features(spoken, others)


def _origin(spoken: Spoken, count: int, seed: int) -> str:
    """Everything that decides the features and their ``count`` variants."""
    noise = spoken.voice.noise if isinstance(spoken.voice, Clips) else None
    background = "made" if noise is None else sha256_hex(noise.tobytes())
    return f"{spoken.digest} {background} {count} {seed} {features.PARAMETERS} {augment.PARAMETERS}"


def _scaling(spoken: Spoken, clean: np.ndarray) -> FeatureScaling:
    if isinstance(spoken.voice, Features) and spoken.voice.scaled:
        return FeatureScaling.identity()
    return FeatureScaling.fit(clean)


def _pairs(source: Source, rows: Rows, audio: np.ndarray) -> Pairs:
    written, spoken = source.written, source.spoken
    image = (written.images[rows.written].astype(np.float32) / np.float32(255.0))[..., None]
    return Pairs(image, audio, written.label[rows.written], written.writer[rows.written],
                 spoken.speaker[rows.spoken], rows.written, rows.spoken)


def _checksum(source: Source, parts: tuple[Pairs, ...], origin: str) -> str:
    """SHA-256 of what was read and asked for; of nothing that was computed, as its last digits depend on the processor.

    The rows of each part follow from split, held out speakers, seed and limit.
    """
    digest = hashlib.sha256(f"{source.written.digest} {origin}".encode())
    for pairs in parts:
        for array in (pairs.written_id, pairs.spoken_id, pairs.label):
            digest.update(f"{array.dtype.str}{array.shape}".encode() + array.tobytes())
    return digest.hexdigest()
