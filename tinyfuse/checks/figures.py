"""Do the figures carry what is read from them? Points 21, 22 and 23 of the checklist."""

from __future__ import annotations

import numpy as np

from tinyfuse.checks import probe_names
from tinyfuse.checks.line_rows import (
    Evidence,
    budget_of,
    budget_text,
    clean_survivors,
    points,
    populations,
    same_samples,
    survivors_within,
    where,
)
from tinyfuse.checks.registry import NO_MEANING, Answer, Finding, Missing, no_probe, register
from tinyfuse.core.results import Row
from tinyfuse.core.statistics import mcnemar, paired_difference, ratio


@register("Ce", 21, "certificate-broken", "E", "an attack broke samples that a sound certificate protects")
def _certificate_broken(evidence: Evidence) -> Answer:
    probe = evidence.worst(probe_names.CERTIFICATE)
    if probe is None:
        return no_probe(probe_names.CERTIFICATE)
    text = f"{probe['value']:.0f} of {probe['n']} samples are certified and broken{where(probe)}"
    return Finding("E", text) if probe["value"] else None


@register("N", 22, "too-few-samples", "W", "too few samples: a 95 % interval is wider than 3 points")
def _too_few_samples(evidence: Evidence) -> Answer:
    judged = [row for row in evidence.rows if row["kind"] == "clean"] + _headline(evidence)
    if not judged:
        return Missing("nothing was judged")
    width, n = max((row["ci_high"] - row["ci_low"], row["n"]) for row in judged)
    return Finding("W", f"the widest 95 % interval spans {points(width)} (n={n})") if width > 0.03 else None


@register("S", 22, "single-seed", "W", "a single training seed: other trainings of the same network may differ")
def _single_seed(evidence: Evidence) -> Answer:
    return Finding("W", f"only seed {evidence.line[2]} was trained") if evidence.seed_count == 1 else None


@register("Ra", 22, "no-ratio", "I", "integer over float robustness is no meaningful ratio where float is below 5 %")
def _no_ratio(evidence: Evidence) -> Answer:
    """The smallest budget per mode at which the float network keeps too little for a denominator."""
    if not evidence.integer:
        return NO_MEANING
    rows = [row for row in evidence.float_rows if row["kind"] == "attack" and row["source"] == "float"]
    if not rows:
        return Missing("the float network was not attacked")
    lost: dict[str, tuple[float, str]] = {}
    for found in populations(rows).values():
        for row in found:
            left = survivors_within(found, budget_of(row))
            share = 1.0 if left is None else float(np.mean(left))
            if ratio(share, share) is None:
                known = lost.get(row["modality"], (np.inf, ""))
                lost[row["modality"]] = min(known, (row["epsilon"], f"{share:.1%} at {budget_text(budget_of(row))}"))
    return Finding("I", "float keeps " + ", ".join(text for _, text in lost.values())) if lost else None


@register("D", 23, "clean-drop", "E", "the integer model loses clean accuracy against its float network")
def _clean_drop(evidence: Evidence) -> Answer:
    if not evidence.integer:
        return NO_MEANING
    pair = same_samples(clean_survivors(evidence.float_rows, "keras"), evidence.clean_truth)
    if pair is None:
        return Missing("no clean pairs were judged by both the float network and the integers")
    before, after = pair
    drop, p_value = float(np.mean(before) - np.mean(after)), mcnemar(before, after)
    certain = p_value < 0.05
    if drop <= (0.005 if certain else 0.015):
        return None
    loss = paired_difference(after, before)
    level = "E" if certain and drop > 0.1 else "W" if certain else "I"
    return Finding(level, f"clean accuracy falls by {points(drop)} from float to integer (95 % interval "
                          f"{100 * loss.low:.1f} to {100 * loss.high:.1f}, n={len(before)}, McNemar p={p_value:.2g})")


@register("Re", 23, "incomplete-report", "I", "something is not measured that a reader needs to judge the figure")
def _incomplete_report(evidence: Evidence) -> Answer:
    if not evidence.attacks:
        return Missing("no attack rows")
    lacking = []
    unnamed = [row for row in evidence.attacks if not row["threat"] or not row["norm"]]
    if unnamed:
        lacking.append(f"{len(unnamed)} attack rows do not name threat model or norm")
    judges = {(row["executor"], row["n"]) for row in _headline(evidence)}
    unclean = sorted(f"{name}, n={n}" for name, n in judges if n not in clean_survivors(evidence.rows, name))
    if unclean:
        lacking.append(f"no clean accuracy on the attacked samples ({'; '.join(unclean)})")
    lowest = min(_headline(evidence), key=lambda row: float(row["accuracy"]))
    if lowest["accuracy"] > 0.1:
        at = budget_text(budget_of(lowest))
        lacking.append(f"no curve falls below 10 % (lowest {lowest['accuracy']:.1%} at {at})")
    return Finding("I", "; ".join(lacking)) if lacking else None


def _headline(evidence: Evidence) -> list[Row]:
    """The attack rows that robust accuracies are read from: unions where there are any, else all."""
    return [row for row in evidence.attacks if row["criterion"] == "union"] or list(evidence.attacks)
