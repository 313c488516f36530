"""Training samples changed at random: images turned and moved, speech replaced by one of its variants.

Variants of an utterance differ in time shift, level, speed and background noise; variant 0 is always clean. Every
variant is drawn from its own generator, seeded by (seed, utterance, variant): a subset of the utterances, another order
or a resumed run gives the same values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinyfuse.core.backend import tensorflow
from tinyfuse.core.console import progress
from tinyfuse.data.digits.corpus import Features, Spoken
from tinyfuse.data.digits.features import CLIP_SAMPLES, COEFFICIENTS, FRAMES, SAMPLE_RATE_HZ, level, mfcc, place
from tinyfuse.data.digits.speech import resample
from tinyfuse.data.samples import Batch
from tinyfuse.frontend.recording import rms

MAX_ROTATION_DEGREES = 12.0
MAX_SHIFT_PIXELS = 2.5
VARIANTS = 12
MAX_STORED = 100_000
MAX_SHIFT_SAMPLES = SAMPLE_RATE_HZ // 10
MAX_LEVEL_DB = 6.0
SNR_DB = (5.0, 25.0)
MAX_SPEED_CHANGE = 0.1
MAX_SHIFT_FRAMES = 4
NOISE_CLIPS = 60
ENERGY_STEP = 0.5
COEFFICIENT_NOISE = 0.15
PARAMETERS = (f"variants-1 {MAX_SHIFT_SAMPLES} {MAX_LEVEL_DB} {SNR_DB} {MAX_SPEED_CHANGE} {MAX_SHIFT_FRAMES} "
              f"{ENERGY_STEP} {COEFFICIENT_NOISE}")


@dataclass(frozen=True, eq=False)
class Augmentation:
    """The training images, float32 [n, 28, 28, 1], and the variants of the training utterances.

    ``variants``: float32 [u, v, 28, 28, 1] in [0, 1]; ``utterance``: int64 [n], the row of ``variants`` that belongs to
    each training sample.
    """

    image: np.ndarray
    variants: np.ndarray
    utterance: np.ndarray

    def __call__(self, rows: np.ndarray, rng: np.random.Generator) -> Batch:
        """Draw new inputs for the training samples ``rows``: a turned and moved image, any variant of the speech."""
        image = rotate_and_shift(self.image[rows], rng)
        variant = rng.integers(self.variants.shape[1], size=len(rows))
        return {"image": image, "audio": self.variants[self.utterance[rows], variant]}


def rotate_and_shift(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rotate each float32 [n, 28, 28, 1] image by up to 12 degrees and shift it by up to 2.5 pixels, zero fill."""
    n, height, width = image.shape[:3]
    angle = np.deg2rad(rng.uniform(-MAX_ROTATION_DEGREES, MAX_ROTATION_DEGREES, n))
    shift_x, shift_y = rng.uniform(-MAX_SHIFT_PIXELS, MAX_SHIFT_PIXELS, (2, n))
    cos, sin, cx, cy = np.cos(angle), np.sin(angle), (width - 1) / 2, (height - 1) / 2
    zero = np.zeros(n)
    transforms = np.stack([cos, -sin, cx - cos * cx + sin * cy + shift_x,
                           sin, cos, cy - sin * cx - cos * cy + shift_y, zero, zero], axis=1)
    turned = tensorflow().raw_ops.ImageProjectiveTransformV3(
        images=image, transforms=transforms.astype(np.float32), output_shape=np.array([height, width], np.int32),
        fill_value=np.float32(0), interpolation="BILINEAR", fill_mode="CONSTANT")
    return np.asarray(turned)


