"""The checks that compare attacks with each other: each fires on a planted fault and stays silent without one."""

from __future__ import annotations

import numpy as np
from findings import EARLY, YES, first, found, levels, reasons
from row_makers import AUDIO, BOTH, IMAGE, outcome

from tinyfuse.checks.run_checks import gate, letters


def test_monotonicity_events_are_counted_before_the_union() -> None:
    """Two of ten samples recover at a larger budget; the same attack only."""
    rows = [outcome([0, 0, 0, *YES[3:]], attacked=IMAGE, epsilon=0.01),
            outcome([1, 1, 0, *YES[3:]], attacked=IMAGE, epsilon=0.1)]
    (flag,) = found(rows, "M")
    assert flag.level == "W" and "20.0%" in flag.text and "pgd on image" in flag.text
    for other in ({"attacked": AUDIO}, {"attack": {"name": "fgsm"}}, {"attack": {"loss": "margin"}},
                  {"profile": "paper"}, {"mask": "padding"}):
        settings = {"attacked": IMAGE, **other}
        assert not found([rows[0], outcome(YES, epsilon=0.1, **settings)], "M")
    assert not found([outcome(first(8), attacked=IMAGE, epsilon=0.01),
                      outcome(first(2), attacked=IMAGE, epsilon=0.1)], "M")


def test_rare_monotonicity_events_are_information() -> None:
    """One of 200 samples is worth a sentence, not a letter; so is any number of them by transfer."""
    lost = np.ones(200)
    lost[0] = 0
    rows = [outcome(lost, attacked=IMAGE, epsilon=0.01),
            outcome(np.ones(200), attacked=IMAGE, epsilon=0.1)]
    (flag,) = found(rows, "M")
    assert flag.level == "I" and letters([flag], EARLY) == ()
    replayed = {"precision": "w8", "criterion": "replayed", "attacked": IMAGE}
    assert levels([outcome(first(2), epsilon=0.01, **replayed), outcome(YES, epsilon=0.1, **replayed)],
                  "M") == ["I"]


def test_a_union_that_is_not_monotone_is_an_error() -> None:
    """A union holds everything that smaller budgets broke, by definition."""
    lost = np.ones(200)
    lost[0] = 0
    suite = {"attack": {"name": "standard"}, "criterion": "union", "attacked": IMAGE}
    rows = [outcome(lost, epsilon=0.01, **suite), outcome(np.ones(200), epsilon=0.1, **suite)]
    (flag,) = found(rows, "M")
    assert flag.level == "E" and gate([flag]) == [flag]


def test_budgets_of_two_modalities_have_no_order() -> None:
    """More on the image and less on the audio is no larger budget."""
    rows = [outcome(first(2), attacked=BOTH, epsilon={"image": 0.01, "audio": 0.05}),
            outcome(YES, attacked=BOTH, epsilon={"image": 0.1, "audio": 0.01})]
    assert not found(rows, "M")
    assert levels([rows[0], {**rows[1], "budget": {"image": 0.1, "audio": 0.05}}], "M") == ["W"]


def test_pgd_weaker_than_fgsm() -> None:
    """Samples that only FGSM broke, at the same budget; replayed inputs prove nothing."""
    rows = [outcome(first(5), attacked=IMAGE, epsilon=0.1, attack={"name": "fgsm"}),
            outcome(first(8), attacked=IMAGE, epsilon=0.1)]
    (flag,) = found(rows, "P")
    assert flag.level == "W" and "30.0%" in flag.text
    replayed = [{**row, "precision": "w8", "executor": "tflm", "criterion": "replayed"} for row in rows]
    assert [flag.level for flag in found(replayed, "P")] == ["I"]
    assert not found([rows[0], outcome(first(8), attacked=IMAGE, epsilon=0.05)], "P")
    assert not found([rows[0], outcome(first(4), attacked=IMAGE, epsilon=0.1)], "P")
    assert not found([rows[0], outcome(first(8), attacked=IMAGE, epsilon=0.1, mask="padding")], "P")
    assert "P" in reasons(rows[:1]) and "P" not in reasons(rows)


