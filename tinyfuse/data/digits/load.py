"""One loader for every source of digits: read, split, pair, compute features, scale."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from tinyfuse.core.cache_folder import cache_folder
from tinyfuse.core.errors import DataError, UsageError
from tinyfuse.core.files import save_arrays, sha256_hex
from tinyfuse.core.strict import encode
from tinyfuse.data.cache import computed_with
from tinyfuse.data.dataset import Dataset
from tinyfuse.data.digits import augmentation, features
from tinyfuse.data.digits.augmentation import Augmentation, augmented_features, variant_count
from tinyfuse.data.digits.corpus import Clips, Corpus, Features, Spoken
from tinyfuse.data.digits.download import fetch
from tinyfuse.data.digits.embedded import read_digits, read_speech
from tinyfuse.data.digits.features import COEFFICIENTS, FRAMES, FRONT_END, PICTURE, SAMPLE_RATE_HZ, SIDE, VALUES
from tinyfuse.data.digits.folder import SPOKEN_CHOICES, check_spoken, holds_digits, read_folder
from tinyfuse.data.digits.pairing import CLASSES, SPLITS, Rows, plan
from tinyfuse.data.own.assemble import Recording
from tinyfuse.data.read_files import read_npz
from tinyfuse.data.samples import PARTS, Axis, Input, Samples
from tinyfuse.data.sources import register_paths, register_source
from tinyfuse.frontend.normalisation import apply, fit, identity, read_normalisation

_LAYOUT = {"rows": Axis(SIDE, SIDE), "columns": Axis(1, SIDE)}
INPUTS = (
    Input("image", (SIDE, SIDE, 1), axes=_LAYOUT),
    Input("audio", (SIDE, SIDE, 1), valid=((0, VALUES),),
          axes={"mfcc": Axis(1, COEFFICIENTS), "time": Axis(COEFFICIENTS, FRAMES), **_LAYOUT}))


def register_digits() -> None:
    """Make the digits known as data sources: the embedded ones, the published originals, a folder of the user's."""
    register_source("embedded", load, _add_options)
    register_source("download", load)
    register_paths(holds_digits, load)


def _add_options(group: Any) -> None:
    group.add_argument("--spoken", choices=SPOKEN_CHOICES,
                       help="spoken digits to use from the folder (default auto: FSDD where present)")
    group.add_argument("--split", choices=SPLITS,
                       help="the source's own split (default), or test speakers that training never heard")
    group.add_argument("--held-out", metavar="NAMES", help="test speakers of --split speaker, separated by commas")


def load(source: str | Path | None = None, *, split: str = "official", spoken: str = "auto",
         held_out: str | None = None, seed: int = 0, limit: int | None = None) -> Dataset:
    """Load written and spoken digits, paired by class; the scaling is fitted on clean training speech.

    ``source``: None or ``"embedded"`` (ships with the package), ``"download"`` (MNIST and ``spoken`` into the user's
    cache), or a folder with MNIST and FSDD or Speech Commands, or with the Khacef ``.npy`` files.
    ``split``: ``"official"`` (the source's own) or ``"speaker"``, whose test speakers are ``held_out`` (comma
    separated; default: the last by name of at most six, else a seeded 20 %). ``spoken``: ``"auto"``, ``"fsdd"`` or
    ``"speech_commands"``. ``seed`` drives the validation cut, pairing and augmentation; ``limit`` caps the samples of
    every part. The group of a sample is its utterance. ``DataError`` for missing or damaged files, ``UsageError`` for
    arguments that do not fit.
    """
    corpus = read(source, spoken)
    parts = plan(corpus, split=split, held_out=held_out, seed=seed, limit=limit)
    utterances, utterance = np.unique(parts[0].spoken, return_inverse=True)
    others, other = np.unique(np.concatenate([rows.spoken for rows in parts[1:]]), return_inverse=True)
    raw, raw_others = _raw_features(corpus.spoken, utterances, others, seed=seed)
    checksum = _checksum(corpus, parts, _origin(corpus.spoken, raw.shape[1], seed))

    def scaled(table: Mapping[str, Any]) -> Dataset:
        scaling = read_normalisation(FRONT_END, table.get("audio"), "the scaling of the features")
        variants, clean = apply(FRONT_END, scaling, raw), apply(FRONT_END, scaling, raw_others)
        audio = (variants[utterance, 0], *np.split(clean[other], [len(parts[1].spoken)]))
        train, validation, test = (_samples(corpus, *part) for part in zip(parts, audio, strict=True))
        augment = Augmentation(train.inputs["image"], variants, utterance.astype(np.int64))
        return Dataset(corpus.name, INPUTS, tuple(map(str, range(CLASSES))), train, validation, test, checksum, split,
                       seed, augment, {"audio": encode(scaling)}, scaled, _front_ends(corpus.spoken),
                       _recording(corpus.spoken, parts))

    final = isinstance(corpus.spoken.voice, Features) and corpus.spoken.voice.scaled
    return scaled({"audio": encode(identity(FRONT_END) if final else fit(FRONT_END, raw[:, 0]))})


