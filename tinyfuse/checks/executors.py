"""Is what was attacked what the device computes, every time? Points 3, 15 and 16 of the checklist."""

from __future__ import annotations

import numpy as np

from tinyfuse.checks.line_rows import LineRows, grouped, same_samples, survivors_of
from tinyfuse.checks.registry import NO_MEANING, Answer, Finding, Missing, register, register_probe
from tinyfuse.checks.sentences import describe
from tinyfuse.core.results import Row

_OTHERS = {"litert": "LiteRT (XNNPACK)", "litert-reference": "LiteRT (reference kernels)"}
_SAME_INPUTS = ("profile", "attack", "criterion", "source", "attacked", "norm", "budget", "threat", "mask", "n")


@register("J", 3, "judged-otherwise", "E", "TFLite Micro judges adversarial inputs otherwise than the twin")
def _judged_otherwise(line: LineRows) -> Answer:
    if not line.integer:
        return NO_MEANING
    again = [row for row in line.parity(with_litert=False) if row["where"] == "adversarial" and row["samples"]]
    for row in again:
        if row["argmax_differing"]:
            return Finding("E", f"{row['argmax_differing']} of {row['samples']} adversarial inputs have another class "
                                f"in {row['b']} than in {row['a']}")
    by_twin, by_tflm = (grouped((row for row in line.attacks if row["executor"] == executor), _SAME_INPUTS)
                        for executor in ("twin", "tflm"))
    both = [(by_twin[key][-1], by_tflm[key][-1]) for key in by_twin.keys() & by_tflm.keys()]
    for one, other in both:
        changed = int(np.sum(survivors_of(one) != survivors_of(other)))
        if changed:
            return Finding("E", f"{changed} of {one['n']} verdicts on {describe(one)} are others in TFLite Micro")
    return None if again or both else Missing("no adversarial input of the twin was run on TFLite Micro")


register_probe("V", 15, "not-repeatable", "E", "the verdicts change from run to run or with the batch size",
               probe="repeat", sentence="{value:.0f} of {n} verdicts change")


@register("Y", 16, "twin-is-not-exact", "E", "the twin and TFLite Micro compute different codes")
def _twin_is_not_exact(line: LineRows) -> Answer:
    compared = [row for row in line.parity(with_litert=False) if row["values"]]
    worst = max(compared, key=lambda row: int(row["differing"]), default=None)
    if worst is not None and worst["differing"]:
        return Finding("E", f"{_differing(worst)}, on {worst['samples']} {worst['where']} inputs")
    if any(row["where"] == "adversarial" for row in compared):
        return None
    return Missing("no parity row of twin and tflm on adversarial inputs") if line.integer else NO_MEANING


@register("X", 16, "litert-differs", "W", "LiteRT does not compute what the microcontroller computes")
def _litert_differs(line: LineRows) -> Answer:
    if not line.integer:
        return NO_MEANING
    compared = []
    for executor, label in _OTHERS.items():
        verdicts = same_samples(line.clean_truth, line.clean(executor))
        if verdicts is not None:
            n, count = len(verdicts[0]), int(np.sum(verdicts[0] != verdicts[1]))
            compared.append((count, count / n, f"{label} judges {count} of {n} clean samples otherwise than TFLM"))
    for row in line.parity(with_litert=True):
        changed, n = row["argmax_differing"], row["samples"]
        text = f"{_differing(row)}, and {changed} of {n} {row['where']} inputs change class"
        compared.append((row["differing"], changed / max(n, 1), text))
    if not compared:
        return Missing("no clean samples were judged by LiteRT")
    found = [(share, text) for differing, share, text in compared if differing]
    level = "W" if any(share > 0.01 for share, _ in found) else "I"
    return Finding(level, "; ".join(text for _, text in found)) if found else None


def _differing(row: Row) -> str:
    return (f"{row['a']} and {row['b']} differ in {row['differing']} of {row['values']} output codes "
            f"(by at most {row['max_abs']})")
