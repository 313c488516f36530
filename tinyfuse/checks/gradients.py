"""Does the gradient lead an attack, and does anything break what it did not? Points 9, 12 to 14, 17 and 18.

Points 9 and 17 find signs that gradients are masked: inputs that were made without them are the stronger ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinyfuse.attacks.profiles import PROFILES
from tinyfuse.checks.line_rows import Budget, LineRows, at, group_by, mode_of, shared_cells, survivors_within, union
from tinyfuse.checks.registry import NO_MEANING, Answer, Finding, Missing, no_probe, register, register_probe
from tinyfuse.checks.sentences import budget_text, origin, points, where
from tinyfuse.core.results import Row

_AUTOATTACK_LIMIT = 0.002
_MARGIN_PROFILES = {name for name, profile in PROFILES.items()
                    if any(attack.settings().get("loss") == "margin" for attack in profile.attacks)}


register_probe("O", 12, "probabilities-for-logits", "E", "the outputs are probabilities, so the loss underflows",
               probe="softmax-output",
               sentence="all outputs of {n} samples lie in [0, 1] and sum to 1: attack the logits")


@register("G", 13, "zero-gradient", "E", "gradients vanish, which hides weaknesses instead of removing them")
def _zero_gradient(line: LineRows) -> Answer:
    bad = line.worst("bad-gradient")
    if bad is not None and bad["value"]:
        return Finding("E", f"the gradients of {bad['value']:.0f} of {bad['n']} samples are not finite{where(bad)}")
    shares = [(float(row["value"]), _input_or_detail(row)) for row in line.probes("zero-gradient")]
    shares += [(float(row["zero_gradient_share"]), f" ({row['attack']['name']}, {mode_of(row)})")
               for row in line.attacks if row["zero_gradient_share"] is not None]
    if not shares:
        return Missing("no attack row says how many gradients are zero, and no probe 'zero-gradient' does")
    share, what = max(shares)
    level = "W" if share > 0.01 else "I"
    return Finding(level, f"{share:.1%} of the samples have an all-zero gradient{what}") if share else None


def _input_or_detail(probe: Row) -> str:
    """Name the input in whose gradient the probe looked, or quote its detail."""
    named = probe["name"].removeprefix("zero-gradient").removeprefix("-")
    return f" ({named})" if named and not probe["detail"] else where(probe)


@register("Q", 14, "saturated-loss", "W", "the cross-entropy is saturated and no margin loss stands beside it")
def _saturated_loss(line: LineRows) -> Answer:
    probe = line.worst("saturated-loss")
    if probe is None:
        return no_probe("saturated-loss")
    margin = any("margin" in row["attack"].get("loss", "")
                 or (row["criterion"] == "union" and row["profile"] in _MARGIN_PROFILES) for row in line.white_box)
    level = "W" if probe["value"] > 0.01 and not margin else "I"
    beside = "attacks on the margin stand beside it" if margin else "no attack on the margin stands beside it"
    text = f"{probe['value']:.1%} of {probe['n']} samples have probability 1 in float32{where(probe)}; {beside}"
    return Finding(level, text) if probe["value"] else None


@register("St", 18, "step-below-half-a-code", "W", "a step is below half a code, so rounding undoes it")
def _step_below_half_a_code(line: LineRows) -> Answer:
    probe = line.worst("step-below-code")
    if probe is None:
        return no_probe("step-below-code") if line.integer else NO_MEANING
    return Finding("W", f"a step of the attack is rounded away{where(probe)}") if probe["value"] else None


@register("K", 9, "black-box-beats-white-box", "W",
          "attacks without the model's own gradients broke samples that those with them missed")
def _black_box_beats_white_box(line: LineRows) -> Answer:
    """AutoAttack's flag: more than 0.2 % of the samples. Transfer from another precision counts as black box."""
    found = [(float(row["value"]), f"n={row['n']}{where(row)}") for row in line.probes("black-box-only")]
    found += [(_missed(line, mine, rows, budget), f"{label}, {budget_text(budget)}, n={rows[0]['n']}")
              for budget, mine, theirs in shared_cells(line.white_box, line.others)
              for label, rows in group_by(theirs, origin).items()]
    if not found:
        return Missing("no budget was attacked both with the model's own gradients and without")
    worst, text = max(found, key=lambda one: one[0])
    level = "W" if worst > _AUTOATTACK_LIMIT else "I"
    text = f"{worst:.1%} of the samples fall only without the model's own gradients ({text})"
    return Finding(level, text) if worst else None


@register("T", 17, "transfer-only", "W",
          "robustness by transfer only: an upper bound until the model itself is attacked")
def _transfer_only(line: LineRows) -> Answer:
    if not line.attacks:
        return Missing("no attack rows")
    if line.white_box:
        return None
    sources = ", ".join(sorted(set(map(origin, line.attacks))))
    return Finding("W", f"the inputs were made with {sources} and replayed or searched here: an upper bound")


@register("Tx", 17, "foreign-gradients-are-stronger", "W",
          "inputs made for another precision are stronger than the model's own, a sign of masked gradients")
def _foreign_gradients_are_stronger(line: LineRows) -> Answer:
    """The transfer matrix, column by column: own gradients must leave the fewest samples correct."""
    gaps = [(float(np.mean(union(at(budget, mine))) - np.mean(union(rows))), source, budget)
            for budget, mine, theirs in shared_cells(line.white_box, line.transferred)
            for source, rows in group_by(theirs, lambda row: str(row["source"])).items()]
    if not gaps:
        return Missing("no budget was attacked both with own gradients and with those of another precision")
    gap, source, budget = max(gaps, key=lambda one: one[0])
    text = f"gradients of {source} leave {points(gap)} fewer correct ({budget_text(budget)})"
    return Finding("W", text) if gap > _AUTOATTACK_LIMIT else None


def _missed(line: LineRows, mine: Sequence[Row], theirs: Sequence[Row], budget: Budget) -> float:
    """Share of samples that ``theirs`` broke at ``budget`` and that survived all of ``mine`` up to it."""
    clean = line.clean(mine[0]["executor"]).get(mine[0]["n"], np.True_)
    return float(np.mean(survivors_within(mine, budget) & clean & ~union(theirs)))
