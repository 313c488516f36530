"""An attack on recordings as rows: made through the front end's gradient, judged by the chain that is deployed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from tinyfuse.attacks import Attack, SampleAttack
from tinyfuse.attacks.universal import OneForAll, perturbed
from tinyfuse.attacks.wave.air import HELD_OUT, STILL_AIR, Air
from tinyfuse.attacks.wave.attack_wave import problem_of
from tinyfuse.attacks.wave.chains import DeviceChain, Verdict, judge
from tinyfuse.attacks.wave.scene import Scene, WaveProblem, as_int16, snr_db
from tinyfuse.attacks.wave.wave_target import WaveTarget
from tinyfuse.core.errors import DataError, ParityError
from tinyfuse.core.results import ResultStore
from tinyfuse.data import Dataset, Samples
from tinyfuse.frontend.recording import Recording
from tinyfuse.integer.executors.installed import ORACLE
from tinyfuse.study.attack import AttackResult
from tinyfuse.study.microphones import Microphone
from tinyfuse.study.rows import SAMPLE_SEED, AttackSettings, OutcomeLog, Scope, Subject, outcome_key
from tinyfuse.study.stages.alone import probe_alone
from tinyfuse.threats.wave_budgets import WAVE, WaveBudget


@dataclass(frozen=True, eq=False)
class WaveTask:
    """``plan`` on the recordings of ``count`` test samples of ``dataset``, within ``budget``, through ``air``."""

    plan: Attack
    dataset: Dataset
    count: int
    budget: WaveBudget
    air: Air = STILL_AIR

    def clean(self, heard: Microphone) -> AttackSettings:
        """Settings of clean recordings, which take another way to the model than clean inputs."""
        return AttackSettings(threat=WAVE, attack={"name": "none", **self.through(heard)})

    def settings(self, heard: Microphone) -> AttackSettings:
        """Settings of attacked recordings."""
        criterion = "replayed" if heard.replayed or self.plan.one_for_all else "any-iterate"
        return AttackSettings(attack=self.plan.settings() | self.through(heard), criterion=criterion,
                              source=heard.source, norm=self.budget.norm, budget={heard.name: self.budget.size},
                              threat=WAVE)

    def key(self, heard: Microphone, executor: str = "") -> str:
        """Return the key of the row of attacked recordings, judged by the model itself or by another ``executor``."""
        subject = replace(heard.subject, executor=executor or heard.subject.executor)
        return outcome_key(subject, Scope(self.dataset, heard.seed), self.settings(heard), len(self.samples),
                           made_by(heard))

    def through(self, heard: Microphone) -> dict[str, str]:
        """Settings of whatever is not usual between the recordings and the model."""
        return ({"air": self.air.text} if self.air.changes_sound else {}) | heard.through

    @property
    def budget_text(self) -> str:
        """Norm and budget, for people."""
        return f"{self.budget.norm} {self.budget}"

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
    "clean_wave_NAME" and "wave_NAME" [n, longest], with "samples_NAME" [n]. Raises ParityError if TFLite Micro
    computes other codes.
    """
    scene, label = task.scene(heard.name, heard.front_end), task.samples.label
    log = OutcomeLog(ResultStore() if store is None else store, Scope(task.dataset, heard.seed))
    held_out = task.air.conditions(heard.front_end.rate, stream=HELD_OUT)
    clean = judge(heard.chain, scene, scene.clips, label, held_out)
    keys = [write_row(log, heard.subject, task.clean(heard), heard, clean.broken)]
    if not heard.replayed:
        probe_alone(log, heard.subject, heard.target, task.samples)
    began = time.monotonic()
    made, settings = make_waves(heard, task, scene, label), task.settings(heard)
    found = judge(heard.chain, scene, made.clips, label, held_out)
    keys.append(write_row(log, heard.subject, settings, heard, found.broken, seconds=time.monotonic() - began,
                       queries=round(made.queries / len(label)), zero_gradient_share=made.zero_gradient_share))
    if isinstance(heard.chain, DeviceChain):
        for executor in executors:
            other, chain = replace(heard.subject, executor=executor), heard.chain.elsewhere(executor)
            for how, clips, own in ((task.clean(heard), scene.clips, clean), (settings, made.clips, found)):
                again = judge(chain, scene, clips, label, held_out)
                if executor == ORACLE:
                    check_same(own, again, heard.subject.model)
                keys.append(write_row(log, other, how, heard, again.broken))
    rows = [row for row in log.store.rows() if row["key"] in keys]
    note = {"wave": wave_note(task, scene, made.clips, clean, found), **made.notes(clean, found)}
    saved = {"label": label, "clean_answer": clean.answer, "answer": found.answer, "broken": found.broken}
    return AttackResult(rows, {**heard.chain.inputs(scene, made.clips), **padded(heard, scene, made.clips), **saved},
                        {row["key"]: note for row in rows if row["kind"] == "attack"}, log.store.rows("probe"))


