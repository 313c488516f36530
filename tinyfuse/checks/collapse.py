"""Does the network still listen to each input? Point 26 of the checklist."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tinyfuse.checks.alone import ALONE, CHANCE, JOINT, SWAPPED, at_chance
from tinyfuse.checks.line_rows import LineRows
from tinyfuse.checks.registry import NO_MEANING, Answer, Finding, no_probe, register

NO_LOSS = 0.03
"""Of accuracy, that an input which is not listened to may cost when it is wrong."""


@register("Co", 26, "collapsed", "E", "the network no longer listens to one of its inputs: alone it is worth nothing")
def _collapsed(line: LineRows) -> Answer:
    probes = {row["name"]: Heard(row["value"], row["n"]) for row in line.probes(ALONE, SWAPPED)}
    if f"{ALONE}-{JOINT}" in probes and f"{ALONE}-{CHANCE}" in probes:
        return verdict(probes)
    named = [row["inputs"] for row in line.rows if row["kind"] in ("clean", "attack")]
    return NO_MEANING if named and max(map(len, named)) == 1 else no_probe(ALONE)


class Heard(NamedTuple):
    """The accuracy on ``n`` samples from one input alone (or from all, or by chance)."""

    value: float
    n: int


def verdict(probes: Mapping[str, Heard]) -> Finding | None:
    """Find inputs at chance alone although all inputs together do well: what :func:`hear_each` yields, by name.

    "Well" is at least half of the way from chance to no error. An error is an input that may even be that of another
    class at a loss of no more than 3 points; else the network needs it, if only beside others. Robust figures do not
    show it: attacks on an input that is not listened to have no effect.
    """
    heard = dict(probes)
    joint, luck = heard.pop(f"{ALONE}-{JOINT}"), heard.pop(f"{ALONE}-{CHANCE}").value
    alone = {name.removeprefix(f"{ALONE}-"): one for name, one in heard.items() if name.startswith(f"{ALONE}-")}
    silent = {name: one for name, one in alone.items() if at_chance(one.value, one.n, luck)}
    if not silent or joint.value < (1 + luck) / 2:
        return None
    least = joint.value - NO_LOSS
    ignored = {name: one for name, one in silent.items() if probes.get(f"{SWAPPED}-{name}", joint).value >= least}
    each = ", ".join(f"{name} {one.value:.1%} of {one.n}" for name, one in (ignored or silent).items())
    said = f"alone at chance: {each} (chance {luck:.1%}), while all inputs give {joint.value:.1%}"
    if ignored:
        return Finding("E", f"{said}; what is robust here is a network that stopped listening")
    return Finding("W", f"{said}; it counts only beside the other inputs")
