"""Tasks for the five networks of MLPerf Tiny, made of written and spoken digits and background sound.

CIFAR-10, COCO, ToyADMOS and most of Speech Commands cannot be had everywhere; each function makes, from the folder of
``--data`` (MNIST, FSDD, Speech Commands background clips), a task of the same input shape and kind. Figures on them say
what conversion and deployment do, not how networks fare in MLPerf Tiny.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tinyfuse.core.errors import DataError
from tinyfuse.data import Dataset
from tinyfuse.data.digits.corpus import TEST, Clips, Spoken, Written
from tinyfuse.data.digits.load import read
from tinyfuse.data.digits.speech import read_packed_background
from tinyfuse.frontend.front_end import read_front_end
from tinyfuse.frontend.normalisation import apply, fit

RATE_HZ = 8000
DIGITS = tuple("0123456789")
WAKE_WORD = 7
PICTURES = {"train": 4000, "validation": 500, "test": 1000}
SCENES = {"train": 3000, "validation": 400, "test": 800}
WINDOWS = {"train": 20, "validation": 5, "test": 10}
"""Windows drawn from each background clip for anomaly detection."""
MFCC_49X10 = {"kind": "mfcc", "rate": RATE_HZ, "length": 8000, "window": 320, "hop": 160, "bands": 40,
              "coefficients": 10, "placement": "loudest", "level_rms": 0.1}
LOG_MEL_30X40 = {"kind": "log-mel", "rate": RATE_HZ, "length": 4880, "window": 240, "hop": 160, "bands": 40,
                 "placement": "loudest", "level_rms": 0.1}
LOG_MEL_10X64 = {"kind": "log-mel", "rate": RATE_HZ, "length": 2816, "window": 512, "hop": 256, "bands": 64}
Clip = np.ndarray


def image_classification(folder: Path, seed: int) -> Dataset:
    """Written digits in a colour of their own on another, 32x32x3, ten classes."""
    written, rng = read(folder, "fsdd").written, np.random.default_rng(seed)
    pictures, labels, part = [], [], []
    for name, rows in _rows(written, PICTURES, rng).items():
        ink = np.pad(written.images[rows].astype(np.float32) / 255, ((0, 0), (2, 2), (2, 2)))[..., None]
        pictures.append(_painted(ink, rng))
        labels.append(written.label[rows])
        part += [name] * len(rows)
    return Dataset.from_arrays({"camera": np.concatenate(pictures)}, np.concatenate(labels), part=part,
                               classes=DIGITS, low=0.0, high=1.0, name="coloured digits")


def visual_wake_words(folder: Path, seed: int) -> Dataset:
    """Cluttered scenes, 96x96x3, with a written digit somewhere or with none."""
    written, rng = read(folder, "fsdd").written, np.random.default_rng(seed)
    scenes, labels, part = [], [], []
    for name, rows in _rows(written, SCENES, rng).items():
        there = rng.permutation(len(rows)) % 2
        ink = np.stack([_scene(written.images, row, bool(one), rng) for row, one in zip(rows, there, strict=True)])
        scenes.append(_painted(ink[..., None], rng))
        labels.append(there)
        part += [name] * len(rows)
    return Dataset.from_arrays({"camera": np.concatenate(scenes)}, np.concatenate(labels), part=part,
                               classes=("nothing", "digit"), low=0.0, high=1.0, name="digits in scenes")


def keyword_spotting(folder: Path, seed: int) -> Dataset:
    """Spoken digits and background sound as 49x10 MFCC, eleven classes (the original has a twelfth, "unknown")."""
    spoken, noise = _speech(folder), _background(folder)
    labels = np.concatenate([spoken.label, np.full(len(noise), len(DIGITS))])
    return _heard("microphone", MFCC_49X10, [*_clips(spoken), *noise], labels,
                  [*_spoken_parts(spoken, seed), *_noise_parts(noise)], (*DIGITS, "background"), "spoken digits")


def streaming_wake_word(folder: Path, seed: int) -> Dataset:
    """One spoken digit, the other digits, background sound: 30 frames of 40 log-mel bands, three classes."""
    spoken, noise = _speech(folder), _background(folder)
    labels = np.concatenate([np.where(spoken.label == WAKE_WORD, 0, 1), np.full(len(noise), 2)])
    return _heard("microphone", LOG_MEL_30X40, [*_clips(spoken), *noise], labels,
                  [*_spoken_parts(spoken, seed), *_noise_parts(noise)], ("wake word", "other", "background"),
                  "one spoken digit", shape=(30, 1, 40))


def anomaly_detection(folder: Path, seed: int) -> Dataset:
    """Background sound (class 0); but in the training part also with a spoken digit in it (class 1), 640 values.

    A window of 10 frames of 64 log-mel bands. Validation and test clips are none of those trained on.
    """
    spoken, noise, rng = _speech(folder), _background(folder), np.random.default_rng(seed)
    clips, labels, part = [], [], []
    held_out = np.flatnonzero(spoken.part == TEST)
    for clip, name in zip(noise, _noise_parts(noise), strict=True):
        for _ in range(WINDOWS[name]):
            window = _window(clip, LOG_MEL_10X64["length"], rng)
            strange = name != "train" and rng.random() < 0.5
            voice = _clip(spoken, int(rng.choice(held_out)))
            level = rng.uniform(1, 3) * np.sqrt(np.mean(window**2)) / max(float(np.sqrt(np.mean(voice**2))), 1e-6)
            clips.append(window + level * _window(voice, len(window), rng) if strange else window)
            labels.append(int(strange))
            part.append(name)
    return _heard("microphone", LOG_MEL_10X64, clips, np.array(labels), part, ("usual", "strange"),
                  "background sound", shape=(640,))


TASKS: dict[str, Callable[[Path, int], Dataset]] = {
    "image-classification": image_classification, "keyword-spotting": keyword_spotting,
    "visual-wake-words": visual_wake_words, "anomaly-detection": anomaly_detection,
    "streaming-wake-word": streaming_wake_word}


def _speech(folder: Path) -> Spoken:
    return read(folder, "fsdd").spoken


def _clip(spoken: Spoken, row: int) -> Clip:
    if not isinstance(spoken.voice, Clips):
        raise DataError("the spoken digits come as features; give a folder with FSDD recordings")
    return spoken.voice.clip(row)


def _clips(spoken: Spoken) -> list[Clip]:
    return [_clip(spoken, row) for row in range(len(spoken))]


def _background(folder: Path) -> np.ndarray:
    return read_packed_background(folder / "speech_commands" / "sc_background_16k.npz")


def _spoken_parts(spoken: Spoken, seed: int) -> list[str]:
    """The official test part; a tenth of the rest is for validation."""
    drawn = np.random.default_rng(seed).random(len(spoken)) < 0.1
    return ["test" if part == TEST else "validation" if held else "train"
            for part, held in zip(spoken.part, drawn, strict=True)]


def _noise_parts(noise: np.ndarray) -> list[str]:
    """Clips in their order: 60 % train, 15 % validation, 25 % test."""
    places = np.arange(len(noise)) / len(noise)
    return ["train" if place < 0.6 else "validation" if place < 0.75 else "test" for place in places]


def _heard(name: str, table: dict[str, object], clips: Sequence[Clip], labels: np.ndarray, part: Sequence[str],
           classes: tuple[str, ...], data: str, shape: tuple[int, ...] | None = None) -> Dataset:
    """Features of ``clips`` by a front end, fitted on the training part, in [0, 1]."""
    front_end = read_front_end(table, name)
    values = np.stack([front_end.features(clip, rate=RATE_HZ) for clip in clips])
    features = apply(front_end, fit(front_end, values[np.array(part) == "train"]), values)
    inputs = {name: features.reshape(len(features), *(shape or features.shape[1:]))}
    return Dataset.from_arrays(inputs, labels, part=part, classes=classes, low=0.0, high=1.0, name=data)


def _rows(written: Written, counts: dict[str, int], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Rows of each part: training and validation from MNIST's training part, test from its test part."""
    train = rng.permutation(np.flatnonzero(written.part != TEST))
    test = rng.permutation(np.flatnonzero(written.part == TEST))
    return {"train": train[:counts["train"]], "test": test[:counts["test"]],
            "validation": train[counts["train"]:counts["train"] + counts["validation"]]}