@dataclass(frozen=True, eq=False)
class MadeWaves:
    """Attacked recordings and what they cost; ``learnt``: of one change for all, what is known of the training part."""

    clips: list[np.ndarray]
    queries: int
    zero_gradient_share: float | None
    learnt: Mapping[str, Any] = field(default_factory=dict)

    def notes(self, clean: Verdict, found: Verdict) -> dict[str, Any]:
        """Say of one change for all how many answers it changes; nothing of others."""
        if not self.learnt:
            return {}
        return {"universal": {**self.learnt, "fooling_rate": float(np.mean(clean.answer != found.answer))}}


def make_waves(heard: Microphone, task: WaveTask, scene: Scene, label: np.ndarray) -> MadeWaves:
    """Run the attack of ``task`` on the recordings of ``scene``."""
    target = heard.wave_target(task.air.conditions(heard.front_end.rate))
    problem, plan = problem_of(scene, task.budget), task.plan
    if isinstance(plan, OneForAll):
        return _one_for_all(heard, task, problem, target, plan)
    assert isinstance(plan, SampleAttack)
    found = plan.run(problem.target(target), problem.batch, label, problem.threat)
    return MadeWaves(problem.recordings(found.strongest[heard.name]), found.queries, float(found.zero_gradient.mean()))


def _one_for_all(heard: Microphone, task: WaveTask, problem: WaveProblem, target: WaveTarget,
                 plan: OneForAll) -> MadeWaves:
    """Make one change on training recordings; in the norm snr it is played as loud as each recording allows."""
    part, name = task.dataset.train, heard.name
    rows = part.balanced_rows(plan.train_samples, seed=SAMPLE_SEED)
    learnt = problem_of(scene_of(task.dataset, "train", rows, name, heard.front_end), task.budget)
    found = plan.run(target, learnt.batch, part.label[rows], learnt.threat)
    point = perturbed(problem.batch, problem.threat, found.delta)[name]
    return MadeWaves(problem.recordings(point), found.queries, None, {
        "train_samples": len(rows), "train_accuracy": float(np.mean(~found.verdict.broken))})


def check_same(own: Verdict, again: Verdict, model: str) -> None:
    """Raise ParityError unless TFLite Micro computed the output codes of the twin."""
    differing = int(np.sum(own.outputs != again.outputs))
    if differing:
        raise ParityError(f"{model}: {differing} of {own.outputs.size} output codes of the twin differ from TFLite "
                          "Micro's on attacked recordings; do not trust its attacks, and report this model")


def wave_note(task: WaveTask, scene: Scene, clips: Sequence[np.ndarray], clean: Verdict,
              found: Verdict) -> dict[str, Any]:
    """Say what the changes spent, and through air which share of all answers is right."""
    ratios = [snr_db(*pair) for pair in zip(scene.clips, clips, strict=True)]
    said = {"budget": str(task.budget), "least_snr_db": _finite(min(ratios)),
            "median_snr_db": _finite(float(np.median(ratios)))}
    through = {"air": task.air.text, "clean_right": round(1 - clean.wrong, 4), "right": round(1 - found.wrong, 4)}
    return said | (through if task.air.changes_sound else {})


def write_row(log: OutcomeLog, subject: Subject, settings: AttackSettings, heard: Microphone, broken: np.ndarray,
              **costs: Any) -> str:
    """Write the row of ``subject`` unless it is there; return its key."""
    log.write(subject, settings, made_by(heard), ~broken, **{"seconds": 0.0, **costs})
    return outcome_key(subject, log.scope, settings, len(broken), made_by(heard))


def made_by(heard: Microphone) -> str:
    """Return what decides the recordings that ``heard`` is attacked with, beside the settings."""
    return f"{heard.made_by} {heard.front_end!r} {WAVE}"


def padded(heard: Microphone, scene: Scene, clips: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Return clean and attacked recordings as arrays."""
    name, lengths = heard.name, np.array([len(clip) for clip in clips])
    clean, changed = (np.stack([np.pad(clip, (0, int(lengths.max()) - len(clip))) for clip in some])
                      for some in (scene.clips, clips))
    return {f"clean_wave_{name}": clean, f"wave_{name}": changed, f"samples_{name}": lengths}


def _finite(value: float) -> float | None:
    return round(value, 2) if np.isfinite(value) else None