def variant_count(utterances: int) -> int:
    """Choose how many variants to make: 12, fewer (at least 2) where more than 100,000 feature maps would be stored."""
    return int(np.clip(MAX_STORED // max(utterances, 1), 2, VARIANTS))


def coloured_noise(count: int, *, seed: int) -> np.ndarray:
    """Make background noise, float32 [count, 8000]: white, pink and brown in turn, RMS 1."""
    generator = np.random.default_rng([seed, count])
    spectrum = np.fft.rfft(generator.standard_normal((count, CLIP_SAMPLES)), axis=1)
    frequency = np.maximum(np.arange(spectrum.shape[1]), 20.0)
    slope = 0.5 * (np.arange(count) % 3)[:, None]
    clips = np.fft.irfft(spectrum / frequency**slope, n=CLIP_SAMPLES, axis=1)
    return np.asarray(clips / np.sqrt(np.mean(np.square(clips), axis=1, keepdims=True)), np.float32)


def windows_of(clip: np.ndarray, count: int, *, noise: np.ndarray, seed: int, row: int) -> np.ndarray:
    """Cut ``count`` windows of a second, float32 [count, 8000], of a clip (float [samples], 8 kHz); the first is clean.

    The others: speed within ±10 %, shift within ±100 ms, level within ±6 dB; odd ones carry noise at 5..25 dB SNR
    (``noise`` is float32 [k, 8000]).
    """
    windows = np.zeros((count, CLIP_SAMPLES), np.float32)
    windows[0] = place(level(clip))
    for variant in range(1, count):
        generator = np.random.default_rng([seed, row, variant])
        speed = 1.0 + generator.uniform(-MAX_SPEED_CHANGE, MAX_SPEED_CHANGE)
        shift = int(generator.integers(-MAX_SHIFT_SAMPLES, MAX_SHIFT_SAMPLES + 1))
        gain = 10.0 ** (generator.uniform(-MAX_LEVEL_DB, MAX_LEVEL_DB) / 20.0)
        # Playing back faster is resampling to a lower rate; whole hertz keep soxr's ratio small.
        spoken = level(resample(clip, round(SAMPLE_RATE_HZ * speed), SAMPLE_RATE_HZ))
        windows[variant] = place(spoken, shift_samples=shift)
        if variant % 2:
            background = np.roll(noise[generator.integers(len(noise))], generator.integers(CLIP_SAMPLES))
            ratio = rms(spoken) / rms(background) * 10.0 ** (-generator.uniform(*SNR_DB) / 20.0)
            windows[variant] += background * np.float32(ratio)
        windows[variant] *= np.float32(gain)
    return windows


def feature_variants(clean: np.ndarray, count: int, *, spread: np.ndarray, seed: int, row: int) -> np.ndarray:
    """Make ``count`` variants, float32 [count, 39, 13], of features without a waveform ([39, 13]); the first is clean.

    Shift within ±4 frames (100 ms) with the edge frame repeated, energy offset within ±0.5 and Gaussian noise of 0.15
    on every value, both in units of ``spread``, the standard deviation per coefficient (float [13]).
    """
    variants = np.repeat(np.asarray(clean, np.float32)[None], count, axis=0)
    for variant in range(1, count):
        generator = np.random.default_rng([seed, row, variant])
        shift = int(generator.integers(-MAX_SHIFT_FRAMES, MAX_SHIFT_FRAMES + 1))
        noise = generator.standard_normal((FRAMES, COEFFICIENTS), np.float32) * np.float32(COEFFICIENT_NOISE)
        noise[:, -1] += np.float32(generator.uniform(-ENERGY_STEP, ENERGY_STEP))
        variants[variant] = clean[np.clip(np.arange(FRAMES) - shift, 0, FRAMES - 1)] + noise * spread
    return variants


def augmented_features(spoken: Spoken, rows: np.ndarray, count: int, *, seed: int) -> np.ndarray:
    """Compute raw features of ``count`` variants of the utterances ``rows``, float32 [len(rows), count, 39, 13]."""
    features = np.empty((len(rows), count, FRAMES, COEFFICIENTS), np.float32)
    voice = spoken.voice
    if isinstance(voice, Features):
        spread = voice.values[rows].std(axis=(0, 1)).astype(np.float32)
        for position, row in enumerate(rows):
            features[position] = feature_variants(voice.values[row], count, spread=spread, seed=seed, row=int(row))
        return features
    noise = voice.noise if voice.noise is not None else coloured_noise(NOISE_CLIPS, seed=seed)
    with progress("speech features", total=len(rows)) as advance:
        for position, row in enumerate(rows):
            features[position] = mfcc(windows_of(voice.clip(int(row)), count, noise=noise, seed=seed, row=int(row)))
            advance()
    return features
