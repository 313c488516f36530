"""Attacks on the wave: the differentiable front end is librosa's, budgets hold in int16, the device is asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from one_operator import Spec, Step, build

from tinyfuse.attacks import FGSM, Batch, DifferentiableTarget, Gradient
from tinyfuse.attacks.pgd import FGM
from tinyfuse.attacks.targets.twin_target import TwinTarget
from tinyfuse.attacks.wave.air import STILL, Air, Condition, read_air, room_of
from tinyfuse.attacks.wave.attack_wave import attack_wave
from tinyfuse.attacks.wave.chains import DeviceChain, judge
from tinyfuse.attacks.wave.differentiable import DifferentiableSound
from tinyfuse.attacks.wave.scene import Scene, check_spent, save_wave, snr_db, spent
from tinyfuse.attacks.wave.wave_target import WaveTarget
from tinyfuse.core.errors import TinyfuseError, UsageError
from tinyfuse.frontend.normalisation import Normalisation, apply, fit, identity
from tinyfuse.frontend.picture import Picture
from tinyfuse.frontend.recording import Recording, Waveform
from tinyfuse.frontend.spectrum import LogMel, Mfcc, Spectrogram
from tinyfuse.integer.model import load_model
from tinyfuse.threats.budget_text import has_unit, size_text
from tinyfuse.threats.wave_budgets import WaveBudget, read_wave_budget

READ: list[tuple[Any, str | None, tuple[str, str, float]]] = [
    (None, None, ("", "snr", 40)), ("40dB", None, ("", "snr", 40)), ("mic=-3.5dB", "masking", ("mic", "masking", -3.5)),
    ({"mic": "8steps"}, None, ("mic", "pcm", 8)), (12, "pcm", ("", "pcm", 12)), ("mic=20", "snr", ("mic", "snr", 20))]

SHARED: dict[str, Any] = {"rate": 8000, "length": 600, "window": 100, "hop": 50}
KINDS: list[Recording] = [
    Mfcc(**SHARED, bands=10, coefficients=6, append_energy=True, drop_first=True, top_db=80.0, level_rms=0.1,
         placement="loudest", input_shape=(12, 8, 1)),
    LogMel(**SHARED, bands=10, fft=128, center=True, layout="bands-first"), Spectrogram(**SHARED, scale="magnitude"),
    Waveform(rate=8000, length=600, level_rms=0.05, placement="centre")]
WAVE = Waveform(rate=8000, length=6)


def clips_of(count: int = 4) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [(rng.normal(0, 3000, length)).astype(np.int16) for length in rng.integers(300, 900, count)]


def windows_of(one: Recording, clips: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    full = [clip.astype(np.float32) / np.float32(32768) for clip in clips]
    windows = np.stack([one.place(clip) for clip in full])
    squares = np.array([np.square(clip).sum() for clip in full], np.float32)
    return windows, squares - np.square(windows).sum(axis=1), np.array([len(clip) for clip in clips], np.float32)


@pytest.mark.parametrize("one", KINDS, ids=[kind.kind for kind in KINDS])
def test_its_inputs_are_librosas_and_its_slope_is_theirs(one: Recording) -> None:
    clips = clips_of()
    values = np.stack([one.features(clip, rate=8000) for clip in clips])
    fitted = fit(one, 0.9 * values)  # no value lies just where it is clipped, where no slope is the right one
    sound = DifferentiableSound(one, fitted)
    given = windows_of(one, clips)
    found = sound.inputs(*given)
    np.testing.assert_allclose(found, apply(one, fitted, values), atol=2e-4)
    rng = np.random.default_rng(1)
    slope = rng.standard_normal(found.shape).astype(np.float32)
    way = (rng.standard_normal(given[0].shape) * (given[0] != 0)).astype(np.float32)
    step = np.float32(1e-4)
    ahead, behind = (sound.inputs(given[0] + sign * step * way, *given[1:]).astype(np.float64) for sign in (1, -1))
    wanted = ((ahead - behind) * slope).sum() / (2 * step)
    assert (sound.pull_back(*given, slope).astype(np.float64) * way).sum() == pytest.approx(wanted, rel=0.02)


class Straight:
    """Two classes by the sign of the wave's product with ``weights``."""

    name, executor, inputs, grids = "straight", "numpy", ("mic",), None

    def __init__(self, weights: np.ndarray) -> None:
        self.weights = weights

    def logits(self, batch: Batch) -> np.ndarray:
        score = batch["mic"].reshape(len(batch["mic"]), -1) @ self.weights
        return np.stack([score, -score], axis=1) * 100 + [[0.5, -0.5]]

    def gradient(self, batch: Batch, labels: np.ndarray, wrt: tuple[str, ...], loss: str = "") -> Gradient:
        sign = np.where(np.asarray(labels) == 0, -1.0, 1.0)[:, None, None]
        wanted = (sign * self.weights[None, :, None]).astype(np.float32)
        return Gradient(self.logits(batch), np.zeros(len(labels)), {"mic": np.broadcast_to(wanted,
                                                                                          batch["mic"].shape).copy()})


