"""``tinyfuse attack --threat wave``: what stands in for the attack on inputs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyfuse import api
from tinyfuse.attacks import attack_of
from tinyfuse.attacks.wave.air import read_air
from tinyfuse.cli import options
from tinyfuse.core import toml
from tinyfuse.core.errors import ModelError, UsageError
from tinyfuse.core.files import read_limited, sha256_hex
from tinyfuse.data.sources import load_from
from tinyfuse.nn.zoo.user import MAX_TFLITE_BYTES, is_network
from tinyfuse.quantize.integer_table import read_integer_table
from tinyfuse.study.check_attack import check_wave_attack
from tinyfuse.study.microphones import listening
from tinyfuse.threats.modes import ALL, one_input
from tinyfuse.threats.wave_budgets import LARGEST, WAVE, read_wave_budget

if TYPE_CHECKING:
    from tinyfuse.report.notebook import AttackRows
    from tinyfuse.study.smallest_changes import SmallestChanges

IDLE = ("profile", "codes", "mask", "ensemble", "around_memory")
"""Options about inputs, which a recording has not reached yet."""


def run_wave(args: argparse.Namespace, settings: Mapping[str, Any]) -> AttackRows | None:
    """Attack the recordings that ``args`` ask for; return rows, or print smallest budgets and return None."""
    refuse_idle(args, WAVE, "camera")
    refuse_with_minimal(args, "save", "executor", "out", "air", "output", "signature")
    path, attack = Path(args.model), args.attack or "pgd"
    name, budget = read_wave_budget(args.epsilon, args.norm, *([LARGEST] if args.minimal else []))
    modality = one_input(name, args.modality)
    plan = attack_of(attack, settings)
    read_air(args.air)
    check_wave_attack(path, plan, args.executor or (), args.source, args.save, budget.norm)
    options.need_network_or_model(args.model)
    if args.source:
        options.need_network(args.source)
    listening(table_of(path), modality, args.model)
    common: dict[str, Any] = {"attack": attack, "modality": modality, "norm": budget.norm, "samples": args.samples,
                              "source": args.source, "frontend": args.frontend or "float"}
    dataset = load_from(args)
    if not args.minimal:
        return api.attack_wave(path, dataset, epsilon=budget.amount, executors=args.executor, save=args.save,
                               air=args.air, out=args.out, output=args.output, signature=args.signature, **common,
                               **settings)
    print_smallest(api.minimal_wave(path, dataset, largest=budget.amount, **common, **settings), args)
    return None


def print_smallest(found: SmallestChanges, args: argparse.Namespace) -> None:
    """Print the smallest changes that were ``found``."""
    print(json.dumps(found.to_json()) if args.json else found.text())


def refuse_with_minimal(args: argparse.Namespace, *names: str) -> None:
    """Raise UsageError for an option among ``names`` beside --minimal, which has no use for it."""
    unused = [name for name in names if args.minimal and getattr(args, name)]
    if unused:
        raise UsageError(f"--{unused[0]} has no effect with --minimal; leave one of them out")


def refuse_idle(args: argparse.Namespace, threat: str, *more: str) -> None:
    """Raise UsageError for an option without effect before the front end: one about inputs, or one of ``more``."""
    for name in (*IDLE, *more):
        if getattr(args, name) not in (None, False, ALL):
            raise UsageError(f"--{name.replace('_', '-')} has no effect with --threat {threat}"
                             f"{': it is about inputs behind the front end' if name in IDLE else ''}; leave one of "
                             "them out")


def table_of(path: Path) -> dict[str, Any]:
    """Read the table beside a model, before data and TensorFlow are loaded."""
    if not is_network(path):
        return read_integer_table(path, sha256_hex(read_limited(path, MAX_TFLITE_BYTES, ModelError)))
    beside = path.with_suffix(".toml")
    return toml.read(beside, ModelError) if beside.exists() else {}
