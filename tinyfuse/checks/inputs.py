"""Are the adversarial inputs what the threat allows, and do they attack what carries information?"""

from __future__ import annotations

import numpy as np

from tinyfuse.checks import probe_names
from tinyfuse.checks.line_rows import Evidence, clean_survivors, describe, survivors_of, where
from tinyfuse.checks.registry import Answer, Finding, Missing, no_probe, register

_PADDING_LIMIT = 0.05


@register("A", 1, "outside-the-threat", "E", "adversarial inputs violate their budget, box, mask or code range")
def _outside_the_threat(evidence: Evidence) -> Answer:
    audits = evidence.probes(probe_names.AUDIT)
    audited = sum(row["n"] for row in audits)
    if not audited:
        return no_probe(probe_names.AUDIT) if not audits else Missing("no adversarial input was audited")
    violations = sum(row["value"] for row in audits)
    return Finding("E", f"{violations:.0f} of {audited} adversarial inputs are not allowed") if violations else None


@register("Z", 2, "zero-budget", "E", "an attack with ε = 0 does not reproduce the clean accuracy")
def _zero_budget_differs(evidence: Evidence) -> Answer:
    probe, compared = evidence.worst(probe_names.ZERO_BUDGET), False
    for row in evidence.attacks:
        clean = clean_survivors(evidence.rows, row["executor"]).get(row["n"]) if row["epsilon"] == 0 else None
        if clean is not None:
            compared = True
            changed = int(np.sum(clean != survivors_of(row)))
            if changed:
                return Finding("E", f"{describe(row)} with ε = 0 changes {changed} verdicts")
    if probe is not None and probe["value"]:
        return Finding("E", f"an attack with ε = 0 changes {probe['value']:.0f} of {probe['n']} verdicts{where(probe)}")
    return None if compared or probe else Missing("no attack row with ε = 0 and no probe 'zero-budget'")


@register("F", 2, "fgsm-is-not-one-step", "E", "FGSM and one PGD step of the whole budget give different inputs")
def _fgsm_is_not_one_step(evidence: Evidence) -> Answer:
    probe = evidence.worst(probe_names.FGSM_EQUALS_PGD1)
    if probe is None:
        return no_probe(probe_names.FGSM_EQUALS_PGD1)
    text = f"FGSM and one PGD step differ in {probe['value']:.0f} coordinates of {probe['n']} samples{where(probe)}"
    return Finding("E", text) if probe["value"] else None


@register("La", 24, "own-labels", "W", "the attack took the model's own answers for labels, which leaks them")
def _own_labels(evidence: Evidence) -> Answer:
    found = evidence.probes(probe_names.LABEL_SOURCE)
    if not found:
        return no_probe(probe_names.LABEL_SOURCE)
    leaking = [row for row in found if row["value"] != 1]
    return Finding("W", f"the labels are not the true ones{where(leaking[0])}") if leaking else None


@register("Pa", 25, "padding", "W", "the perturbation lies in constant padding, which carries no information")
def _attacks_padding(evidence: Evidence) -> Answer:
    probe = evidence.worst(probe_names.PADDING_SHARE)
    if probe is None:
        return no_probe(probe_names.PADDING_SHARE)
    level = "W" if probe["value"] > _PADDING_LIMIT else "I"
    text = f"{probe['value']:.1%} of the perturbation (L1) lies in constant padding{where(probe)}"
    return Finding(level, text) if probe["value"] else None

