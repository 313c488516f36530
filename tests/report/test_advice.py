"""The answer follows its stated rules, names its uncertainty, and has a sentence for each input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from tinyfuse.report.advice import Advice, advise, attack_text, width_text
from tinyfuse.report.summary import LineCurves, SummaryRow
from tinyfuse.study.worst_case import CurvePoint, accuracy_of

N = 400
BITS = {"image": 8.0, "audio": 8.0, "shared": 8.0}


def right(share: float) -> np.ndarray:
    """Bool [400] with this share of true values, the same samples first."""
    return np.arange(N) < round(share * N)


def line(precision: str, packed: int | None, clean: float, robust: Mapping[str, float], model: str = "late",
         executor: str = "twin", inputs: tuple[str, ...] = ("image", "audio"),
         bits: Mapping[str, float] | None = None) -> tuple[SummaryRow, LineCurves]:
    """A line of the table at ε = 0.1 with the curves behind it."""
    own = {mode: [CurvePoint({mode: 0.1}, accuracy_of(right(share)), right(share))] for mode, share in robust.items()}
    found = SummaryRow(model=model, precision=precision, seed=0, inputs=inputs, epsilon=0.1, executor=executor,
                       packed_bytes=packed, clean_integer=accuracy_of(right(clean)), bits=bits or BITS,
                       robust_integer={mode: points[0].accuracy for mode, points in own.items()})
    return found, LineCurves(clean={N: right(clean)}, own=own)


def advice_on(*pairs: tuple[SummaryRow, LineCurves]) -> Advice | None:
    return advise([one for one, _ in pairs], {(one.model, one.precision): curves for one, curves in pairs})


def test_the_smallest_that_none_beats_is_the_answer() -> None:
    """Robust but inaccurate recipes and weak ones are not; what chance explains costs no bytes."""
    found = advice_on(line("w2", 10, 0.50, {"all": 0.99}), line("w4", 50, 0.995, {"all": 0.30}),
                      line("w6", 60, 0.995, {"all": 0.595}), line("w8", 200, 0.995, {"all": 0.60}),
                      line("w9", 210, 0.975, {"all": 0.61}))
    assert found is not None
    assert {card.title: card.line.precision for card in found.cards} == {
        "Ship this": "w6", "Most robust": "w8", "Smallest": "w4"}
    text = " ".join(found.answer)
    assert "Ship late w6: 8 bits for every weight." in text
    assert "99.5 % (95 % interval 98.2 to 99.9, n = 400) of clean samples" in text
    assert "59.5 % (95 % interval 54.6 to 64.2, n = 400) when an adversary may change every value of all inputs by " \
           "up to 0.1" in text
    assert "1 other recipe cannot be told apart" in text and "1 other recipe is weaker by more than chance" in text
    alone = advice_on(line("w6", 60, 0.995, {"all": 0.595}))
    assert alone is not None and "No other recipe was attacked that it could be compared with." in alone.answer


def test_the_answer_does_not_hide_what_rounding_adds() -> None:
    """Real changes that the device rounds may reach further than whole codes."""
    found, _ = line("w6", 60, 0.99, {"all": 0.4})
    assert attack_text("all", found) == "when an adversary may change every value of all inputs by up to 0.1"
    rounded = replace(found, robust_real={"all": accuracy_of(right(0.25))})
    assert attack_text("all", rounded).endswith("by up to 0.1 (on 25.0 % before the device rounds it to codes)")


def test_each_input_has_its_sentence() -> None:
    """Whether the width matters there, and whether mixed widths gain over one width of no more bytes."""
    weak, strong = {"image": 0.90, "audio": 0.50, "all": 0.4}, {"image": 0.90, "audio": 0.70, "all": 0.4}
    mixed = line("image6-audio8-shared8", 70, 0.99, strong, bits={"image": 6.0, "audio": 8.0, "shared": 8.0})
    found = advice_on(line("w6", 60, 0.99, weak), line("w8", 80, 0.99, strong), mixed)
    assert found is not None
    said = dict(found.by_input)
    assert "attacked alone, 90.0 % (95 % interval" in said["image"] and "no difference beyond chance" in said["image"]
    assert "Mixed widths gain nothing here" in said["image"]
    assert "The number of bits matters here: w8 leaves 20.0 points more than w6" in said["audio"]
    assert "Mixed widths gain here: image6-audio8-shared8 leaves 20.0 points more than w6" in said["audio"]
    assert width_text(mixed[0]) == "mean weight bits 6 for image, 8 for audio, 8 for what inputs share"


def test_fusion_first_and_integers_only() -> None:
    """A network of one input competes only when nothing else is there; float lines never do."""
    image = line("w6", 10, 0.99, {"image": 0.9}, model="image", inputs=("image",))
    late, simulated = line("w8", 90, 0.99, {"all": 0.1}), line("minmax6", 5, 0.99, {"all": 0.9}, executor="keras")
    for lines, wanted in (((image, late, simulated), {"late"}), ((image, simulated), {"image"})):
        found = advice_on(*lines)
        assert found is not None and {card.line.model for card in found.cards} == wanted
    assert advice_on(simulated, line("w9", None, 0.9, {"all": 0.9})) is None


def test_without_attacks() -> None:
    """Clean accuracy decides, and the answer says so."""
    found = advice_on(line("w6", 50, 0.97, {}), line("w8", 80, 0.99, {}))
    assert found is not None
    assert found.cards[0].line.precision == "w8" and "No attack has been evaluated yet" in found.answer[1]