def _painted(ink: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Paint ``ink`` [n, h, w, 1] in [0, 1]: one colour over another that differs, float32 [n, h, w, 3], with noise."""
    below = rng.uniform(0, 1, (len(ink), 1, 1, 3))
    above = (below + rng.uniform(0.25, 0.75, below.shape)) % 1
    noise = rng.normal(0, 0.03, (*ink.shape[:3], 3))
    return np.clip(below * (1 - ink) + above * ink + noise, 0, 1).astype(np.float32)


def _scene(images: np.ndarray, row: int, there: bool, rng: np.random.Generator) -> np.ndarray:
    """Ink of one scene, float32 [96, 96]: pieces of digits, and the digit ``row`` enlarged if it is ``there``."""
    scene = np.zeros((96, 96), np.float32)
    for _ in range(4):
        piece = 0.6 * np.kron(images[rng.integers(len(images)), 7:21, 7:21].astype(np.float32) / 255, np.ones((2, 2)))
        piece = rng.permuted(piece.reshape(4, 7, 4, 7), axis=0).reshape(28, 28)
        top, left = rng.integers(0, 96 - 28, 2)
        scene[top:top + 28, left:left + 28] = np.maximum(scene[top:top + 28, left:left + 28], piece)
    if there:
        digit = np.kron(images[row].astype(np.float32) / 255, np.ones((2, 2)))
        top, left = rng.integers(0, 96 - 56, 2)
        scene[top:top + 56, left:left + 56] = np.maximum(0.5 * scene[top:top + 56, left:left + 56], digit)
    return scene


def _window(clip: Clip, length: int, rng: np.random.Generator) -> Clip:
    """Draw ``length`` samples of ``clip``, which is padded with zeros if it is shorter."""
    clip = np.pad(clip, (0, max(length - len(clip), 0)))
    start = int(rng.integers(0, len(clip) - length + 1))
    return clip[start:start + length]