def straight(conditions: tuple[Condition, ...] = (STILL,)) -> WaveTarget:
    target: DifferentiableTarget = Straight(np.array([1.0, -1, 1, 1, -1, 1], np.float32))
    return WaveTarget(target, "mic", DifferentiableSound(WAVE, identity(WAVE, -1.0, 1.0)), conditions)


CLIPS = [np.array([50, 0, -70, 9000], np.int16), np.array([1, 2, 3, 4, 5, 32767], np.int16)]
LABELS = np.array([0, 0])


def test_fgsm_moves_each_sample_by_its_budget_against_the_weights() -> None:
    """Closed form: the class-0 score falls fastest along -sign(weights); full scale is kept, silence stays silent."""
    found = attack_wave(FGSM(), straight(), Scene("mic", WAVE, CLIPS), LABELS, WaveBudget("pcm", 7))
    assert found[0].tolist() == [43, 7, -77, 8993]
    assert found[1].tolist() == [-6, 9, -4, -3, 12, 32760]


def test_a_ratio_in_decibels_is_kept_after_rounding() -> None:
    rng = np.random.default_rng(0)
    clips = [rng.normal(0, 2000, 6).astype(np.int16) for _ in range(5)]
    labels = np.argmax(straight().target.logits({"mic": np.stack(clips)[..., None] / 32768}), axis=1)
    for budget in (20.0, 6.0):
        found = attack_wave(FGM(), straight(), Scene("mic", WAVE, clips), labels, WaveBudget("snr", budget))
        ratios = [snr_db(*pair) for pair in zip(clips, found, strict=True)]
        assert min(ratios) >= budget - 1e-9 and max(ratios) < budget + 0.2
    assert snr_db(clips[0], clips[0]) == float("inf")


@pytest.mark.parametrize("budget", [0.0, -20.0])
def test_silence_stays_silent_whatever_the_ratio(budget: float) -> None:
    """A change of one step would be infinitely louder than nothing."""
    clips = [np.zeros(6, np.int16), np.array([0, 0, 0, 0, 0, 0, 7], np.int16), np.array([500, 0, 0, -300, 0, 9])]
    clips = [clip.astype(np.int16) for clip in clips]
    found = attack_wave(FGM(), straight(), Scene("mic", WAVE, clips), np.zeros(3, int), WaveBudget("snr", budget))
    assert not found[0].any() and found[2].any()
    assert all(snr_db(*pair) >= budget - 1e-9 for pair in zip(clips, found, strict=True))


def test_the_quietest_changes_of_16_bit_recordings_have_an_amount_in_decibels() -> None:
    """One step in a minute at full scale, and one step under the loudest tone."""
    loud = np.full(60 * 16000, 32767, np.int16)
    changed = loud.copy()
    changed[0] -= 1
    assert WaveBudget.of_size("snr", spent("snr", loud, changed, 16000)).amount == pytest.approx(150, abs=0.2)
    tone = np.round(32767 * np.sin(np.arange(800))).astype(np.int16)
    changed = tone.copy()
    changed[400] += 1
    assert WaveBudget.of_size("masking", spent("masking", tone, changed, 8000)).amount < -10


