"""The feature layout, its independence of level and batch, and the scaling that travels with the model."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyfuse.core.errors import DataError
from tinyfuse.core.strict import decode, encode
from tinyfuse.data.digits.features import CLIP_SAMPLES, FeatureScaling, level, mfcc, place
from tinyfuse.data.digits.load import INPUTS

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


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 1000.0))
@settings(max_examples=25, deadline=None)
def test_scaling_fills_the_unit_interval_and_pads_with_zero(seed: int, spread: float) -> None:
    raw = (np.random.default_rng(seed).standard_normal((20, 39, 13)) * spread - 30.0).astype(np.float32)
    scaling = FeatureScaling.fit(raw)
    cells = scaling.apply(raw)
    assert cells.shape == (20, 28, 28, 1) and cells.dtype == np.float32
    assert cells.min() >= 0.0 and cells.max() <= 1.0
    mask = AUDIO.valid_mask()[..., 0] == 1
    assert not cells[:, ~mask].any()
    inside = cells[:, mask].reshape(20, 39, 13)
    assert 0 < np.mean(inside == 1.0) < 0.004 and 0 < np.mean(inside == 0.0) < 0.004
    order = np.argsort(raw[:, 0, 0])
    assert (np.diff(inside[order, 0, 0]) >= 0).all()


def test_values_are_laid_out_row_by_row() -> None:
    raw = np.random.default_rng(1).standard_normal((50, 39, 13)).astype(np.float32)
    scaling = FeatureScaling((0.0,) * 13, (1.0,) * 13, -10.0, 10.0)
    assert scaling.apply(raw).reshape(50, 784)[:, 13 * 5 + 2] == pytest.approx((raw[:, 5, 2] + 10) / 20, abs=1e-6)


def test_scaling_statistics_are_those_of_each_coefficient() -> None:
    raw = np.random.default_rng(2).standard_normal((300, 39, 13)) * np.arange(1, 14) + np.arange(13)
    scaling = FeatureScaling.fit(raw.astype(np.float32))
    np.testing.assert_allclose(scaling.mean, raw.mean(axis=(0, 1)), atol=1e-5)
    np.testing.assert_allclose(scaling.std, raw.std(axis=(0, 1)), rtol=1e-5)


def test_constant_features_do_not_divide_by_zero() -> None:
    raw = np.full((5, 39, 13), -80.0, np.float32)
    assert np.isfinite(FeatureScaling.fit(raw).apply(raw)).all()


def test_the_valid_part_covers_507_cells() -> None:
    mask = AUDIO.valid_mask()
    assert mask.shape == (28, 28, 1) and mask.dtype == np.float32
    assert mask.sum() == 507 and mask.reshape(-1)[:507].all()


def test_scaling_table_round_trip() -> None:
    scaling = FeatureScaling(tuple(range(13)), tuple(range(1, 14)), -3.5, 4.25)
    assert decode(FeatureScaling, encode(scaling), "table", DataError) == scaling


GOOD = encode(FeatureScaling((0.0,) * 13, (1.0,) * 13, 0.0, 1.0))


@pytest.mark.parametrize(("change", "told"), [
    ({"lowest": 1.0}, "did you mean 'low'"), ({"mean": [0.0] * 12}, "13 numbers"), ({"std": [0.0] * 13}, "positive"),
    ({"low": "0"}, "expected a number"), ({"high": float("nan")}, "finite"), ({"low": 2.0}, "below high"),
    ({"mean": [True] * 13}, "expected a number"), ({"std": None}, "expected a list"),
])
def test_scaling_table_is_strict(change: dict[str, object], told: str) -> None:
    with pytest.raises(DataError, match=told):
        decode(FeatureScaling, GOOD | change, "table", DataError)
