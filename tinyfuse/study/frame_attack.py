"""An attack on a camera's frames as rows: made through the resize, judged by what Pillow or C makes of whole levels."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tinyfuse.attacks import Attack, DifferentiableTarget, KerasTarget, SampleAttack, TwinTarget, misclassified
from tinyfuse.attacks.frame.camera import LEVELS, Camera
from tinyfuse.attacks.frame.frame_target import FrameTarget
from tinyfuse.attacks.frame.scene_changes import CHANGES, GRID, amounts
from tinyfuse.core.errors import DataError, ParityError, UsageError, nearest
from tinyfuse.core.results import ResultStore
from tinyfuse.data import Dataset, Samples
from tinyfuse.frontend.device_sound import Grid
from tinyfuse.frontend.front_end import read_front_end
from tinyfuse.frontend.normalisation import identity, read_normalisation
from tinyfuse.frontend.picture import Picture
from tinyfuse.integer.class_values import class_values
from tinyfuse.integer.executors import open_executor
from tinyfuse.integer.executors.installed import ORACLE
from tinyfuse.nn.zoo.user import is_network
from tinyfuse.study.attack import AttackResult
from tinyfuse.study.microphones import integer_table_of, kinds_of
from tinyfuse.study.open_subject import model_and_data, network_and_data
from tinyfuse.study.rows import KERAS_BATCH, SAMPLE_SEED, AttackSettings, OutcomeLog, Scope, Subject, outcome_key
from tinyfuse.study.stages.alone import probe_alone
from tinyfuse.study.worst_case import FLOAT, FLOAT_EXECUTOR
from tinyfuse.threats.frame_budgets import FRAME, FrameBudget
from tinyfuse.threats.modes import ALL
from tinyfuse.threats.norms import norm_of
from tinyfuse.threats.threat import Threat

PLACES = 4
"""Random places that a patch is tried at."""


@dataclass(frozen=True, eq=False)
class Eye:
    """What sees: ``target`` behind the ``camera`` of its input ``name``; ``seed`` is that of the training."""

    name: str
    camera: Camera
    target: KerasTarget | TwinTarget
    subject: Subject
    seed: int

    @property
    def through(self) -> dict[str, str]:
        """Settings for rows: the size of the frames."""
        height, width, _ = self.camera.shape
        return {"camera": f"{width}x{height}"}

    def inputs(self, frames: np.ndarray, others: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Compute what the model takes, codes of integers, of uint8 frames and real other inputs."""
        if isinstance(self.target, KerasTarget):
            return {**others, self.name: self.camera.values(frames)}
        codes = {port.name: port.grid.quantise(others[port.name]).astype(port.dtype)
                 for port in self.target.model.inputs if port.name != self.name}
        port = next(one for one in self.target.model.inputs if one.name == self.name)
        return {**codes, self.name: self.camera.codes(frames).reshape(-1, *port.shape[1:]).astype(port.dtype)}

    def seen(self, frames: np.ndarray) -> np.ndarray:
        """Compute the input of uint8 frames in real values; of integers, those that its codes stand for."""
        if isinstance(self.target, KerasTarget):
            return self.camera.values(frames)
        port = next(one for one in self.target.model.inputs if one.name == self.name)
        return port.grid.dequantise(self.camera.codes(frames).reshape(-1, *port.shape[1:]))

    def output(self, inputs: dict[str, np.ndarray], executor: str = "twin") -> np.ndarray:
        """Compute logits [n, k], or what the output codes of integers say of each class; other codes, other values."""
        if isinstance(self.target, KerasTarget):
            return self.target.logits(inputs)
        return class_values(open_executor(self.target.model, executor).run(inputs), self.target.model)


def open_eye(path: Path, dataset: Dataset, modality: str, size: tuple[int, int] | None,
             choice: tuple[str, str] = ("", "")) -> tuple[Eye, Dataset]:
    """Open the float network or the ``.tflite`` at ``path`` behind a camera of ``size``, and its data."""
    if is_network(path):
        network, dataset = network_and_data(path, dataset, *choice)
        name = seeing(kinds_of(network.table, str(path)), modality, str(path))
        subject = Subject.of(network, FLOAT, FLOAT_EXECUTOR, network.sha256)
        return Eye(name, _camera(network.table, name, str(path), size, None),
                   KerasTarget.of(network, batch_size=KERAS_BATCH), subject, network.seed), dataset
    table = integer_table_of(path)
    name = seeing(kinds_of(table, str(path)), modality, str(path))
    own, dataset = model_and_data(path, dataset, choice[0])
    if not isinstance(own.twin, TwinTarget):
        raise UsageError(f"{path} is judged by a reconstruction error; attacks on frames are made for classifiers")
    port = next(one for one in own.twin.model.inputs if one.name == name)
    grid = Grid(port.scale, port.zero_point, port.grid.low, port.grid.high)
    return Eye(name, _camera(table, name, str(path), size, grid), own.twin, own.subject, own.seed), dataset


