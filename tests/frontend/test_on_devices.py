"""What C will compute: close to librosa, Pillow's pictures exactly, and refused where C cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinyfuse.core.errors import DataError
from tinyfuse.data.digits.features import FRONT_END
from tinyfuse.frontend.base import FrontEnd
from tinyfuse.frontend.decibels import decibels
from tinyfuse.frontend.device_picture import (
    BYTES,
    PIXEL_FORMATS,
    PixelFormat,
    picture_codes,
    picture_tables,
    pixels_of,
)
from tinyfuse.frontend.device_sound import Grid, SoundTables, placed, sound_codes, sound_tables
from tinyfuse.frontend.fft import FIXED, Arithmetic, plan_fft, power_spectra
from tinyfuse.frontend.fixed_sound import DB_BITS, NOTHING, SUM_BITS, fixed_tables, levels
from tinyfuse.frontend.normalisation import Normalisation, apply, fit, identity
from tinyfuse.frontend.picture import Picture
from tinyfuse.frontend.recording import Waveform
from tinyfuse.frontend.spectrum import LogMel, Mfcc, Spectrogram

GRID = Grid(1 / 255, -128, -128, 127)
SHARED: dict[str, Any] = {"rate": 8000, "length": 2000, "window": 200, "hop": 80}
KINDS: list[FrontEnd] = [
    Mfcc(**SHARED, bands=18, append_energy=True, drop_first=True, top_db=80.0, level_rms=0.1, placement="loudest"),
    LogMel(**SHARED, bands=18, fft=256, amin=1e-6, layout="bands-first"),
    Spectrogram(**SHARED, scale="magnitude", center=True, placement="centre"), Waveform(rate=8000, length=500)]


def codes_of(one: FrontEnd, fitted: Normalisation, clips: list[np.ndarray], grid: Grid = GRID) -> np.ndarray:
    values = np.stack([one.features(clip, rate=8000) for clip in clips])
    steps = np.round(apply(one, fitted, values).astype(np.float64) / grid.scale) + grid.zero_point
    return np.clip(steps, grid.low, grid.high).astype(np.int64)


def voices(count: int, seed: int = 0) -> list[np.ndarray]:
    rng, found = np.random.default_rng(seed), []
    for length in rng.integers(400, 3000, count):
        time = np.arange(length)
        swell = np.exp(-np.square((time - length * rng.random()) / (0.3 * length)))
        sound = np.sin(time * time / length * rng.uniform(0.1, 1.5)) * swell + rng.normal(0, 0.01, length)
        found.append((10 ** rng.uniform(2, 4.3) * sound).astype(np.int16))
    return found


@pytest.mark.parametrize("size", [4, 6, 30, 400, 480, 512, 1000])
def test_the_fft_has_numpys_powers(size: int) -> None:
    samples = np.random.default_rng(0).standard_normal((size, 3)).astype(np.float32)
    wanted = 4 * np.abs(np.fft.rfft(samples.astype(np.float64), axis=0)) ** 2
    found = power_spectra(plan_fft(size), samples)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=4e-7 * wanted.max())


def _within_32_bits(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    assert np.abs(a).max(initial=0) < 1 << 31
    found = FIXED.times(a, b)
    assert np.abs(found).max(initial=0) < 1 << 31
    return found


@pytest.mark.parametrize("size", [4, 6, 30, 400, 480, 512, 8192])
def test_the_fft_in_fixed_point_fits_32_bits_and_has_numpys_powers(size: int) -> None:
    """The loudest samples of all: constant, alternating, a square wave, noise of full size."""
    largest, time = 1 << (SUM_BITS - int(size // 2 - 1).bit_length()), np.arange(size)
    rng = np.random.default_rng(0)
    samples = largest * np.stack([np.ones(size), (-1) ** time, np.where(time * 6 // size % 2, 1, -1),
                                  np.sign(rng.standard_normal(size))], axis=1).astype(np.int64)
    found = power_spectra(plan_fft(size, Arithmetic(FIXED.hold, _within_32_bits)), samples)
    wanted = 4 * np.abs(np.fft.rfft(samples.astype(np.float64), axis=0)) ** 2
    assert found.min() >= 0 and found.max() <= 1 << 60
    # An amplitude is a sum of `size` numbers of one rounding each or less, beside 2^30 for the loudest.
    assert np.abs(np.sqrt(found) - np.sqrt(wanted)).max() <= size / 4 + 4


def test_decibels_in_fixed_point_are_those_of_the_logarithm() -> None:
    rng = np.random.default_rng(0)
    powers = rng.integers(1, 1 << 62, 20_000) >> rng.integers(0, 62, 20_000)
    exponents = np.where(powers, rng.integers(-80, 81, 20_000), 0)
    wanted = 10 * np.log10(np.maximum(powers, 1).astype(np.float64)) + exponents * 10 * np.log10(2)
    found = levels(powers, exponents)
    assert (found[powers == 0] == NOTHING).all() and (powers == 0).any()
    assert np.abs(found / 2**DB_BITS - wanted)[powers > 0].max() <= 1e-5
    steps = levels(np.arange(1, 4000), np.zeros(3999, np.int64))
    assert (np.diff(steps) >= 0).all() and steps[0] == 0


def test_a_whole_turn_in_the_window_is_one_frequency() -> None:
    tone = np.cos(2 * np.pi * 3 * np.arange(16) / 16).astype(np.float32)[:, None]
    powers = power_spectra(plan_fft(16), tone)[:, 0]
    assert powers[3] == pytest.approx(4 * 8**2) and np.delete(powers, 3).max() < 1e-10


def test_decibels_are_those_of_the_logarithm() -> None:
    power = np.exp(np.random.default_rng(0).uniform(-23, 23, 20_000)).astype(np.float32)
    np.testing.assert_allclose(decibels(power), 10 * np.log10(power.astype(np.float64)), atol=1e-5)
    assert decibels(np.float32([1, 0.5, 2, 1024]))[[0, 3]].tolist() == [0, np.float32(10 * np.log10(2)) * 10]


DECIBELS = [*KINDS[:2], Spectrogram(**SHARED, center=True), Waveform(rate=8000, length=500)]


@pytest.mark.parametrize("one, tables_of", [*((one, sound_tables) for one in KINDS),
                                            *((one, fixed_tables) for one in DECIBELS)])
def test_codes_are_librosas_but_for_roundings(one: FrontEnd, tables_of: Callable[..., SoundTables]) -> None:
    clips = voices(24)
    fitted = fit(one, np.stack([one.features(clip, rate=8000) for clip in clips]))
    grid = GRID if one.normalise == "unit" else Grid(2 / 255, 0, -128, 127)
    apart = np.abs(sound_codes(tables_of(one, fitted, grid), clips) - codes_of(one, fitted, clips, grid))
    assert apart.max() <= 1 and np.mean(apart == 0) >= 0.999


def test_a_place_that_never_varied_leaves_the_others_their_bits() -> None:
    """A band that is silent throughout training, and recordings that are."""
    bands, clips, grid = LogMel(**SHARED, bands=18, fft=256), voices(4), Grid(6 / 65535, 0, -32768, 32767)
    fitted = Normalisation((-40.0,) * 18, (*(8.0,) * 17, 1e-6), -3.0, 3.0)
    found = [sound_codes(made(bands, fitted, grid), clips) for made in (sound_tables, fixed_tables)]
    assert np.abs(found[0] - found[1]).max() <= 1
    wave, still = Waveform(rate=8000, length=500, normalise="standard"), Normalisation((0.0,), (1e-6,), 0.0, 1e-6)
    clip = np.array([0, 1, -1, *[0] * 497], np.int16)
    codes = sound_codes(fixed_tables(wave, still, Grid(1e-6 / 65535, -32768, -32768, 32767)), [clip])
    assert codes.reshape(-1)[:4].tolist() == [-32768, 32767, -32768, -32768]


@pytest.mark.parametrize("tables_of", [sound_tables, fixed_tables])
def test_the_batch_changes_nothing_and_silence_is_heard(tables_of: Callable[..., SoundTables]) -> None:
    clips = [np.zeros(2000, np.int16), *voices(3), np.full(2500, -32768, np.int16)]
    fitted = Normalisation((0.0,) * 13, (10.0,) * 13, -6.0, 6.0)
    tables = tables_of(KINDS[0], fitted, GRID)
    together = sound_codes(tables, clips)
    assert all(np.array_equal(sound_codes(tables, [clip])[0], codes) for clip, codes in zip(clips, together,
                                                                                            strict=True))
    assert np.abs(together[0] - codes_of(KINDS[0], fitted, clips[:1])[0]).max() <= 1


@pytest.mark.parametrize("placement", ["start", "centre", "loudest"])
@pytest.mark.parametrize("length", [300, 301, 500, 777])
def test_recordings_are_placed_as_the_definition_does(placement: Any, length: int) -> None:
    one = Waveform(rate=8000, length=500, placement=placement)
    clip = np.random.default_rng(length).integers(-32768, 32768, length).astype(np.int16)
    tables = sound_tables(one, identity(one, -1.0, 1.0), GRID)
    assert np.array_equal(placed(tables, clip) / np.float32(32768), one.place(clip / np.float32(32768)))


SIZES = ((60, 80), (28, 20), (97, 53), (9, 64))


@pytest.mark.parametrize("crop", ["centre", "pad", "stretch"])
@pytest.mark.parametrize("resize", ["nearest", "box", "bilinear", "bicubic"])
def test_pictures_are_pillows(crop: Any, resize: Any) -> None:
    rng = np.random.default_rng(0)
    for colour in ("grey", "rgb"):
        one = Picture(size=(28, 20), colour=colour, crop=crop, resize=resize)
        for number, size in enumerate(SIZES):
            tables, form = picture_tables(one, identity(one), GRID, size), PIXEL_FORMATS[number]
            frame = rng.integers(0, 256, size[0] * size[1] * BYTES[form], dtype=np.uint8)
            seen = pixels_of(frame, form, size, grey=False)
            wanted = np.round(one.features(seen).astype(np.float64) * 255) - 128
            assert np.array_equal(picture_codes(tables, frame, form), wanted)


@pytest.mark.parametrize("form", PIXEL_FORMATS)
def test_every_format_has_black_white_and_its_size(form: PixelFormat) -> None:
    white = np.full(8 * BYTES[form], 255, np.uint8)
    if form == "yuyv":
        white[1::2] = 128
    assert (pixels_of(white, form, (2, 4), grey=False) == 255).all()
    assert pixels_of(np.zeros_like(white), form, (2, 4), grey=True).max() == 0
    with pytest.raises(DataError, match=r"4x2 pixels of .* are"):
        pixels_of(white[1:], form, (2, 4), grey=True)


@pytest.mark.parametrize("change, words", [
    ({"window": 199, "fft": 0}, "an even size of factors 2, 3 and 5, such as 200"),
    ({"amin": 1e-39}, "below what float32 holds on every core")])
def test_what_c_cannot_do_is_one_line(change: dict[str, Any], words: str) -> None:
    one = Spectrogram(**(SHARED | change))
    with pytest.raises(DataError, match=words):
        sound_tables(one, identity(one), GRID)


@pytest.mark.parametrize("one, words", [
    (KINDS[2], "a scale of magnitude needs floating point; give scale 'decibel', or export with --frontend float"),
    (Waveform(rate=8000, length=500, level_rms=0.1), "level_rms needs floating point; leave it out, or export with")])
def test_what_whole_numbers_cannot_do_is_one_line(one: FrontEnd, words: str) -> None:
    with pytest.raises(DataError, match=words):
        fixed_tables(one, identity(one), GRID)


@pytest.mark.parametrize("samples", [np.zeros(100, np.int16), np.zeros(500, np.float32), np.full(400, np.nan),
                                     np.zeros((400, 2), np.int16)])
def test_other_recordings_are_refused(samples: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"give int16 samples \[n\] at 8000 Hz, at least 200"):
        sound_codes(sound_tables(KINDS[1], identity(KINDS[1]), GRID), [samples])


def test_the_digits_front_end_has_c() -> None:
    tables = sound_tables(FRONT_END, identity(FRONT_END), GRID)
    assert tables.covered == FRONT_END.length and tables.powers == 41
