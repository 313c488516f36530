"""What a wave can reach: attacks on recordings by ratio, on features, and on recordings made to have such features.

Each test recording is taken once, with an MNIST test picture of its class. Integers are attacked with
their own gradients and judged in 16-bit samples by the device's chain. A recording that one ratio or epsilon broke is
broken at every larger one and not attacked again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import uniform_filter1d

from tinyfuse.attacks import PGD, TwinTarget, misclassified
from tinyfuse.attacks.wave.attack_wave import attack_wave
from tinyfuse.attacks.wave.chains import DeviceChain
from tinyfuse.attacks.wave.differentiable import DifferentiableSound
from tinyfuse.attacks.wave.scene import Scene, WaveProblem, as_int16, save_wave, snr_db
from tinyfuse.attacks.wave.wave_target import ABOUT, HEARD, WaveTarget
from tinyfuse.core.errors import DataError
from tinyfuse.core.files import sha256_hex
from tinyfuse.core.statistics import wilson
from tinyfuse.data.digits.corpus import Clips
from tinyfuse.data.digits.features import FRONT_END
from tinyfuse.data.digits.load import read
from tinyfuse.data.digits.pairing import plan
from tinyfuse.frontend.normalisation import read_normalisation
from tinyfuse.integer.model import load_model
from tinyfuse.quantize.integer_table import read_integer_table
from tinyfuse.report.tables import markdown
from tinyfuse.threats.code_threats import code_problem
from tinyfuse.threats.norms import norm_of
from tinyfuse.threats.threat import Threat
from tinyfuse.threats.wave_budgets import WaveBudget

RATIOS_DB = (50.0, 40.0, 30.0, 20.0, 10.0)
MASKING_DB = (0.0, 10.0)
EPSILONS = (0.03, 0.1)
SPOKEN = ("fsdd", "speech_commands")
NETWORKS, BITS, STEPS = ("early", "intermediate", "late"), ("w8", "w6"), 20
FIT_STEPS = 200


@dataclass(frozen=True, eq=False)
class Deployed:
    """One integer model behind its front end, and the recordings it hears."""

    name: str
    scene: Scene
    label: np.ndarray
    target: TwinTarget
    sound: DifferentiableSound
    chain: DeviceChain

    @classmethod
    def of(cls, path: Path, scene: Scene, label: np.ndarray) -> Deployed:
        """Open the model at ``path``."""
        model, table = load_model(path), read_integer_table(path, sha256_hex(path.read_bytes()))
        fitted = read_normalisation(FRONT_END, table["fitted"]["audio"], str(path))
        return cls(path.stem, scene, label, TwinTarget(model), DifferentiableSound(FRONT_END, fitted),
                   DeviceChain(model, "audio", FRONT_END, fitted))

    def part(self, rows: np.ndarray) -> Scene:
        """Return some of the recordings."""
        return self.scene.take(rows)


def wave(scene: Scene, label: np.ndarray, models: Path, networks: Sequence[str], out: Path | None) -> int:
    """Print the tables for the recordings of ``scene``; ``out``: a folder for one wave of each ratio."""
    ladders, features = [], []
    for name in networks:
        for bits in BITS:
            one = Deployed.of(models / f"{name}__{bits}.tflite", scene, label)
            clean = ~misclassified(one.chain.logits(scene, scene.clips), label)
            ladders.append([name, bits, share(clean), *map(share, ladder(one, clean, RATIOS_DB, "snr", out)),
                            *map(share, ladder(one, clean, MASKING_DB, "masking", out))])
            features += [[name, bits, *line] for line in on_features(one)]
            print(ladders[-1], *features[-len(EPSILONS):], sep="\n", file=sys.stderr, flush=True)
    print(markdown(["network", "bits", "clean", *(f"{ratio:.0f} dB" for ratio in RATIOS_DB),
                    *(f"masked {level:+.0f} dB" for level in MASKING_DB)], ladders, [0]))
    print(markdown(["network", "bits", "epsilon", "features attacked", "where there is sound", "as recordings",
                    "of the broken ones", "ratio in dB", "features apart"], features, [0]))
    return 0


def recordings(data: Path, count: int, spoken: str) -> tuple[Scene, np.ndarray]:
    """Draw ``count`` recordings of the test part, each with a picture of its class; return them and their classes.

    That of FSDD is the official one, that of Speech Commands holds speakers that training with ``--split speaker``
    never heard.
    """
    corpus = read(data, spoken)
    if not isinstance(corpus.spoken.voice, Clips):
        raise DataError(f"{data}: no recordings")
    test = (np.flatnonzero(corpus.spoken.part == corpus.spoken.part.max()) if spoken == SPOKEN[0] else
            np.unique(plan(corpus, split="speaker", held_out=None, seed=0, limit=None)[2].spoken))
    rows = np.random.default_rng(0).permutation(test)[:count]
    label = corpus.spoken.label[rows]
    held = [np.flatnonzero((corpus.written.part == corpus.written.part.max()) & (corpus.written.label == one))
            for one in range(10)]
    images = np.stack([corpus.written.images[held[one][place]] for place, one in enumerate(label)])
    others = {"image": (images / np.float32(255))[..., None].astype(np.float32)}
    return Scene("audio", FRONT_END, [as_int16(corpus.spoken.voice.clip(row)) for row in rows], others), label


def ladder(one: Deployed, clean: np.ndarray, amounts: tuple[float, ...], norm: str,
           out: Path | None) -> Iterator[np.ndarray]:
    """Yield which recordings are still right at each budget."""
    target, right = WaveTarget(one.target, "audio", one.sound), clean.copy()
    for amount in amounts:
        rows = np.flatnonzero(right)
        if len(rows):
            scene = one.part(rows)
            made = attack_wave(PGD(steps=STEPS), target, scene, one.label[rows], WaveBudget(norm, amount))
            right[rows] = ~misclassified(one.chain.logits(scene, made), one.label[rows])
            if out is not None:
                out.mkdir(parents=True, exist_ok=True)
                save_wave(out / f"{one.name}-{norm}{amount:.0f}-{one.label[rows[0]]}.wav", made[0], FRONT_END.rate)
        yield right.copy()


def on_features(one: Deployed) -> Iterator[list[str]]:
    """Attack codes of the features at each epsilon: all, and those of frames that hold some of the recording.

    Then look for recordings that have the features of the second attack.
    """
    clean = one.chain.inputs(one.scene, one.scene.clips)
    grid = one.target.model.grids["audio"]
    right = ~misclassified(one.chain.logits(one.scene, one.scene.clips), one.label)
    real = {**one.scene.others, "audio": grid.dequantise(clean["audio"])}
    anywhere, made = right.copy(), real["audio"].copy()
    still = ~with_sound(one.scene)
    for epsilon in EPSILONS:
        anywhere[attack_features(one, real, np.flatnonzero(anywhere), epsilon, np.zeros_like(still))[1]] = False
        found, broken = attack_features(one, real, np.flatnonzero(right), epsilon, still)
        made[np.flatnonzero(right)], right[broken] = found, False
        rows = np.flatnonzero(~right)
        told = realised(one, rows, made[rows]) if len(rows) else [share(right), "0 of 0", "", ""]
        yield [f"{epsilon:g}", share(anywhere), share(right), *told]


def with_sound(scene: Scene) -> np.ndarray:
    """Tell, bool [n, *shape], which values of the input are of frames that hold some of the recording."""
    heard = np.zeros((len(scene.clips), *FRONT_END.shape), bool)
    for row, start in enumerate(scene.starts):
        first, last = scene.part(row, start)[1].indices(FRONT_END.length)[:2]
        begins = np.arange(FRONT_END.frames) * FRONT_END.hop
        frames = (begins < last) & (begins + FRONT_END.window > first)
        heard[row].reshape(-1)[:heard[row].size] = np.pad(
            frames.repeat(FRONT_END.values_shape[1]), (0, heard[row].size - frames.size * FRONT_END.values_shape[1]))
    return heard


def attack_features(one: Deployed, real: dict[str, np.ndarray], rows: np.ndarray, epsilon: float,
                    still: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Attack the features of ``rows`` but where ``still``; return what was made, and which of ``rows`` it broke."""
    batch = {name: values[rows] for name, values in real.items()}
    if not len(rows):
        return batch["audio"], rows
    here, fixed = batch["audio"], still[rows]
    box = (np.where(fixed, here, 0).astype(np.float32), np.where(fixed, here, 1).astype(np.float32))
    threat, codes = code_problem(Threat(norm_of("linf"), {"audio": epsilon}, {"audio": box}), batch,
                                 one.target.model.grids, "codes")
    found = PGD(steps=STEPS).run(one.target, codes, one.label[rows], threat)
    return one.target.model.grids["audio"].dequantise(found.strongest["audio"]), rows[found.broken]