def seeing(kinds: dict[str, str], modality: str, where: str) -> str:
    """Return the input of the model at ``where`` that is attacked: a picture; ``modality`` "all": the only one."""
    pictures = [name for name, kind in kinds.items() if kind == "picture"]
    if modality == ALL and len(pictures) == 1:
        return pictures[0]
    if modality not in pictures:
        raise UsageError(f"{where}: a frame is seen by one input of kind picture; name one of "
                         f"{', '.join(pictures) or 'none'} with --modality, not '{modality}'"
                         f"{nearest(modality, pictures)}")
    return modality


def _camera(table: Mapping[str, Any], name: str, where: str, size: tuple[int, int] | None, grid: Grid | None) -> Camera:
    front_ends, fitted = table["front_ends"], (table.get("fitted") or {})
    assert isinstance(front_ends, dict) and isinstance(fitted, dict)
    one = read_front_end(front_ends[name], f"{where}: front_ends.{name}")
    assert isinstance(one, Picture)
    if name not in fitted and one.normalise != "none":
        raise DataError(f"{where}: nothing fitted for '{name}' in its table, which its front end needs; train it again")
    normalisation = read_normalisation(one, fitted[name], f"{where}: fitted.{name}") if name in fitted else identity(
        one, *one.scale)
    return Camera.of(one, normalisation, size) if grid is None else Camera.of(one, normalisation, size, grid)


@dataclass(frozen=True, eq=False)
class FrameTask:
    """``plan`` on the frames of ``count`` test samples of ``dataset``, within ``budget``; ``seed`` places patches."""

    plan: Attack
    dataset: Dataset
    count: int
    budget: FrameBudget
    seed: int = 0

    @cached_property
    def samples(self) -> Samples:
        """The attacked test samples."""
        return self.dataset.test.balanced(self.count, seed=SAMPLE_SEED)

    def clean(self, eye: Eye) -> AttackSettings:
        """Settings of clean frames, which take another way to the model than clean inputs."""
        return AttackSettings(threat=FRAME, attack={"name": "none"} | eye.through)

    def key(self, eye: Eye, executor: str = "") -> str:
        """Return the key of the row of attacked frames, judged by the model itself or by another ``executor``."""
        subject = replace(eye.subject, executor=executor or eye.subject.executor)
        return outcome_key(subject, Scope(self.dataset, eye.seed), self.settings(eye), len(self.samples),
                           _made_by(eye))

    def settings(self, eye: Eye) -> AttackSettings:
        """Settings of attacked frames."""
        budget = self.budget
        how = {"name": "grid", "draws": 2 * GRID} if budget.norm in CHANGES else self.plan.settings()
        more = {"places": PLACES} if budget.norm == "patch" else {}
        return AttackSettings(attack=how | more | eye.through, criterion="any-iterate", source=eye.subject.precision,
                              norm=budget.norm, budget={eye.name: budget.amount},
                              threat=FRAME)


def attack_frames(eye: Eye, task: FrameTask, executors: Sequence[str] = (),
                  store: ResultStore | None = None) -> AttackResult:
    """Attack the frames of ``task``; return rows of the model itself and of ``executors``.

    ``made``: what the model saw, "label", "broken", and uint8 frames "clean_frame_NAME" and "frame_NAME". Raises
    ParityError if TFLite Micro computes other codes.
    """
    check_patch(eye, task.budget)
    log = OutcomeLog(ResultStore() if store is None else store, Scope(task.dataset, eye.seed))
    label = task.samples.label
    others = {name: np.asarray(values) for name, values in task.samples.inputs.items() if name != eye.name}
    frames = eye.camera.frames_of(task.samples.inputs[eye.name])
    clean = eye.output(eye.inputs(frames, others))
    keys = [_write(log, eye.subject, task.clean(eye), eye, misclassified(clean, label), 0.0, 0)]
    probe_alone(log, eye.subject, eye.target, task.samples)
    began = time.monotonic()
    made, queries = make_frames(eye, task, frames, others, label)
    check_frames(made, frames, task.budget)
    found = eye.output(eye.inputs(made, others))
    broken = misclassified(found, label)
    keys.append(_write(log, eye.subject, task.settings(eye), eye, broken, time.monotonic() - began,
                       round(queries / len(label))))
    for executor in executors if isinstance(eye.target, TwinTarget) else ():
        for how, some, own in ((task.clean(eye), frames, clean), (task.settings(eye), made, found)):
            again = eye.output(eye.inputs(some, others), executor)
            if executor == ORACLE and not np.array_equal(again, own):
                raise ParityError(f"{eye.subject.model}: output codes of the twin differ from TFLite Micro's on "
                                  "attacked frames; do not trust its attacks, and report this model")
            other = replace(eye.subject, executor=executor)
            keys.append(_write(log, other, how, eye, misclassified(again, label), 0.0, 0))
    held = {f"clean_frame_{eye.name}": frames, f"frame_{eye.name}": made, "label": label, "broken": broken}
    rows = [row for row in log.store.rows() if row["key"] in keys]
    return AttackResult(rows, {**eye.inputs(made, others), **held}, {}, log.store.rows("probe"))


