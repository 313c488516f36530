"""Spoken digits as sound: the WAV files of their authors, and the same packed into one ``.npz`` for each corpus."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from tinyfuse.core.console import console
from tinyfuse.core.errors import DataError
from tinyfuse.core.files import sha256_hex
from tinyfuse.data.digits.corpus import TEST, TRAIN, VALIDATION, Clips, Spoken, check_speakers
from tinyfuse.data.digits.features import CLIP_SAMPLES, SAMPLE_RATE_HZ
from tinyfuse.data.read_files import damage_explained, read_file, read_npz
from tinyfuse.data.read_sound import parse_wav, read_wav

FSDD_FILE, COMMANDS_FILE, BACKGROUND_FILE = "fsdd_8k.npz", "sc_digits_16k.npz", "sc_background_16k.npz"
FSDD_NAME = re.compile(r"(\d)_(.+)_(\d{1,4})\.wav", re.IGNORECASE)
COMMANDS_NAME = re.compile(r"(.+)_nohash_(\d{1,4})\.wav", re.IGNORECASE)
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
BACKGROUND = "_background_noise_"
LISTS = {"validation_list.txt": VALIDATION, "testing_list.txt": TEST}
PARTITIONS = {"training": TRAIN, "validation": VALIDATION, "testing": TEST}
PACKED_KINDS = {"audio": "i", "offsets": "iu", "digit": "iu", "speaker": "iu", "speaker_names": "U",
                "sample_rate": "iu"}
FSDD_RATE_HZ, COMMANDS_RATE_HZ = 8000, 16000
FSDD_TEST_REPETITIONS = 5
MAX_LIST_BYTES, MAX_RECORDING_BYTES = 8 << 20, 1 << 20
QUIET_RMS = 30.0 / 32768.0


def resample(clip: np.ndarray, rate_hz: int, target_hz: int = SAMPLE_RATE_HZ) -> np.ndarray:
    """Resample float samples [..., n] from ``rate_hz`` to ``target_hz`` (soxr, high quality)."""
    if rate_hz == target_hz:
        return clip
    import librosa

    return np.asarray(librosa.resample(clip, orig_sr=rate_hz, target_sr=target_hz, res_type="soxr_hq"))


def sound_of(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """Bring int16 samples [..., n] at ``rate_hz`` to float32 in [-1, 1] at 8 kHz."""
    return resample(samples.astype(np.float32) / np.float32(32768.0), rate_hz)


def pack_fsdd(files: Iterable[tuple[Path, bytes]], folder: Path) -> dict[str, np.ndarray]:
    """Make the arrays of ``fsdd_8k.npz`` from (``{digit}_{speaker}_{repetition}.wav``, content) in any order.

    Sorted by speaker, digit and repetition; other names are counted and shown. ``folder`` names the source in errors.
    """
    found: dict[tuple[str, int, int], np.ndarray] = {}
    others = []
    for path, data in files:
        match = FSDD_NAME.fullmatch(path.name)
        key = (match[2], int(match[1]), int(match[3])) if match else ("", 0, 0)
        if key in found:
            raise DataError(f"{path}: a second recording of digit {key[1]} by {key[0]}, number {key[2]}; delete one")
        if match:
            found[key] = parse_wav(path, data, rate_hz=FSDD_RATE_HZ)
        else:
            others.append(path.name)
    if not found:
        raise DataError(f"{folder}: no recordings; expected files such as 7_jackson_32.wav")
    _say_ignored(folder, others, "7_jackson_32.wav")
    speakers, digits, repetitions = zip(*sorted(found), strict=True)
    clips = [found[key] for key in sorted(found)]
    names, speaker = np.unique(speakers, return_inverse=True)
    return {
        "audio": np.concatenate(clips), "offsets": np.concatenate([[0], np.cumsum([len(clip) for clip in clips])]),
        "digit": np.array(digits, np.uint8), "speaker": speaker.astype(np.int32), "speaker_names": names,
        "sample_rate": np.array(FSDD_RATE_HZ, np.int32),
        "official_test": np.array(repetitions) < FSDD_TEST_REPETITIONS,
    }


def read_fsdd_recordings(folder: Path) -> Spoken:
    """Read FSDD from its ``recordings`` folder."""
    named = [path for path in sorted(folder.iterdir()) if path.is_file()]
    _say_ignored(folder, [path.name for path in named if not _is_wav(path)], "7_jackson_32.wav")
    return _fsdd(folder, pack_fsdd(((path, _recording(path)) for path in named if _is_wav(path)), folder))


def _is_wav(path: Path) -> bool:
    return path.suffix.lower() == ".wav"


def _say_ignored(folder: Path, names: Sequence[str], example: str) -> None:
    """Tell on stderr how many files were left out because of their names, and the first few."""
    if names:
        shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        console.print(f"{folder}: ignored {len(names)} file{'s' * (len(names) > 1)} whose names are not like "
                      f"{example}: {shown}", markup=False, style="dim")


def read_packed_fsdd(path: Path) -> Spoken:
    """Read FSDD from ``fsdd_8k.npz``."""
    return _fsdd(path, _packed(path, {"official_test": "biu"}, "the packed Free Spoken Digit Dataset"))


def _fsdd(path: Path, arrays: Mapping[str, np.ndarray]) -> Spoken:
    """Wrap the arrays of FSDD; repetitions 0..4 are the official test part."""
    part = np.where(arrays["official_test"].astype(bool), TEST, TRAIN).astype(np.int8)
    return _spoken(path, "fsdd", arrays, part)


def read_packed_commands(path: Path) -> Spoken:
    """Read Speech Commands digits from ``sc_digits_16k.npz`` with the corpus' own three partitions."""
    arrays = _packed(path, {"partition": "biu", "partition_names": "U"}, "the packed Speech Commands digits")
    names, index = arrays["partition_names"].ravel().tolist(), arrays["partition"].astype(np.int64)
    if not set(names) <= set(PARTITIONS) or not np.isin(index, range(len(names))).all():
        raise DataError(f"{path}: partitions {names}; expected {', '.join(PARTITIONS)}")
    return _spoken(path, "speech_commands", arrays, np.array([PARTITIONS[name] for name in names], np.int8)[index])


