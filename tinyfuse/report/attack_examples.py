"""What an attack looks like, for the page: pictures, the clean recording, and what float and integers answer."""

from __future__ import annotations

import base64
import io
import wave
from typing import Any

import numpy as np

from tinyfuse.report.figures.examples import example_figure, magnification
from tinyfuse.report.page import picture
from tinyfuse.study.stages.examples import Example, Verdict


def shown(one: Example) -> dict[str, Any]:
    """Return for the template what an attack on one input looks like."""
    facts = one.facts
    rows = [[model, _answer(found["clean"]), _answer(found["attacked"]), "yes" if found["attacked"].answer ==
             facts.label else "no"] for model, found in facts.verdicts.items()]
    (figure,) = picture(example_figure(facts.input, one.clean, one.attacked), "example")
    return {"facts": facts, "figure": figure, "head": ["who answers", "clean", "attacked", "still right?"],
            "rows": rows, "sound": _wave(one.sound, facts.rate) if facts.rate else "",
            "times": f"{magnification(facts.input, one.clean, one.attacked):.0f}"}


def _answer(verdict: Verdict) -> str:
    return f"{verdict.answer} ({100 * verdict.share:.0f} %)"


def _wave(sound: np.ndarray, rate: int) -> str:
    """Return float32 [samples] in -1 to 1 as a WAV file of 16 bit mono, in base64."""
    codes = np.round(np.clip(sound, -1, 1) * 32767).astype("<i2")
    held = io.BytesIO()
    with wave.open(held, "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(rate)
        stream.writeframes(codes.tobytes())
    return base64.b64encode(held.getvalue()).decode("ascii")
