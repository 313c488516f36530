"""``tinyfuse attack --threat frame``: what stands in for the attack on inputs."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyfuse import api
from tinyfuse.attacks import attack_of
from tinyfuse.cli import options
from tinyfuse.cli.wave import print_smallest, refuse_idle, refuse_with_minimal, table_of
from tinyfuse.core.errors import UsageError
from tinyfuse.data.sources import load_from
from tinyfuse.study.check_attack import check_frame_attack
from tinyfuse.study.frame_attack import seeing
from tinyfuse.study.microphones import kinds_of
from tinyfuse.threats.frame_budgets import FRAME, FRAME_LARGEST, read_frame_budget
from tinyfuse.threats.modes import one_input

if TYPE_CHECKING:
    from tinyfuse.report.notebook import AttackRows

_CAMERA = re.compile(r"(\d{1,5})x(\d{1,5})")


def run_frame(args: argparse.Namespace, settings: Mapping[str, Any]) -> AttackRows | None:
    """Attack the frames that ``args`` ask for; return rows, or print smallest budgets and return None."""
    refuse_idle(args, FRAME, "air", "source", "frontend")
    refuse_with_minimal(args, "save", "executor", "out", "output", "signature")
    path, attack = Path(args.model), args.attack or "pgd"
    name, budget = read_frame_budget(args.epsilon, args.norm, *([FRAME_LARGEST] if args.minimal else []))
    modality, camera = one_input(name, args.modality), camera_of(args.camera)
    check_frame_attack(path, attack_of(attack, settings), args.executor or (), args.save, budget.norm,
                       [*(["attack"] if args.attack else []), *settings])
    options.need_network_or_model(args.model)
    seeing(kinds_of(table_of(path), args.model), modality, args.model)
    common: dict[str, Any] = {"attack": attack, "modality": modality, "norm": budget.norm, "samples": args.samples,
                              "camera": camera, **settings}
    if args.minimal:
        print_smallest(api.minimal_frame(path, load_from(args), largest=budget.amount, **common), args)
        return None
    return api.attack_frame(path, load_from(args), epsilon=budget.amount, executors=args.executor, save=args.save,
                            out=args.out, output=args.output, signature=args.signature, **common)


def camera_of(text: str | None) -> tuple[int, int] | None:
    """Read ``160x120``, width and height, as (height, width)."""
    if text is None:
        return None
    found = _CAMERA.fullmatch(text)
    if found is None:
        raise UsageError(f"--camera '{text}'; give width and height of its frames, such as 160x120")
    return int(found[2]), int(found[1])
