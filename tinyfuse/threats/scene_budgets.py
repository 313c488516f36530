"""Budgets before the front end by input: of a recording, of a camera's frame, or of one of each at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tinyfuse.core.errors import UsageError
from tinyfuse.threats.amount import Given
from tinyfuse.threats.frame_budgets import FRAME, FRAME_UNITS, FrameBudget, read_frame_budget
from tinyfuse.threats.wave_budgets import WAVE, WAVE_UNITS, WaveBudget, read_wave_budget

SCENE = f"{WAVE},{FRAME}"
"""The threat model: the adversary changes a recording and a camera's frame, each before its front end."""


@dataclass(frozen=True)
class SceneBudget:
    """What may be done to a recording, to a frame, or to both: the input's name ("": the only one), and its budget."""

    wave: tuple[str, WaveBudget] | None = None
    frame: tuple[str, FrameBudget] | None = None

    @property
    def threat(self) -> str:
        """The threat model that it is a budget of."""
        return SCENE if self.wave and self.frame else WAVE if self.wave else FRAME

    @property
    def names(self) -> tuple[str, ...]:
        """The inputs that are attacked, "" where one is not named."""
        return tuple(part[0] for part in (self.wave, self.frame) if part)


def read_scene_budget(given: Given, norm: str | None = None) -> SceneBudget:
    """Read ``mic=40dB,camera=8levels``, or the same by name: units say which input is heard and which is seen.

    ``norm``: that of the recording. UsageError for a number without a unit, and for two inputs of a kind.
    """
    pairs = ([(str(name), str(value)) for name, value in given.items()] if isinstance(given, Mapping) else
             [part.rpartition("=")[::2] for part in str(given).split(",")])
    found: dict[str, tuple[str, str]] = {}
    for name, text in pairs:
        kind = _kind_of(text)
        if kind in found:
            raise UsageError(f"two budgets of a {kind}, {found[kind][1]} and {text}; one recording and one frame can "
                             "be attacked at once")
        found[kind] = (name.strip(), text)
    wave, frame = (None if kind not in found else dict([found[kind]]) for kind in (WAVE, FRAME))
    return SceneBudget(None if wave is None else read_wave_budget(wave, norm),
                       None if frame is None else read_frame_budget(frame, None))


def _kind_of(text: str) -> str:
    for kind, units in ((WAVE, WAVE_UNITS), (FRAME, FRAME_UNITS)):
        if text.strip().lower().endswith(tuple(map(str.lower, units))):
            return kind
    raise UsageError(f"'{text}' is no budget of a recording or a frame; give a number with one of the units "
                     f"{', '.join((*WAVE_UNITS, *FRAME_UNITS))}, such as mic=40dB,camera=8levels")
