"""Can the loss and its gradient lead an attack at all? Points 12, 13, 14 and 18 of the checklist."""

from __future__ import annotations

from tinyfuse.attacks.profiles import PROFILES
from tinyfuse.checks import probe_names
from tinyfuse.checks.line_rows import Evidence, where
from tinyfuse.checks.registry import NO_MEANING, Answer, Finding, Missing, no_probe, register
from tinyfuse.core.results import Row

_MARGIN_PROFILES = {name for name, profile in PROFILES.items()
                    if any(entry.parameters.get("loss") == "margin" for entry in profile.entries)}


@register("O", 12, "probabilities-for-logits", "E", "the outputs are probabilities, so the loss underflows")
def _probabilities_for_logits(evidence: Evidence) -> Answer:
    probe = evidence.worst(probe_names.SOFTMAX_OUTPUT)
    if probe is None:
        return no_probe(probe_names.SOFTMAX_OUTPUT)
    text = f"all outputs of {probe['n']} samples lie in [0, 1] and sum to 1: attack the logits{where(probe)}"
    return Finding("E", text) if probe["value"] else None


@register("G", 13, "zero-gradient", "E", "gradients vanish, which hides weaknesses instead of removing them")
def _zero_gradient(evidence: Evidence) -> Answer:
    bad, found = evidence.worst(probe_names.BAD_GRADIENT), evidence.probes(*probe_names.ZERO_GRADIENT)
    if bad is not None and bad["value"]:
        return Finding("E", f"the gradients of {bad['value']:.0f} of {bad['n']} samples are not finite{where(bad)}")
    shares = [(float(row["value"]), _modality(row)) for row in found]
    shares += [(float(row["zero_gradient_share"]), f" ({row['attack']}, {row['modality']})")
               for row in evidence.attacks if row["zero_gradient_share"] is not None]
    if not shares:
        return Missing("no attack row says how many gradients are zero, and no probe 'zero-gradient' does")
    share, what = max(shares)
    level = "W" if share > 0.01 else "I"
    return Finding(level, f"{share:.1%} of the samples have an all-zero gradient{what}") if share else None


@register("Q", 14, "saturated-loss", "W", "the cross-entropy is saturated and no margin loss stands beside it")
def _saturated_loss(evidence: Evidence) -> Answer:
    probe = evidence.worst(probe_names.SATURATED_LOSS)
    if probe is None:
        return no_probe(probe_names.SATURATED_LOSS)
    margin = any("margin" in row["loss"] or (row["criterion"] == "union" and row["profile"] in _MARGIN_PROFILES)
                 for row in evidence.white_box)
    level = "W" if probe["value"] > 0.01 and not margin else "I"
    beside = "attacks on the margin stand beside it" if margin else "no attack on the margin stands beside it"
    text = f"{probe['value']:.1%} of {probe['n']} samples have probability 1 in float32{where(probe)}; {beside}"
    return Finding(level, text) if probe["value"] else None


@register("St", 18, "step-below-half-a-code", "W", "a step is below half a code, so rounding undoes it")
def _step_below_half_a_code(evidence: Evidence) -> Answer:
    probe = evidence.worst(probe_names.STEP_BELOW_CODE)
    if probe is None:
        return no_probe(probe_names.STEP_BELOW_CODE) if evidence.integer else NO_MEANING
    return Finding("W", f"a step of the attack is rounded away{where(probe)}") if probe["value"] else None


def _modality(probe: Row) -> str:
    named = probe["name"].removeprefix("zero-gradient").removeprefix("-")
    return f" ({named})" if named and not probe["detail"] else where(probe)
