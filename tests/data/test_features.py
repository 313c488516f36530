"""The digits' speech features: their layout, and that they depend neither on the recording's level nor on the batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyfuse.core import toml
from tinyfuse.core.errors import DataError
from tinyfuse.data.digits.features import CLIP_SAMPLES, FRONT_END, PICTURE, level, mfcc, place
from tinyfuse.data.digits.load import INPUTS
from tinyfuse.frontend.front_end import read_front_end

MODELS = Path(__file__).resolve().parents[2] / "models"
AUDIO = INPUTS[1]


@pytest.fixture(scope="module")
def clips() -> np.ndarray:
    generator = np.random.default_rng(0)
    sounds = generator.standard_normal((4, 5000)) * np.exp(-np.arange(5000) / 1500.0)
    return sounds.astype(np.float32)


def test_one_second_gives_39_frames_of_13(clips: np.ndarray) -> None:
    features = mfcc(np.stack([place(clip) for clip in clips]))
    assert features.shape == (4, 39, 13) and features.dtype == np.float32 and np.isfinite(features).all()


def test_coefficients_are_librosas_and_energy_is_the_frame_power(clips: np.ndarray) -> None:
    import librosa

    window = place(level(clips[0]))
    expected = librosa.feature.mfcc(y=window, sr=8000, n_mfcc=13, n_fft=400, hop_length=200, center=False, n_mels=40)
    frames = np.stack([window[start : start + 400] for start in range(0, 7601, 200)]).astype(np.float64)
    energy = 10 * np.log10(np.maximum(np.mean(frames**2, axis=1), 1e-10))
    ours = mfcc(window[None])[0]
    np.testing.assert_allclose(ours[:, :12], expected[1:].T, atol=1e-3)
    np.testing.assert_allclose(ours[:, 12], np.maximum(energy, energy.max() - 80), atol=1e-3)


def test_features_do_not_depend_on_the_recording_level_or_the_batch(clips: np.ndarray) -> None:
    windows = np.stack([place(level(clip)) for clip in clips])
    quiet = np.stack([place(level(clip * np.float32(0.01))) for clip in clips])
    together = mfcc(windows)
    np.testing.assert_allclose(mfcc(quiet), together, atol=2e-2)
    for index in range(len(windows)):
        assert np.array_equal(mfcc(windows[index : index + 1])[0], together[index])


def test_silence_is_finite_and_stays_silence() -> None:
    silent = level(np.zeros(3000, np.float32))
    assert not silent.any()
    assert np.isfinite(mfcc(place(silent)[None])).all()


@given(length=st.integers(0, 20000), shift=st.integers(-900, 900))
@settings(max_examples=60, deadline=None)
def test_place_centres_then_shifts(length: int, shift: int) -> None:
    clip = np.ones(length, np.float32)
    window = place(clip, shift_samples=shift)
    kept = min(length, CLIP_SAMPLES)
    start = (CLIP_SAMPLES - kept) // 2 + shift
    expected = [index for index in range(start, start + kept) if 0 <= index < CLIP_SAMPLES]
    assert window.shape == (CLIP_SAMPLES,)
    assert np.flatnonzero(window).tolist() == expected


def test_a_long_clip_keeps_its_loudest_second() -> None:
    clip = np.full(20000, 0.01, np.float32)
    clip[11000:18000] = 1.0
    assert place(clip).sum() >= 7000


def test_the_valid_part_covers_507_cells() -> None:
    mask = AUDIO.valid_mask()
    assert mask.shape == (28, 28, 1) and mask.dtype == np.float32
    assert mask.sum() == 507 and mask.reshape(-1)[:507].all()


def test_the_input_is_what_the_front_end_makes() -> None:
    assert (AUDIO.shape, AUDIO.valid) == (FRONT_END.shape, FRONT_END.valid)
    axes = {name: (axis.stride, axis.size) for name, axis in AUDIO.axes.items()}
    assert (axes["time"], axes["mfcc"]) == (FRONT_END.axes["frames"], FRONT_END.axes["coefficients"])


def test_a_picture_front_end_is_the_image_input() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
    found = PICTURE.features(pixels)
    assert (PICTURE.shape, PICTURE.natural_range) == (INPUTS[0].shape, (INPUTS[0].low, INPUTS[0].high))
    assert np.array_equal(found, (pixels.astype(np.float32) / np.float32(255.0))[..., None])


def test_committed_networks_tell_how_their_inputs_are_made() -> None:
    paths = [*MODELS.glob("*/*.keras"), *MODELS.glob("*/*.tflite")]
    tables = [toml.read(path.with_suffix(".toml"), DataError) for path in paths]
    assert paths
    for table in tables:
        found = {name: read_front_end(one, name) for name, one in table["front_ends"].items()}
        assert found == {"image": PICTURE, "audio": FRONT_END}