def test_expectation_over_shifts_is_the_mean_of_the_moved_gradients() -> None:
    weights, target = np.array([1.0, -1, 1, 1, -1, 1]), straight((STILL, Condition(shift=2)))
    about, heard = np.array([[1, 0, 6]], np.float32), np.ones((1, 6), np.float32)
    silence = np.zeros((1, 6), np.float32)
    batch = {"mic": silence, "mic.heard": heard, "mic.about": about, "mic.clean": silence}
    found = target.gradient(batch, np.array([0]), ("mic",)).wrt["mic"][0]
    np.testing.assert_allclose(found, -np.add(weights, [*weights[2:], 0, 0]) / 2, rtol=1e-6)


@pytest.fixture(scope="module")
def integers() -> Any:
    """Codes of 6 samples in, the same out where they are positive."""
    grid = {"scale": [1 / 127], "zero_point": [0]}
    return load_model(build([Spec([1, 6, 1], name="mic", **grid), Spec([1, 6, 1], **grid)], [Step("RELU", [0], [1])],
                            [0], [1]))


def test_integers_get_codes_and_give_slopes_for_the_wave(integers: Any) -> None:
    sound = DifferentiableSound(WAVE, identity(WAVE, -1.0, 1.0))
    clip = np.array([0, 3300, 16000, 9000, 200, 32767], np.int16)
    scene = Scene("mic", WAVE, [clip])
    target = WaveTarget(TwinTarget(integers), "mic", sound)
    found = attack_wave(FGSM(), target, scene, np.array([5]), WaveBudget("pcm", 300))
    assert found[0][5] == 32767 - 300 and np.all(np.abs(found[0].astype(int) - clip) <= 300)
    values = DeviceChain(integers, "mic", WAVE, sound.fitted).logits(scene, found)
    assert values.shape == (1, 6) and values[0, 5] * 127 == pytest.approx(round((32767 - 300) / 32768 * 127))


def test_one_sigmoid_tells_two_classes_apart_behind_a_microphone() -> None:
    """The model answers whether the first sample is above 0; a chain that took its one code for k classes said 0."""
    weights = np.array([[127, 0, 0, 0, 0, 0]], np.int8)
    specs = [Spec([1, 6, 1], scale=[1 / 127], name="mic"), Spec([1, 6], data=weights, scale=[1 / 127]),
             Spec([1, 1], scale=[1 / 64]), Spec([1, 1], scale=[1 / 256], zero_point=[-128])]
    steps = [Step("FULLY_CONNECTED", [0, 1], [2], "FullyConnectedOptions"), Step("LOGISTIC", [2], [3])]
    clips = [np.array([first, 0, 0, 0, 0, 0], np.int16) for first in (20000, -20000, 9000)]
    chain = DeviceChain(load_model(build(specs, steps, [0], [3])), "mic", WAVE, identity(WAVE, -1.0, 1.0))
    found = judge(chain, Scene("mic", WAVE, clips), clips, np.array([1, 0, 0]))
    assert found.answer.tolist() == [1, 0, 1] and found.broken.tolist() == [False, False, True]


@pytest.mark.parametrize("ask, words", [
    (lambda: WaveBudget("snr", 500), "give -20 to 200"), (lambda: WaveBudget("pcm", -1), "give 0 to 32767"),
    (lambda: WaveBudget("snt", 1), "did you mean 'snr'"), (lambda: read_wave_budget("loud", None), "such as 40dB"),
    (lambda: read_wave_budget("a=1dB", "pcm"), "counts steps"), (lambda: read_wave_budget("1.5steps", None), "whole"),
    (lambda: read_wave_budget({"a": 1, "b": 2}, "snr"), "give one budget"),
    (lambda: read_wave_budget({"a": 40.0}, None), "a budget of 40 without a unit; give 40dB .* or 40steps"),
    (lambda: straight(()), "no conditions"),
    (lambda: WaveTarget(straight().target, "mik", straight().sound), "did you mean 'mic'"),
    (lambda: DifferentiableSound(Picture(size=(2, 2)), Normalisation((0.0,), (1.0,), 0, 1)), "takes no sound")])
