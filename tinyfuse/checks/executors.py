"""Is what was attacked what the device computes, every time? Points 3, 15 and 16 of the checklist."""

from __future__ import annotations

import numpy as np

from tinyfuse.checks import probe_names
from tinyfuse.checks.line_rows import Evidence, clean_survivors, describe, same_samples, survivors_of, where
from tinyfuse.checks.registry import NO_MEANING, Answer, Finding, Missing, no_probe, register
from tinyfuse.core.results import Row

_OTHERS = {"litert": "LiteRT (XNNPACK)", "litert-reference": "LiteRT (reference kernels)"}
_SAME_INPUTS = ("profile", "attack", "criterion", "source", "modality", "norm", "epsilon_image", "epsilon_audio",
                "loss", "steps", "random_start", "restarts", "threat", "mask", "attack_seed", "n")


@register("J", 3, "judged-otherwise", "E", "TFLite Micro judges adversarial inputs otherwise than the twin")
def _judged_otherwise(evidence: Evidence) -> Answer:
    if not evidence.integer:
        return NO_MEANING
    again = [row for row in evidence.parity(with_litert=False) if row["where"] == "adversarial" and row["samples"]]
    for row in again:
        if row["argmax_differing"]:
            return Finding("E", f"{row['argmax_differing']} of {row['samples']} adversarial inputs have another class "
                                f"in {row['b']} than in {row['a']}")
    by_twin, by_tflm = (_by_inputs(evidence, executor) for executor in ("twin", "tflm"))
    pairs = [(by_twin[key], by_tflm[key]) for key in by_twin.keys() & by_tflm.keys()]
    for one, other in pairs:
        changed = int(np.sum(survivors_of(one) != survivors_of(other)))
        if changed:
            return Finding("E", f"{changed} of {one['n']} verdicts on {describe(one)} are others in TFLite Micro")
    return None if again or pairs else Missing("no adversarial input of the twin was run on TFLite Micro")


@register("V", 15, "not-repeatable", "E", "the verdicts change from run to run or with the batch size")
def _not_repeatable(evidence: Evidence) -> Answer:
    probe = evidence.worst(probe_names.REPEAT)
    if probe is None:
        return no_probe(probe_names.REPEAT)
    text = f"{probe['value']:.0f} of {probe['n']} verdicts change{where(probe)}"
    return Finding("E", text) if probe["value"] else None


@register("Y", 16, "twin-is-not-exact", "E", "the twin and TFLite Micro compute different codes")
def _twin_is_not_exact(evidence: Evidence) -> Answer:
    compared = [row for row in evidence.parity(with_litert=False) if row["values"]]
    worst = max(compared, key=lambda row: int(row["differing"]), default=None)
    if worst is not None and worst["differing"]:
        return Finding("E", f"{_differing(worst)}, on {worst['samples']} {worst['where']} inputs")
    if any(row["where"] == "adversarial" for row in compared):
        return None
    return Missing("no parity row of twin and tflm on adversarial inputs") if evidence.integer else NO_MEANING


@register("X", 16, "litert-differs", "W", "LiteRT does not compute what the microcontroller computes")
def _litert_differs(evidence: Evidence) -> Answer:
    if not evidence.integer:
        return NO_MEANING
    found, compared = [], False
    for executor, label in _OTHERS.items():
        pair = same_samples(evidence.clean_truth, clean_survivors(evidence.rows, executor))
        if pair is not None:
            compared, n = True, len(pair[0])
            count = int(np.sum(pair[0] != pair[1]))
            found += [(count / n, f"{label} judges {count} of {n} clean samples otherwise than TFLM")] * bool(count)
    for row in evidence.parity(with_litert=True):
        compared = True
        if row["differing"]:
            found.append((row["argmax_differing"] / row["samples"], f"{_differing(row)}, and "
                          f"{row['argmax_differing']} of {row['samples']} {row['where']} inputs change class"))
    if not found:
        return None if compared else Missing("no clean pairs were judged by LiteRT")
    level = "W" if max(share for share, _ in found) > 0.01 else "I"
    return Finding(level, "; ".join(text for _, text in found))


def _by_inputs(evidence: Evidence, executor: str) -> dict[tuple[object, ...], Row]:
    """Rows of one executor by everything that says which inputs were judged."""
    return {tuple(row[name] for name in _SAME_INPUTS): row for row in evidence.attacks if row["executor"] == executor}


def _differing(row: Row) -> str:
    return (f"{row['a']} and {row['b']} differ in {row['differing']} of {row['values']} output codes "
            f"(by at most {row['max_abs']})")
