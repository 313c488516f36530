"""What goes together in an attack: models, attacks, threat models, judges. Asked before anything is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tinyfuse.attacks import Attack
from tinyfuse.attacks.frame.scene_changes import CHANGES
from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.integer.executors import check_executor
from tinyfuse.integer.executors.installed import check_here
from tinyfuse.nn.zoo.user import is_network
from tinyfuse.threats.code_threats import WORLDS
from tinyfuse.threats.frame_budgets import FRAME
from tinyfuse.threats.scene_budgets import SCENE, SceneBudget
from tinyfuse.threats.wave_budgets import WAVE

BEFORE = {WAVE: "attack_wave", FRAME: "attack_frame", SCENE: "attack_scene"}


def check_attack(path: Path, plan: Attack, threat: str, executors: Sequence[str], source: str | Path | None,
                 ensemble: bool, codes: int | None) -> None:
    """Raise UsageError for what does not go together in an attack on inputs."""
    check_judges(executors)
    if threat in BEFORE:
        raise UsageError(f"what is before the front end is attacked by {BEFORE[threat]}, or with --threat {threat}")
    if threat not in WORLDS:
        raise UsageError(f"unknown threat model '{threat}'{nearest(threat, WORLDS)}; use one of {', '.join(WORLDS)}")
    network = is_network(path)
    if network and codes is not None:
        raise UsageError("a budget in codes is for an integer .tflite; a float network takes real values: give epsilon")
    if network and (ensemble or plan.needs_float):
        raise UsageError(f"{'an ensemble' if ensemble else plan.name} needs an integer model beside its float network; "
                         "give the .tflite")
    if ensemble and (plan.gradient_free or not plan.in_suites or threat == "naive"):
        raise UsageError("an ensemble joins gradients at the same codes: use fgsm, pgd or mim, and the threat model "
                         "codes or real")
    if not plan.in_suites and threat == "naive":
        raise UsageError(f"{plan.name} is made for the integer model itself; use the threat model codes or real")
    if plan.one_for_all and source is not None:
        raise UsageError("a universal perturbation is made for the model that is attacked; leave out the source")


def check_wave_attack(path: Path, plan: Attack, executors: Sequence[str], source: str | Path | None,
                      save: str | Path | None, norm: str) -> None:
    """Raise UsageError for what does not go together in an attack on recordings."""
    _check_scene_attack(path, plan, executors, source, save)
    _check_held_as(plan, norm, "l2" if norm == "snr" else "linf")
    if plan.one_for_all and (norm == "masking" or source is not None):
        raise UsageError(f"{plan.name} makes one wave for all recordings of one model, and what is masked differs from "
                         "one to the next; give snr or pcm, and no source")


def check_frame_attack(path: Path, plan: Attack, executors: Sequence[str], save: str | Path | None, norm: str,
                       given: Sequence[str]) -> None:
    """Raise UsageError for what does not go together in an attack on frames.

    ``given``: names of what was said about the attack itself.
    """
    _check_scene_attack(path, plan, executors, None, save)
    if norm in CHANGES and given:
        raise UsageError(f"{norm} is tried on a grid of amounts, whatever the attack is; leave out "
                         f"{' and '.join(name.replace('_', '-') for name in given)}")
    _check_held_as(plan, norm, "linf")
    if plan.one_for_all:
        raise UsageError(f"{plan.name} is not made for frames; use fgsm, pgd, mim or square")


def check_scene_attack(path: Path, plan: Attack, executors: Sequence[str], source: str | Path | None,
                       save: str | Path | None, budget: SceneBudget) -> None:
    """Raise UsageError for what does not go together in an attack on a recording and a frame at once."""
    check_both(plan, budget)
    assert budget.wave is not None
    check_wave_attack(path, plan, executors, source, save, budget.wave[1].norm)


def check_both(plan: Attack, budget: SceneBudget) -> None:
    """Raise UsageError unless ``budget`` is one of a recording and a frame that ``plan`` can change together."""
    if budget.wave is None or budget.frame is None:
        missing, such = ("recording", "mic=40dB") if budget.wave is None else ("frame", "camera=8levels")
        raise UsageError(f"an attack on both at once without a budget of the {missing}; give one of each, such as "
                         f"{such}, or --threat {budget.threat} alone")
    if budget.frame[1].norm in CHANGES:
        raise UsageError(f"{budget.frame[1].norm} is tried on a grid of amounts, not along a gradient beside a "
                         "recording's; give levels or px, or attack frames alone")
    if plan.one_for_all or getattr(plan, "step_size", None) is not None:
        raise UsageError(f"{plan.name} of one {'wave' if plan.one_for_all else 'step size'} for two sensors, whose "
                         "units differ; use fgsm, pgd or mim without it")
    _check_held_as(plan, budget.frame[1].norm, "linf")


def _check_held_as(plan: Attack, norm: str, held: str) -> None:
    """Raise UsageError unless ``plan`` keeps to changes of ``norm``, which are bounded in the norm ``held``."""
    if held not in plan.norms:
        raise UsageError(f"{plan.name} does not keep to {norm}, which bounds changes in {held}; it is made for "
                         f"{' and '.join(plan.norms)}: choose another attack, such as pgd, or another norm")


def _check_scene_attack(path: Path, plan: Attack, executors: Sequence[str], source: str | Path | None,
                        save: str | Path | None) -> None:
    """Raise UsageError for what does not go together in an attack before the front end."""
    check_judges(executors)
    if plan.needs_float:
        raise UsageError(f"{plan.name} works on inputs, not on what is before the front end; use fgsm, pgd, mim or fgm")
    if is_network(path) and (source is not None or executors):
        raise UsageError(f"{path} is a float network, which is attacked itself and runs in Keras; leave out executors "
                         "and the source")
    check_saved(save)


def check_judges(executors: Sequence[str]) -> None:
    """Raise UsageError for an executor that is unknown or not installed."""
    for executor in executors:
        check_executor(executor)
        check_here(executor)


def check_saved(save: str | Path | None) -> None:
    """Raise UsageError for a file of another kind than attacked inputs are saved in."""
    if save is not None and Path(save).suffix != ".npz":
        raise UsageError(f"{save}: attacked inputs are saved as .npz; give a name that ends so")
