"""The checks that compare attacks with each other: each fires on a planted fault and stays silent without one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from findings import EARLY, YES, first, found, levels, reasons

from tinyfuse.checks.run_checks import gate, letters
from tinyfuse.core.results import Row

Maker = Callable[..., Row]


def test_monotonicity_events_are_counted_before_the_union(make_outcome: Maker) -> None:
    """Two of ten samples recover at a larger budget; the same attack only."""
    rows = [make_outcome([0, 0, 0, *YES[3:]], modality="image", epsilon=0.01),
            make_outcome([1, 1, 0, *YES[3:]], modality="image", epsilon=0.1)]
    (flag,) = found(rows, "M")
    assert flag.level == "W" and "20.0%" in flag.text and "pgd on image" in flag.text
    for other in ({"modality": "audio"}, {"attack": "fgsm"}, {"loss": "margin"}, {"profile": "paper"},
                  {"mask": "padding"}):
        settings = {"modality": "image", **other}
        assert not found([rows[0], make_outcome(YES, epsilon=0.1, **settings)], "M")
    assert not found([make_outcome(first(8), modality="image", epsilon=0.01),
                      make_outcome(first(2), modality="image", epsilon=0.1)], "M")


def test_rare_monotonicity_events_are_information(make_outcome: Maker) -> None:
    """One of 200 samples is worth a sentence, not a letter; so is any number of them by transfer."""
    lost = np.ones(200)
    lost[0] = 0
    rows = [make_outcome(lost, modality="image", epsilon=0.01),
            make_outcome(np.ones(200), modality="image", epsilon=0.1)]
    (flag,) = found(rows, "M")
    assert flag.level == "I" and letters([flag], EARLY) == ()
    replayed = {"precision": "w8", "criterion": "replayed", "modality": "image"}
    assert levels([make_outcome(first(2), epsilon=0.01, **replayed), make_outcome(YES, epsilon=0.1, **replayed)],
                  "M") == ["I"]


def test_a_union_that_is_not_monotone_is_an_error(make_outcome: Maker) -> None:
    """A union holds everything that smaller budgets broke, by definition."""
    lost = np.ones(200)
    lost[0] = 0
    suite = {"attack": "standard", "criterion": "union", "modality": "image"}
    rows = [make_outcome(lost, epsilon=0.01, **suite), make_outcome(np.ones(200), epsilon=0.1, **suite)]
    (flag,) = found(rows, "M")
    assert flag.level == "E" and gate([flag]) == [flag]


def test_budgets_of_two_modalities_have_no_order(make_outcome: Maker) -> None:
    """More on the image and less on the audio is no larger budget."""
    rows = [make_outcome(first(2), modality="both", epsilon=0.05, epsilon_image=0.01, epsilon_audio=0.05),
            make_outcome(YES, modality="both", epsilon=0.1, epsilon_image=0.1, epsilon_audio=0.01)]
    assert not found(rows, "M")
    assert levels([rows[0], {**rows[1], "epsilon_audio": 0.05}], "M") == ["W"]


def test_pgd_weaker_than_fgsm(make_outcome: Maker) -> None:
    """Samples that only FGSM broke, at the same budget; replayed inputs prove nothing."""
    rows = [make_outcome(first(5), modality="image", epsilon=0.1, attack="fgsm"),
            make_outcome(first(8), modality="image", epsilon=0.1)]
    (flag,) = found(rows, "P")
    assert flag.level == "W" and "30.0%" in flag.text
    replayed = [{**row, "precision": "w8", "executor": "tflm", "criterion": "replayed"} for row in rows]
    assert [flag.level for flag in found(replayed, "P")] == ["I"]
    assert not found([rows[0], make_outcome(first(8), modality="image", epsilon=0.05)], "P")
    assert not found([rows[0], make_outcome(first(4), modality="image", epsilon=0.1)], "P")
    assert not found([rows[0], make_outcome(first(8), modality="image", epsilon=0.1, mask="padding")], "P")
    assert "P" in reasons(rows[:1]) and "P" not in reasons(rows)


def test_unbounded_attacks_leave_nothing(make_outcome: Maker) -> None:
    """The union at full range on all inputs; one modality alone, one step or a narrow range prove nothing."""
    at_will = {"modality": "both", "epsilon": 1.0}
    rest = make_outcome([0, 0, 1, 1, *[0] * 6], loss="margin", **at_will)
    (flag,) = found([make_outcome(first(3), **at_will), rest], "U")
    assert flag.level == "E" and "10.0% of 10" in flag.text
    assert not found([make_outcome(first(3), **at_will), make_outcome([0] * 10, loss="margin", **at_will)], "U")
    for harmless in ({"attack": "fgsm"}, {"epsilon": 0.9}, {"modality": "image"}, {"source": "w8"}, {"norm": "l2"},
                     {"epsilon_audio": 0.1}):
        rows = [make_outcome(first(3), **{**at_will, **harmless})]
        assert not found(rows, "U") and "U" in reasons(rows), harmless
    assert levels([make_outcome(first(3), model="image", modality="image", epsilon=1.0)], "U") == ["E"]


def test_noise_must_be_weaker_than_a_gradient(make_outcome: Maker) -> None:
    """Random corners that break more than FGSM at the same budget."""
    step = make_outcome(first(5), modality="both", epsilon=0.1, attack="fgsm")
    noise = {"modality": "both", "attack": "corners", "criterion": "any-iterate"}
    (flag,) = found([step, make_outcome(first(3), epsilon=0.1, **noise)], "R")
    assert flag.level == "W" and "20.0 points" in flag.text and "n=10" in flag.text and "ε=0.1" in flag.text
    assert not found([step, make_outcome(first(5), epsilon=0.1, **noise)], "R")
    weaker = make_outcome(first(4), modality="both", epsilon=0.2, attack="fgsm")
    worse = make_outcome(first(3), epsilon=0.2, **noise)
    assert "20.0 points" in found([step, weaker, make_outcome(first(3), epsilon=0.1, **noise), worse], "R")[0].text
    again = make_outcome(first(3), modality="both", epsilon=0.1, attack="fgsm", profile="paper")
    assert not found([step, again, make_outcome(first(3), epsilon=0.1, **noise)], "R")
    elsewhere = [step, make_outcome(first(3), epsilon=0.05, **noise)]
    assert not found(elsewhere, "R") and "R" in reasons(elsewhere)


def test_both_must_not_be_weaker_than_one(make_outcome: Maker) -> None:
    """Before singles are carried over: 6 survive the attack on both, only 4 the one on audio."""
    single = make_outcome(first(4), modality="audio", epsilon=0.1)
    both = make_outcome(first(6), modality="both", epsilon=0.1)
    (flag,) = found([single, both], "B")
    assert flag.level == "W" and "20.0 points" in flag.text and "audio alone at ε=0.1" in flag.text
    assert not found([single, make_outcome(first(4), modality="both", epsilon=0.1)], "B")
    assert not found([single, make_outcome(first(6), modality="both", epsilon=0.05)], "B")
    image = make_outcome(first(5), modality="image", epsilon=0.1)
    assert "audio alone" in found([image, single, both], "B")[0].text
    assert "B" in reasons([single]) and "B" not in reasons([single, both])
    assert "B" not in reasons([make_outcome(YES, model="audio", modality="audio", epsilon=0.1)])


def test_in_a_union_no_sample_may_fall_to_one_modality_alone(make_outcome: Maker) -> None:
    """Sample by sample, and within one profile: 4 survive either way, but not the same ones."""
    union = {"criterion": "union", "epsilon": 0.1}
    single = make_outcome(first(4), modality="image", **union)
    both = make_outcome([0, 0, 0, 0, 0, *first(4, 5)], modality="both", **union)
    (flag,) = found([single, both], "B")
    assert flag.level == "E" and "40.0%" in flag.text and "image alone at ε=0.1" in flag.text
    audio = make_outcome(first(1), modality="audio", **union)
    assert "image alone" in found([audio, single, both], "B")[0].text
    for harmless in ({"profile": "strong"}, {"criterion": "any-iterate"}, {"mask": "padding"}, {"threat": "codes"}):
        assert not found([{**single, **harmless}, both], "B")
    assert not found([single, make_outcome(first(3), modality="both", **union)], "B")


def test_black_box_beats_white_box(make_outcome: Maker) -> None:
    """Square, corners or another network's inputs break what the own gradients could not."""
    attack = {"precision": "w8", "modality": "image", "epsilon": 0.1}
    own = make_outcome(first(6), source="w8", criterion="union", **attack)
    for foreign in (make_outcome([0, *YES[1:]], attack="square", source="w8", **attack),
                    make_outcome([0, *YES[1:]], attack="corners", source="", **attack),
                    make_outcome([0, *YES[1:]], criterion="replayed", source="float", executor="tflm", **attack)):
        (flag,) = found([own, foreign], "K")
        assert flag.level == "W" and "10.0%" in flag.text and "image ε=0.1, n=10" in flag.text
    assert "gradients of float" in flag.text


