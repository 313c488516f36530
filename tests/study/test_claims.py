"""Claims: what decides them, and that the verdict is the one that the rows say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.row_makers import outcome
from tinyfuse.core.errors import UsageError
from tinyfuse.core.results import Row
from tinyfuse.study.papers import STUDIES, study_of
from tinyfuse.study.papers.claims import Claim, Contrast, Curve, Ratio
from tinyfuse.study.papers.verdicts import FAILS, HOLDS, OPEN, Evidence, Judgement, judge

N = 200
FIRST = Curve("early", ("image",), "fgsm")
SECOND = Curve("late", ("image",), "fgsm")
BETTER = Claim("better", "late is better", "here", (Contrast("late minus early", SECOND, FIRST),))


def row(model: str, right: np.ndarray, seed: int, *, epsilon: float = 0.1, precision: str = "float",
        attack: str = "fgsm") -> Row:
    """An attack row of the suite "paper"."""
    made = outcome(right, attacked=("image",), epsilon=epsilon, precision=precision, model=model, seed=seed,
                   executor="twin" if precision.startswith("w") else "keras", profile="paper",
                   criterion="last-iterate")
    return {**made, "attack": {"name": attack}}


def evidence(gaps: list[float], *, n: int = N, precision: str = "float") -> Evidence:
    """Early keeps half of n samples; late keeps ``gap`` more, one number for each training."""
    rows = []
    for seed, gap in enumerate(gaps):
        rng = np.random.default_rng(seed)
        for model, share in (("early", 0.5), ("late", 0.5 + gap)):
            rows.append(row(model, rng.permutation(n) < share * n, seed, precision=precision))
    return Evidence(rows, np.arange(n))


def verdict(gaps: list[float], *, trainings: int = 3, n: int = N, claim: Claim = BETTER) -> Judgement:
    return judge([claim], evidence(gaps, n=n), trainings)[0]


@pytest.mark.parametrize(("gaps", "expected"), [([0.4, 0.4, 0.4], HOLDS), ([-0.4, -0.4, -0.4], FAILS),
                                                ([0.4, -0.4, 0.0], OPEN)])
def test_a_verdict_needs_trainings_that_agree(gaps: list[float], expected: str) -> None:
    """The mean alone decides nothing."""
    assert verdict(gaps).verdict == expected


def test_too_few_pairs_say_how_many_would_do() -> None:
    """A gap of 10 points on 40 pairs is open; with four times the estimate, which itself decides half the time, not."""
    few = verdict([0.1, 0.1, 0.1], n=40)
    assert few.verdict == OPEN and few.needed is not None
    assert f"{few.needed:,} pairs would be needed, and 40 were judged" in few.reason
    assert verdict([0.1, 0.1, 0.1], n=4 * few.needed).verdict == HOLDS


def test_too_few_trainings_decide_nothing() -> None:
    """However clear the difference, and the reason says what is missing."""
    found = verdict([0.4, 0.4], trainings=5)
    assert found.verdict == OPEN and "2 of 5 trainings" in found.reason


def test_every_contrast_has_to_hold_and_one_may_break_the_claim() -> None:
    """A claim about two things is true only of both."""
    opposite = Contrast("early minus late", FIRST, SECOND)
    both = replace(BETTER, contrasts=(*BETTER.contrasts, opposite))
    found = verdict([0.4, 0.4, 0.4], claim=both)
    assert found.verdict == FAILS and found.claim.contrasts[found.weakest] is opposite


def test_many_claims_are_judged_together() -> None:
    """What one claim alone would decide is open among twenty (Holm)."""
    clear = evidence([0.13, 0.13, 0.13])
    (alone,) = judge([BETTER], clear, 3)
    many = judge([replace(BETTER, name=str(place)) for place in range(20)], clear, 3)
    assert alone.verdict == HOLDS and many[0].p == pytest.approx(min(1.0, 20 * alone.p))


def test_a_ratio_is_left_out_where_its_divisor_is_under_5_percent() -> None:
    """Of two budgets only the one with enough left counts; with none the claim cannot be decided."""
    rows = []
    for seed in range(3):
        for epsilon, kept in ((0.1, 100), (0.2, 8)):
            for precision, share in (("float", 1.0), ("minmax6", 0.5)):
                for model in ("early", "late"):
                    left = kept if model == "early" else int(kept * share)
                    rows.append(row(model, np.arange(N) < left, seed, epsilon=epsilon, precision=precision))
    found = Evidence(rows, np.arange(N))
    early, late = (Ratio(replace(one, precision="minmax6"), one) for one in (FIRST, SECOND))
    assert list(found.values(early)) == [0.1]
    effect = found.effect(Contrast("", early, late), 0.0)
    assert effect is not None and effect.value == pytest.approx(0.5)
    only = replace(early, before=replace(FIRST, epsilons=(0.2,)))
    assert found.effect(Contrast("", only, late), 0.0) is None


def test_a_contrast_may_compare_two_budgets() -> None:
    """Budgets that both sides name stand beside each other in order; otherwise those that both have count."""
    rows = [row("early", np.arange(N) < kept, seed, epsilon=epsilon)
            for seed in range(3) for epsilon, kept in ((0.1, 160), (0.2, 40))]
    found = Evidence(rows, np.arange(N))
    effect = found.effect(Contrast("", replace(FIRST, epsilons=(0.1,)), replace(FIRST, epsilons=(0.2,))), 0.0)
    assert effect is not None and effect.value == pytest.approx(0.6)
    missing = Contrast("", replace(FIRST, epsilons=(0.1,)), replace(FIRST, epsilons=(0.3,)))
    assert found.effect(missing, 0.0) is None


def test_the_same_claim_about_the_deployed_integers() -> None:
    """Float becomes w8; a ratio keeps its float divisor, and is about its own width alone."""
    deployed = BETTER.deployed(8)
    assert deployed is not None and {one.precision for one in deployed.curves()} == {"w8"}
    ratio = replace(BETTER, contrasts=(Contrast("", Ratio(replace(FIRST, precision="minmax6"), FIRST),
                                                Ratio(replace(SECOND, precision="minmax6"), SECOND)),))
    six = ratio.deployed(6)
    assert ratio.deployed(8) is None and six is not None
    assert [one.precision for one in six.curves()] == ["w6", "float", "w6", "float"]


@pytest.mark.parametrize("name", STUDIES)
def test_every_claim_is_about_what_its_study_attacks(name: str) -> None:
    """No contrast asks for rows that no campaign makes, or compares nothing; checksums tell claims apart."""
    paper = study_of(name)
    made: dict[tuple[object, ...], set[float]] = {}
    for campaign in paper.campaigns:
        for training in campaign.trainings:
            for precision in campaign.precisions:
                key = (training, precision, campaign.suite.name, campaign.masked)
                made.setdefault(key, set()).update(
                    max(one.values()) if isinstance(one, dict) else one for one in campaign.budgets)
    for claim in paper.claims:
        for contrast in claim.contrasts:
            curves = [one if isinstance(one, Curve) else one.after for one in (contrast.more, contrast.less)]
            sides = [made[one.model, one.precision, one.suite, one.masked] if one.attacked else {0.0} for one in curves]
            pairs = contrast.budgets(*sides)
            assert pairs and all(one in sides[0] and other in sides[1] for one, other in pairs), contrast
        for curve in claim.curves():
            assert (curve.model, curve.precision, curve.suite, curve.masked) in made or not curve.attacked, curve
            assert set(curve.attacked) <= set(paper.inputs)
    assert len({claim.sha256 for claim in paper.claims}) == len(paper.claims) > 3
    changed = replace(paper.claims[0], margin=0.02)
    assert changed.sha256 != paper.claims[0].sha256


def test_unknown_studies_are_one_line() -> None:
    """With the nearest name."""
    with pytest.raises(UsageError, match="nakano2024"):
        study_of("nakano2023")
