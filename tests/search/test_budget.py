"""Budgets are read strictly."""

from __future__ import annotations

import pytest

from tinyfuse.core.errors import UsageError
from tinyfuse.search.budget import MOST_TEXT, RESOURCES, parse_budget


@pytest.mark.parametrize(("text", "limits"), [
    ("flash=60kB", {"flash": 60_000}),
    ("flash=60KiB,ram=24 kib", {"flash": 61_440, "ram": 24_576}),
    (" flash = 91890 ", {"flash": 91_890}),
    ("instructions=19.5M, macs=17m", {"instructions": 19_500_000, "macs": 17_000_000}),
    (["flash=1MB", "ram=1000b"], {"flash": 1_000_000, "ram": 1000}),
    ("flash=0.0625MiB", {"flash": 65_536}),
])
def test_sizes(text: str | list[str], limits: dict[str, int]) -> None:
    assert dict(parse_budget(text).limits) == limits


@pytest.mark.parametrize(("text", "message"), [
    ("flsh=60kB", "did you mean 'flash'"), ("flash=60M", "no unit of flash"), ("macs=3kB", "no unit of macs"),
    ("flash", "not a budget"), ("flash=-3", "not a budget"), ("flash=1e9", "not a budget"), ("", "not a budget"),
    ("flash=0", "leaves nothing"), ("flash=1,flash=2", "twice"), ("flash=0.3", "leaves nothing"),
    ("flash=" + "9" * 30, "not a budget"), ("flash=\u0666\u0660kB", "not a budget"),
])
def test_bad_budgets(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_budget(text)


def test_the_text_is_a_file_name_and_what_exceeds_is_said() -> None:
    budget = parse_budget("flash=60kB,ram=20KiB")
    assert budget.text == "flash60kB-ram20KiB"
    assert parse_budget("flash =\t60 kB").text == "flash60kB"
    assert len(parse_budget(",".join(f"{name}=999999999999" for name in RESOURCES)).text) <= MOST_TEXT
    assert budget.exceeded({"flash": 60_001, "ram": 20_480}) == ["flash 60001 of 60000"]
    assert budget.exceeded({"flash": 60_000, "ram": None}) == []
