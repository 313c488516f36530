"""Does the network still listen to each input? Point 26 of the checklist."""

from __future__ import annotations

from tinyfuse.checks.alone import CHANCE, JOINT, at_chance
from tinyfuse.checks.line_rows import LineRows
from tinyfuse.checks.registry import NO_MEANING, Answer, Finding, no_probe, register
from tinyfuse.core.results import Row

PROBE = "alone"


@register("Co", 26, "collapsed", "E", "the network no longer listens to one of its inputs: alone it is worth nothing")
def _collapsed(line: LineRows) -> Answer:
    """An input at chance alone although all inputs together do well; where every one is, they are only of use together.

    "Well" is at least half of the way from chance to no error. Robust figures do not show it: attacks on an input that
    is not listened to have no effect.
    """
    probes = {row["name"].removeprefix(f"{PROBE}-"): row for row in line.probes(PROBE)}
    if JOINT not in probes or CHANCE not in probes:
        named = [row["inputs"] for row in line.rows if row["kind"] in ("clean", "attack")]
        return NO_MEANING if named and max(map(len, named)) == 1 else no_probe(PROBE)
    joint, luck = float(probes.pop(JOINT)["value"]), float(probes.pop(CHANCE)["value"])
    silent = {name: row for name, row in probes.items() if at_chance(row["value"], row["n"], luck)}
    if not silent or joint < (1 + luck) / 2:
        return None
    if len(silent) == len(probes):
        return Finding("W", f"no input alone does better than chance ({_each(silent)}, chance {luck:.1%}), all "
                            f"together {joint:.1%}: only their interplay tells the class")
    return Finding("E", f"alone at chance: {_each(silent)} (chance {luck:.1%}), while all inputs give {joint:.1%}; "
                        "what is robust here is a network that stopped listening")


def _each(rows: dict[str, Row]) -> str:
    return ", ".join(f"{name} {row['value']:.1%} of {row['n']}" for name, row in rows.items())
