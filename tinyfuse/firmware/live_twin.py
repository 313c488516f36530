"""The application's loop in Python: the same decisions as ``firmware_export/application/live``, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from tinyfuse.firmware.frontend_scenes import Raw, codes_of_raw, raw_bytes
from tinyfuse.firmware.live_plan import QUIET, SHARE, Live, Sensor
from tinyfuse.firmware.vectors import tflm_outputs
from tinyfuse.frontend.device_sound import SoundTables, squares_of
from tinyfuse.frontend.spectrum import Frames
from tinyfuse.integer.model import IntegerModel

State = Literal["heard", "missing", "waiting", "silent", "refused"]
Moment = Mapping[str, Raw | None]
"""What each sensor gives for one decision, by the names of C: None, nothing; a stream its hops, int16 [hops * hop]."""
PER_MILLE = 1000


@dataclass(frozen=True)
class Heard:
    """One sensor: what it says alone (-1: not asked), and how sure, per mille."""

    state: State
    answer: int = -1
    confidence: int = 0


@dataclass(frozen=True)
class Decision:
    """The answer of all votes and that of this moment (-1: none), how sure, per mille; and each sensor by name."""

    number: int
    answer: int
    confidence: int
    now: int
    now_confidence: int
    sensors: Mapping[str, Heard]


@dataclass
class _Ear:
    """What a stream has heard since it began, and how many hops ago it was loud."""

    samples: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int16))
    quiet: int = 0


class LiveTwin:
    """Decides moment by moment; ``model`` is the network of ``live``."""

    def __init__(self, live: Live, model: IntegerModel) -> None:
        self._live, self._model, self._number = live, model, 0
        self._votes = np.zeros((live.votes, live.classes), np.int64)
        self._ears = {one.name: _Ear(quiet=one.cover) for one in live.sensors if one.kind == "stream"}

    def decide(self, moment: Moment) -> Decision:
        """Take what the sensors give now, and decide."""
        taken = {one.name: self._take(one, moment[one.name]) for one in self._live.sensors}
        heard = [name for name, (state, _) in taken.items() if state == "heard"]
        alone = [(name,) for name in heard if len(heard) > 1]
        asked = [*alone, tuple(heard)] if heard else []
        shares = self._ask(asked, {name: codes for name, (_, codes) in taken.items()})
        said = {names[0]: _best(row) for names, row in zip(asked, shares, strict=True) if len(names) == 1}
        self._votes = np.roll(self._votes, -1, axis=0)
        self._votes[-1] = shares[-1] if asked else 0
        sums, number = self._votes.sum(axis=0), self._number
        answer, confidence = int(np.argmax(sums)), int(sums.max()) // self._live.votes * PER_MILLE // SHARE
        if confidence < self._live.threshold or not sums.any():
            answer = -1
        self._number += 1
        return Decision(number, answer, confidence, *_best(self._votes[-1]),
                        {name: Heard(state, *said.get(name, (-1, 0))) for name, (state, _) in taken.items()})

    def _take(self, one: Sensor, raw: Raw | None) -> tuple[State, np.ndarray]:
        if raw is None:
            if one.kind == "stream":
                self._ears[one.name] = _Ear(quiet=one.cover)
            return "missing", one.mean
        if one.kind == "stream":
            assert isinstance(raw, np.ndarray)
            return self._listen(one, self._ears[one.name], raw)
        codes = codes_of_raw(one.part, raw).reshape(-1)
        if one.kind == "recording":
            assert isinstance(raw, np.ndarray)
            return ("heard" if _loud(raw) else "silent"), codes
        seen = codes[: one.values]
        return ("silent" if int(seen.max()) - int(seen.min()) < one.flat else "heard"), codes

    def _listen(self, one: Sensor, ear: _Ear, samples: np.ndarray) -> tuple[State, np.ndarray]:
        assert one.part is not None and isinstance(one.part.tables, SoundTables)
        table, covered = one.part.tables.front_end, one.part.tables.covered
        assert isinstance(table, Frames)
        for hop in samples.reshape(one.hops, table.hop):
            ear.quiet = 0 if _loud(hop) else min(ear.quiet + 1, one.cover)
        ear.samples = np.concatenate([ear.samples, samples])
        if len(ear.samples) < (-(-table.fft_size // table.hop) + table.frames - 1) * table.hop:
            return "waiting", one.mean
        ear.samples = ear.samples[-(covered + table.hop):]
        found = codes_of_raw(one.part, ear.samples[-covered:]).reshape(-1)
        return ("heard" if ear.quiet < one.cover else "silent"), found

    def _ask(self, asked: Sequence[tuple[str, ...]], codes: Mapping[str, np.ndarray]) -> np.ndarray:
        """Divide a vote for each of ``asked``, the sensors that are heard in it; int [n, classes] of SHARE."""
        live, output = self._live, self._live.program.output
        if not asked:
            return np.zeros((0, live.classes), np.int64)
        batch = {}
        for one, port in zip(live.sensors, self._model.inputs, strict=True):
            rows = np.stack([codes[one.name] if one.name in names else one.mean for names in asked])
            batch[port.name] = rows.reshape(len(asked), *port.shape[1:]).astype(port.dtype)
        found = tflm_outputs(self._model, batch)[:, : output.size].astype(np.int64)
        if live.program.half is not None:
            whole, second = 2 * (live.program.half - output.zero_point), np.maximum(found - output.zero_point, 0)
            weights = np.concatenate([np.maximum(whole - second, 0), second], axis=1)
        elif live.probabilities:
            weights = np.maximum(found - output.zero_point, 0)
        else:
            below = (found.max(axis=1, keepdims=True) - found) // live.step
            weights = np.where(below < len(live.weights), live.weights[np.minimum(below, len(live.weights) - 1)], 0)
        return np.asarray(weights * SHARE // np.maximum(weights.sum(axis=1, keepdims=True), 1))


def _best(shares: np.ndarray) -> tuple[int, int]:
    if not shares.any():
        return -1, 0
    return int(np.argmax(shares)), int(shares.max()) * PER_MILLE // SHARE


def _loud(samples: np.ndarray) -> bool:
    return squares_of(samples) > QUIET**2 * len(samples)


def line_of(decision: Decision, classes: Sequence[str]) -> str:
    """Write what the application prints of a decision, without the end of the line."""
    def said(answer: int, confidence: int) -> str:
        return f" {classes[answer] if answer >= 0 else '?'} {confidence // 10}.{confidence % 10}%"

    sensors = "".join(f"; {name} {one.state}{said(one.answer, one.confidence) if one.answer >= 0 else ''}"
                      for name, one in decision.sensors.items())
    return (f"{decision.number}:{said(decision.answer, decision.confidence)}, now"
            f"{said(decision.now, decision.now_confidence)}{sensors}")


def moment_bytes(live: Live, moments: Sequence[Moment]) -> bytes:
    """Write what ``harness/live.c.j2`` reads: a count; for each moment and sensor whether there is one, and what."""
    made = [len(moments).to_bytes(4, "little")]
    for moment in moments:
        for one in live.sensors:
            raw = moment[one.name]
            made.append(int(raw is not None).to_bytes(4, "little"))
            made.append(b"" if raw is None else raw_bytes(raw))
    return b"".join(made)