def test_nonsense_is_one_line(ask: Callable[[], Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        ask()


@pytest.mark.parametrize(("given", "norm", "wanted"), READ)
def test_budgets_are_read_as_people_write_them(given: Any, norm: str | None, wanted: tuple[str, str, float]) -> None:
    name, budget = read_wave_budget(given, norm)
    assert (name, budget.norm, budget.amount) == wanted and has_unit("mic=8steps") and not has_unit("mic=8/255")


def test_sizes_rise_with_what_they_allow_and_read_back() -> None:
    """40 dB below is a hundredth of the length, 20 dB a tenth; 6.02 dB above the masked amplitude is twice it."""
    assert [round(WaveBudget("snr", db).size, 9) for db in (40, 20, 0)] == [0.01, 0.1, 1]
    assert WaveBudget("masking", 20 * np.log10(2)).size == pytest.approx(2)
    assert size_text("snr", 0.01) == "40 dB" and size_text("pcm", 8) == "8 steps" and size_text("linf", 0.03) == "0.03"


def test_a_recording_beyond_its_budget_is_told() -> None:
    loud, scene = [CLIPS[0] + np.int16(8), CLIPS[1]], Scene("mic", WAVE, CLIPS)
    check_spent(scene, loud, WaveBudget("pcm", 8))
    with pytest.raises(TinyfuseError, match=r"recording 0 spends .* times its budget of 7 steps"):
        check_spent(scene, loud, WaveBudget("pcm", 7))


def test_a_wave_can_be_listened_to(tmp_path: Path) -> None:
    save_wave(tmp_path / "a.wav", CLIPS[1], 8000)
    samples, rate = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert rate == 8000 and np.array_equal(samples, CLIPS[1])


@pytest.mark.parametrize("condition", [
    Condition(shift=3), Condition(shift=-2, delay=4),
    Condition(room=room_of(0.01, 3.0, 1000, np.random.default_rng(3))),
    Condition(1, -2, room_of(0.02, 0.0, 1000, np.random.default_rng(4)), noise_db=10.0, seed=5)])
def test_a_gradient_goes_back_through_the_air_as_the_transpose_of_the_way_there(condition: Condition) -> None:
    """<A (x + d) - A x, y> = <d, A' y> for every linear way; noise is the same before and after."""
    rng = np.random.default_rng(0)
    clean, change, slope = (rng.standard_normal((2, 40)).astype(np.float32) for _ in range(3))
    there = condition.carried(clean + change, clean).astype(np.float64) - condition.carried(clean, clean)
    assert (there * slope).sum() == pytest.approx((change * condition.pulled_back(slope)).sum(), rel=1e-4)


def test_air_does_what_it_says() -> None:
    """A shift moves all, a delay the change alone; a room decays by 60 dB and has the wanted direct path."""
    clean, wave = np.array([[1.0, 2, 3, 4]], np.float32), np.array([[1.0, 12, 3, 4]], np.float32)
    assert Condition(shift=1).carried(wave, clean).tolist() == [[0, 1, 12, 3]]
    assert Condition(delay=1).carried(wave, clean).tolist() == [[1, 2, 13, 4]]
    room = room_of(0.5, 6.0, 8000, np.random.default_rng(0)).astype(np.float64)
    assert np.square(room).sum() == pytest.approx(1)
    assert 10 * np.log10(room[0] ** 2 / np.square(room[1:]).sum()) == pytest.approx(6, abs=0.01)
    early, late = np.square(room[1:401]).mean(), np.square(room[2001:2401]).mean()
    assert 10 * np.log10(early / late) == pytest.approx(30, abs=1.5)  # half of the reverberation time apart
    heard = Condition(noise_db=20.0).carried(np.ones((1, 9000), np.float32), np.ones((1, 9000), np.float32)) - 1
    assert np.sqrt(np.square(heard).mean()) == pytest.approx(0.1, rel=0.03)


def test_conditions_that_judge_are_others_than_those_an_attack_sees_and_both_are_drawn_by_seed() -> None:
    air = read_air("shift=20.000001,delay=5,room=0.1,noise=25,draws=3,seed=1234567")
    seen, again, others = air.conditions(8000), air.conditions(8000), air.conditions(8000, stream=1)
    assert [one.shift for one in seen] == [one.shift for one in again] != [one.shift for one in others]
    assert len(seen) == 3 and all(abs(one.shift) <= 160 and abs(one.delay) <= 40 for one in (*seen, *others))
    assert read_air(air.text) == air and Air().conditions(8000) == (STILL,) and Air().text == ""
