"""Recordings whose change has to stay within what they mask, as a problem for attacks."""

from __future__ import annotations

from typing import Self

import numpy as np

from tinyfuse.attacks.target import DifferentiableTarget
from tinyfuse.attacks.wave.masked_target import MASK, MaskedTarget, change_of, masks_of
from tinyfuse.attacks.wave.masking import frame_size, quietened, spectra
from tinyfuse.attacks.wave.scene import Scene, WaveProblem, check_spent, windows_of
from tinyfuse.attacks.wave.wave_target import ABOUT, CLEAN, HEARD, WaveTarget
from tinyfuse.frontend.device_sound import FULL_SCALE
from tinyfuse.threats.norms import norm_of
from tinyfuse.threats.threat import Threat
from tinyfuse.threats.wave_budgets import WaveBudget


class MaskedProblem(WaveProblem):
    """Points are changes [n, frames, bins, 2] in units of the mask; a bound on both parts bounds the modulus."""

    @classmethod
    def of(cls, scene: Scene, budget: WaveBudget) -> Self:
        """Make it; the mask is that of each whole recording's level."""
        rate, (wave, heard, about) = scene.front_end.rate, windows_of(scene, unit_length=False)
        loudest = np.array([(np.abs(spectra(clip / FULL_SCALE, frame_size(rate))) ** 2).max(initial=0.0)
                            for clip in scene.clips])
        mask = masks_of(wave, rate, loudest)
        batch = {**scene.others, scene.name: np.zeros((*mask.shape, 2), np.float32), scene.name + HEARD: heard,
                 scene.name + ABOUT: about, scene.name + CLEAN: wave, scene.name + MASK: mask}
        bound = budget.size / np.sqrt(2)
        return cls(scene, budget, batch, Threat(norm_of("linf"), {scene.name: bound}, {scene.name: (-bound, bound)}))

    def target(self, target: WaveTarget) -> DifferentiableTarget:
        """Return ``target`` as it takes changes."""
        return MaskedTarget(target, self.scene.front_end.rate)

    def recordings(self, points: np.ndarray) -> list[np.ndarray]:
        """Make int16 recordings, as long as they were, whose changes are turned down to the budget."""
        scene, rate = self.scene, self.scene.front_end.rate
        changes = change_of(points, self.batch[scene.name + MASK], self.batch[scene.name + HEARD], rate)
        changed = []
        for row, (clip, start) in enumerate(zip(scene.clips, scene.starts, strict=True)):
            of_clip, of_window = scene.part(row, start)
            change = np.zeros(len(clip))
            change[of_clip] = changes[row, of_window]
            full = clip / FULL_SCALE
            change = np.clip(change, -1 - full, 1 - 1 / FULL_SCALE - full)  # turning it down keeps it inside
            changed.append((clip + quietened(change, full, rate, self.budget.size)).astype(np.int16))
        check_spent(scene, changed, self.budget)
        return changed
