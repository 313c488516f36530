"""A folder of the user's: which corpora lie in it, and which readers they need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from tinyfuse.core.errors import DataError, UsageError, nearest
from tinyfuse.data.digits.idx import has_mnist, read_mnist
from tinyfuse.data.digits.khacef import has_khacef, read_khacef
from tinyfuse.data.digits.recordings import (
    BACKGROUND,
    WORDS,
    read_background_folder,
    read_commands_folder,
    read_fsdd_recordings,
)
from tinyfuse.data.digits.sources import Clips, Source, Spoken
from tinyfuse.data.digits.speech import (
    BACKGROUND_FILE,
    COMMANDS_FILE,
    FSDD_FILE,
    read_packed_background,
    read_packed_commands,
    read_packed_fsdd,
)

SPOKEN_CHOICES = ("auto", "fsdd", "speech_commands")
CONTENTS = "MNIST idx files with fsdd/ or speech_commands/, or the data_wr/data_sp .npy files"
COMMANDS_FOLDERS = ("speech_commands", ".", "speech_commands_v0.02", "SpeechCommands/speech_commands_v0.02")
FSDD_FOLDERS = ("fsdd/recordings", "recordings", "free-spoken-digit-dataset/recordings")

Reader = Callable[[], Spoken]


def check_spoken(spoken: str) -> None:
    """``UsageError`` unless ``spoken`` is one of the choices."""
    if spoken not in SPOKEN_CHOICES:
        raise UsageError(f"unknown spoken digits '{spoken}'{nearest(spoken, SPOKEN_CHOICES)}; "
                         f"allowed: {', '.join(SPOKEN_CHOICES)}")


def _first(folder: Path, names: tuple[str, ...], *, holds: Callable[[Path], bool]) -> Path | None:
    return next((folder / name for name in names if holds(folder / name)), None)


def _fsdd(folder: Path) -> Reader | None:
    packed = _first(folder, (f"fsdd/{FSDD_FILE}", FSDD_FILE), holds=Path.is_file)
    if packed is not None:
        return lambda: read_packed_fsdd(packed)
    recordings = _first(folder, FSDD_FOLDERS, holds=Path.is_dir)
    return None if recordings is None else lambda: read_fsdd_recordings(recordings)


def _has_words(folder: Path) -> bool:
    return any((folder / word).is_dir() for word in WORDS)


def _commands(folder: Path) -> Reader | None:
    packed = _first(folder, (f"speech_commands/{COMMANDS_FILE}", COMMANDS_FILE), holds=Path.is_file)
    if packed is not None:
        return lambda: read_packed_commands(packed)
    original = _first(folder, COMMANDS_FOLDERS, holds=_has_words)
    return None if original is None else lambda: read_commands_folder(original)


def _background(folder: Path) -> np.ndarray | None:
    packed = _first(folder, (f"speech_commands/{BACKGROUND_FILE}", BACKGROUND_FILE), holds=Path.is_file)
    if packed is not None:
        return read_packed_background(packed)
    original = _first(folder, tuple(f"{name}/{BACKGROUND}" for name in COMMANDS_FOLDERS), holds=Path.is_dir)
    return None if original is None else read_background_folder(original)


def _with_noise(spoken: Spoken, noise: np.ndarray | None) -> Spoken:
    if noise is None or not isinstance(spoken.voice, Clips):
        return spoken
    return replace(spoken, voice=replace(spoken.voice, noise=noise))


def _read_spoken(folder: Path, spoken: str) -> Spoken:
    finders = {"fsdd": _fsdd, "speech_commands": _commands}
    for name in finders if spoken == "auto" else (spoken,):
        reader = finders[name](folder)
        if reader is not None:
            return _with_noise(reader(), _background(folder))
    wanted = " or ".join(finders) if spoken == "auto" else spoken
    raise DataError(f"{folder}: no spoken digits ({wanted}); expected fsdd/{FSDD_FILE}, recordings/*.wav, "
                    f"speech_commands/{COMMANDS_FILE} or zero/ .. nine/")


def read_folder(folder: Path, spoken: str) -> Source:
    """Read the written and the spoken digits that lie in ``folder``; ``spoken`` chooses where there are two.

    ``DataError`` names the file or folder that is missing or damaged.
    """
    check_spoken(spoken)
    if not folder.exists():
        raise DataError(f"{folder}: no such folder; expected {CONTENTS}")
    if not folder.is_dir():
        raise DataError(f"{folder}: not a folder; give the folder that holds {CONTENTS}")
    if has_khacef(folder):
        if spoken != "auto":
            raise UsageError(f"{folder} holds ready pairs; spoken='{spoken}' cannot be chosen there, use 'auto'")
        return read_khacef(folder)
    if not has_mnist(folder):
        raise DataError(f"{folder}: no written digits; expected {CONTENTS}")
    voice = _read_spoken(folder, spoken)
    return Source(read_mnist(folder), voice)