def realised(one: Deployed, rows: np.ndarray, wanted: np.ndarray) -> list[str]:
    """Find recordings of ``rows`` whose features come near ``wanted``; tell how many of them fool the device.

    Least squares by Adam over the samples, from the clean recording; the figures are those of the int16 samples.
    """
    scene, label = one.part(rows), one.label[rows]
    problem = WaveProblem.of(scene, WaveBudget("pcm", 32767))
    batch = problem.batch
    waves = fitted(one.sound, batch["audio"], batch["audio" + HEARD], batch["audio" + ABOUT], wanted)
    made = problem.recordings(waves)
    fooled = misclassified(one.chain.logits(scene, made), label)
    heard = one.target.model.grids["audio"].dequantise(one.chain.inputs(scene, made)["audio"])
    sounding = with_sound(scene)
    apart = [np.abs(two - three)[here].mean() for two, three, here in zip(heard, wanted, sounding, strict=True)]
    ratios = [snr_db(*pair) for pair in zip(scene.clips, made, strict=True)]
    right = np.ones(len(one.label), bool)
    right[rows[fooled]] = False
    return [share(right), f"{fooled.sum()} of {len(rows)}", f"{np.median(ratios):.1f}", f"{np.median(apart):.4f}"]


def fitted(sound: DifferentiableSound, start: np.ndarray, heard: np.ndarray, about: np.ndarray,
           wanted: np.ndarray) -> np.ndarray:
    """Move windows [n, length] towards features ``wanted`` [n, ...]; return those that came nearest."""
    wave, best, nearest = start.copy(), start.copy(), np.full(len(start), np.inf)
    rate = 0.05 * np.sqrt(uniform_filter1d(np.square(start), FRONT_END.hop, axis=1)) + 1e-5  # quiet parts: small steps
    mean, square = np.zeros_like(wave), np.zeros_like(wave)
    for step in range(1, FIT_STEPS + 1):
        found = sound.inputs(wave, about[:, 1], about[:, 2])
        error = np.square(found - wanted).reshape(len(wave), -1).sum(axis=1)
        better = error < nearest
        nearest[better], best[better] = error[better], wave[better]
        slope = sound.pull_back(wave, about[:, 1], about[:, 2], (2 * (found - wanted)).astype(np.float32)) * heard
        mean, square = 0.9 * mean + 0.1 * slope, 0.99 * square + 0.01 * slope**2
        move = mean / (1 - 0.9**step) / (np.sqrt(square / (1 - 0.99**step)) + 1e-12)
        wave = np.clip(wave - rate * (1 - step / (FIT_STEPS + 1)) * move * heard, -1, 1).astype(np.float32)
    return best


def share(right: np.ndarray) -> str:
    """Write an accuracy in percent with its 95 % Wilson interval."""
    low, high = wilson(int(right.sum()), len(right))
    return f"{100 * right.mean():.1f} ({100 * low:.0f} to {100 * high:.0f})"
