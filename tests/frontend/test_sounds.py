"""Recordings and spectra: librosa is the definition, the batch changes nothing, what streams needs no future."""

from __future__ import annotations

from typing import Any

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyfuse.data.digits.features import FRONT_END
from tinyfuse.frontend.recording import Waveform
from tinyfuse.frontend.spectrum import LogMel, Mfcc, Spectrogram

GENERATOR = np.random.default_rng(0)
CLIP = (GENERATOR.standard_normal(4000) * np.exp(-np.arange(4000) / 1500)).astype(np.float32)
SHARED: dict[str, Any] = {"rate": 8000, "length": 4000, "window": 200, "hop": 80}
VARIANTS: list[dict[str, Any]] = [{}, {"fft": 256}, {"center": True, "fft": 256}, {"taper": "hamming"}]


@pytest.mark.parametrize("variant", VARIANTS)
def test_spectra_are_librosas(variant: dict[str, Any]) -> None:
    fft = variant.get("fft", 200)
    stft = {"n_fft": fft, "hop_length": 80, "win_length": 200, "window": variant.get("taper", "hann"),
            "center": variant.get("center", False)}
    magnitude = np.abs(librosa.stft(CLIP, **stft)).T
    assert np.array_equal(Spectrogram(**SHARED, **variant, scale="magnitude").features(CLIP), magnitude)
    np.testing.assert_allclose(Spectrogram(**SHARED, **variant, scale="power").features(CLIP), magnitude**2, rtol=1e-6)
    mel = {"n_mels": 18, "fmin": 60, "fmax": 3800, "htk": True}
    settings_ = SHARED | variant | {"bands": 18, "low_hz": 60.0, "high_hz": 3800.0, "htk": True}
    power = librosa.feature.melspectrogram(y=CLIP, sr=8000, **stft, **mel)
    decibels = librosa.power_to_db(power, amin=1e-10, top_db=60)
    np.testing.assert_allclose(LogMel(**settings_, top_db=60.0).features(CLIP), decibels.T, atol=1e-3)
    expected = librosa.feature.mfcc(y=CLIP, sr=8000, n_mfcc=12, **stft, **mel)
    np.testing.assert_allclose(Mfcc(**settings_, top_db=80.0, coefficients=12).features(CLIP), expected.T, atol=1e-3)


@pytest.mark.parametrize("center", [False, True])
def test_the_energy_is_that_of_each_frame(center: bool) -> None:
    found = Mfcc(**SHARED, bands=18, coefficients=5, append_energy=True, drop_first=True, center=center).features(CLIP)
    heard = np.pad(CLIP, 100) if center else CLIP
    frames = np.stack([heard[start : start + 200] for start in range(0, len(heard) - 199, 80)]).astype(np.float64)
    assert found.shape == (len(frames), 5)
    np.testing.assert_allclose(found[:, 4], 10 * np.log10(np.maximum(np.mean(frames**2, axis=1), 1e-10)), atol=1e-3)


def test_values_do_not_depend_on_the_batch() -> None:
    windows = GENERATOR.standard_normal((5, 4000)).astype(np.float32)
    for front_end in (Mfcc(**SHARED, bands=18), LogMel(**SHARED, bands=18), Spectrogram(**SHARED)):
        together = front_end.values_of(windows)
        assert all(np.array_equal(front_end.values_of(windows[i : i + 1])[0], together[i]) for i in range(5))


@given(length=st.integers(40, 400), window=st.integers(2, 60), hop=st.integers(1, 60), spare=st.integers(0, 20),
       center=st.booleans())
@settings(max_examples=40, deadline=None)
def test_the_shape_told_is_the_shape_made(length: int, window: int, hop: int, spare: int, center: bool) -> None:
    window = min(window, length)
    fft = min(window + spare, length)
    front_end = Spectrogram(rate=8000, length=length, window=window, hop=min(hop, window), fft=fft, center=center)
    assert front_end.features(CLIP).shape == front_end.values_shape