def test_what_is_no_black_box_success(make_outcome: Maker) -> None:
    """Other threats, judges, masks or budgets; what the white box broke at a smaller budget; what was wrong anyway."""
    attack = {"precision": "w8", "modality": "image", "epsilon": 0.1}
    own = make_outcome(first(6), source="w8", **attack)
    replayed = {"criterion": "replayed", "source": "float", **attack}
    for other in ({"threat": "codes"}, {"mask": "padding"}, {"epsilon": 0.2}, {"executor": "litert"}, {"norm": "l2"}):
        rows = [own, make_outcome([0, *YES[1:]], **{**replayed, **other})]
        assert not found(rows, "K") and "K" in reasons(rows)
    weaker = [own, make_outcome(first(6), **replayed)]
    assert not found(weaker, "K") and "K" not in reasons(weaker)
    smaller = make_outcome([0, *YES[1:]], source="w8", **{**attack, "epsilon": 0.05})
    assert not found([own, smaller, make_outcome([0, *YES[1:]], **replayed)], "K")
    wrong_when_clean = make_outcome([0, *YES[1:]], precision="w8")
    assert not found([wrong_when_clean, own, make_outcome([0, *YES[1:]], **replayed)], "K")


def test_few_black_box_successes_are_information(make_outcome: Maker) -> None:
    """AutoAttack's limit: 0.2 % of the samples."""
    attack = {"precision": "w8", "modality": "image", "epsilon": 0.1}
    broken = np.ones(1000)
    broken[:2] = 0
    rows = [make_outcome(np.ones(1000), source="w8", **attack), make_outcome(broken, attack="square", **attack)]
    assert levels(rows, "K") == ["I"]
    broken[2] = 0
    assert levels([rows[0], make_outcome(broken, attack="square", **attack)], "K") == ["W"]


