"""An attack on recordings as rows: made through the front end's gradient, judged by the chain that is deployed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from tinyfuse.attacks import Attack, SampleAttack, misclassified
from tinyfuse.attacks.targets.twin_target import TwinTarget
from tinyfuse.attacks.wave.chains import DeviceChain
from tinyfuse.attacks.wave.scene import Scene, WaveProblem, as_int16, snr_db
from tinyfuse.core.errors import DataError
from tinyfuse.core.results import ResultStore
from tinyfuse.data import Dataset, Samples
from tinyfuse.frontend.recording import Recording
from tinyfuse.integer.executors import open_executor
from tinyfuse.integer.executors.installed import ORACLE
from tinyfuse.study.attack import AttackResult, check_same_codes
from tinyfuse.study.microphones import Microphone
from tinyfuse.study.rows import SAMPLE_SEED, AttackSettings, OutcomeLog, Scope, Subject, outcome_key
from tinyfuse.study.stages.alone import probe_alone
from tinyfuse.threats.wave_budgets import WAVE, WaveBudget

CLEAN_WAVE = AttackSettings(threat=WAVE)
"""Of clean recordings, which take another way to the model than clean inputs."""


@dataclass(frozen=True, eq=False)
class WaveTask:
    """``plan`` on the recordings of ``count`` test samples of ``dataset``, within ``budget``."""

    plan: Attack
    dataset: Dataset
    count: int
    budget: WaveBudget

    @cached_property
    def samples(self) -> Samples:
        """The attacked test samples."""
        return self.dataset.test.balanced(self.count, seed=SAMPLE_SEED)

    def scene(self, name: str, front_end: Recording) -> Scene:
        """Return their recordings, beside their other inputs."""
        rows = self.dataset.test.balanced_rows(self.count, seed=SAMPLE_SEED)
        return scene_of(self.dataset, "test", rows, name, front_end)


def scene_of(dataset: Dataset, part: str, rows: np.ndarray, name: str, front_end: Recording) -> Scene:
    """Return the recordings behind samples ``rows`` of a part, int16 at the front end's rate, and the other inputs."""
    clips = []
    for row in rows:
        found = None if dataset.recording is None else dataset.recording(name, part, int(row))
        if found is None:
            raise DataError(f"{dataset.name}: no recordings behind the input '{name}', which came as features; give "
                            "data with its sound, such as a folder of WAV files")
        clips.append(as_int16(front_end.heard(*found)))
    others = dataset.part(part).take(rows).loaded().inputs
    return Scene(name, front_end, clips, {key: values for key, values in others.items() if key != name})


def attack_recordings(heard: Microphone, task: WaveTask, executors: Sequence[str] = (),
                      store: ResultStore | None = None) -> AttackResult:
    """Attack the recordings of ``task`` and judge them by the chain, then in ``executors``; return rows.

    ``made`` holds the codes or values that the model saw, "answer" and "clean_answer", and int16 recordings:
    "clean_wave_NAME" and "wave_NAME" [n, longest], of which each has "samples_NAME" [n]. Raises ParityError if TFLite Micro
    computes other codes.
    """
    scene, label = task.scene(heard.name, heard.front_end), task.samples.label
    log = OutcomeLog(ResultStore() if store is None else store, Scope(task.dataset, heard.seed))
    clean = heard.chain.logits(scene, scene.clips).argmax(axis=1)
    keys = [_write(log, heard.subject, CLEAN_WAVE, heard, clean != label)]
    if not heard.replayed:
        probe_alone(log, heard.subject, heard.target, task.samples)
    began = time.monotonic()
    made = make_waves(heard, task, scene, label)
    settings = AttackSettings(
        attack=task.plan.settings(), criterion="replayed" if heard.replayed else "any-iterate", source=heard.source,
        norm=task.budget.norm, budget={heard.name: task.budget.size}, threat=WAVE)
    answer = heard.chain.logits(scene, made.clips).argmax(axis=1)
    keys.append(_write(log, heard.subject, settings, heard, answer != label, seconds=time.monotonic() - began,
                       queries=round(made.queries / len(label)), zero_gradient_share=made.zero_gradient_share))
    keys += _judge_again(heard, log, settings, (scene, made.clips), label, executors)
    rows = [row for row in log.store.rows() if row["key"] in keys]
    ratios = [snr_db(*pair) for pair in zip(scene.clips, made.clips, strict=True)]
    note = {"wave": {"budget": str(task.budget), "least_snr_db": _finite(min(ratios)),
                     "median_snr_db": _finite(float(np.median(ratios)))}, **made.notes}
    saved = {"label": label, "clean_answer": clean, "answer": answer, "broken": answer != label}
    return AttackResult(rows, {**heard.chain.inputs(scene, made.clips), **_padded(heard, scene, made.clips), **saved},
                        {row["key"]: note for row in rows if row["kind"] == "attack"}, log.store.rows("probe"))


@dataclass(frozen=True, eq=False)
class MadeWaves:
    """Attacked recordings, what they cost, and what there is to say of them."""

    clips: list[np.ndarray]
    queries: int
    zero_gradient_share: float | None
    notes: Mapping[str, Any]


def make_waves(heard: Microphone, task: WaveTask, scene: Scene, label: np.ndarray) -> MadeWaves:
    """Run the attack of ``task`` on the recordings of ``scene``."""
    assert isinstance(task.plan, SampleAttack)
    problem = WaveProblem.of(scene, task.budget)
    found = task.plan.run(heard.wave_target(), problem.batch, label, problem.threat)
    return MadeWaves(problem.recordings(found.strongest[heard.name]), found.queries,
                     float(found.zero_gradient.mean()), {})


def _write(log: OutcomeLog, subject: Subject, settings: AttackSettings, heard: Microphone, broken: np.ndarray,
           **costs: Any) -> str:
    """Write the row of ``subject`` unless it is there; return its key."""
    made_by = f"{heard.made_by} {heard.front_end!r} {WAVE}"
    log.write(subject, settings, made_by, ~broken, **{"seconds": 0.0, **costs})
    return outcome_key(subject, log.scope, settings, len(broken), made_by)


def _judge_again(heard: Microphone, log: OutcomeLog, settings: AttackSettings, waves: tuple[Scene, list[np.ndarray]],
                 label: np.ndarray, executors: Sequence[str]) -> list[str]:
    """Judge clean and attacked recordings in other ``executors`` of the same integers; return the keys of the rows."""
    chain, target, keys = heard.chain, heard.target, list[str]()
    if not isinstance(chain, DeviceChain):
        return keys
    for executor in executors:
        opened = open_executor(chain.model, executor)
        for how, clips in ((CLEAN_WAVE, waves[0].clips), (settings, waves[1])):
            codes = {name: values.astype(np.int32) for name, values in chain.inputs(waves[0], clips).items()}
            output = opened.run(codes)
            if executor == ORACLE and isinstance(target, TwinTarget) and target.model is chain.model:
                check_same_codes(target, codes, output)
            broken = misclassified(output, label)
            keys.append(_write(log, replace(heard.subject, executor=executor), how, heard, broken))
    return keys


def _padded(heard: Microphone, scene: Scene, clips: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Return clean and attacked recordings as arrays."""
    name, lengths = heard.name, np.array([len(clip) for clip in clips])
    clean, changed = (np.stack([np.pad(clip, (0, int(lengths.max()) - len(clip))) for clip in some])
                      for some in (scene.clips, clips))
    return {f"clean_wave_{name}": clean, f"wave_{name}": changed, f"samples_{name}": lengths}


def _finite(value: float) -> float | None:
    return round(value, 2) if np.isfinite(value) else None
