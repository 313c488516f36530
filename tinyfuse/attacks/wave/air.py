"""What lies between a loudspeaker and the microphone: a start that nobody knows, a room, background noise.

An attack that has to work over the air follows the mean gradient over random conditions (expectation over
transformation, Athalye et al. 2018; on speech Qin et al. 2019); whether it does is judged in conditions that it did not
see. Rooms are synthetic: a direct path and Gaussian noise that decays by 60 dB in the reverberation time (Polack 1988).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np

from tinyfuse.core.errors import UsageError, nearest

LEAST_ROOM_S, LONGEST_ROOM_S = 0.05, 2.0
DIRECT_DB = (0.0, 10.0)
"""By how much the direct path is louder than all that follows it."""
DECAY = 3 * np.log(10.0)
"""An amplitude that falls by exp(-DECAY) falls by 60 dB."""
HELD_OUT = 1
"""Stream of the conditions that judge; 0 are those that an attack sees."""


@dataclass(frozen=True, eq=False)
class Condition:
    """One way through the air: waves arrive ``shift`` samples later, changes ``delay`` samples after the recording.

    ``room``: float32 [taps] of unit energy, empty for none. ``noise``: Gaussian, ``noise_db`` below the recording;
    None: silence. ``seed`` draws it.
    """

    shift: int = 0
    delay: int = 0
    room: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32), repr=False)
    noise_db: float | None = None
    seed: int = 0

    def carried(self, waves: np.ndarray, clean: np.ndarray) -> np.ndarray:
        """Carry ``waves`` [n, samples], made of ``clean``, to the microphone: float32 of the same shape."""
        heard = clean + moved(waves - clean, self.delay) if self.delay else waves
        found = moved(self._reverberant(heard), self.shift)
        if self.noise_db is not None:
            level = np.sqrt(np.mean(np.square(clean, dtype=np.float64), axis=1, keepdims=True))
            noise = np.random.default_rng([self.seed, 33]).standard_normal(waves.shape[1])
            found = found + level * 10 ** (-self.noise_db / 20) * noise
        return np.asarray(found, np.float32)

    def pulled_back(self, slope: np.ndarray) -> np.ndarray:
        """Turn a gradient for what is heard, [n, samples], into one for the waves: the transpose of :meth:`carried`."""
        found = moved(self._reverberant(moved(slope, -self.shift), back=True), -self.delay)
        return np.asarray(found, np.float32)

    def _reverberant(self, waves: np.ndarray, *, back: bool = False) -> np.ndarray:
        """Convolve with the room, or ``back`` correlate with it; what lies beyond the last sample is lost."""
        if not self.room.size:
            return waves
        from scipy.signal import fftconvolve

        kernel, count = self.room.astype(np.float64)[None], waves.shape[1]
        if back:
            return np.asarray(fftconvolve(waves[:, ::-1], kernel, axes=1)[:, :count][:, ::-1])
        return np.asarray(fftconvolve(waves, kernel, axes=1)[:, :count])


STILL = Condition()
"""Nothing lies between."""


@dataclass(frozen=True)
class Air:
    """Random conditions: ``shift`` and ``delay`` of up to so many ms either way, reverberation up to ``room`` seconds.

    ``noise``: how many dB it lies below the recording at the loudest; up to 20 dB quieter. ``draws``: how many
    conditions an attack sees, and how many others judge it.
    """

    shift: float = 0.0
    delay: float = 0.0
    room: float = 0.0
    noise: float | None = None
    draws: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        limits = {"shift": (0, 2000), "delay": (0, 2000), "room": (0, LONGEST_ROOM_S), "noise": (-20, 120),
                  "draws": (1, 256), "seed": (0, 2**32 - 1)}
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise UsageError(f"air: {name} is {value:g}; give {low} to {high}")

    @cached_property
    def text(self) -> str:
        """What :func:`read_air` reads back; empty for still air."""
        moving = {one.name: getattr(self, one.name) for one in fields(self) if getattr(self, one.name) != one.default}
        return ",".join(f"{name}={value:.15g}" for name, value in moving.items()) if self.changes_sound else ""

    @property
    def changes_sound(self) -> bool:
        """Whether anything at all lies between."""
        return bool(self.shift or self.delay or self.room or self.noise is not None)

    def conditions(self, rate: int, *, stream: int = 0) -> tuple[Condition, ...]:
        """Draw conditions for recordings at ``rate`` Hz; other streams give others."""
        if not self.changes_sound:
            return (STILL,)
        return tuple(self._drawn(np.random.default_rng([self.seed, stream, number]), rate)
                     for number in range(self.draws))

    def _drawn(self, rng: np.random.Generator, rate: int) -> Condition:
        shift, delay = (round(rng.uniform(-most, most) * rate / 1000) for most in (self.shift, self.delay))
        seconds, direct = rng.uniform(min(LEAST_ROOM_S, self.room), self.room), rng.uniform(*DIRECT_DB)
        room = room_of(float(seconds), float(direct), rate, rng) if self.room else np.zeros(0, np.float32)
        quieter = float(rng.uniform(0, 20))
        return Condition(shift, delay, room, None if self.noise is None else self.noise + quieter,
                         int(rng.integers(2**31)))


STILL_AIR = Air()


def room_of(seconds: float, direct_db: float, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Make an impulse response, float32 [seconds * rate] of unit energy, that decays by 60 dB in ``seconds``."""
    count = max(2, round(seconds * rate))
    tail = rng.standard_normal(count) * np.exp(-DECAY * np.arange(count) / (seconds * rate))
    tail[0] = 0
    tail *= 10 ** (-direct_db / 20) / np.sqrt(np.square(tail).sum())
    tail[0] = 1
    return np.asarray(tail / np.sqrt(np.square(tail).sum()), np.float32)


def moved(waves: np.ndarray, shift: int) -> np.ndarray:
    """Move ``waves`` [n, samples] by ``shift`` samples to the right; zeros fill what is left."""
    if not shift:
        return waves
    found = np.zeros_like(waves)
    if 0 < shift < waves.shape[1]:
        found[:, shift:] = waves[:, :-shift]
    elif 0 < -shift < waves.shape[1]:
        found[:, :shift] = waves[:, -shift:]
    return found


_WHOLE = ("draws", "seed")
_PART = re.compile(r"(\w+)=([+-]?\d+(?:\.\d+)?)")


def read_air(text: str | None) -> Air:
    """Read ``shift=20,delay=50,room=0.3,noise=25,draws=8``; still air for nothing. UsageError for what is unknown."""
    names, found = [one.name for one in fields(Air)], dict[str, Any]()
    for part in (text or "").split(",") if text else ():
        match = _PART.fullmatch(part.strip())
        if match is None or match[1] not in names:
            raise UsageError(f"air '{part}'{nearest(part.partition('=')[0], names)}; give NAME=NUMBER of "
                             f"{', '.join(names)}, such as shift=20,room=0.3,noise=25")
        name, value = match[1], float(match[2])
        if name in found or (name in _WHOLE and not value.is_integer()):
            raise UsageError(f"air '{part}'; give {name} once" + (", as a whole number" if name in _WHOLE else ""))
        found[name] = int(value) if name in _WHOLE else value
    air = Air(**found)
    if text and not air.changes_sound:
        raise UsageError(f"air '{text}' moves nothing; give shift or delay in ms, room in s, or noise in dB")
    return air