def _packed(path: Path, part_kinds: dict[str, str], expected: str) -> dict[str, np.ndarray]:
    arrays = read_npz(path, PACKED_KINDS | part_kinds, expected=expected)
    audio, offsets, count = arrays["audio"], arrays["offsets"].astype(np.int64), arrays["digit"].size
    if audio.dtype != np.int16 or audio.ndim != 1:
        raise DataError(f"{path}: 'audio' is {audio.dtype} of shape {audio.shape}; expected int16 [samples]")
    if offsets.shape != (count + 1,) or offsets[0] or offsets[-1] != len(audio) or (np.diff(offsets) <= 0).any():
        raise DataError(f"{path}: 'offsets' do not divide its {len(audio)} samples into {count} recordings; the file "
                        "is clipped or damaged")
    return arrays


def _rate_hz(path: Path, arrays: Mapping[str, np.ndarray]) -> int:
    rate = arrays["sample_rate"].ravel().tolist()
    if rate not in ([8000], [16000]):
        raise DataError(f"{path}: sample rate {', '.join(map(str, rate))} Hz; expected 8000 or 16000")
    return int(rate[0])


def _spoken(path: Path, name: str, arrays: Mapping[str, np.ndarray], part: np.ndarray) -> Spoken:
    """Wrap arrays in memory, recording after recording in ``audio``; ``path`` names the source in errors."""
    audio, offsets, rate_hz = arrays["audio"], arrays["offsets"].astype(np.int64), _rate_hz(path, arrays)
    label, speaker, names = check_speakers(arrays, part, path)
    digest = sha256_hex(audio.tobytes() + offsets.tobytes() + label.tobytes() + speaker.tobytes() + part.tobytes())
    return Spoken(name, label, part, speaker, names, digest,
                  Clips(lambda row: sound_of(audio[offsets[row] : offsets[row + 1]], rate_hz)))


def read_commands_folder(folder: Path) -> Spoken:
    """Read Speech Commands digits from the folders ``zero`` .. ``nine`` and the two lists; sounds when needed."""
    paths = [path for word in WORDS for path in _recordings_of(folder / word)]
    names = [f"{path.parent.name}/{path.name}" for path in paths]
    listed = _listed_parts(folder, set(names))
    part = np.array([listed.get(name, TRAIN) for name in names], np.int8)
    contents = [f"{name} {sha256_hex(_recording(path))}" for name, path in zip(names, paths, strict=True)]
    speakers, speaker = np.unique([path.name.split("_nohash_")[0] for path in paths], return_inverse=True)
    return Spoken("speech_commands", np.array([WORDS.index(path.parent.name) for path in paths], np.int64), part,
                  speaker.astype(np.int32), tuple(speakers.tolist()),
                  sha256_hex("\n".join(contents).encode() + part.tobytes()),
                  Clips(lambda row: sound_of(read_wav(paths[row], rate_hz=COMMANDS_RATE_HZ), COMMANDS_RATE_HZ)))