def read(source: str | Path | None, spoken: str = "auto") -> Corpus:
    """Read both sides of what :func:`load` takes, unsplit and unpaired."""
    check_spoken(spoken)
    if source is None or source == "embedded":
        if spoken != "auto":
            raise UsageError(f"spoken='{spoken}' needs a folder or 'download'; the embedded set has its own speech")
        return Corpus(read_digits(), read_speech())
    return read_folder(fetch(spoken) if source == "download" else Path(source).expanduser(), spoken)


def _raw_features(spoken: Spoken, train: np.ndarray, others: np.ndarray, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Compute variants of ``train``, [u, v, 39, 13], and clean features of ``others``, [o, 39, 13].

    When most of the corpus is needed, all of it is computed and cached: every split and limit then reads one file.
    """
    count = variant_count(len(train))
    if isinstance(spoken.voice, Clips):
        made_of = f"{_origin(spoken, count, seed)} {computed_with()}"
        name = f"{spoken.name}-{sha256_hex(made_of.encode())[:32]}"
        if 2 * len(train) >= len(spoken) or cached_path(name).is_file():
            rows = np.arange(len(spoken))
            everything = cached(name, (len(rows), count, FRAMES, COEFFICIENTS),
                                lambda: augmented_features(spoken, rows, count, seed=seed))
            return everything[train], everything[others, 0]
    return (augmented_features(spoken, train, count, seed=seed),
            augmented_features(spoken, others, 1, seed=seed)[:, 0])


def cached_path(name: str) -> Path:
    """Name the file that holds or would hold the array ``name``; it is safe to delete at any time."""
    return cache_folder() / "features" / f"{name}.npz"


def cached(name: str, shape: tuple[int, ...], compute: Callable[[], np.ndarray]) -> np.ndarray:
    """Load the float32 array ``name`` of ``shape`` from the cache, or compute it and store it there.

    A file that is damaged or of another shape is computed again. A folder that cannot be written only costs time.
    """
    path = cached_path(name)
    with suppress(DataError):
        array = read_npz(path, {"features": "f"}, expected="cached features")["features"]
        if array.shape == shape and array.dtype == np.float32:
            return array
    array = compute()
    with suppress(OSError):
        save_arrays(path, {"features": array})
    return array


def _origin(spoken: Spoken, count: int, seed: int) -> str:
    """Tell everything that decides the features and their ``count`` variants."""
    noise = spoken.voice.noise if isinstance(spoken.voice, Clips) else None
    background = "made" if noise is None else sha256_hex(noise.tobytes())
    return f"{spoken.digest} {background} {count} {seed} {features.PARAMETERS} {augmentation.PARAMETERS}"


def _front_ends(spoken: Spoken) -> dict[str, dict[str, Any]]:
    """Tell how the inputs are made; features that came without sound are of a front end that nobody told us."""
    heard = isinstance(spoken.voice, Clips) or spoken.name == "embedded"
    return {"image": PICTURE.table()} | ({"audio": FRONT_END.table()} if heard else {})


def _recording(spoken: Spoken, parts: list[Rows]) -> Recording | None:
    """Return what gives the sound behind a sample, where the corpus has sound."""
    if not isinstance(spoken.voice, Clips):
        return None
    clip, utterances = spoken.voice.clip, {part: rows.spoken for part, rows in zip(PARTS, parts, strict=True)}
    return lambda name, part, row: (clip(int(utterances[part][row])), SAMPLE_RATE_HZ) if name == "audio" else None


def _samples(corpus: Corpus, rows: Rows, audio: np.ndarray) -> Samples:
    image = (corpus.written.images[rows.written].astype(np.float32) / np.float32(255.0))[..., None]
    return Samples({"image": image, "audio": audio}, corpus.written.label[rows.written], rows.spoken)


def _checksum(corpus: Corpus, parts: list[Rows], origin: str) -> str:
    """Identify a data set: SHA-256 of what was read and of the rows of each part, which the arguments decide.

    Nothing that was computed is in it, as its last digits depend on the processor.
    """
    digest = hashlib.sha256(f"{corpus.written.digest} {origin}".encode())
    for rows in parts:
        for array in (rows.written, rows.spoken, corpus.written.label[rows.written]):
            digest.update(f"{array.dtype.str}{array.shape}".encode() + array.tobytes())
    return digest.hexdigest()
