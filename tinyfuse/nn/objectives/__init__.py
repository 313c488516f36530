"""What a training minimises, put together from parts by name; ``TEMPLATE.py`` shows how to add a part.

An objective is written as its parts joined by "+", such as "crmt+adversarial"; "plain" has none: mean cross-entropy on
the samples as they are. Loading this module loads no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.core.strict import decode
from tinyfuse.nn.objectives.adversarial import Adversarial
from tinyfuse.nn.objectives.class_weights import ClassWeights
from tinyfuse.nn.objectives.mixup import Mixup
from tinyfuse.nn.objectives.objective import Part
from tinyfuse.nn.objectives.reconstruction import Reconstruction

PLAIN = "plain"
PARTS: dict[str, type[Any]] = {kind.name: kind for kind in (
    Adversarial, ClassWeights, Mixup, Reconstruction)}
"""The kinds of parts, by name."""
Settings = Mapping[str, Mapping[str, Any]]


def register(kind: type[Any]) -> None:
    """Make a kind of part known by its name to training settings, and so to matrices and the command line."""
    PARTS[kind.name] = kind


def names() -> tuple[str, ...]:
    """All parts that an objective may have, and "plain"."""
    return (PLAIN, *PARTS)


def parts_of(objective: str, settings: Settings) -> tuple[Part, ...]:
    """Build the parts of ``objective`` with their ``settings`` by name of the part.

    UsageError: an unknown part or setting, a part named twice, settings of a part that the objective does not have.
    """
    given = [] if objective == PLAIN else objective.split("+")
    for name in given:
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
