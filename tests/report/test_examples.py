"""What an attack looks like on the page: every layout of an input, the change, the verdicts and the clean recording."""

from __future__ import annotations

import base64
import io
import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import Page

from tinyfuse.core.errors import DataError
from tinyfuse.core.files import save_arrays
from tinyfuse.core.results import Row
from tinyfuse.core.strict import encode
from tinyfuse.data import Input
from tinyfuse.data.samples import Axis
from tinyfuse.report import load, render
from tinyfuse.report.attack_examples import shown
from tinyfuse.report.figures.examples import example_figure, magnification
from tinyfuse.study.stages.examples import FILE, Example, ExampleFacts, Verdict, read_examples

PICTURE = Input("camera", (4, 5, 3), axes={"rows": Axis(15, 4), "columns": Axis(3, 5), "channels": Axis(1, 3)})
SOUND = Input("mic", (4, 4, 1), low=-2.0, high=2.0, valid=((0, 12),),
              axes={"mfcc": Axis(1, 3), "time": Axis(3, 4), "rows": Axis(4, 4), "columns": Axis(1, 4)})
WAVE = Input("imu", (50, 2), low=-1.0, high=1.0)


def example(one: Input, rate: int = 0) -> Example:
    """An input whose second value rises by a tenth of its range."""
    clean = np.full(one.shape, one.low, np.float32)
    attacked = clean.copy()
    attacked.ravel()[1] += np.float32(one.span / 10)
    verdicts = {"float": {"clean": Verdict("yes", 0.9), "attacked": Verdict("yes", 0.6)},
                "integer": {"clean": Verdict("yes", 0.9), "attacked": Verdict("<no>", 0.7)}}
    facts = ExampleFacts(one, "late", "w8", one.span / 10, "yes", 3, 20, verdicts, rate)
    return Example(facts, clean, attacked, np.sin(np.arange(rate, dtype=np.float32)))


@pytest.mark.parametrize("one", [PICTURE, SOUND, WAVE], ids=lambda one: one.name)
def test_every_layout_is_drawn_with_its_change(one: Input) -> None:
    made = example(one)
    panels = example_figure(one, made.clean, made.attacked).axes
    assert [panel.get_title() for panel in panels] == ["clean", "attacked", "the change, 5 times as strong"]
    assert magnification(one, made.clean, made.attacked) == pytest.approx(5)


def test_a_spectrogram_has_time_across_and_no_padding() -> None:
    made = example(SOUND)
    panel = example_figure(SOUND, made.clean, made.attacked).axes[1]
    table = panel.images[0].get_array()
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("time", "mfcc")
    assert table.shape == (3, 4) and table[1, 0] == np.float32(-1.6)


def test_verdicts_are_those_of_both_and_the_recording_is_a_wav() -> None:
    found = shown(example(SOUND, rate=8000))
    assert found["rows"] == [["float", "yes (90 %)", "yes (60 %)", "yes"],
                             ["integer", "yes (90 %)", "<no> (70 %)", "no"]]
    with wave.open(io.BytesIO(base64.b64decode(found["sound"]))) as stream:
        assert (stream.getnchannels(), stream.getframerate(), stream.getnframes()) == (1, 8000, 8000)
        codes = np.frombuffer(stream.readframes(8000), "<i2")
    assert np.abs(codes / 32767 - np.sin(np.arange(8000))).max() < 1e-4
    assert shown(example(SOUND))["sound"] == ""


def save(folder: Path, *examples: Example, **more: Any) -> None:
    arrays = {f"{what}_{one.facts.input.name}": values for one in examples for what, values in (
        ("clean", one.clean), ("attacked", one.attacked), ("sound", one.sound))}
    table = {"made_by": "x", "examples": [encode(one.facts) for one in examples], **more}
    save_arrays(folder / FILE, {**arrays, "facts": np.frombuffer(json.dumps(table).encode(), np.uint8)})


def test_the_page_shows_them_and_plays_the_sound(rows: list[Row], make_run: Any) -> None:
    folder = make_run(rows[:60])
    save(folder, example(PICTURE), example(SOUND, rate=8000))
    page = Page(render(folder).read_text(encoding="utf-8"))
    assert "What an attack looks like" in page.text and "Such attacks break 3 of 20 samples" in page.text
    (audio,) = page.attributes("audio")
    assert (audio["src"] or "").startswith("data:audio/wav;base64,")
    policy = next(meta["content"] for meta in page.attributes("meta") if "http-equiv" in meta)
    assert policy is not None and "media-src data:" in policy
    assert "<no>" in page.text


def test_a_damaged_file_is_a_note_on_the_page(rows: list[Row], make_run: Any) -> None:
    folder = make_run(rows[:60])
    save(folder, example(PICTURE), examples=[{"input": 3}])
    with pytest.raises(DataError, match=r"examples\.npz"):
        read_examples(folder)
    (folder / FILE).write_bytes(b"PK")
    assert any("examples.npz" in note for note in load(folder).notes)
    assert not Page(render(folder).read_text(encoding="utf-8")).attributes("audio")