def test_transfer_only(make_outcome: Maker) -> None:
    """Replays are an upper bound until rows with the model's own gradients exist."""
    attack = {"precision": "w8", "modality": "image", "epsilon": 0.1}
    replayed = make_outcome(YES, criterion="replayed", **attack)
    own = make_outcome(YES, source="w8", **attack)
    (flag,) = found([replayed], "T")
    assert flag.level == "W" and "upper bound" in flag.text and "gradients of float" in flag.text
    assert not found([replayed, own], "T")
    assert levels([replayed, make_outcome(YES, attack="square", source="w8", **attack)], "T") == ["W"]
    assert not found([make_outcome(YES, modality="image", epsilon=0.1), make_outcome(YES, precision="w8")], "T")


def test_transfer_matrix_has_a_strong_diagonal(make_outcome: Maker) -> None:
    """Inputs of another precision that leave fewer samples correct than the model's own: masked gradients."""
    attack = {"precision": "w8", "modality": "both", "epsilon": 0.1}
    own = make_outcome(first(6), source="w8", criterion="union", attack="standard", **attack)
    strong = make_outcome(first(3), source="w6", criterion="replayed", **attack)
    (flag,) = found([own, make_outcome(first(5), source="float", criterion="replayed", **attack), strong], "Tx")
    assert flag.level == "W" and "gradients of w6" in flag.text and "30.0 points" in flag.text
    weak = [own, make_outcome(first(6), source="float", criterion="replayed", **attack)]
    assert not found(weak, "Tx") and "Tx" not in reasons(weak) and "Tx" in reasons([own])
    assert "Tx" in reasons([own, make_outcome(first(3), attack="square", **attack)])
