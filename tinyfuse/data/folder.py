"""A folder of the user's: which corpora lie in it, and which readers they need."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tinyfuse.data.idx import has_mnist, read_mnist
from tinyfuse.data.sources import Source, Spoken
from tinyfuse.data.speech import (
    BACKGROUND_FILE,
    COMMANDS_FILE,
    FSDD_FILE,
    read_packed_background,
    read_packed_commands,
    read_packed_fsdd,
)
from tinyfuse.errors import DataError


def _find(folder: Path, *names: str) -> Path | None:
    return next((folder / name for name in names if (folder / name).exists()), None)


def read_folder(folder: Path, spoken: str) -> Source:
    """Read the written and the spoken digits of ``folder``."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    if not has_mnist(folder):
        raise DataError(f"{folder}: no MNIST files; expected train-images-idx3-ubyte(.gz) and its three siblings")
    fsdd = _find(folder, f"fsdd/{FSDD_FILE}", FSDD_FILE)
    commands = _find(folder, f"speech_commands/{COMMANDS_FILE}", COMMANDS_FILE)
    voice: Spoken
    if fsdd is not None and spoken in ("auto", "fsdd"):
        voice = read_packed_fsdd(fsdd)
    elif commands is not None:
        voice = read_packed_commands(commands)
    else:
        raise DataError(f"{folder}: no spoken digits")
    background = _find(folder, f"speech_commands/{BACKGROUND_FILE}", BACKGROUND_FILE)
    if background is not None:
        voice = replace(voice, noise=read_packed_background(background))
    return Source(read_mnist(folder), voice)
