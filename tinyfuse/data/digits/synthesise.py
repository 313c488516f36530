"""Make the embedded spoken digits: ``python -m tinyfuse.data.digits.synthesise --out FILE.npz`` (needs espeak-ng 1.51).

40 voices (8 English accents, 15 timbres) say each digit nine times, every time at another rate; the ninth take is the
official test part. Each take is coloured, often reverberated, moved in time and mixed with coloured noise or
babble at 8..30 dB. Only the features are kept, as one byte per value. A row depends on its voice, digit and take alone.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import astuple, dataclass
from functools import cache
from pathlib import Path

import numpy as np

from tinyfuse.core.console import console, progress
from tinyfuse.core.errors import DataError, TinyfuseError
from tinyfuse.core.files import atomic_path
from tinyfuse.data.digits.augmentation import coloured_noise
from tinyfuse.data.digits.features import CLIP_SAMPLES, COEFFICIENTS, FRAMES, SAMPLE_RATE_HZ, level, mfcc, place
from tinyfuse.data.digits.speech import WORDS, resample

PROGRAM = "espeak-ng"
ACCENTS = ("en-gb", "en-us", "en-gb-scotland", "en-gb-x-gbclan", "en-gb-x-rp", "en-gb-x-gbcwmd", "en-029", "en-us-nyc")
TIMBRES = ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "f1", "f2", "f3", "f4", "f5", "klatt", "Andy")
VOICES = tuple(f"{ACCENTS[index % len(ACCENTS)]}+{TIMBRES[index % len(TIMBRES)]}" for index in range(40))
TAKES, TEST_TAKE = 9, 8
SEED = 20190101
RATES_WPM, PITCHES = (120, 230), (20, 80)
SNR_DB = (8.0, 30.0)
MAX_SHIFT_SAMPLES = SAMPLE_RATE_HZ // 16
REVERBERATION_S = (0.1, 0.3)
SENTENCE = "the grey harbour was quiet while many boats came home before the evening rain"
WAV_HEADER_BYTES = 44


@dataclass(frozen=True)
class Take:
    """One utterance to make: ``voice`` indexes ``VOICES``, ``rate_wpm`` and ``pitch`` are espeak-ng's -s and -p."""

    voice: int
    digit: int
    number: int
    rate_wpm: int
    pitch: int


def takes() -> list[Take]:
    """Plan all 3,600 utterances, sorted by voice, digit, take; no rate occurs twice for a voice and digit."""
    result = []
    for voice in range(len(VOICES)):
        for digit in range(len(WORDS)):
            generator = np.random.default_rng([SEED, voice, digit])
            rates = generator.permutation(np.linspace(*RATES_WPM, TAKES).astype(int))
            pitches = generator.integers(*PITCHES, TAKES)
            result += [Take(voice, digit, number, int(rates[number]), int(pitches[number])) for number in range(TAKES)]
    return result


def speak(text: str, voice: str, *, rate_wpm: int, pitch: int) -> np.ndarray:
    """Run espeak-ng; float32 [samples] at 8 kHz without the silence at both ends."""
    command = [PROGRAM, "-v", voice, "-s", str(rate_wpm), "-p", str(pitch), "--stdout", text]
    try:
        wav = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise DataError(f"{PROGRAM} failed ({error}); install espeak-ng 1.51 to make the spoken digits") from None
    if len(wav) <= WAV_HEADER_BYTES:
        raise DataError(f"{PROGRAM} made no sound for voice '{voice}'; install its English voices")
    # The sizes in a header written to a pipe are placeholders, so the fixed layout is read instead.
    rate_hz = int.from_bytes(wav[24:28], "little")
    samples = np.frombuffer(wav[WAV_HEADER_BYTES : len(wav) - len(wav) % 2], "<i2").astype(np.float32) / 32768.0
    loud = np.flatnonzero(np.abs(samples) > 0.01 * np.abs(samples).max())
    return resample(samples[loud[0] : loud[-1] + 1], rate_hz)


