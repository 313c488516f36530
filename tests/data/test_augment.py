"""Variants: the first is clean, each is drawn for itself, and every change stays in its range."""

from __future__ import annotations

import numpy as np
import pytest

from tinyfuse.data.digits import augmentation as augment
from tinyfuse.data.digits.augmentation import augmented_features, coloured_noise, variant_count, windows_of
from tinyfuse.data.digits.corpus import Clips, Features, Spoken
from tinyfuse.data.digits.features import level, mfcc, place


def clip(row: int) -> np.ndarray:
    time_s = np.arange(2400) / 8000.0
    return (0.3 * np.sin(2 * np.pi * (300 + 40 * row) * time_s)).astype(np.float32)


def speech(voice: Clips | Features) -> Spoken:
    rows = np.zeros(6, np.int64)
    return Spoken("s", rows, rows.astype(np.int8), rows.astype(np.int32), ("a",), "d", voice)


FEATURES = speech(Features(np.random.default_rng(5).standard_normal((6, 39, 13)).astype(np.float32)))


@pytest.mark.parametrize("spoken", [speech(Clips(clip)), FEATURES], ids=["clips", "features"])
def test_variant_zero_is_clean_and_the_rest_differ(spoken: Spoken) -> None:
    rows = np.arange(6)
    variants = augmented_features(spoken, rows, 5, seed=0)
    assert variants.shape == (6, 5, 39, 13) and np.isfinite(variants).all()
    clean = spoken.voice.values if isinstance(spoken.voice, Features) else [
        mfcc(place(level(clip(row)))[None])[0] for row in rows]
    assert np.array_equal(variants[:, 0], clean)
    flat = variants.reshape(30, -1)
    assert len(np.unique(flat, axis=0)) == 30


def test_an_utterance_gets_the_same_variants_in_any_company() -> None:
    spoken = speech(Clips(clip))
    whole = augmented_features(spoken, np.arange(6), 6, seed=3)
    assert np.array_equal(augmented_features(spoken, np.array([4, 1]), 6, seed=3), whole[[4, 1]])
    assert np.array_equal(augmented_features(spoken, np.array([4]), 3, seed=3)[0], whole[4, :3])
    assert not np.array_equal(augmented_features(spoken, np.array([4]), 6, seed=4)[0, 1:], whole[4, 1:])


def test_noise_lies_between_5_and_25_db_below_the_speech() -> None:
    noise = coloured_noise(9, seed=1)
    for row in range(4):
        noisy = windows_of(clip(row), 12, noise=noise, seed=0, row=row)
        still = windows_of(clip(row), 12, noise=noise * np.float32(0) + np.float32(1e-3), seed=0, row=row)
        assert np.array_equal(noisy[::2], still[::2])
        for variant in range(1, 12, 2):
            loudest = np.abs(noisy[variant, 3000:5000])
            edge = np.concatenate([noisy[variant, :1500], noisy[variant, -1500:]])
            ratio_db = 10 * np.log10(np.mean(loudest**2) / np.mean(edge**2))
            assert 2 < ratio_db < 40


def test_speech_moves_by_at_most_100_ms_and_6_db() -> None:
    base = place(level(clip(0)))
    windows = windows_of(clip(0), 12, noise=coloured_noise(3, seed=0), seed=1, row=0)[2::2]
    centre = np.flatnonzero(base).mean()
    shifts = [np.flatnonzero(np.abs(window) > 1e-4).mean() - centre for window in windows]
    assert max(map(abs, shifts)) <= 0.1 * 8000 + 2 and np.ptp(shifts) > 100
    levels_db = [20 * np.log10(np.abs(window).max() / np.abs(base).max()) for window in windows]
    assert max(map(abs, levels_db)) < 6.5 and np.ptp(levels_db) > 1


def test_feature_shift_repeats_the_edge_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augment, "COEFFICIENT_NOISE", 0.0)
    monkeypatch.setattr(augment, "ENERGY_STEP", 0.0)
    ramp = np.broadcast_to(np.arange(39, dtype=np.float32)[:, None], (39, 13))
    variants = augment.feature_variants(ramp, 12, spread=np.ones(13, np.float32), seed=0, row=0)
    shifts = {int(19 - variant[19, 0]) for variant in variants}
    assert shifts <= set(range(-4, 5)) and len(shifts) > 3
    for variant in variants:
        assert np.array_equal(variant[:, 0], np.clip(np.arange(39) - (19 - variant[19, 0]), 0, 38))


def test_coloured_noise_has_unit_level_and_falling_spectra() -> None:
    clips = coloured_noise(3, seed=2)
    np.testing.assert_allclose(np.sqrt(np.mean(clips**2, axis=1)), 1.0, rtol=1e-4)
    spectrum = np.abs(np.fft.rfft(clips, axis=1)) ** 2
    tilt = spectrum[:, 50:200].mean(axis=1) / spectrum[:, 3000:3150].mean(axis=1)
    assert 0.5 < tilt[0] < 2 < 5 < tilt[1] < tilt[2] / 3


def test_plentiful_speech_gets_fewer_variants() -> None:
    assert [variant_count(n) for n in (10, 8000, 20_000, 35_000, 10**6)] == [12, 12, 5, 2, 2]
