"""Spoken digits as their authors publish them: folders of WAV files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tinyfuse.core.errors import DataError
from tinyfuse.core.files import sha256_hex
from tinyfuse.data.digits.readers import FULL_SCALE, parse_wav, read_file, read_wav
from tinyfuse.data.digits.sources import TEST, TRAIN, VALIDATION, Clips, Spoken
from tinyfuse.data.digits.speech import loud_clips, packed_spoken, resample

FSDD_NAME = re.compile(r"(\d)_([A-Za-z]+)_(\d{1,4})\.wav")
COMMANDS_NAME = re.compile(r"([0-9a-f]{6,10})_nohash_(\d{1,4})\.wav")
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
BACKGROUND = "_background_noise_"
LISTS = {"validation_list.txt": VALIDATION, "testing_list.txt": TEST}
FSDD_RATE_HZ, COMMANDS_RATE_HZ = 8000, 16000
FSDD_TEST_REPETITIONS = 5
MAX_LIST_BYTES = 8 << 20


def pack_fsdd(files: Iterable[tuple[Path, bytes]], folder: Path) -> dict[str, np.ndarray]:
    """The arrays of ``fsdd_8k.npz`` from (``{digit}_{speaker}_{repetition}.wav``, content) in any order.

    Sorted by speaker, digit and repetition; other names are ignored. ``folder`` names the source in errors.
    """
    found = []
    for path, data in files:
        match = FSDD_NAME.fullmatch(path.name)
        if match:
            digit, speaker, repetition = int(match[1]), match[2], int(match[3])
            found.append(((speaker, digit, repetition), parse_wav(path, data, rate_hz=FSDD_RATE_HZ)))
    if not found:
        raise DataError(f"{folder}: no recordings; expected files such as 7_jackson_32.wav")
    found.sort(key=lambda item: item[0])
    names = sorted({key[0] for key, _ in found})
    clips = [clip for _, clip in found]
    return {
        "audio": np.concatenate(clips), "offsets": np.concatenate([[0], np.cumsum([len(clip) for clip in clips])]),
        "digit": np.array([key[1] for key, _ in found], np.uint8),
        "speaker": np.array([names.index(key[0]) for key, _ in found], np.int32),
        "speaker_names": np.array(names), "sample_rate": np.array(FSDD_RATE_HZ, np.int32),
        "official_test": np.array([key[2] < FSDD_TEST_REPETITIONS for key, _ in found]),
    }


def read_fsdd_recordings(folder: Path) -> Spoken:
    """FSDD from its ``recordings`` folder; repetitions 0..4 are the official test part."""
    paths = sorted(folder.glob("*.wav"))
    arrays = pack_fsdd(((path, _recording(path)) for path in paths), folder)
    part = np.where(arrays["official_test"], TEST, TRAIN).astype(np.int8)
    return packed_spoken(folder, "fsdd", arrays, FSDD_RATE_HZ, part)


def read_commands_folder(folder: Path) -> Spoken:
    """Speech Commands digits from the folders ``zero`` .. ``nine`` and the two lists; sounds are read when needed."""
    listed = _listed_parts(folder)
    rows: list[tuple[Path, int, str]] = []
    for digit, word in enumerate(WORDS):
        if not (folder / word).is_dir():
            raise DataError(f"{folder / word}: no such folder; expected Speech Commands with {', '.join(WORDS)}")
        named = [(path, COMMANDS_NAME.fullmatch(path.name)) for path in sorted((folder / word).glob("*.wav"))]
        rows += [(path, digit, match[1]) for path, match in named if match]
        if not rows or rows[-1][1] != digit:
            raise DataError(f"{folder / word}: no recordings; expected files such as 0a7c2a8d_nohash_0.wav")
    paths = [path for path, _, _ in rows]
    names = sorted({speaker for _, _, speaker in rows})
    number = {name: index for index, name in enumerate(names)}
    part = np.array([listed.get(f"{path.parent.name}/{path.name}", TRAIN) for path in paths], np.int8)
    contents = [f"{path.parent.name}/{path.name} {sha256_hex(_recording(path))}" for path in paths]

    def clip(row: int) -> np.ndarray:
        samples = read_wav(paths[row], rate_hz=COMMANDS_RATE_HZ).astype(np.float32) / FULL_SCALE
        return resample(samples, COMMANDS_RATE_HZ)

    return Spoken("speech_commands", np.array([digit for _, digit, _ in rows], np.int64), part,
                  np.array([number[speaker] for _, _, speaker in rows], np.int32), tuple(names),
                  sha256_hex("\n".join(contents).encode() + part.tobytes()), Clips(clip))


def _recording(path: Path) -> bytes:
    return read_file(path, expected="a WAV file of a second", max_bytes=1 << 20)


def _listed_parts(folder: Path) -> dict[str, int]:
    parts: dict[str, int] = {}
    for name, part in LISTS.items():
        data = read_file(folder / name, expected="the Speech Commands list of one part", max_bytes=MAX_LIST_BYTES)
        try:
            lines = data.decode("ascii").split()
        except UnicodeDecodeError:
            raise DataError(f"{folder / name}: not plain text; expected lines such as "
                            f"seven/0a7c2a8d_nohash_0.wav") from None
        parts.update(dict.fromkeys(lines, part))
    return parts


def read_background_folder(folder: Path) -> np.ndarray:
    """The ``_background_noise_`` recordings cut into seconds, float32 [k, 8000] at 8 kHz."""
    pieces = []
    for path in sorted(folder.glob("*.wav")):
        sound = read_wav(path, rate_hz=COMMANDS_RATE_HZ)
        whole = len(sound) // COMMANDS_RATE_HZ
        pieces.append(sound[: whole * COMMANDS_RATE_HZ].reshape(whole, COMMANDS_RATE_HZ))
    if not pieces or not sum(len(piece) for piece in pieces):
        raise DataError(f"{folder}: no sound of a second or more; expected the Speech Commands background recordings")
    return loud_clips(folder, np.concatenate(pieces), COMMANDS_RATE_HZ)
