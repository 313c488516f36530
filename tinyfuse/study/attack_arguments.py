"""What can be asked of one attack, and what is refused before any data is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinyfuse.attacks.losses import check_loss
from tinyfuse.attacks.registry import ATTACKS, GRADIENT_FREE, SPECIAL, defaults_of
from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.integer.interpreters import check_executor
from tinyfuse.study.attack_one import MODES

THREATS = ("codes", "real", "naive")


def check_parameters(attack: str, parameters: Mapping[str, Any]) -> None:
    """Raise :class:`UsageError` for an unknown attack or loss, or a parameter that the attack does not take."""
    known = [*ATTACKS, *SPECIAL]
    if attack not in known:
        raise UsageError(f"unknown attack '{attack}'{nearest(attack, known)}; use one of {', '.join(known)}")
    allowed = [*defaults_of(attack), *(["train_pairs"] if attack == "universal" else [])]
    for name in parameters:
        if name not in allowed:
            raise UsageError(f"{attack} takes no '{name}'{nearest(name, allowed)}; it takes {', '.join(allowed)}")
    if "loss" in parameters:
        check_loss(parameters["loss"])
    size = parameters.get("step_size")
    if size is not None and not (isinstance(size, (int, float)) and 0 <= size < float("inf")):
        raise UsageError(f"{attack}: step_size is {size}; give a finite number >= 0, in input units")


def check_attack(path: Path, attack: str, threat: str, executors: Sequence[str], source: str | Path | None,
                 ensemble: bool, codes: int | None, parameters: Mapping[str, Any]) -> None:
    """Raise :class:`UsageError` for what does not go together."""
    for executor in executors:
        check_executor(executor)
    check_parameters(attack, parameters)
    if threat not in THREATS:
        raise UsageError(f"unknown threat model '{threat}'{nearest(threat, THREATS)}; use one of {', '.join(THREATS)}")
    if path.suffix == ".keras" and codes is not None:
        raise UsageError("a budget in codes is for a .tflite; a .keras network takes real values: give epsilon")
    if path.suffix == ".keras" and (ensemble or attack == "diva"):
        raise UsageError(f"{'an ensemble' if ensemble else attack} needs an integer model beside its float network; "
                         "give the .tflite")
    if ensemble and (attack in (*SPECIAL, *GRADIENT_FREE) or threat == "naive"):
        raise UsageError("an ensemble joins gradients at the same codes: use fgsm, pgd or mim, and the threat model "
                         "codes or real")
    if attack in SPECIAL and threat == "naive":
        raise UsageError(f"{attack} is made for the integer model itself; use the threat model codes or real")
    if attack == "universal" and source is not None:
        raise UsageError("a universal perturbation is made for the model that is attacked; leave out the source")


def modalities_attacked(mode: str) -> tuple[str, ...]:
    """The modalities of ``mode``: image, audio or both."""
    if mode not in MODES:
        raise UsageError(f"unknown modality '{mode}'{nearest(mode, MODES)}: choose one of {', '.join(MODES)}")
    return MODES[mode]


def budget_of(mode: str, epsilon: float | Mapping[str, float], norm: str) -> dict[str, float]:
    """The budget of each modality of ``mode`` in input units."""
    wanted = modalities_attacked(mode)
    given = epsilon if isinstance(epsilon, Mapping) else dict.fromkeys(wanted, epsilon)
    if set(given) != set(wanted):
        raise UsageError(f"modality '{mode}' needs a budget for {' and '.join(wanted)}; "
                         f"given: {', '.join(given) or 'none'}")
    for name, value in given.items():
        # A comparison with NaN is false; L2 lengths may be larger, and Threat refuses what is no length.
        if norm == "linf" and not 0 <= value <= 1:
            raise UsageError(f"epsilon of '{name}' is {value}; inputs lie in [0, 1], so give 0 to 1")
    return {name: float(given[name]) for name in wanted}
