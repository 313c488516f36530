"""The three recommended recipes follow their stated rules."""

from __future__ import annotations

from tinyfuse.report.recommend import recommendations
from tinyfuse.report.summary import SummaryRow
from tinyfuse.study.worst_case import Accuracy


def line(precision: str, packed_bytes: int | None, clean: float, robust: float | None, model: str = "late",
         executor: str = "twin", inputs: tuple[str, ...] = ("image", "audio")) -> SummaryRow:
    """A line with an interval of ± 5 points."""
    found = {} if robust is None else {"all": Accuracy(robust, robust - 0.05, robust + 0.05, 400)}
    return SummaryRow(model=model, precision=precision, seed=0, inputs=inputs, epsilon=0.1, executor=executor,
                      packed_bytes=packed_bytes, clean_integer=Accuracy(clean, clean - 0.01, clean, 400),
                      robust_integer=found)


def test_rules_by_hand() -> None:
    """Robust but inaccurate recipes and small broken ones are not recommended."""
    lines = [line("broken", 10, 0.50, 0.99), line("small", 50, 0.975, 0.30), line("middle", 60, 0.985, 0.58),
             line("best", 200, 0.995, 0.60), line("fat", 210, 0.999, 0.50)]
    found = {pick.title: pick for pick in recommendations(lines)}
    assert {title: pick.line.precision for title, pick in found.items()} == {
        "Quality": "best", "Balanced": "middle", "Compact": "small"}
    assert "1 of the 4 others lie inside" in found["Quality"].reason and "n=400" in found["Quality"].reason
    assert "99.9 %" in found["Compact"].reason


def test_fusion_first_and_integers_only() -> None:
    """A single-input model is recommended only when nothing else is there; float lines never are."""
    image, late = line("w6", 10, 0.99, 0.9, model="image", inputs=("image",)), line("w8", 90, 0.99, 0.1)
    simulated = line("minmax6", 5, 0.99, 0.9, executor="keras")
    assert {pick.line.model for pick in recommendations([image, late, simulated])} == {"late"}
    assert {pick.line.model for pick in recommendations([image, simulated])} == {"image"}
    assert recommendations([simulated, line("w9", None, 0.9, 0.9)]) == []


def test_without_attacks() -> None:
    """Clean accuracy decides, and the reason says so."""
    found = recommendations([line("w6", 50, 0.97, None), line("w8", 80, 0.99, None)])
    assert found[0].line.precision == "w8" and "no attack" in found[0].reason
