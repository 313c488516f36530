"""Did an attack break what a certificate protects? Point 21 of the checklist: certified <= true <= attacked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tinyfuse.checks.line_rows import INTEGER, LineRows, survivors_of
from tinyfuse.checks.registry import Answer, Finding, no_probe, register
from tinyfuse.checks.sentences import where
from tinyfuse.core.results import Row

CERTIFICATE = "certificate"
"""The analysis whose rows with the quantity CERTIFIED say sample by sample what is proved."""
CERTIFIED = "certified"
CERTIFY_STAGE = "certify"
"""Stage of the failed row of a model that has no certificates; its attacks stand."""
_SAME_BUDGET = 1e-9


@register("Ce", 21, "certificate-broken", "E", "an attack broke samples that a sound certificate protects")
def _certificate_broken(line: LineRows) -> Answer:
    rows = [row for row in line.rows if is_certificate(row)]
    worst = line.worst("certificate")
    if worst is not None and worst["value"]:
        return Finding("E", f"{worst['value']:.0f} of {worst['n']} samples are certified and broken{where(worst)}")
    broken, compared = broken_despite(rows, line.attacks)
    if broken:
        return Finding("E", f"{broken} of {compared} verdicts of attacks on certified samples: broken")
    return None if worst is not None or compared else no_probe("certificate")


def is_certificate(row: Row) -> bool:
    """Whether ``row`` says which samples are certified."""
    return is_quantity(row, CERTIFIED)


def is_quantity(row: Row, quantity: str) -> bool:
    """Whether ``row`` is the ``quantity`` of a certificate."""
    return row["kind"] == "analysis" and (row["analysis"], row["quantity"]) == (CERTIFICATE, quantity)


def broken_despite(rows: Iterable[Row], attacks: Iterable[Row]) -> tuple[int, int]:
    """Count verdicts of ``attacks`` that break a sample which one of the certificates ``rows`` protects: 0 is right.

    Also returns how many verdicts were compared: attacks on the integers that stay within the certificate's budget,
    norm, threat model and mask, on the same samples.
    """
    broken = compared = 0
    found = list(attacks)
    for row in rows:
        safe = np.asarray(row["each"]) > 0
        for attack in found:
            if attack["n"] == row["n"] and attack["executor"] in INTEGER and _covers(row["settings"], attack):
                compared += int(safe.sum())
                broken += int((safe & ~survivors_of(attack)).sum())
    return broken, compared


def _covers(settings: Mapping[str, Any], attack: Row) -> bool:
    """Whether a certificate with these ``settings`` is about every input that ``attack`` could make."""
    alike = all(attack[name] == settings[name] for name in ("norm", "threat")) and settings["mask"] in (
        "", attack["mask"])
    budget = settings["budget"]
    return alike and all(size <= budget.get(name, 0.0) * (1 + _SAME_BUDGET) for name, size in attack["budget"].items())
