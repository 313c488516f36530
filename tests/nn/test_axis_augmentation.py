"""Inputs changed along their axes: what moves, by how much, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from tinyfuse.core.errors import UsageError
from tinyfuse.data.digits.load import INPUTS as DIGITS
from tinyfuse.data.samples import Axis, Input
from tinyfuse.nn.axis_augmentation import Changes, change, parse_changes, read_changes, shifted

CAMERA = Input("camera", (6, 5, 2), axes={"rows": Axis(10, 6), "columns": Axis(2, 5), "channels": Axis(1, 2)})
MIC = Input("mic", (4, 8), -1.0, 3.0, axes={"frames": Axis(3, 9), "bands": Axis(1, 3)}, valid=((0, 27),))
MFCC = Input("voice", (9, 3), axes={"frames": Axis(3, 9), "coefficients": Axis(1, 3)})
INPUTS = (CAMERA, MIC, MFCC)


def batch(n: int = 200) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(5)
    return {one.name: generator.uniform(one.low, one.high, (n, *one.shape)).astype(np.float32) for one in INPUTS}


def changed(**how: dict[str, float]) -> dict[str, np.ndarray]:
    table = {name: Changes(**settings) for name, settings in how.items()}  # type: ignore[arg-type]
    return dict(change(batch(), INPUTS, table, np.random.default_rng(0)))


def test_rows_and_columns_move_and_edges_are_repeated() -> None:
    before, after = batch()["camera"], changed(camera={"shift": 2})["camera"]
    seen = set()
    for one, found in zip(before, after, strict=True):
        moves = [(down, right) for down in range(-2, 3) for right in range(-2, 3) if np.array_equal(
            found, one[np.clip(np.arange(6) - down, 0, 5)][:, np.clip(np.arange(5) - right, 0, 4)])]
        assert len(moves) == 1
        seen |= set(moves)
    assert len(seen) == 25


def test_frames_move_within_what_is_valid() -> None:
    before, after = batch()["mic"].reshape(-1, 32), changed(mic={"time_shift": 3})["mic"].reshape(-1, 32)
    assert np.array_equal(before[:, 27:], after[:, 27:])
    frames = before[:, :27].reshape(-1, 9, 3)
    moved = {shift: frames[:, np.clip(np.arange(9) - shift, 0, 8)] for shift in range(-3, 4)}
    which = [[np.array_equal(found.reshape(9, 3), moved[shift][row]) for shift in moved]
             for row, found in enumerate(after[:, :27])]
    assert (np.sum(which, axis=1) == 1).all() and np.any(which, axis=0).all()


def test_each_sample_moves_by_its_own_shift() -> None:
    flat = batch(3)["mic"].reshape(3, 32)
    found = shifted(flat, MIC, "bands", np.array([0, 1, -1]))
    rows = [[0, 1, 2], [0, 0, 1], [1, 2, 2]]
    assert all(np.array_equal(found[i, :27].reshape(9, 3), flat[i, :27].reshape(9, 3)[:, rows[i]]) for i in range(3))


def test_levels_gains_and_noise_are_shares_of_the_range() -> None:
    middle = {one.name: np.full((400, *one.shape), 1.0 if one is MIC else 0.5, np.float32) for one in INPUTS}

    def moved(**how: float) -> np.ndarray:
        found = change(middle, INPUTS, {"mic": Changes(**how)}, np.random.default_rng(1))["mic"]  # type: ignore[arg-type]
        return found.reshape(400, 32)[:, :27] - 1.0

    level = moved(level=0.2)
    assert (np.ptp(level, axis=1) < 1e-6).all() and -0.8 <= level.min() < -0.7 and 0.7 < level.max() <= 0.8
    gain = moved(gain=0.5)
    assert (np.ptp(gain, axis=1) < 1e-6).all() and -0.5 <= gain.min() < -0.45 and 0.45 < gain.max() <= 0.5
    noise = moved(noise=0.05)
    assert noise.std() == pytest.approx(0.2, rel=0.05) and abs(noise.mean()) < 0.01


def test_values_stay_in_range_padding_and_other_inputs_stay_as_they_are() -> None:
    before, after = batch(), changed(mic={"level": 1.0, "noise": 0.5, "gain": 1.0, "time_shift": 2})
    assert after["mic"].min() >= -1.0 and after["mic"].max() <= 3.0 and after["mic"].dtype == np.float32
    assert np.array_equal(before["mic"].reshape(-1, 32)[:, 27:], after["mic"].reshape(-1, 32)[:, 27:])
    assert all(np.array_equal(before[name], after[name]) for name in ("camera", "voice"))
    again = changed(mic={"level": 1.0, "noise": 0.5, "gain": 1.0, "time_shift": 2})
    assert np.array_equal(after["mic"], again["mic"])


def test_the_order_of_settings_decides_nothing() -> None:
    table = {"mic": {"noise": 0.1}, "camera": Changes(shift=1)}
    one, other = (change(batch(), INPUTS, read_changes(found, INPUTS), np.random.default_rng(0))
                  for found in (table, dict(reversed(table.items()))))
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_the_digits_speech_moves_in_time_alone() -> None:
    found = change({"audio": np.random.default_rng(0).random((9, 28, 28, 1), np.float32)}, DIGITS,
                   read_changes({"audio": {"time_shift": 4}}, DIGITS), np.random.default_rng(0))
    assert found["audio"].shape == (9, 28, 28, 1)
    with pytest.raises(UsageError, match="shift along 'rows' would bring padding into the sample"):
        read_changes({"audio": {"shift": 1}}, DIGITS)


def test_changes_are_read_from_words() -> None:
    found = parse_changes(["mic:time_shift=3,noise=0.02", "camera:shift=2"], INPUTS)
    assert found == {"mic": Changes(time_shift=3, noise=0.02), "camera": Changes(shift=2)}


@pytest.mark.parametrize(("text", "told"), [
    ("mick:noise=0.1", "did you mean 'mic'"), ("mic:nois=0.1", "did you mean 'noise'"), ("mic", "give each input and"),
    ("mic:noise=0.1,noise=0.2", "each change once"),
    ("mic:noise=loud", "'loud' is no number"), ("mic:noise=2", "0 to 1 for level"),
    ("mic:noise=nan", "0 to 1 for level"), ("mic:time_shift=-1", "at least 0"),
    ("mic:time_shift=1.5", "expected a whole number"), ("camera:shift=5", "out of 5 places"),
    ("mic:time_shift=9", "moves everything out of 9 places"),
    ("mic:shift=1", "shift needs an axis named rows or columns; the input has frames, bands"),
    ("camera:time_shift=1", "needs an axis named frames"),
    ("voice:level=0.1", "mean nothing along the axis 'coefficients'"),
])
def test_words_that_make_no_sense_are_one_clear_line(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        parse_changes([text], INPUTS)
    assert "\n" not in str(caught.value)
