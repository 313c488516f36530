"""Spoken digits in the packed form: one npz per corpus, all recordings one after another."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tinyfuse.core.errors import DataError
from tinyfuse.core.files import sha256_hex
from tinyfuse.data.digits.features import CLIP_SAMPLES, SAMPLE_RATE_HZ
from tinyfuse.data.digits.readers import FULL_SCALE, read_npz
from tinyfuse.data.digits.sources import TEST, TRAIN, VALIDATION, Clips, Spoken, check_labels

FSDD_FILE, COMMANDS_FILE, BACKGROUND_FILE = "fsdd_8k.npz", "sc_digits_16k.npz", "sc_background_16k.npz"
PACKED_KEYS = {"audio": "i", "offsets": "iu", "digit": "iu", "speaker": "iu", "speaker_names": "U", "sample_rate": "iu"}
PARTITIONS = {"training": TRAIN, "validation": VALIDATION, "testing": TEST}
QUIET_RMS = 30.0 / 32768.0


def resample(clip: np.ndarray, rate_hz: int, target_hz: int = SAMPLE_RATE_HZ) -> np.ndarray:
    """Resample float samples [..., n] from ``rate_hz`` to ``target_hz`` (soxr, high quality)."""
    if rate_hz == target_hz:
        return clip
    import librosa

    result: np.ndarray = librosa.resample(clip, orig_sr=rate_hz, target_sr=target_hz, res_type="soxr_hq")
    return result


def _packed(path: Path, expected: str, part_key: str) -> tuple[dict[str, np.ndarray], int]:
    keys = {**PACKED_KEYS, part_key: "biu"} | ({"partition_names": "U"} if part_key == "partition" else {})
    arrays = read_npz(path, keys, expected=expected)
    audio, offsets, names = arrays["audio"], arrays["offsets"], arrays["speaker_names"]
    count = len(arrays["digit"])
    if audio.dtype != np.int16 or audio.ndim != 1 or arrays["sample_rate"].size != 1 or names.ndim != 1:
        raise DataError(f"{path}: 'audio' must be int16 [samples] and 'sample_rate' one number; expected {expected}")
    if any(arrays[key].shape != (count,) for key in ("digit", "speaker", part_key)) or offsets.shape != (count + 1,):
        raise DataError(f"{path}: its arrays differ in length; expected {expected} with {count} recordings")
    signed = offsets.astype(np.int64)
    if signed[0] != 0 or signed[-1] != len(audio) or (np.diff(signed) <= 0).any():
        raise DataError(f"{path}: 'offsets' do not divide its {len(audio)} samples; the file is clipped or damaged")
    if len(names) == 0 or int(arrays["speaker"].max()) >= len(names) or int(arrays["speaker"].min()) < 0:
        raise DataError(f"{path}: a speaker index lies outside the {len(names)} names")
    rate_hz = int(arrays["sample_rate"].reshape(-1)[0])
    if rate_hz not in (8000, 16000):
        raise DataError(f"{path}: sample rate {rate_hz} Hz; expected 8000 or 16000")
    return arrays, rate_hz


def packed_spoken(path: Path, name: str, arrays: dict[str, np.ndarray], rate_hz: int, part: np.ndarray) -> Spoken:
    """Spoken digits from checked arrays in memory: ``audio`` int16 [samples], ``offsets``, ``digit``, ``speaker``,
    ``speaker_names``; ``part`` is int8 [n] and ``path`` names the source in errors.
    """
    audio, offsets = arrays["audio"], arrays["offsets"].astype(np.int64)
    label = check_labels(arrays["digit"], path)
    speaker = arrays["speaker"].astype(np.int32)

    def clip(row: int) -> np.ndarray:
        samples = audio[offsets[row] : offsets[row + 1]].astype(np.float32) / FULL_SCALE
        return resample(samples, rate_hz)

    digest = sha256_hex(audio.tobytes() + offsets.tobytes() + label.tobytes() + speaker.tobytes() + part.tobytes())
    names = tuple(str(item) for item in arrays["speaker_names"])
    return Spoken(name, label, part, speaker, names, digest, Clips(clip))


def read_packed_fsdd(path: Path) -> Spoken:
    """FSDD from ``fsdd_8k.npz``; repetitions 0..4 are the official test part."""
    arrays, rate_hz = _packed(path, "the packed Free Spoken Digit Dataset", "official_test")
    part = np.where(arrays["official_test"].astype(bool), TEST, TRAIN).astype(np.int8)
    return packed_spoken(path, "fsdd", arrays, rate_hz, part)


def read_packed_commands(path: Path) -> Spoken:
    """Speech Commands digits from ``sc_digits_16k.npz`` with the corpus' own three partitions."""
    arrays, rate_hz = _packed(path, "the packed Speech Commands digits", "partition")
    names = [str(item) for item in arrays["partition_names"].reshape(-1)]
    index = arrays["partition"].astype(np.int64)
    if not set(names) <= set(PARTITIONS) or int(index.max()) >= len(names) or int(index.min()) < 0:
        raise DataError(f"{path}: partitions {names}; expected {', '.join(PARTITIONS)}")
    part = np.array([PARTITIONS[name] for name in names], np.int8)[index]
    return packed_spoken(path, "speech_commands", arrays, rate_hz, part)


def loud_clips(path: Path, clips: np.ndarray, rate_hz: int) -> np.ndarray:
    """Background for mixing: int16 [k, rate_hz] -> float32 [<= k, 8000] at 8 kHz without the nearly silent clips."""
    sound = resample(clips.astype(np.float32) / FULL_SCALE, rate_hz)[:, :CLIP_SAMPLES]
    loud = np.sqrt(np.mean(np.square(sound), axis=1)) > QUIET_RMS
    if not loud.any():
        raise DataError(f"{path}: every background clip is nearly silent; expected noise")
    return np.ascontiguousarray(sound[loud], dtype=np.float32)


def read_packed_background(path: Path) -> np.ndarray:
    """Background clips of ``sc_background_16k.npz``, float32 [k, 8000] at 8 kHz."""
    expected = "the packed Speech Commands background clips"
    arrays = read_npz(path, {"audio": "i", "sample_rate": "iu"}, expected=expected)
    audio, rate = arrays["audio"], arrays["sample_rate"]
    if audio.dtype != np.int16 or audio.ndim != 2 or not len(audio) or rate.size != 1:
        raise DataError(f"{path}: 'audio' must be int16 [clips, samples] and 'sample_rate' one number")
    rate_hz = int(rate.reshape(-1)[0])
    if rate_hz not in (8000, 16000) or audio.shape[1] != rate_hz:
        raise DataError(f"{path}: {audio.shape[1]} samples per clip at {rate_hz} Hz; expected one second "
                        f"at 8000 or 16000 Hz")
    return loud_clips(path, audio, rate_hz)
