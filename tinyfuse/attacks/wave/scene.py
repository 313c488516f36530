"""Recordings as a problem for attacks, budgets as a listener knows them, and the wave that comes out, as samples again.

A budget is a signal-to-noise ratio in dB (the change's power below the recording's) or the largest change of a 16-bit
sample. What comes out is int16 samples within the budget: the change is cut off towards 0. Whether it fools the device
is asked of the deployed chain, C's arithmetic and the integers, see :func:`deployed_logits`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tinyfuse.attacks.attack import SampleAttack
from tinyfuse.attacks.wave.wave_target import ABOUT, HEARD, WaveTarget
from tinyfuse.core.errors import UsageError
from tinyfuse.frontend.device_sound import FULL_SCALE, SoundTables, sound_codes, sound_tables, window_start
from tinyfuse.frontend.device_sound import Grid as CodeGrid
from tinyfuse.frontend.normalisation import Normalisation
from tinyfuse.frontend.recording import Recording
from tinyfuse.integer.executors import open_executor
from tinyfuse.integer.model import IntegerModel
from tinyfuse.threats.norms import norm_of
from tinyfuse.threats.threat import Threat

SNR_DB = (-20.0, 120.0)


@dataclass(frozen=True)
class WaveBudget:
    """Either ``snr_db`` or ``steps``, the largest change of an int16 sample; UsageError for both, none or nonsense."""

    snr_db: float | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        if (self.snr_db is None) == (self.steps is None):
            raise UsageError("a wave's budget is snr_db or steps of 16-bit samples; give one of them")
        if self.snr_db is not None and not SNR_DB[0] <= self.snr_db <= SNR_DB[1]:
            raise UsageError(f"a signal-to-noise ratio of {self.snr_db} dB; give {SNR_DB[0]:.0f} to {SNR_DB[1]:.0f}")
        if self.steps is not None and not 0 <= self.steps < FULL_SCALE:
            raise UsageError(f"a change of {self.steps} steps of a 16-bit sample; give 0 to {FULL_SCALE - 1}")


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

    def part(self, row: int, start: int) -> tuple[slice, slice]:
        """Return which samples of recording ``row`` lie in its window, and where there."""
        first, last = max(start, 0), min(start + self.front_end.length, len(self.clips[row]))
        return slice(first, last), slice(first - start, last - start)


def attack_wave(attack: SampleAttack, target: WaveTarget, scene: Scene, labels: np.ndarray,
                budget: WaveBudget) -> list[np.ndarray]:
    """Attack the recordings of ``scene`` with true classes ``labels`` (int [n]); return recordings within ``budget``.

    They are int16 of the same lengths. An ``attack`` that asks for another norm than L2 (a signal-to-noise ratio) or
    L-inf (steps) is a UsageError.
    """
    batch, threat = _problem(scene, budget)
    found = attack.run(target, batch, labels, threat)
    changed = []
    for row, (clip, start) in enumerate(zip(scene.clips, scene.starts, strict=True)):
        of_clip, of_window = scene.part(row, start)
        scale = batch[scene.name + ABOUT][row, 0]
        wave = found.strongest[scene.name][row, of_window].astype(np.float64) * float(scale) * FULL_SCALE
        made = clip.astype(np.int64)
        change = np.trunc(wave - made[of_clip] + np.sign(wave - made[of_clip]) * 1e-3).astype(np.int64)
        made[of_clip] += change
        changed.append(np.clip(made, -FULL_SCALE, FULL_SCALE - 1).astype(np.int16))
    return changed


def _problem(scene: Scene, budget: WaveBudget) -> tuple[dict[str, np.ndarray], Threat]:
    """Make the batch and the threat; for a ratio each wave has length 1, so that one radius serves all."""
    one, count = scene.front_end, len(scene.clips)
    wave, heard = np.zeros((count, one.length), np.float32), np.zeros((count, one.length), np.float32)
    about = np.ones((count, 3), np.float32)
    for row, (clip, start) in enumerate(zip(scene.clips, scene.starts, strict=True)):
        of_clip, of_window = scene.part(row, start)
        full = clip.astype(np.float64) / FULL_SCALE
        wave[row, of_window], heard[row, of_window] = full[of_clip], 1
        inside = float(np.square(full[of_clip]).sum())
        if budget.snr_db is not None:
            about[row, 0] = max(np.sqrt(inside), 1 / FULL_SCALE)
        about[row, 1:] = max(float(np.square(full).sum()) - inside, 0.0), len(clip)
    scale = about[:, :1]
    box = (-1 / scale, np.float32(1 - 1 / FULL_SCALE) / scale)
    wave = np.clip(wave / scale, *box)
    batch = {**scene.others, scene.name: wave, scene.name + HEARD: heard, scene.name + ABOUT: about}
    radius = 10 ** (-budget.snr_db / 20) if budget.snr_db is not None else (budget.steps or 0) / FULL_SCALE
    norm = norm_of("l2" if budget.snr_db is not None else "linf")
    return batch, Threat(norm, {scene.name: radius}, {scene.name: box})


def snr_db(clean: np.ndarray, changed: np.ndarray) -> float:
    """Compute the ratio of the recording's energy to the change's in dB; infinite without a change."""
    change = changed.astype(np.float64) - clean
    signal, noise = (float(np.square(values, dtype=np.float64).sum()) for values in (clean, change))
    return float("inf") if noise == 0 else 10 * np.log10(max(signal, 1e-12) / noise)


def deployed_logits(model: IntegerModel, scene: Scene, clips: Sequence[np.ndarray],
                    fitted: Normalisation) -> np.ndarray:
    """Compute output codes [n, k] of ``model`` for recordings as the device does it; ``scene.others``: real values."""
    port = next((one for one in model.inputs if one.name == scene.name), None)
    if port is None:
        raise UsageError(f"'{scene.name}' is no input of {model.name}; its inputs: "
                         f"{', '.join(one.name for one in model.inputs)}")
    tables: SoundTables = sound_tables(scene.front_end, fitted, CodeGrid(port.scale, port.zero_point, port.grid.low,
                                                                         port.grid.high))
    codes = {one.name: one.grid.quantise(scene.others[one.name]).astype(one.dtype) for one in model.inputs
             if one.name != scene.name}
    codes[scene.name] = sound_codes(tables, clips).reshape(len(clips), *port.shape[1:]).astype(port.dtype)
    return np.asarray(open_executor(model, "twin").run(codes))


def save_wave(path: Path, clip: np.ndarray, rate: int) -> None:
    """Write int16 samples as a WAV file, to be listened to."""
    import soundfile

    soundfile.write(path, clip, rate, subtype="PCM_16")