def make_frames(eye: Eye, task: FrameTask, frames: np.ndarray, others: dict[str, np.ndarray],
                label: np.ndarray, rows: np.ndarray | None = None) -> tuple[np.ndarray, int]:
    """Return attacked uint8 frames, and how many gradients or forward passes they took.

    ``rows``: their numbers among the samples, by default all.
    """
    budget, rows = task.budget, np.arange(len(frames)) if rows is None else rows
    if budget.norm in CHANGES:
        return _try_all(eye, budget, frames, others, label)
    assert isinstance(task.plan, SampleAttack)
    made, queries, left = frames.copy(), 0, np.arange(len(frames))
    for place in range(places(budget)):
        if len(left):
            part = {name: values[left] for name, values in others.items()}
            threat = replace(frame_threat(eye, budget, frames[left], rows[left], place, task.seed), lattice=True)
            found, asked = _climbed(eye, task.plan, frames[left], part, label[left], threat)
            wrong = misclassified(eye.output(eye.inputs(found, part)), label[left])
            made[left], queries, left = found, queries + asked, left[~wrong]
    return made, queries


def _climbed(eye: Eye, plan: SampleAttack, frames: np.ndarray, others: dict[str, np.ndarray], label: np.ndarray,
             threat: Threat) -> tuple[np.ndarray, int]:
    target: DifferentiableTarget = FrameTarget(eye.target, eye.name, eye.camera)
    batch = {**others, eye.name: frames.astype(np.float32)}
    found = plan.run(target, batch, label, threat)
    return found.strongest[eye.name].astype(np.uint8), found.queries


def places(budget: FrameBudget) -> int:
    """Tell how many places are tried one after the other: some of a patch."""
    return PLACES if budget.norm == "patch" else 1


def frame_threat(eye: Eye, budget: FrameBudget, frames: np.ndarray, rows: np.ndarray, place: int, seed: int) -> Threat:
    """Allow so many levels of each pixel, or anything in a square of each frame.

    The square depends on seed, sample (``rows``) and number of the ``place``.
    """
    if budget.norm == "pixels":
        return Threat(norm_of("linf"), {eye.name: budget.amount}, {eye.name: (0.0, float(LEVELS))})
    height, width, _ = eye.camera.shape
    side = int(budget.amount)
    low, high = (frames.astype(np.float32) for _ in range(2))
    for number, row in enumerate(rows):
        rng = np.random.default_rng([seed, int(row), place])
        top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
        low[number, top:top + side, left:left + side], high[number, top:top + side, left:left + side] = 0, LEVELS
    return Threat(norm_of("linf"), {eye.name: float(LEVELS)}, {eye.name: (low, high)})


def check_patch(eye: Eye, budget: FrameBudget) -> None:
    """Raise UsageError for a patch that no frame of the camera holds."""
    height, width, _ = eye.camera.shape
    if budget.norm == "patch" and not 1 <= budget.amount <= min(height, width):
        raise UsageError(f"a patch of {budget} in frames of {width}x{height}; give 1px to {min(height, width)}px")


def _try_all(eye: Eye, budget: FrameBudget, frames: np.ndarray, others: dict[str, np.ndarray],
             label: np.ndarray) -> tuple[np.ndarray, int]:
    """Try every amount on what is still right; keep what broke a frame, else the last."""
    made, queries, left = frames.copy(), 0, np.arange(len(frames))
    for amount in amounts(budget.amount):
        if not len(left):
            break
        part = {name: values[left] for name, values in others.items()}
        made[left] = CHANGES[budget.norm](frames[left], float(amount))
        queries += len(left)
        left = left[~misclassified(eye.output(eye.inputs(made[left], part)), label[left])]
    return made, queries


def check_frames(made: np.ndarray, frames: np.ndarray, budget: FrameBudget) -> None:
    """Raise DataError if pixels moved further than ``budget`` allows, or outside of a square of its side."""
    change = np.abs(made.astype(np.int64) - frames)
    if budget.norm in ("pixels", "brightness") and change.max(initial=0) > budget.amount + 0.5:
        raise DataError(f"an attacked frame moves a pixel by {change.max()} levels; the budget is {budget}")
    if budget.norm == "patch":
        for axis in (1, 2):
            touched = change.max(axis=(3 - axis, 3)) > 0
            if any(np.ptp(np.flatnonzero(row)) >= budget.amount for row in touched if row.any()):
                raise DataError(f"an attacked frame changes outside of its patch; the budget is {budget}")


def _write(log: OutcomeLog, subject: Subject, settings: AttackSettings, eye: Eye, broken: np.ndarray, seconds: float,
           queries: int) -> str:
    log.write(subject, settings, _made_by(eye), ~broken, seconds=seconds, queries=queries)
    return outcome_key(subject, log.scope, settings, len(broken), _made_by(eye))


def _made_by(eye: Eye) -> str:
    return f"{eye.subject.sha256} {eye.camera.front_end!r} {eye.camera.shape} {FRAME}"
