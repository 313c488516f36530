"""A folder of the user's: which corpora lie in it, and which readers they need."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from tinyfuse.core.errors import DataError, UsageError, nearest
from tinyfuse.data.digits.corpus import Clips, Corpus, Spoken
from tinyfuse.data.digits.idx import has_mnist, read_mnist
from tinyfuse.data.digits.khacef import has_khacef, read_khacef
from tinyfuse.data.digits.speech import (
    BACKGROUND,
    BACKGROUND_FILE,
    COMMANDS_FILE,
    FSDD_FILE,
    WORDS,
    read_background_folder,
    read_commands_folder,
    read_fsdd_recordings,
    read_packed_background,
    read_packed_commands,
    read_packed_fsdd,
)

T = TypeVar("T")
CONTENTS = "MNIST idx files with fsdd/ or speech_commands/, or the data_wr/data_sp .npy files"
COMMANDS_FOLDERS = ("speech_commands", ".", "speech_commands_v0.02", "SpeechCommands/speech_commands_v0.02")
FSDD_FOLDERS = ("fsdd/recordings", "recordings", "free-spoken-digit-dataset/recordings")
SPOKEN_PLACES: dict[str, dict[str, Callable[[Path], Spoken]]] = {
    "fsdd": {**dict.fromkeys((f"fsdd/{FSDD_FILE}", FSDD_FILE), read_packed_fsdd),
             **dict.fromkeys(FSDD_FOLDERS, read_fsdd_recordings)},
    "speech_commands": {
        **dict.fromkeys((f"speech_commands/{COMMANDS_FILE}", COMMANDS_FILE), read_packed_commands),
        **dict.fromkeys((f"{name}/{word}" for name in COMMANDS_FOLDERS for word in WORDS),
                        lambda word: read_commands_folder(word.parent))}}
"""Where each kind of spoken digits may lie, in the order of search, and what reads it there."""

BACKGROUND_PLACES: dict[str, Callable[[Path], np.ndarray]] = {
    **dict.fromkeys((f"speech_commands/{BACKGROUND_FILE}", BACKGROUND_FILE), read_packed_background),
    **dict.fromkeys((f"{name}/{BACKGROUND}" for name in COMMANDS_FOLDERS), read_background_folder)}
SPOKEN_CHOICES = ("auto", *SPOKEN_PLACES)


def holds_digits(folder: Path) -> bool:
    """Tell whether ``folder`` holds written digits of MNIST, or the pairs of Khacef et al."""
    return folder.is_dir() and (has_khacef(folder) or has_mnist(folder))


def check_spoken(spoken: str) -> None:
    """Raise ``UsageError`` unless ``spoken`` is one of the choices."""
    if spoken not in SPOKEN_CHOICES:
        raise UsageError(f"unknown spoken digits '{spoken}'{nearest(spoken, SPOKEN_CHOICES)}; "
                         f"allowed: {', '.join(SPOKEN_CHOICES)}")


def read_folder(folder: Path, spoken: str) -> Corpus:
    """Read the written and the spoken digits that lie in ``folder``; ``spoken`` chooses where there are two.

    ``DataError`` names the file or folder that is missing or damaged.
    """
    check_spoken(spoken)
    if not folder.is_dir():
        raise DataError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}; expected {CONTENTS}")
    if has_khacef(folder):
        if spoken != "auto":
            raise UsageError(f"{folder} holds ready pairs; spoken='{spoken}' cannot be chosen there, use 'auto'")
        return read_khacef(folder)
    if not has_mnist(folder):
        raise DataError(f"{folder}: no written digits; expected {CONTENTS}")
    return Corpus(read_mnist(folder), _read_spoken(folder, spoken))


def _read_spoken(folder: Path, spoken: str) -> Spoken:
    kinds = tuple(SPOKEN_PLACES) if spoken == "auto" else (spoken,)
    found = next((one for kind in kinds if (one := _read_first(folder, SPOKEN_PLACES[kind])) is not None), None)
    if found is None:
        raise DataError(f"{folder}: no spoken digits ({' or '.join(kinds)}); expected fsdd/{FSDD_FILE}, "
                        f"recordings/*.wav, speech_commands/{COMMANDS_FILE} or zero/ .. nine/")
    noise = _read_first(folder, BACKGROUND_PLACES)
    return replace(found, voice=replace(found.voice, noise=noise)) if isinstance(found.voice, Clips) else found


def _read_first(folder: Path, places: Mapping[str, Callable[[Path], T]]) -> T | None:
    return next((read(folder / name) for name, read in places.items() if (folder / name).exists()), None)
