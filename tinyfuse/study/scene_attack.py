"""An attack on a recording and a camera's frame at once: one threat for each input, judged by the deployed chain."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinyfuse.attacks import SampleAttack
from tinyfuse.attacks.frame.frame_target import FrameTarget
from tinyfuse.attacks.wave.air import HELD_OUT
from tinyfuse.attacks.wave.attack_wave import problem_of
from tinyfuse.attacks.wave.chains import DeviceChain, Verdict, judge
from tinyfuse.attacks.wave.scene import Scene
from tinyfuse.core.results import ResultStore
from tinyfuse.integer.executors.installed import ORACLE
from tinyfuse.study.attack import AttackResult
from tinyfuse.study.frame_attack import PLACES, Eye, check_frames, check_patch, frame_threat, places
from tinyfuse.study.microphones import Microphone
from tinyfuse.study.rows import AttackSettings, OutcomeLog, Scope, outcome_key
from tinyfuse.study.stages.alone import probe_alone
from tinyfuse.study.wave_attack import WaveTask, check_same, made_by, padded, wave_note, write_row
from tinyfuse.threats.frame_budgets import FrameBudget
from tinyfuse.threats.norm_by_input import NormByInput
from tinyfuse.threats.scene_budgets import SCENE
from tinyfuse.threats.threat import Threat

EIGHT_LEVELS = FrameBudget("pixels", 8)


@dataclass(frozen=True, eq=False)
class SceneTask(WaveTask):
    """A :class:`WaveTask` whose adversary also changes frames, within ``frame``; ``seed`` places patches."""

    frame: FrameBudget = EIGHT_LEVELS
    seed: int = 0

    @property
    def budget_text(self) -> str:
        return f"{super().budget_text} and {self.frame.norm} {self.frame}"

    def scene_key(self, heard: Microphone, eye: Eye, executor: str = "") -> str:
        """Return the key of the row of attacked scenes, judged by the model itself or by another ``executor``."""
        subject = replace(heard.subject, executor=executor or heard.subject.executor)
        return outcome_key(subject, Scope(self.dataset, heard.seed), self.attacked(heard, eye),
                           len(self.samples), made_by(heard))

    def judged(self, heard: Microphone, eye: Eye) -> AttackSettings:
        """Settings of clean scenes."""
        return AttackSettings(threat=SCENE, attack={"name": "none"} | eye.through | self.through(heard))

    def attacked(self, heard: Microphone, eye: Eye) -> AttackSettings:
        """Settings of attacked scenes."""
        tried = {"places": PLACES} if self.frame.norm == "patch" else {}
        return replace(self.settings(heard), attack=self.plan.settings() | tried | eye.through | self.through(heard),
                       norm=f"{self.budget.norm}+{self.frame.norm}", threat=SCENE,
                       budget={heard.name: self.budget.size, eye.name: self.frame.amount})


@dataclass(frozen=True, eq=False)
class Made:
    """Recordings, int16 each, and uint8 frames [n, h, w, c] of the same samples, and what they cost."""

    clips: list[np.ndarray]
    frames: np.ndarray
    queries: int = 0


def attack_scenes(heard: Microphone, eye: Eye, task: SceneTask, executors: Sequence[str] = (),
                  store: ResultStore | None = None) -> AttackResult:
    """Attack recordings and frames of ``task`` together; return rows of the model itself and of ``executors``.

    ``heard`` and ``eye`` are of one model. ``made`` holds what attacks on recordings and on frames hold each. Raises
    ParityError if TFLite Micro computes other codes.
    """
    check_patch(eye, task.frame)
    scene, label = task.scene(heard.name, heard.front_end), task.samples.label
    log = OutcomeLog(ResultStore() if store is None else store, Scope(task.dataset, heard.seed))
    clean = Made(list(scene.clips), eye.camera.frames_of(task.samples.inputs[eye.name]))
    before = _judged(heard, eye, task, scene, clean, label)
    settings = task.judged(heard, eye), task.attacked(heard, eye)
    keys = [write_row(log, heard.subject, settings[0], heard, before.broken)]
    if not heard.replayed:
        probe_alone(log, heard.subject, heard.target, task.samples)
    began = time.monotonic()
    made = make_scenes(heard, eye, task, scene, clean.frames, label)
    check_frames(made.frames, clean.frames, task.frame)
    after = _judged(heard, eye, task, scene, made, label)
    keys.append(write_row(log, heard.subject, settings[1], heard, after.broken, seconds=time.monotonic() - began,
                          queries=round(made.queries / len(label))))
    for executor in executors if isinstance(heard.chain, DeviceChain) else ():
        for how, some, own in zip(settings, (clean, made), (before, after), strict=True):
            again = _judged(heard, eye, task, scene, some, label, executor)
            if executor == ORACLE:
                check_same(own, again, heard.subject.model)
            keys.append(write_row(log, replace(heard.subject, executor=executor), how, heard, again.broken))
    rows = [row for row in log.store.rows() if row["key"] in keys]
    note = {"wave": wave_note(task, scene, made.clips, before, after)}
    held = {"label": label, "clean_answer": before.answer, "answer": after.answer, "broken": after.broken,
            f"clean_frame_{eye.name}": clean.frames, f"frame_{eye.name}": made.frames}
    inputs = heard.chain.inputs(_filmed(eye, scene, made.frames), made.clips)
    return AttackResult(rows, {**inputs, **padded(heard, scene, made.clips), **held},
                        {row["key"]: note for row in rows if row["kind"] == "attack"}, log.store.rows("probe"))


def make_scenes(heard: Microphone, eye: Eye, task: SceneTask, scene: Scene, frames: np.ndarray,
                label: np.ndarray) -> Made:
    """Run the attack of ``task`` on the recordings of ``scene`` beside ``frames``; of a patch at each of its places."""
    assert isinstance(task.plan, SampleAttack)
    target = heard.wave_target(task.air.conditions(heard.front_end.rate),
                               FrameTarget(heard.target, eye.name, eye.camera))
    clips, filmed, queries, left = list(scene.clips), frames.copy(), 0, np.arange(len(frames))
    for place in range(places(task.frame)):
        if not len(left):
            break
        part = _with(scene.take(left), eye, frames[left].astype(np.float32))
        problem = problem_of(part, task.budget)
        seen = frame_threat(eye, task.frame, frames[left], left, place, task.seed)
        found = task.plan.run(problem.target(target), problem.batch, label[left], together(problem.threat, seen),
                              sample_ids=left)
        filmed[left] = np.rint(found.strongest[eye.name]).astype(np.uint8)
        for row, clip in zip(left, problem.recordings(found.strongest[heard.name]), strict=True):
            clips[row] = clip
        queries += found.queries
        verdict = _judged(heard, eye, task, scene, Made(clips, filmed), label)
        left = np.flatnonzero(~verdict.broken)
    return Made(clips, filmed, queries)


def together(heard: Threat, seen: Threat) -> Threat:
    """Allow both at once: each input keeps its norm, budget and box."""
    norms = {name: threat.norm for threat in (heard, seen) for name in threat.attacked}
    return Threat(NormByInput(norms), {**heard.budget, **seen.budget}, {**heard.box, **seen.box})


def _judged(heard: Microphone, eye: Eye, task: SceneTask, scene: Scene, made: Made, label: np.ndarray,
            executor: str = "") -> Verdict:
    """Ask the deployed chain, with its integers in another ``executor`` if one is named."""
    chain = heard.chain
    if executor:
        assert isinstance(chain, DeviceChain)
        chain = chain.elsewhere(executor)
    return judge(chain, _filmed(eye, scene, made.frames), made.clips, label,
                 task.air.conditions(heard.front_end.rate, stream=HELD_OUT))


def _filmed(eye: Eye, scene: Scene, frames: np.ndarray) -> Scene:
    """Return ``scene`` beside what the model makes of uint8 ``frames``."""
    return _with(scene, eye, eye.seen(frames))


def _with(scene: Scene, eye: Eye, values: np.ndarray) -> Scene:
    return replace(scene, others={**scene.others, eye.name: values})
