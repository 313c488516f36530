"""Modes of attack: each input of a network alone, and all of them together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tinyfuse.core.errors import UsageError, nearest

ALL = "all"


def modes_of(inputs: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the attacked inputs by the name of the mode; a network of one input has one mode."""
    modes = {name: (name,) for name in inputs}
    return modes | ({ALL: tuple(inputs)} if len(inputs) > 1 else {})


def attacked_by(text: str, inputs: Sequence[str]) -> tuple[str, ...]:
    """Return the inputs that ``text`` (``all``, or names between commas) asks to attack, in the order of ``inputs``."""
    if text == ALL:
        return tuple(inputs)
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in inputs:
            raise UsageError(f"unknown modality '{name}'{nearest(name, [*inputs, ALL])}: choose one of "
                             f"{', '.join(inputs)}, several separated by commas, or all")
    return tuple(name for name in inputs if name in names)


def one_input(named: str, modality: str) -> str:
    """Return the input that a budget such as ``mic=40dB`` has ``named`` ("": none), else the ``modality``."""
    if named and modality not in (ALL, named):
        raise UsageError(f"a budget of '{named}' for an attack on '{modality}'; name the same input, or leave out one")
    return named or modality


def mode_name(attacked: Iterable[str], inputs: Iterable[str]) -> str:
    """Return ``all`` where every one of several ``inputs`` is attacked, else the ``attacked`` names joined by +."""
    names, every = list(attacked), list(inputs)
    return ALL if len(every) > 1 and set(names) == set(every) else "+".join(names)