def _recordings_of(folder: Path) -> list[Path]:
    everything = sorted(folder.iterdir()) if folder.is_dir() else []
    paths = [path for path in everything if COMMANDS_NAME.fullmatch(path.name)]
    _say_ignored(folder, [path.name for path in everything if not COMMANDS_NAME.fullmatch(path.name)],
                 "0a7c2a8d_nohash_0.wav")
    if not paths:
        raise DataError(f"{folder}: no recordings; expected files such as 0a7c2a8d_nohash_0.wav, and so for each of "
                        f"{', '.join(WORDS)}")
    return paths


def _recording(path: Path) -> bytes:
    return read_file(path, expected="a WAV file of a second", max_bytes=MAX_RECORDING_BYTES)


def _listed_parts(folder: Path, names: set[str]) -> dict[str, int]:
    """Read both lists: part by ``word/file.wav``. Lines of other words are counted and shown.

    DataError: a line that names no file, one of the ``names`` there are; its recordings would be trained on otherwise.
    """
    parts: dict[str, int] = {}
    for name, part in LISTS.items():
        expected = "the Speech Commands list of one part, lines such as seven/0a7c2a8d_nohash_0.wav"
        data = read_file(folder / name, expected=expected, max_bytes=MAX_LIST_BYTES)
        with damage_explained(folder / name, expected):
            lines = [line.strip() for line in data.decode("utf-8-sig").splitlines() if line.strip()]
        others = []
        for line in lines:
            entry = posixpath.normpath(line.replace("\\", "/"))
            if entry in names:
                if parts.setdefault(entry, part) != part:
                    raise DataError(f"{folder / name}: '{line}' is in both lists; give it to one part")
            elif entry.count("/") == 1 and entry.split("/")[0] not in WORDS:
                others.append(entry)
            else:
                raise DataError(f"{folder / name}: '{line}' names no file in {folder}; expected {expected}")
        if others:
            words = sorted({entry.split("/")[0] for entry in others})
            console.print(f"{folder / name}: ignored {len(others)} lines of words that are no digits: "
                          f"{', '.join(words[:6])}{', ...' if len(words) > 6 else ''}", markup=False, style="dim")
        if part not in parts.values():
            raise DataError(f"{folder / name}: none of its {len(lines)} lines names a digit that is in {folder}; "
                            f"expected {expected}")
    return parts


def read_background_folder(folder: Path) -> np.ndarray:
    """Read the ``_background_noise_`` recordings, cut into seconds, float32 [k, 8000] at 8 kHz."""
    sounds = [read_wav(path, rate_hz=COMMANDS_RATE_HZ) for path in sorted(folder.glob("*.wav"))]
    seconds = [sound[: len(sound) // COMMANDS_RATE_HZ * COMMANDS_RATE_HZ].reshape(-1, COMMANDS_RATE_HZ)
               for sound in sounds]
    if not any(map(len, seconds)):
        raise DataError(f"{folder}: no sound of a second or more; expected the Speech Commands background recordings")
    return _loud_clips(folder, np.concatenate(seconds), COMMANDS_RATE_HZ)


def read_packed_background(path: Path) -> np.ndarray:
    """Read the background clips of ``sc_background_16k.npz``, float32 [k, 8000] at 8 kHz."""
    expected = "the packed Speech Commands background clips"
    arrays = read_npz(path, {"audio": "i", "sample_rate": "iu"}, expected=expected)
    audio, rate_hz = arrays["audio"], _rate_hz(path, arrays)
    if audio.dtype != np.int16 or audio.shape[1:] != (rate_hz,) or not len(audio):
        raise DataError(f"{path}: 'audio' is {audio.dtype} of shape {audio.shape}; expected int16 [clips, {rate_hz}]")
    return _loud_clips(path, audio, rate_hz)


def _loud_clips(path: Path, clips: np.ndarray, rate_hz: int) -> np.ndarray:
    """Drop nearly silent clips: int16 [k, rate_hz] -> float32 [<= k, 8000] at 8 kHz, background for mixing."""
    sound = sound_of(clips, rate_hz)[:, :CLIP_SAMPLES]
    loud = np.sqrt(np.mean(np.square(sound), axis=1)) > QUIET_RMS
    if not loud.any():
        raise DataError(f"{path}: every background clip is nearly silent; expected noise")
    return np.ascontiguousarray(sound[loud], dtype=np.float32)
