"""Do the figures carry what is read from them? Points 22 and 23 of the checklist."""

from __future__ import annotations

import numpy as np

from tinyfuse.checks.line_rows import LineRows, budget_of, clean_survivors, populations, same_samples, survivors_within
from tinyfuse.checks.registry import NO_MEANING, Answer, Finding, Missing, register
from tinyfuse.checks.sentences import budget_text, points
from tinyfuse.core.results import Row, epsilon_of
from tinyfuse.core.statistics import mcnemar, paired_difference, ratio


@register("N", 22, "too-few-samples", "W", "too few samples: a 95 % interval is wider than 3 points")
def _too_few_samples(line: LineRows) -> Answer:
    judged = [row for row in line.rows if row["kind"] == "clean"] + _headline(line)
    if not judged:
        return Missing("nothing was judged")
    width, n = max((row["ci_high"] - row["ci_low"], row["n"]) for row in judged)
    return Finding("W", f"the widest 95 % interval spans {points(width)} (n={n})") if width > 0.03 else None


@register("S", 22, "single-seed", "W", "a single training seed: other trainings of the same network may differ")
def _single_seed(line: LineRows) -> Answer:
    return Finding("W", f"only seed {line.seed} was trained") if line.seed_count == 1 else None


@register("Ra", 22, "no-ratio", "I", "integer over float robustness is no meaningful ratio where float is below 5 %")
def _no_ratio(line: LineRows) -> Answer:
    """The smallest budget per mode at which the float network keeps too little for a denominator."""
    if not line.integer:
        return NO_MEANING
    rows = [row for row in line.float_rows if row["kind"] == "attack" and row["source"] == "float"]
    if not rows:
        return Missing("the float network was not attacked")
    lost: dict[tuple[str, ...], list[tuple[float, str]]] = {}
    for found in populations(rows).values():
        for row in found:
            share = float(np.mean(survivors_within(found, budget_of(row))))
            if ratio(share, share) is None:
                said = f"{share:.1%} at {budget_text(budget_of(row))}"
                lost.setdefault(tuple(row["attacked"]), []).append((epsilon_of(row), said))
    return Finding("I", "float keeps " + ", ".join(min(cases)[1] for cases in lost.values())) if lost else None


@register("D", 23, "clean-drop", "E", "the integer model loses clean accuracy against its float network")
def _clean_drop(line: LineRows) -> Answer:
    if not line.integer:
        return NO_MEANING
    verdicts = same_samples(clean_survivors(line.float_rows, "keras"), line.clean_truth)
    if verdicts is None:
        return Missing("no clean samples were judged by both the float network and the integers")
    before, after = verdicts
    loss, p_value = paired_difference(after, before), mcnemar(before, after)
    drop, certain = float(np.mean(before) - np.mean(after)), p_value < 0.05
    if drop <= (0.005 if certain else 0.015):
        return None
    level = "E" if certain and drop > 0.1 else "W" if certain else "I"
    return Finding(level, f"clean accuracy falls by {points(drop)} from float to integer (95 % interval "
                          f"{100 * loss.low:.1f} to {100 * loss.high:.1f}, n={len(before)}, McNemar p={p_value:.2g})")


@register("Re", 23, "incomplete-report", "I", "something is not measured that a reader needs to judge the figure")
def _incomplete_report(line: LineRows) -> Answer:
    if not line.attacks:
        return Missing("no attack rows")
    lacking = []
    unnamed = [row for row in line.attacks if not row["threat"] or not row["norm"]]
    if unnamed:
        lacking.append(f"{len(unnamed)} attack rows do not name threat model or norm")
    judges = {(row["executor"], row["n"]) for row in _headline(line)}
    unclean = sorted(f"{name}, n={n}" for name, n in judges if n not in line.clean(name))
    if unclean:
        lacking.append(f"no clean accuracy on the attacked samples ({'; '.join(unclean)})")
    lowest = min(_headline(line), key=lambda row: float(row["accuracy"]))
    if lowest["accuracy"] > 0.1:
        where = budget_text(budget_of(lowest))
        lacking.append(f"no curve falls below 10 % (lowest {lowest['accuracy']:.1%} at {where})")
    return Finding("I", "; ".join(lacking)) if lacking else None


def _headline(line: LineRows) -> list[Row]:
    """The attack rows that robust accuracies are read from: unions where there are any, else all."""
    return [row for row in line.attacks if row["criterion"] == "union"] or list(line.attacks)
