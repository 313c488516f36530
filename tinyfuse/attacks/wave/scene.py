"""Recordings as a problem for attacks, and the wave that comes out, as int16 samples within the budget.

The change is cut off towards 0. Whether it fools the device is asked of the deployed chain, see
:mod:`tinyfuse.attacks.wave.chains`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from tinyfuse.attacks.target import DifferentiableTarget
from tinyfuse.attacks.wave.masking import excess
from tinyfuse.attacks.wave.wave_target import ABOUT, CLEAN, HEARD, WaveTarget
from tinyfuse.core.errors import TinyfuseError
from tinyfuse.frontend.device_sound import FULL_SCALE, window_start
from tinyfuse.frontend.recording import Recording
from tinyfuse.threats.norms import norm_of
from tinyfuse.threats.threat import Threat
from tinyfuse.threats.wave_budgets import WaveBudget


@dataclass(frozen=True, eq=False)
class Scene:
    """Recordings, int16 [samples] each, of an input ``name`` with ``front_end``; ``others`` [n, ...] by input."""

    name: str
    front_end: Recording
    clips: Sequence[np.ndarray] = field(repr=False)
    others: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)

    @property
    def starts(self) -> list[int]:
        """Where each recording's window begins in it; negative: zeros come first."""
        return [window_start(self.front_end, clip) for clip in self.clips]

    def take(self, rows: np.ndarray) -> Scene:
        """Return some of the recordings."""
        return replace(self, clips=[self.clips[row] for row in rows],
                       others={name: values[rows] for name, values in self.others.items()})

    def part(self, row: int, start: int) -> tuple[slice, slice]:
        """Return which samples of recording ``row`` lie in its window, and where there."""
        first, last = max(start, 0), min(start + self.front_end.length, len(self.clips[row]))
        return slice(first, last), slice(first - start, last - start)


@dataclass(frozen=True, eq=False)
class WaveProblem:
    """What an attack gets for the recordings of ``scene``: a ``batch`` for :class:`WaveTarget`, and the ``threat``."""

    scene: Scene
    budget: WaveBudget
    batch: Mapping[str, np.ndarray] = field(repr=False)
    threat: Threat

    @classmethod
    def of(cls, scene: Scene, budget: WaveBudget) -> WaveProblem:
        """Make it; for a ratio each wave has length 1, so that one radius serves all."""
        wave, heard, about = windows_of(scene, unit_length=budget.norm == "snr")
        scale = about[:, :1]
        # Below silence lies nothing but silence, however few decibels.
        sound = np.array([budget.norm == "pcm" or clip.any() for clip in scene.clips], np.float32)[:, None]
        box = (-sound / scale, sound * np.float32(1 - 1 / FULL_SCALE) / scale)
        wave = np.clip(wave, *box)
        batch = {**scene.others, scene.name: wave, scene.name + HEARD: heard, scene.name + ABOUT: about,
                 scene.name + CLEAN: wave}
        radius = budget.size / FULL_SCALE if budget.norm == "pcm" else budget.size
        norm = norm_of("linf" if budget.norm == "pcm" else "l2")
        return cls(scene, budget, batch, Threat(norm, {scene.name: radius}, {scene.name: box}))

    def recordings(self, points: np.ndarray) -> list[np.ndarray]:
        """Make int16 recordings, as long as they were, of points [n, length]: changes are cut off towards 0."""
        scene, changed = self.scene, []
        for row, (clip, start) in enumerate(zip(scene.clips, scene.starts, strict=True)):
            of_clip, of_window = scene.part(row, start)
            scale = float(self.batch[scene.name + ABOUT][row, 0])
            made = clip.astype(np.int64)
            change = points[row, of_window].astype(np.float64) * scale * FULL_SCALE - made[of_clip]
            made[of_clip] += np.trunc(change + np.sign(change) * 1e-3).astype(np.int64)
            changed.append(np.clip(made, -FULL_SCALE, FULL_SCALE - 1).astype(np.int16))
        check_spent(scene, changed, self.budget)
        return changed

    def target(self, target: WaveTarget) -> DifferentiableTarget:
        """Return ``target`` as it takes :attr:`batch`."""
        return target


def windows_of(scene: Scene, *, unit_length: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make arrays of :class:`WaveTarget`: waves over their scale, where recordings are, and about each."""
    one, count = scene.front_end, len(scene.clips)
    wave, heard = np.zeros((count, one.length), np.float32), np.zeros((count, one.length), np.float32)
    about = np.ones((count, 3), np.float32)
    for row, (clip, start) in enumerate(zip(scene.clips, scene.starts, strict=True)):
        of_clip, of_window = scene.part(row, start)
        full = clip.astype(np.float64) / FULL_SCALE
        wave[row, of_window], heard[row, of_window] = full[of_clip], 1
        inside = float(np.square(full[of_clip]).sum())
        if unit_length:
            about[row, 0] = max(np.sqrt(inside), 1 / FULL_SCALE)
        about[row, 1:] = max(float(np.square(full).sum()) - inside, 0.0), len(clip)
    return wave / about[:, :1], heard, about


def snr_db(clean: np.ndarray, changed: np.ndarray) -> float:
    """Compute the ratio of the recording's energy to the change's in dB; infinite without a change."""
    change = changed.astype(np.float64) - clean
    signal, noise = (float(np.square(values, dtype=np.float64).sum()) for values in (clean, change))
    return float("inf") if noise == 0 else 10 * np.log10(max(signal, 1e-12) / noise)


def spent(norm: str, clean: np.ndarray, changed: np.ndarray, rate: int) -> float:
    """Measure a change of int16 samples at ``rate`` Hz as the size of a budget in ``norm``."""
    if norm == "masking":
        full = [samples.astype(np.float64) / FULL_SCALE for samples in (changed - clean.astype(np.int64), clean)]
        return float(excess(full[0], full[1], rate).max(initial=0.0))
    if norm == "pcm":
        return float(np.abs(changed.astype(np.int64) - clean).max(initial=0))
    return float(10 ** (-snr_db(clean, changed) / 20))


def check_spent(scene: Scene, changed: Sequence[np.ndarray], budget: WaveBudget) -> None:
    """Raise TinyfuseError if a recording changed by more than its ``budget``: the last word, on the very samples."""
    for row, pair in enumerate(zip(scene.clips, changed, strict=True)):
        size = spent(budget.norm, *pair, scene.front_end.rate)
        if size > budget.size * (1 + 1e-9):
            raise TinyfuseError(f"adversarial recording {row} spends {size / max(budget.size, 1e-12):.6g} times its "
                                f"budget of {budget}")


def as_int16(samples: np.ndarray) -> np.ndarray:
    """Turn float samples of full scale 1 into int16."""
    return np.clip(np.round(samples * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def save_wave(path: Path, clip: np.ndarray, rate: int) -> None:
    """Write int16 samples as a WAV file, to be listened to."""
    import soundfile

    soundfile.write(path, clip, rate, subtype="PCM_16")
