"""What a training minimises, put together from parts by name; ``TEMPLATE.py`` shows how to add a part.

An objective is written as its parts joined by "+", such as "crmt+adversarial"; "plain" has none: mean cross-entropy on
the samples as they are. Loading this module loads no TensorFlow.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.core.strict import decode, settings_line
from tinyfuse.data.samples import Input
from tinyfuse.nn.objectives.adversarial import Adversarial
from tinyfuse.nn.objectives.aol import Aol
from tinyfuse.nn.objectives.awp import Awp
from tinyfuse.nn.objectives.class_weights import ClassWeights
from tinyfuse.nn.objectives.crmt import Crmt
from tinyfuse.nn.objectives.density_mixup import DensityMixup
from tinyfuse.nn.objectives.exfmem import ExFMem
from tinyfuse.nn.objectives.grad_align import GradAlign
from tinyfuse.nn.objectives.gradient_blending import GradientBlending
from tinyfuse.nn.objectives.ibp import Ibp
from tinyfuse.nn.objectives.input_dropout import InputDropout
from tinyfuse.nn.objectives.minsim import MinSim
from tinyfuse.nn.objectives.mixup import Mixup
from tinyfuse.nn.objectives.mtl_ibp import MtlIbp
from tinyfuse.nn.objectives.objective import Part
from tinyfuse.nn.objectives.ogm import Ogm
from tinyfuse.nn.objectives.pmr import Pmr, PmrPaper
from tinyfuse.nn.objectives.reconstruction import Reconstruction
from tinyfuse.nn.objectives.sabr import Sabr
from tinyfuse.nn.objectives.single_inputs import SingleInputs
from tinyfuse.nn.objectives.trades import Trades
from tinyfuse.nn.objectives.training_threat import NORMS, budgets, check_norm
from tinyfuse.nn.objectives.warm_up import WarmUp

PLAIN = "plain"
PARTS: dict[str, type[Any]] = {kind.name: kind for kind in (
    Adversarial, Aol, Awp, ClassWeights, Crmt, DensityMixup, ExFMem, GradAlign, GradientBlending, Ibp, InputDropout,
    MinSim, Mixup, MtlIbp, Ogm, Pmr, PmrPaper, Reconstruction, Sabr, SingleInputs, Trades, WarmUp)}
"""The kinds of parts, by name."""
Settings = Mapping[str, Mapping[str, Any]]


def register(kind: type[Any]) -> None:
    """Make a kind of part known by its name to training settings, and so to matrices and the command line."""
    PARTS[kind.name] = kind


def names() -> tuple[str, ...]:
    """All parts that an objective may have, and "plain"."""
    return (PLAIN, *PARTS)


def given(objective: str, texts: Sequence[str], everywhere: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Read settings by part from ``texts`` such as ``adversarial.method=pgd``, and those ``everywhere`` they exist.

    A value is read as TOML where it is TOML, else as a text. UsageError: a text without a dot or "=", or a setting of
    ``everywhere`` that no part of ``objective`` has.
    """
    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        where, equals, value = text.partition("=")
        part, dot, key = where.partition(".")
        if not (equals and dot and part and key):
            raise UsageError(f"'{text}' is no setting; give PART.KEY=VALUE, such as adversarial.method=pgd")
        _place(found.setdefault(part, {}), key.split("."), _value(value))
    kinds = {name: fields(PARTS[name]) for name in objective.split("+") if name in PARTS}
    for key, value in everywhere.items():
        having = [name for name, settings in kinds.items() if key in {one.name for one in settings}]
        if not having:
            raise UsageError(f"objective '{objective}' has no {key}; parts that have one: " + ", ".join(
                name for name, kind in PARTS.items() if key in {one.name for one in fields(kind)}))
        for name in having:
            found.setdefault(name, {})[key] = value
    return found


def check(objective: str, settings: Settings, inputs: Sequence[Input] | None = None) -> None:
    """Raise UsageError for an objective that no training can have: before TensorFlow loads.

    With the ``inputs`` of the data, budgets must be legal for those; without, parts, settings and norms are looked at.
    """
    part: Any
    for part in parts_of(objective, settings):
        having = {one.name for one in fields(PARTS[part.name])}
        norm = part.norm if "norm" in having else NORMS[0]
        check_norm(norm, part.name)
        if inputs is not None and {"budget", "mask"} <= having:  # an adversary's; crmt's budget is a unit
            budgets(part.budget, inputs, norm, part.name)


def _place(table: dict[str, Any], keys: Sequence[str], value: Any) -> None:
    for key in keys[:-1]:
        table = table.setdefault(key, {})
    table[keys[-1]] = value


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text


def describe() -> list[str]:
    """Return a line for each part, with its settings and their defaults."""
    return [settings_line(name, kind()) for name, kind in PARTS.items()]


def parts_of(objective: str, settings: Settings) -> tuple[Part, ...]:
    """Build the parts of ``objective`` with their ``settings`` by name of the part.

    UsageError: an unknown part or setting, a part named twice, settings of a part that the objective does not have.
    """
    given = [] if objective == PLAIN else objective.split("+")
    for name in given:
        if name == PLAIN:
            raise UsageError(f"objective '{objective}': '{PLAIN}' has no parts, so it stands alone; leave it out")
        if name not in PARTS:
            raise UsageError(f"unknown objective '{name}'{nearest(name, names())}: choose one of {', '.join(names())}, "
                             "or several joined by '+'")
        if given.count(name) > 1:
            raise UsageError(f"objective '{objective}' names '{name}' twice")
    for name in settings:
        if name not in given:
            raise UsageError(f"settings for '{name}'{nearest(name, given)}, which the objective '{objective}' does not "
                             f"have; its parts are {', '.join(given) or 'none'}")
    return tuple(decode(PARTS[name], settings.get(name, {}), f"settings of '{name}'", UsageError) for name in given)
