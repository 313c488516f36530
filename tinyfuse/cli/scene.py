"""``tinyfuse attack --threat wave,frame``: what stands in for the attack on inputs."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyfuse import api
from tinyfuse.attacks import attack_of
from tinyfuse.attacks.wave.air import read_air
from tinyfuse.cli import options
from tinyfuse.cli.frame import camera_of
from tinyfuse.cli.wave import refuse_idle, table_of
from tinyfuse.core.errors import UsageError
from tinyfuse.data.sources import load_from
from tinyfuse.study.check_attack import check_scene_attack
from tinyfuse.study.frame_attack import seeing
from tinyfuse.study.microphones import kinds_of, listening
from tinyfuse.threats.modes import ALL
from tinyfuse.threats.scene_budgets import SCENE, SceneBudget, read_scene_budget

if TYPE_CHECKING:
    from tinyfuse.report.notebook import AttackRows


def run_scene(args: argparse.Namespace, settings: Mapping[str, Any]) -> AttackRows:
    """Attack the recordings and frames that ``args`` ask for; return rows."""
    refuse_idle(args, SCENE, "minimal", "modality")
    path, attack = Path(args.model), args.attack or "pgd"
    if args.epsilon is None:
        raise UsageError(f"--threat {SCENE} without --epsilon; give a budget of each, such as mic=40dB,camera=8levels")
    budget, camera = read_scene_budget(args.epsilon, args.norm), camera_of(args.camera)
    read_air(args.air)
    check_scene_attack(path, attack_of(attack, settings), args.executor or (), args.source, args.save, budget)
    options.need_network_or_model(args.model)
    if args.source:
        options.need_network(args.source)
    _check_inputs(args.model, budget)
    return api.attack_scene(path, load_from(args), epsilon=args.epsilon, attack=attack, norm=args.norm,
                            samples=args.samples, camera=camera, air=args.air, frontend=args.frontend or "float",
                            executors=args.executor, source=args.source, save=args.save, out=args.out,
                            output=args.output, signature=args.signature, **settings)


def _check_inputs(model: str, budget: SceneBudget) -> None:
    """Raise UsageError unless the inputs of ``budget`` hear and see, by the table beside ``model``."""
    assert budget.wave is not None and budget.frame is not None
    table = table_of(Path(model))
    listening(table, budget.wave[0] or ALL, model)
    seeing(kinds_of(table, model), budget.frame[0] or ALL, model)
