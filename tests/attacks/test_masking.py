"""What a recording masks, in closed form; changes in its units, and that they stay below it in 16-bit samples."""

from __future__ import annotations

import numpy as np
import pytest

from tinyfuse.attacks.wave.masked_problem import MaskedProblem
from tinyfuse.attacks.wave.masked_target import change_of, masks_of, slope_of
from tinyfuse.attacks.wave.masking import excess, frame_size, masked, quietened, spectra
from tinyfuse.attacks.wave.scene import Scene
from tinyfuse.frontend.recording import Waveform
from tinyfuse.threats.wave_budgets import WaveBudget

RATE, SIZE, BIN = 8000, 256, 32


def barks(hz: float) -> float:
    return float(13 * np.arctan(0.00076 * hz) + 3.5 * np.arctan((hz / 7500) ** 2))


def quiet(hz: float) -> float:
    khz = hz / 1000
    return float(3.64 * khz**-0.8 - 6.5 * np.exp(-0.6 * (khz - 3.3) ** 2) + 1e-3 * khz**4)


def tone(count: int = 4000) -> np.ndarray:
    return 0.5 * np.cos(2 * np.pi * BIN / SIZE * np.arange(count))


@pytest.mark.parametrize("offset", [0, 3, 8, -2, -5])
def test_a_tone_masks_its_neighbours_by_the_two_slopes_of_the_model(offset: int) -> None:
    """A Hann window gives its neighbours half of the amplitude, so the masker has 96 + 10 log10(1.5) dB."""
    assert frame_size(RATE) == SIZE and frame_size(16000) == 512
    sound = tone()
    level = 96 + 20 * np.log10(masked(sound, RATE) / np.abs(spectra(sound, SIZE)).max())
    masker, here = 96 + 10 * np.log10(1.5), barks(BIN * RATE / SIZE)
    hz = (BIN + offset) * RATE / SIZE
    apart = barks(hz) - here
    slope = 27 if apart <= 0 else -27 + 0.37 * (masker - 40)
    wanted = 10 ** ((masker - 6.025 - 0.275 * here + slope * apart) / 10) + 10 ** (quiet(hz) / 10)
    assert level[len(level) // 2, BIN + offset] == pytest.approx(10 * np.log10(wanted), abs=1e-3)


def test_silence_masks_what_rounding_does_and_nothing_more() -> None:
    floor = masked(np.zeros(1000), RATE)
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 200_000) / 32768
    power = np.abs(spectra(noise, SIZE)[8:-8, 2:-2]) ** 2
    assert np.ptp(floor) == 0 and floor[0, 0] ** 2 / power.mean() == pytest.approx(13, rel=0.02)


def test_a_steady_tone_of_modulus_1_reaches_half_of_the_mask_and_slopes_are_the_transpose() -> None:
    count, rng = 2000, np.random.default_rng(0)
    frames = len(spectra(tone(count), SIZE))
    starts = np.arange(frames) * 64 - 192
    points = np.zeros((1, frames, 129, 2), np.float32)
    points[0, :, BIN] = np.stack([np.cos(2 * np.pi * BIN / SIZE * starts), np.sin(2 * np.pi * BIN / SIZE * starts)], 1)
    heard, mask = np.ones((1, count), np.float32), np.full((1, frames, 129), 0.01, np.float32)
    made = np.abs(spectra(change_of(points, mask, heard, RATE)[0], SIZE))
    assert made[frames // 2, BIN] == pytest.approx(0.005, rel=1e-5)
    mask = rng.random(mask.shape).astype(np.float32)
    points, slope = rng.standard_normal(points.shape).astype(np.float32), rng.standard_normal((1, count))
    assert (change_of(points, mask, heard, RATE) * slope).sum() == pytest.approx(
        (points * slope_of(slope, mask, RATE)).sum(), rel=1e-4)


def test_loud_changes_are_turned_down_to_the_mask_and_quiet_ones_kept() -> None:
    rng = np.random.default_rng(1)
    clean = np.round((tone() + 0.05 * rng.standard_normal(4000)) * 32768) / 32768
    loudest = np.array([(np.abs(spectra(clean, SIZE)) ** 2).max()])
    mask = masks_of(clean[None], RATE, loudest)
    angle = rng.uniform(0, 2 * np.pi, mask.shape)
    points = np.stack([np.cos(angle), np.sin(angle)], axis=-1).astype(np.float32)
    change = change_of(points, mask, np.ones((1, 4000)), RATE)[0]
    for size in (0.5, 1.0):
        assert 0 < excess(quietened(change * 4, clean, RATE, size) / 32768, clean, RATE).max() <= size
    assert np.array_equal(quietened(change * 0.05, clean, RATE, 1.0), np.round(change * 0.05 * 32768))


def test_recordings_of_points_stay_within_the_budget_at_full_scale_too() -> None:
    rng = np.random.default_rng(2)
    clips = [np.clip(rng.normal(0, 20000, 700), -32768, 32767).astype(np.int16), np.zeros(500, np.int16)]
    problem = MaskedProblem.of(Scene("mic", Waveform(rate=RATE, length=600), clips), WaveBudget("masking", 3.0))
    bound = problem.threat.budget["mic"]
    assert bound == pytest.approx(10 ** (3 / 20) / np.sqrt(2))
    points = bound * rng.choice([-1, 1], problem.batch["mic"].shape).astype(np.float32)
    made = problem.recordings(points)
    assert [len(one) for one in made] == [700, 500] and (made[0] != clips[0]).any() and np.array_equal(
        made[0][600:], clips[0][600:])