def test_unbounded_attacks_leave_nothing() -> None:
    """The union at full range on all inputs; one input alone, one step or a narrow range prove nothing."""
    at_will = {"attacked": BOTH, "epsilon": 1.0}
    rest = outcome([0, 0, 1, 1, *[0] * 6], attack={"loss": "margin"}, **at_will)
    (flag,) = found([outcome(first(3), **at_will), rest], "U")
    assert flag.level == "E" and "10.0% of 10" in flag.text
    assert not found([outcome(first(3), **at_will), outcome([0] * 10, attack={"loss": "margin"}, **at_will)], "U")
    for harmless in ({"attack": {"name": "fgsm"}}, {"epsilon": 0.9}, {"attacked": IMAGE}, {"source": "w8"},
                     {"norm": "l2"}, {"epsilon": {"image": 1.0, "audio": 0.1}}, {"attack": {"name": "universal"}},
                     {"inputs": {"image": 1.0, "audio": 2.0}}):
        rows = [outcome(first(3), **{**at_will, **harmless})]
        assert not found(rows, "U") and "U" in reasons(rows), harmless
    assert levels([outcome(first(3), inputs={"image": 1.0}, attacked=IMAGE, epsilon=1.0)], "U") == ["E"]


def test_noise_must_be_weaker_than_a_gradient() -> None:
    """Random corners that break more than FGSM at the same budget."""
    step = outcome(first(5), attacked=BOTH, epsilon=0.1, attack={"name": "fgsm"})
    noise = {"attacked": BOTH, "attack": {"name": "corners"}, "criterion": "any-iterate"}
    (flag,) = found([step, outcome(first(3), epsilon=0.1, **noise)], "R")
    assert flag.level == "W" and "20.0 points" in flag.text and "n=10" in flag.text and "ε=0.1" in flag.text
    assert not found([step, outcome(first(5), epsilon=0.1, **noise)], "R")
    weaker = outcome(first(4), attacked=BOTH, epsilon=0.2, attack={"name": "fgsm"})
    worse = outcome(first(3), epsilon=0.2, **noise)
    assert "20.0 points" in found([step, weaker, outcome(first(3), epsilon=0.1, **noise), worse], "R")[0].text
    again = outcome(first(3), attacked=BOTH, epsilon=0.1, attack={"name": "fgsm"}, profile="paper")
    assert not found([step, again, outcome(first(3), epsilon=0.1, **noise)], "R")
    elsewhere = [step, outcome(first(3), epsilon=0.05, **noise)]
    assert not found(elsewhere, "R") and "R" in reasons(elsewhere)


def test_both_must_not_be_weaker_than_one() -> None:
    """Before singles are carried over: 6 survive the attack on both, only 4 the one on audio."""
    single = outcome(first(4), attacked=AUDIO, epsilon=0.1)
    both = outcome(first(6), attacked=BOTH, epsilon=0.1)
    (flag,) = found([single, both], "B")
    assert flag.level == "W" and "20.0 points" in flag.text and "audio alone at ε=0.1" in flag.text
    assert not found([single, outcome(first(4), attacked=BOTH, epsilon=0.1)], "B")
    assert not found([single, outcome(first(6), attacked=BOTH, epsilon=0.05)], "B")
    image = outcome(first(5), attacked=IMAGE, epsilon=0.1)
    assert "audio alone" in found([image, single, both], "B")[0].text
    assert "B" in reasons([single]) and "B" not in reasons([single, both])
    assert "B" not in reasons([outcome(YES, inputs={"audio": 1.0}, attacked=AUDIO, epsilon=0.1)])


def test_in_a_union_no_sample_may_fall_to_one_input_alone() -> None:
    """Sample by sample, and within one profile: 4 survive either way, but not the same ones."""
    union = {"criterion": "union", "epsilon": 0.1}
    single = outcome(first(4), attacked=IMAGE, **union)
    both = outcome([0, 0, 0, 0, 0, *first(4, 5)], attacked=BOTH, **union)
    (flag,) = found([single, both], "B")
    assert flag.level == "E" and "40.0%" in flag.text and "image alone at ε=0.1" in flag.text
    audio = outcome(first(1), attacked=AUDIO, **union)
    assert "image alone" in found([audio, single, both], "B")[0].text
    for harmless in ({"profile": "strong"}, {"criterion": "any-iterate"}, {"mask": "padding"}, {"threat": "codes"}):
        assert not found([{**single, **harmless}, both], "B")
    assert not found([single, outcome(first(3), attacked=BOTH, **union)], "B")


def test_of_three_inputs_every_subset_is_compared() -> None:
    """Two of three inputs leave less than all three at the same budgets; ranges of values are their own."""
    inputs = {"camera": 1.0, "mic": 1.0, "imu": 8.0}
    budget = {"camera": 0.1, "mic": 0.1, "imu": 0.8}
    two = outcome(first(4), inputs=inputs, attacked=("camera", "imu"), epsilon=budget)
    three = outcome(first(6), inputs=inputs, attacked=tuple(inputs), epsilon=budget)
    (flag,) = found([two, three], "B")
    assert "20.0 points" in flag.text and "camera and imu alone at camera ε=0.1 and imu ε=0.8" in flag.text
    assert "B" in reasons([two, outcome(first(4), inputs=inputs, attacked=("mic",), epsilon=budget)])
    assert not found([two, outcome(first(6), inputs=inputs, attacked=tuple(inputs), epsilon={**budget, "mic": 0.2,
                                                                                             "imu": 0.7})], "B")
    assert levels([outcome(first(1), inputs=inputs, attacked=tuple(inputs), epsilon=inputs)], "U") == ["E"]
    assert "U" in reasons([outcome(first(1), inputs=inputs, attacked=tuple(inputs), epsilon=1.0)])


