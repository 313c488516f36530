"""What was published about training objectives, beside what was measured here: each ordering with its interval.

The expectations are those of the papers (gradient blending, OGM-GE, PMR, Li 2022, MSEFM, CRMT and their tables) and of
earlier trials on the same data; most were made on other data, so that signs are compared, and sizes are told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from objective_intervals import clustered_interval
from objective_verdicts import Figures

HIGHER, LOWER, ALIKE = "higher", "lower", "alike"
CLEAN, BOTH, BOTH_LARGE, BOTH_L2 = ("none", "none"), ("linf .03", "all"), ("linf .1/.03", "all"), ("l2 1/.5", "all")
IMAGE, AUDIO, IMAGE_L2 = ("linf .03", "image"), ("linf .03", "audio"), ("l2 1/.5", "image")
AUDIO_ALONE, AUDIO_MEAN_FEATURE = ("none", "audio alone"), ("none", "audio alone, features")


@dataclass(frozen=True)
class Side:
    """One side of a comparison."""

    objective: str
    bits: str = "float"
    network: str = "late"

    def __str__(self) -> str:
        network = "" if self.network == "late" else f"{self.network}, "
        return network + self.objective + ("" if self.bits == "float" else f" {self.bits}")


@dataclass(frozen=True)
class Ordering:
    """``one`` is expected ``how`` beside ``other``: what the source says, in points of accuracy.

    ``at``: the attack and what is attacked. ``within``: points that two that are alike may differ by.
    """

    one: Side
    other: Side
    at: tuple[str, str]
    how: str
    published: str
    within: float = 3.0

    def judge(self, low: float, high: float) -> str:
        """Say whether an interval of the difference, in points, bears it out."""
        if self.how == ALIKE:
            if -self.within <= low and high <= self.within:
                return "yes"
            return "no" if low > self.within or high < -self.within else "open"
        low, high = (low, high) if self.how == HIGHER else (-high, -low)
        return "yes" if low > 0 else "no" if high < 0 else "open"


def _over_joint(objective: str, at: tuple[str, str], how: str, published: str) -> Ordering:
    return Ordering(Side(objective), Side("joint"), at, how, published)


ORDERINGS = (
    Ordering(Side("joint", network="late-gated"), Side("joint"), AUDIO, LOWER, "worse where the gate is attacked"),
    Ordering(Side("joint", network="late-film"), Side("joint"), AUDIO, LOWER, "worse where the condition is attacked"),
    _over_joint("gblend", CLEAN, HIGHER, "+6"),
    _over_joint("gblend", BOTH, HIGHER, "+8 (FGM)"),
    _over_joint("ogm", CLEAN, HIGHER, "0 to +2"),
    _over_joint("ogm", AUDIO_ALONE, HIGHER, "the weaker input gains"),
    _over_joint("ogm", BOTH, ALIKE, "hardly changes"),
    _over_joint("pmr", CLEAN, HIGHER, "+4.6"),
    _over_joint("pmr", AUDIO, HIGHER, "+3.8 (FGM)"),
    _over_joint("mixup", IMAGE, LOWER, "-15 (a trial)"),
    _over_joint("mixup", BOTH, HIGHER, "more robust (Li 2022; no gain in a trial)"),
    _over_joint("density-mixup", CLEAN, LOWER, "-1"),
    _over_joint("density-mixup", BOTH, HIGHER, "+10.2"),
    _over_joint("fgsm", BOTH_LARGE, HIGHER, "+80 to +90"),
    _over_joint("fgsm", CLEAN, LOWER, "-2"),
    _over_joint("fgsm", AUDIO_MEAN_FEATURE, LOWER, "-63: stops listening"),
    Ordering(Side("mmat"), Side("fgsm"), BOTH_LARGE, HIGHER, "+1 to +5"),
    Ordering(Side("fgsm", "w6"), Side("fgsm"), BOTH_LARGE, ALIKE, "within 3"),
    Ordering(Side("fgsm", "w4"), Side("fgsm"), BOTH_LARGE, ALIKE, "within 10", 10.0),
    Ordering(Side("drawn+single", "w6"), Side("drawn+single"), BOTH_LARGE, ALIKE, "within 3"),
    Ordering(Side("drawn+single", "w4"), Side("drawn+single"), BOTH_LARGE, ALIKE, "within 10", 10.0),
    Ordering(Side("awp", "w4"), Side("fgsm", "w4"), BOTH_LARGE, HIGHER, "trained for the rounding of weights"),
    _over_joint("exfmem", CLEAN, LOWER, "-1.6"),
    _over_joint("exfmem", BOTH, HIGHER, "+10 (FGM)"),
    _over_joint("exfmem", BOTH_L2, HIGHER, "+11"),
    _over_joint("exfmem", AUDIO, HIGHER, "+20"),
    _over_joint("exfmem", IMAGE, LOWER, "slightly worse"),
    _over_joint("crmt-step1", AUDIO_MEAN_FEATURE, HIGHER, "+25 (a trial)"),
    _over_joint("crmt-step1", BOTH, HIGHER, "+13 (a trial)"),
    _over_joint("crmt-step1", BOTH_L2, HIGHER, "+12 (a trial)"),
    _over_joint("crmt", BOTH_L2, HIGHER, "each step enhances every attack"),
    Ordering(Side("crmt"), Side("crmt-step1"), BOTH, HIGHER, "+28 (a trial)"),
    Ordering(Side("crmt"), Side("crmt-step1"), BOTH_L2, HIGHER, "+26 (a trial)"),
    Ordering(Side("crmt"), Side("crmt-step1"), IMAGE_L2, LOWER, "-40 (a trial; the paper: enhances)"),
    Ordering(Side("crmt"), Side("crmt-step1"), CLEAN, ALIKE, "-1"),
    Ordering(Side("crmt+at"), Side("fgsm"), BOTH_LARGE, HIGHER, "higher (CRMT-AT)"),
    Ordering(Side("crmt+mixup"), Side("mixup"), BOTH_L2, HIGHER, "higher (CRMT-Mix)"),
)


def orderings(store: Figures, samples: int, group: np.ndarray) -> str:
    """Write each of ORDERINGS as a line of Markdown; ``group`` int [n] are the utterances of the pairs."""
    head = "| difference | of | published | measured | trainings | so here |\n|" + "---|" * 6
    lines = [" | ".join([f"| {one.one} − {one.other}", _place(one.at), one.published,
                         *_found(one, store, samples, group)]) + " |" for one in ORDERINGS]
    return "\n".join([head, *lines]) + "\n"


def _place(at: tuple[str, str]) -> str:
    attack, inputs = at
    return ("clean" if inputs == "none" else inputs) if attack == "none" else f"{attack}: {inputs}"


def _found(one: Ordering, store: Figures, samples: int, group: np.ndarray) -> tuple[str, str, str]:
    differences = list(_differences(one, store, samples))
    if not differences:
        return "not measured", "", ""
    values = np.stack(differences)
    low, high = (100 * end for end in clustered_interval(values, group))
    return f"{100 * values.mean():+.1f} ({low:+.1f} to {high:+.1f})", str(len(values)), one.judge(low, high)


def _differences(one: Ordering, store: Figures, samples: int) -> Iterator[np.ndarray]:
    """Yield, for each seed that both sides were trained with, the difference of their verdicts, float [n]."""
    attack, inputs = one.at
    for seed in sorted({line["seed"] for line in store.lines}):
        sides = [store.right(network=side.network, objective=side.objective, bits=side.bits, seed=seed,
                             samples=samples, attack=attack, inputs=inputs) for side in (one.one, one.other)]
        if sides[0] is not None and sides[1] is not None:
            yield sides[0].astype(float) - sides[1].astype(float)
