"""Which inputs of a network a study attacks: each one alone and all together, unless it says otherwise."""

from __future__ import annotations

from collections.abc import Sequence

from tinyfuse.threats.modes import modes_of


def modes_for(network: str, inputs: Sequence[str],
              wanted: Sequence[tuple[str, ...]] = ()) -> list[tuple[str, ...]]:
    """Return the attacked inputs of each mode; a network that is named after one input looks at that one alone."""
    seen = [name for name in inputs if network in (name, f"plain-{name}")] or list(inputs)
    every = list(modes_of(seen).values())
    return [one for one in every if not wanted or one in wanted]