@cache
def backgrounds() -> np.ndarray:
    """Make noise to mix in, float32 [60, 8000]: 48 coloured clips and 12 of four voices talking at once."""
    talkers = [level(speak(SENTENCE, VOICES[index], rate_wpm=170, pitch=50)) for index in range(0, 40, 5)]
    babble = np.zeros((12, CLIP_SAMPLES), np.float32)
    for index, row in enumerate(babble):
        generator = np.random.default_rng([SEED, index])
        for talker in generator.permutation(len(talkers))[:4]:
            start = int(generator.integers(len(talkers[talker]) - CLIP_SAMPLES))
            row += talkers[talker][start : start + CLIP_SAMPLES]
    return np.concatenate([coloured_noise(48, seed=SEED), babble])


def _room(clip: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    seconds = generator.uniform(*REVERBERATION_S)
    time_s = np.arange(int(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tail = generator.standard_normal(len(time_s)) * np.exp(-6.9 * time_s / seconds)
    response = np.concatenate([[1.0], 0.3 * tail / np.sqrt(np.sum(np.square(tail)))])
    return np.convolve(clip, response)


def degrade(clip: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Make of ``clip`` (float [samples]) what a cheap microphone hears in a noisy room; float32 [8000]."""
    tilt = generator.uniform(-0.3, 0.7)
    coloured = np.append(clip[:1], clip[1:] - tilt * clip[:-1])
    if generator.random() < 0.5:
        coloured = _room(coloured, generator)
    spoken = level(coloured)
    shift = int(generator.integers(-MAX_SHIFT_SAMPLES, MAX_SHIFT_SAMPLES + 1))
    noise = np.roll(backgrounds()[generator.integers(len(backgrounds()))], generator.integers(CLIP_SAMPLES))
    gain = 10.0 ** (-generator.uniform(*SNR_DB) / 20.0)
    mixed: np.ndarray = place(spoken, shift_samples=shift) + level(noise) * np.float32(gain)
    return mixed * np.float32(10.0 ** (generator.uniform(-6.0, 6.0) / 20.0))


def features_of(take: Take) -> np.ndarray:
    """Compute raw features of one utterance, float32 [39, 13]."""
    clip = speak(WORDS[take.digit], VOICES[take.voice], rate_wpm=take.rate_wpm, pitch=take.pitch)
    generator = np.random.default_rng([SEED, take.voice, take.digit, take.number])
    return np.asarray(mfcc(degrade(clip, generator)[None])[0])


def encode(features: np.ndarray, low: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Round to one byte per value: ``round((features - low) / step)``, uint8, for float32 [..., 39, 13]."""
    return np.asarray(np.clip(np.rint((features - low) / step), 0, 255), np.uint8)


def synthesise(out: Path) -> None:
    """Make all utterances and write ``out`` (``.npz``)."""
    plan = takes()
    features = np.empty((len(plan), FRAMES, COEFFICIENTS), np.float32)
    with progress("synthesising", total=len(plan)) as advance:
        for row, take in enumerate(plan):
            features[row] = features_of(take)
            advance()
    low = features.min(axis=(0, 1))
    step = (features.max(axis=(0, 1)) - low) / np.float32(255)
    version = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout.split("Data")[0]
    voice, digit, number, rate_wpm, pitch = np.array([astuple(take) for take in plan], np.uint8).T
    with atomic_path(out) as temporary:
        np.savez_compressed(
            temporary, code=encode(features, low, step), low=low, step=step, digit=digit, speaker=voice,
            speaker_names=np.array(VOICES), take=number, rate_wpm=rate_wpm, pitch=pitch,
            official_test=number == TEST_TAKE, synthesiser=np.array(version.strip()))


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tinyfuse.data.digits.synthesise",
                                     description="Make the embedded spoken digits (needs espeak-ng 1.51).")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("embedded_speech.npz"),
                        help="the .npz to write (default: the one in the package)")
    out = parser.parse_args(arguments).out
    try:
        synthesise(out)
    except TinyfuseError as error:
        console.print(f"error: {error}", markup=False)
        return error.exit_code
    console.print(f"{out}: {out.stat().st_size} bytes", markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
