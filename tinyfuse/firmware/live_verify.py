"""The application of a package proven: on made-up moments every core decides as Python does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tinyfuse.core.errors import ParityError
from tinyfuse.firmware.frontend_plan import FrontEnds
from tinyfuse.firmware.frontend_scenes import Raw, make_scenes
from tinyfuse.firmware.live_plan import Live, Sensor, class_names
from tinyfuse.firmware.live_proof import Played, play_on_core
from tinyfuse.firmware.live_twin import LiveTwin, Moment, line_of
from tinyfuse.firmware.measure import Setup
from tinyfuse.firmware.package import Exported
from tinyfuse.frontend.device_sound import SoundTables
from tinyfuse.frontend.spectrum import Frames

MOMENTS, PERIOD = 10, 5
"""Moments that are played, and from one loss of a sensor to the next: both more where a stream takes longer to fill."""


@dataclass(frozen=True)
class LiveResult:
    """What the application printed on one core, and what Python says it should."""

    played: Played
    wanted: tuple[str, ...] = field(repr=False)

    @property
    def differing(self) -> int:
        """Decisions that are not Python's, missing ones among them."""
        same = sum(one == told for one, told in zip(self.played.lines, self.wanted, strict=False))
        return max(len(self.wanted), len(self.played.lines)) - same

    def check(self) -> None:
        """Raise :class:`ParityError` if a decision is not Python's."""
        if self.differing:
            raise ParityError(f"the application live on {self.played.core}: {self.differing} of {len(self.wanted)} "
                              "decisions are not Python's")


def prove_live(package: Exported, ready: Mapping[str, Setup], work: Path) -> tuple[LiveResult, ...]:
    """Play moments to the application of ``package`` on all cores of ``ready``; nothing without one."""
    live = package.live
    if live is None:
        return ()
    front_ends = package.front_ends or FrontEnds(package.program, (), 0)
    moments = make_moments(live, front_ends)
    twin, classes = LiveTwin(live, package.model), class_names(live, package.metadata.provenance.get("classes") or ())
    wanted = tuple(line_of(twin.decide(moment), classes) for moment in moments)
    played = (play_on_core(live, package.front_ends, package.folder, work / f"live-{name}", moments, setup)
              for name, setup in ready.items())
    return tuple(LiveResult(one, wanted) for one in played)


def make_moments(live: Live, front_ends: FrontEnds) -> list[Moment]:
    """Make moments of scenes: one sensor after the other is missing at times, each stream not before it was heard."""
    period = max(PERIOD, max(map(_wait, live.sensors)) + len(live.sensors))
    scenes = make_scenes(front_ends, max(MOMENTS, period + 1) + 4)[4:]
    return [{one.name: None if place and (place + number) % period == 0 else _given(one, scene[one.name])
             for number, one in enumerate(live.sensors)} for place, scene in enumerate(scenes)]


def _wait(one: Sensor) -> int:
    """Count the moments until the frames of a stream are there."""
    table = one.part.tables.front_end if one.part is not None else None
    if one.kind != "stream" or not isinstance(table, Frames):
        return 1
    return -(-(-(-table.fft_size // table.hop) + table.frames - 1) // one.hops)


def _given(one: Sensor, raw: Raw) -> Raw:
    """Repeat or cut what a scene has to what the sensor gives at a time."""
    if one.part is None or not isinstance(raw, np.ndarray) or not isinstance(one.part.tables, SoundTables):
        return raw
    sound = one.part.tables.front_end
    if one.kind == "stream" and isinstance(sound, Frames):
        return np.resize(raw, one.hops * sound.hop)
    return np.resize(raw, sound.length)
