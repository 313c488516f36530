"""The stage before the front end: every network of a matrix behind its microphone and its camera."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tinyfuse.attacks import PGD
from tinyfuse.checks.gating import SCENE_STAGE
from tinyfuse.core.console import progress
from tinyfuse.core.errors import DataError, ParityError, TinyfuseError
from tinyfuse.core.faults import log_fault
from tinyfuse.frontend.fixed_sound import FLOATING
from tinyfuse.integer.executors.installed import ORACLE, is_here
from tinyfuse.nn.network import Network
from tinyfuse.nn.zoo.user import is_network
from tinyfuse.study.frame_attack import FrameTask, attack_frames, open_eye, seeing
from tinyfuse.study.microphones import kinds_of, listening, open_microphone
from tinyfuse.study.rows import failed_row
from tinyfuse.study.run import Run
from tinyfuse.study.scene_attack import SceneTask, attack_scenes
from tinyfuse.study.stages.convert import IntegerFile
from tinyfuse.study.wave_attack import WaveTask, attack_recordings
from tinyfuse.study.worst_case import FLOAT
from tinyfuse.threats.scene_budgets import SceneBudget, read_scene_budget


def check_scenes(run: Run) -> None:
    """Raise an error in one line for a scene of the matrix that the data cannot show, before anything is trained."""
    data = run.dataset
    for text in run.matrix.scenes:
        budget = read_scene_budget(text)
        if budget.wave:
            listening({"front_ends": data.front_ends}, budget.wave[0], data.name)
        if budget.frame:
            seeing(kinds_of({"front_ends": data.front_ends}, data.name), budget.frame[0], data.name)
        if budget.wave and (data.recording is None or data.recording(budget.wave[0], "test", 0) is None):
            raise DataError(f"{data.name}: no recordings behind the input '{budget.wave[0]}', which came as features, "
                            f"so nothing can be attacked by '{text}'; give data with its sound, or leave it out of "
                            "scenes")


def attack_all_scenes(run: Run, networks: Sequence[Network], files: Mapping[str, Sequence[IntegerFile]]) -> None:
    """Append the missing rows of attacks before the front end; networks without an attacked input have none.

    What cannot be attacked leaves a failed row with the reason.
    """
    work = [(network, precision, path, text) for network in networks
            for precision, path in _subjects(network, files) for text in run.matrix.scenes
            if {*read_scene_budget(text).names} <= {*network.input_names}]
    if not work:
        return
    with progress("attacking scenes", len(work)) as advance:
        for network, precision, path, text in work:
            try:
                attack_scene(run, path, read_scene_budget(text))
            except (DataError, ParityError, OSError):
                raise
            except Exception as error:
                reason = str(error) if isinstance(error, TinyfuseError) else log_fault(error, run.folder)
                run.store.append(failed_row(run.log.scope, network.name, precision, SCENE_STAGE, reason))
            advance(note=f"{network.name} {precision} {text}")


def _subjects(network: Network, files: Mapping[str, Sequence[IntegerFile]]) -> Iterator[tuple[str, Path]]:
    yield FLOAT, network.path
    yield from ((made.recipe.name, made.path) for made in files[network.name])


def attack_scene(run: Run, path: Path, budget: SceneBudget) -> None:
    """Attack the model at ``path`` within ``budget``, unless the rows are there.

    The last of them tells: where TFLite Micro has not judged yet, or judged otherwise, the attack is made again.
    """
    plan, count, data, store = PGD(steps=run.matrix.steps), run.matrix.scene_samples, run.dataset, run.store
    executors = () if is_network(path) or not is_here(ORACLE) else (ORACLE,)
    frontend, last = FLOATING if is_network(path) else run.matrix.frontend, executors[-1] if executors else ""
    if budget.wave is None:
        assert budget.frame is not None
        eye, data = open_eye(path, data, budget.frame[0], None)
        shown = FrameTask(plan, data, count, budget.frame[1])
        if not store.has(shown.key(eye, last)):
            attack_frames(eye, shown, executors, store)
        return
    heard, data = open_microphone(path, data, budget.wave[0], arithmetic=frontend)
    if budget.frame is None:
        task = WaveTask(plan, data, count, budget.wave[1])
        if not store.has(task.key(heard, last)):
            attack_recordings(heard, task, executors, store)
        return
    eye, _ = open_eye(path, run.dataset, budget.frame[0], None)
    both = SceneTask(plan, data, count, budget.wave[1], frame=budget.frame[1])
    if not store.has(both.scene_key(heard, eye, last)):
        attack_scenes(heard, eye, both, executors, store)