def test_black_box_beats_white_box() -> None:
    """Square, corners or another network's inputs break what the own gradients could not."""
    attack = {"precision": "w8", "attacked": IMAGE, "epsilon": 0.1}
    own = outcome(first(6), source="w8", criterion="union", **attack)
    for foreign in (outcome([0, *YES[1:]], attack={"name": "square"}, source="w8", **attack),
                    outcome([0, *YES[1:]], attack={"name": "corners"}, source="", **attack),
                    outcome([0, *YES[1:]], criterion="replayed", source="float", executor="tflm", **attack)):
        (flag,) = found([own, foreign], "K")
        assert flag.level == "W" and "10.0%" in flag.text and "image ε=0.1, n=10" in flag.text
    assert "gradients of float" in flag.text


def test_what_is_no_black_box_success() -> None:
    """Other threats, judges, masks or budgets; what the white box broke at a smaller budget; what was wrong anyway."""
    attack = {"precision": "w8", "attacked": IMAGE, "epsilon": 0.1}
    own = outcome(first(6), source="w8", **attack)
    replayed = {"criterion": "replayed", "source": "float", **attack}
    for other in ({"threat": "codes"}, {"mask": "padding"}, {"epsilon": 0.2}, {"executor": "litert"}, {"norm": "l2"}):
        rows = [own, outcome([0, *YES[1:]], **{**replayed, **other})]
        assert not found(rows, "K") and "K" in reasons(rows)
    weaker = [own, outcome(first(6), **replayed)]
    assert not found(weaker, "K") and "K" not in reasons(weaker)
    smaller = outcome([0, *YES[1:]], source="w8", **{**attack, "epsilon": 0.05})
    assert not found([own, smaller, outcome([0, *YES[1:]], **replayed)], "K")
    wrong_when_clean = outcome([0, *YES[1:]], precision="w8")
    assert not found([wrong_when_clean, own, outcome([0, *YES[1:]], **replayed)], "K")


def test_few_black_box_successes_are_information() -> None:
    """AutoAttack's limit: 0.2 % of the samples."""
    attack = {"precision": "w8", "attacked": IMAGE, "epsilon": 0.1}
    broken = np.ones(1000)
    broken[:2] = 0
    rows = [outcome(np.ones(1000), source="w8", **attack), outcome(broken, attack={"name": "square"}, **attack)]
    assert levels(rows, "K") == ["I"]
    broken[2] = 0
    assert levels([rows[0], outcome(broken, attack={"name": "square"}, **attack)], "K") == ["W"]


def test_transfer_only() -> None:
    """Replays are an upper bound until rows with the model's own gradients exist."""
    attack = {"precision": "w8", "attacked": IMAGE, "epsilon": 0.1}
    replayed = outcome(YES, criterion="replayed", **attack)
    own = outcome(YES, source="w8", **attack)
    (flag,) = found([replayed], "T")
    assert flag.level == "W" and "upper bound" in flag.text and "gradients of float" in flag.text
    assert not found([replayed, own], "T")
    assert levels([replayed, outcome(YES, attack={"name": "square"}, source="w8", **attack)], "T") == ["W"]
    assert not found([outcome(YES, attacked=IMAGE, epsilon=0.1), outcome(YES, precision="w8")], "T")


def test_transfer_matrix_has_a_strong_diagonal() -> None:
    """Inputs of another precision that leave fewer samples correct than the model's own: masked gradients."""
    attack = {"precision": "w8", "attacked": BOTH, "epsilon": 0.1}
    own = outcome(first(6), source="w8", criterion="union", attack={"name": "standard"}, **attack)
    strong = outcome(first(3), source="w6", criterion="replayed", **attack)
    (flag,) = found([own, outcome(first(5), source="float", criterion="replayed", **attack), strong], "Tx")
    assert flag.level == "W" and "gradients of w6" in flag.text and "30.0 points" in flag.text
    weak = [own, outcome(first(6), source="float", criterion="replayed", **attack)]
    assert not found(weak, "Tx") and "Tx" not in reasons(weak) and "Tx" in reasons([own])
    assert "Tx" in reasons([own, outcome(first(3), attack={"name": "square"}, **attack)])