@pytest.mark.parametrize("settings_", [{}, {"top_db": 10.0}, {"level_rms": 0.1}, {"placement": "loudest"},
                                       {"placement": "centre"}])
def test_what_streams_needs_no_future(settings_: dict[str, Any]) -> None:
    """The first frames stay the same whatever is heard afterwards, unless a setting is named that needs it."""
    front_end = LogMel(**SHARED | {"length": 2000}, bands=18, **settings_)
    louder = np.concatenate([CLIP[:1000], 5 * CLIP[1000:], 9 * CLIP])
    same = np.array_equal(front_end.features(CLIP)[:10], front_end.features(louder)[:10])
    assert same == (not front_end.cannot_stream) and set(front_end.cannot_stream) == set(settings_)


def test_recordings_of_other_rates_kinds_and_channels_are_the_same_sound() -> None:
    front_end = Waveform(rate=8000, length=4000)
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / 16000)
    slow = front_end.features(tone.astype(np.float32), rate=16000)[:, 0]
    assert np.array_equal(slow, librosa.resample(tone.astype(np.float32), orig_sr=16000, target_sr=8000,
                                                 res_type="soxr_hq"))
    stereo = np.stack([tone, np.zeros_like(tone)], axis=1)
    np.testing.assert_allclose(front_end.features(stereo, rate=16000)[:, 0], slow / 2, atol=1e-6)
    codes = {np.int16: np.rint(tone * 2**15), np.int32: np.rint(tone * 2**31), np.uint8: np.rint(tone * 128 + 128)}
    for kind, code in codes.items():
        np.testing.assert_allclose(front_end.features(code.astype(kind), rate=16000)[:, 0], slow, atol=0.01)


@pytest.mark.parametrize(("placement", "long", "short"), [
    ("start", range(0, 6), [0, 1]), ("centre", range(2, 8), [2, 3]), ("loudest", range(4, 10), [2, 3])])
def test_recordings_are_cut_and_padded_as_told(placement: Any, long: range, short: list[int]) -> None:
    front_end = Waveform(rate=8000, length=6, placement=placement)
    clip = np.arange(1, 11, dtype=np.float32) / 100
    assert np.array_equal(front_end.features(clip)[:, 0], clip[list(long)])
    assert np.flatnonzero(front_end.features(np.ones(2, np.float32))).tolist() == short


def test_a_level_makes_loud_and_quiet_alike() -> None:
    front_end = Waveform(rate=8000, length=4000, level_rms=0.05)
    assert np.sqrt(np.mean(front_end.features(CLIP) ** 2)) == pytest.approx(0.05, rel=1e-4)
    np.testing.assert_allclose(front_end.features(CLIP / 100), front_end.features(CLIP), rtol=1e-4, atol=1e-7)
    assert not front_end.features(np.zeros(50)).any()


def test_the_digits_have_the_bits_of_the_formula_they_were_published_with() -> None:
    windows = np.stack([FRONT_END.place(FRONT_END.level(CLIP[:count])) for count in (900, 4000)])

    def decibels(power: np.ndarray) -> np.ndarray:
        found = 10.0 * np.log10(np.maximum(power, 1e-10))
        return np.asarray(np.maximum(found, found.max(axis=(-2, -1), keepdims=True) - 80.0))

    spectrum = librosa.stft(windows, n_fft=400, hop_length=200, center=False)
    power = np.matmul(librosa.filters.mel(sr=8000, n_fft=400, n_mels=40), np.abs(spectrum) ** 2)
    frames = librosa.util.frame(windows, frame_length=400, hop_length=200)
    energy = decibels(np.mean(np.square(frames), axis=-2, keepdims=True))
    stacked = np.concatenate([librosa.feature.mfcc(S=decibels(power), n_mfcc=13)[..., 1:, :], energy], axis=-2)
    assert np.array_equal(FRONT_END.values_of(windows), np.swapaxes(stacked, -1, -2).astype(np.float32))
    assert set(FRONT_END.cannot_stream) == {"level_rms", "placement", "top_db"}
