"""Front ends from their tables: every kind, what they refuse, and what they say of the input that they make."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinyfuse.core import toml
from tinyfuse.core.errors import DataError
from tinyfuse.data.samples import Axis, Input
from tinyfuse.frontend.front_end import KINDS, read_front_end

SOUND = {"rate": 8000, "length": 4000}
FRAMES = SOUND | {"window": 256, "hop": 128}
TABLES: dict[str, dict[str, Any]] = {
    "mfcc": FRAMES | {"bands": 20, "coefficients": 10}, "log-mel": FRAMES | {"bands": 20}, "spectrogram": FRAMES,
    "waveform": SOUND, "picture": {"size": [6, 8]}, "array": {"size": [12, 3]}}


def read(kind: str, **settings: Any) -> Any:
    return read_front_end({"kind": kind} | TABLES[kind] | settings, "dataset.toml: mic")


def raw_of(kind: str) -> np.ndarray:
    generator = np.random.default_rng(3)
    if kind == "picture":
        return generator.integers(0, 256, (20, 30, 3), np.uint8)
    return generator.standard_normal((12, 3) if kind == "array" else 5000).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_makes_values_of_the_shape_it_tells(kind: str) -> None:
    front_end = read(kind)
    values = front_end.features(raw_of(kind))
    assert values.shape == front_end.values_shape and values.dtype == np.float32 and np.isfinite(values).all()
    assert front_end.lay_out(values[None]).shape == (1, *front_end.shape)
    axes = {name: Axis(*pair) for name, pair in front_end.axes.items()}
    one = Input("mic", front_end.shape, axes=axes, valid=front_end.valid)
    assert all(one.places_along(name).max() == axis.size - 1 for name, axis in axes.items())


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_survives_being_written_and_read(kind: str) -> None:
    front_end = read(kind)
    assert read_front_end(toml.tomllib.loads(toml.dumps(front_end.table())), "copy") == front_end
    assert set(TABLES[kind]) <= set(front_end.table())


@pytest.mark.parametrize(("kind", "settings", "told"), [
    ("mfcc", {"hop": 300}, "a hop of 300 samples; give 1 to the window's 256"),
    ("mfcc", {"hop": 0}, "a hop of 0"),
    ("mfcc", {"window": 300, "fft": 256}, "window <= fft"),
    ("mfcc", {"window": 5000}, r"length \(4000\)"),
    ("mfcc", {"coefficients": 21}, "21 coefficients; give 1 to the 20 of the bands"),
    ("mfcc", {"coefficients": 1, "drop_first": True}, "1 coefficients; give 2"),
    ("log-mel", {"bands": 200}, "200 bands; give 1 to 129"),
    ("log-mel", {"high_hz": 5000}, "within 0 to 4000.0 Hz, half the rate"),
    ("log-mel", {"low_hz": 3000, "high_hz": 2000}, "low_hz below high_hz"),
    ("log-mel", {"band": 3}, "unknown key 'band' .did you mean 'bands'"),
    ("log-mel", {"amin": 0}, "amin 0"),
    ("spectrogram", {"top_db": -3}, "top_db -3"),
    ("spectrogram", {"taper": "haning"}, "did you mean 'hann'"),
    ("waveform", {"rate": 50}, "rate 50 Hz is out of range"),
    ("waveform", {"rate": 8000.0}, "rate is 8000.0; expected a whole number"),
    ("waveform", {"length": 0}, "length 0 is out of range"),
    ("waveform", {"level_rms": float("nan")}, "level_rms nan"),
    ("waveform", {"placement": "middle"}, "expected one of 'start', 'centre', 'loudest'"),
    ("waveform", {"hop": 3}, "unknown key 'hop'"),
    ("waveform", {"normalise": "units"}, "did you mean 'unit'"),
    ("waveform", {"input_shape": [10, 10]}, "cannot hold the 4000 values"),
    ("picture", {"size": [0, 4]}, r"size \[0, 4\]"),
    ("picture", {"size": [4]}, "has 1 entries; expected 2"),
    ("picture", {"size": [4096, 4096]}, "16777216 values"),
    ("picture", {"scale": [1.0, 0.0]}, "the first below the second"),
    ("picture", {"colour": "gray"}, "did you mean 'grey'"),
    ("array", {"size": []}, "one whole number of at least 1 for each axis"),
    ("array", {"axis_names": ["a", "b", "c"]}, "at most 2 names"),
    ("array", {"axis_names": ["a", "a"]}, "all different"),
])
def test_a_setting_that_makes_no_sense_is_one_clear_line(kind: str, settings: dict[str, Any], told: str) -> None:
    with pytest.raises(DataError, match=told) as caught:
        read(kind, **settings)
    assert str(caught.value).startswith("dataset.toml: mic: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize(("table", "told"), [
    ({"kind": "mfc"}, "did you mean 'mfcc'"), ({}, "kind is None"), ({"kind": ["mfcc"]}, "allowed: mfcc, log-mel"),
    ([1], "is no table"), ({"kind": "picture"}, "key 'size' is missing")])
def test_a_table_without_a_known_kind_is_refused(table: Any, told: str) -> None:
    with pytest.raises(DataError, match=told):
        read_front_end(table, "dataset.toml: mic")


@pytest.mark.parametrize(("kind", "raw", "told"), [
    ("waveform", np.zeros((2, 3, 4)), r"float64 of shape \[2, 3, 4\]"), ("waveform", np.zeros(0), r"shape \[0\]"),
    ("waveform", np.array(["a"]), "give numbers"), ("mfcc", np.full(4000, np.nan), "not finite"),
    ("log-mel", np.full(4000, 12000.0), "up to 1.2e[+]04, which a device clips at its full scale of 1; give int16"),
    ("picture", np.zeros((4, 4)), "give uint8 or uint16"), ("picture", np.zeros((0, 4), np.uint8), r"shape \[0, 4\]"),
    ("picture", np.zeros((4, 4, 5), np.uint8), "1 to 4 channels"), ("array", np.full((12, 3), np.inf), "not finite"),
    ("array", np.zeros((12, 4)), r"numbers of shape \[12, 3\]"), ("array", np.zeros((13, 3)), r"shape \[13, 3\]")])
def test_a_sample_that_the_kind_cannot_read_is_refused(kind: str, raw: np.ndarray, told: str) -> None:
    with pytest.raises(DataError, match=told):
        read(kind).features(raw)


def test_bands_without_a_frequency_are_refused_before_they_are_silence() -> None:
    with pytest.raises(DataError, match=r"of 60 bands hold no frequency of an FFT of 256 samples; give fewer bands"):
        read("log-mel", bands=60, low_hz=1000.0, high_hz=1400.0).features(raw_of("log-mel"))


def test_layouts_keep_each_value_where_the_axes_say() -> None:
    rows, columns = read("log-mel"), read("log-mel", layout="bands-first")
    flat = read("log-mel", input_shape=[30, 21])
    values = rows.features(raw_of("log-mel"))
    for front_end in (rows, columns, flat):
        cells = front_end.lay_out(values).reshape(-1)
        one = Input("mic", front_end.shape, axes={name: Axis(*pair) for name, pair in front_end.axes.items()})
        frame, band = (one.places_along(name).reshape(-1)[: values.size] for name in ("frames", "bands"))
        assert np.array_equal(cells[: values.size], values[frame, band]) and not cells[values.size :].any()
    assert (rows.shape, columns.shape, flat.shape) == ((30, 20, 1), (20, 30, 1), (30, 21))
    assert flat.valid == ((0, 600),) and not rows.valid
