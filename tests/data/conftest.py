"""Small corpora written to disk in the forms their authors publish and in the packed form."""

from __future__ import annotations

import gzip
import struct
import wave
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

FSDD_SPEAKERS, REPETITIONS = ("ada", "ben"), 13
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
COMMANDS_SPEAKERS = tuple(f"{index:08x}" for index in range(12))


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test gets an empty cache folder of its own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("TINYFUSE_CACHE", str(folder))
    return folder


def idx_bytes(array: np.ndarray, magic: int) -> bytes:
    return struct.pack(f">{1 + array.ndim}I", magic, *array.shape) + array.astype(np.uint8).tobytes()


def write_wav(path: Path, samples: np.ndarray, *, rate_hz: int, channels: int = 1, width: int = 2) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as stream:
        stream.setnchannels(channels)
        stream.setsampwidth(width)
        stream.setframerate(rate_hz)
        stream.writeframes(samples.astype("<i2").tobytes())


def tone(seed: int, *, digit: int, rate_hz: int, seconds: float = 0.2) -> np.ndarray:
    """int16 samples: a tone whose pitch names the digit, with some noise; no two seeds give the same samples."""
    generator = np.random.default_rng(seed)
    time_s = np.arange(int(seconds * rate_hz) + seed % 7) / rate_hz
    sound = np.sin(2 * np.pi * 250.0 * (digit + 1) * time_s) + 0.1 * generator.standard_normal(len(time_s))
    return np.asarray(4000.0 * sound).astype(np.int16)


def write_mnist(folder: Path, *, train_per_class: int = 12, test_per_class: int = 3, compress: bool = True) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (name, per_class) in enumerate({"train": train_per_class, "t10k": test_per_class}.items()):
        label = np.random.default_rng(seed).permutation(np.repeat(np.arange(10), per_class))
        image = np.random.default_rng(seed + 9).integers(0, 256, (len(label), 28, 28))
        for kind, data in (("images-idx3", idx_bytes(image, 0x803)), ("labels-idx1", idx_bytes(label, 0x801))):
            plain = folder / f"{name}-{kind}-ubyte"
            if compress:
                plain.with_name(plain.name + ".gz").write_bytes(gzip.compress(data))
            else:
                plain.write_bytes(data)


def fsdd_rows() -> list[tuple[int, int, int, np.ndarray]]:
    """(speaker, digit, repetition, samples) sorted as in the packed form."""
    keys = [(s, d, r) for s in range(len(FSDD_SPEAKERS)) for d in range(10) for r in range(REPETITIONS)]
    return [(s, d, r, tone(s * 1000 + d * 100 + r, digit=d, rate_hz=8000)) for s, d, r in keys]


def write_fsdd_recordings(folder: Path) -> None:
    for speaker, digit, repetition, samples in fsdd_rows():
        write_wav(folder / f"{digit}_{FSDD_SPEAKERS[speaker]}_{repetition}.wav", samples, rate_hz=8000)


def fsdd_arrays() -> dict[str, np.ndarray]:
    rows = fsdd_rows()
    return {
        "audio": np.concatenate([row[3] for row in rows]),
        "offsets": np.concatenate([[0], np.cumsum([len(row[3]) for row in rows])]).astype(np.int64),
        "digit": np.array([row[1] for row in rows], np.uint8),
        "speaker": np.array([row[0] for row in rows], np.uint8), "speaker_names": np.array(FSDD_SPEAKERS),
        "repetition": np.array([row[2] for row in rows], np.uint8),
        "official_test": np.array([row[2] < 5 for row in rows]), "sample_rate": np.array(8000, np.int32),
    }


def write_commands(folder: Path, *, per_class: int = 24) -> None:
    """``per_class`` clips per word; the last speakers are the testing list, two before them the validation list."""
    lists: dict[str, list[str]] = {"validation_list.txt": [], "testing_list.txt": []}
    for digit, word in enumerate(WORDS):
        for number in range(per_class):
            index = number % len(COMMANDS_SPEAKERS)
            name = f"{word}/{COMMANDS_SPEAKERS[index]}_nohash_{number // len(COMMANDS_SPEAKERS)}.wav"
            write_wav(folder / name, tone(digit * 100 + number, digit=digit, rate_hz=16000), rate_hz=16000)
            if index >= len(COMMANDS_SPEAKERS) - 4:
                last = index >= len(COMMANDS_SPEAKERS) - 2
                lists["testing_list.txt" if last else "validation_list.txt"].append(name)
    for name, lines in lists.items():
        (folder / name).write_text("\n".join(lines) + "\n")
    hiss = np.random.default_rng(3).integers(-2000, 2000, 40000)
    write_wav(folder / "_background_noise_" / "hiss.wav", hiss, rate_hz=16000)


@pytest.fixture(scope="session")
def corpora() -> SimpleNamespace:
    """The writers above, for tests that need their own folder."""
    return SimpleNamespace(idx_bytes=idx_bytes, write_wav=write_wav, tone=tone, write_mnist=write_mnist,
                           write_fsdd_recordings=write_fsdd_recordings, fsdd_arrays=fsdd_arrays,
                           write_commands=write_commands, words=WORDS, commands_speakers=COMMANDS_SPEAKERS,
                           fsdd_speakers=FSDD_SPEAKERS)


@pytest.fixture(scope="session")
def packed_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the packed form: mnist/*.gz and fsdd/fsdd_8k.npz. Read only."""
    folder = tmp_path_factory.mktemp("packed")
    write_mnist(folder / "mnist")
    (folder / "fsdd").mkdir()
    np.savez(folder / "fsdd" / "fsdd_8k.npz", **fsdd_arrays())  # type: ignore[arg-type]
    return folder


@pytest.fixture
def one_line() -> Callable[[BaseException], str]:
    """The message of an error, after checking that it is one line that says something."""

    def check(error: BaseException) -> str:
        message = str(error)
        assert message and "\n" not in message and len(message) < 600
        return message

    return check
