"""What the documents train is thin and pages show no pictures: their tests are about words and commands."""

from __future__ import annotations

import pytest
from thin import thin_trunk

from tinyfuse.nn.zoo import resnet8


@pytest.fixture(autouse=True)
def _thin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resnet8, "trunk", thin_trunk)
    monkeypatch.setattr("tinyfuse.report.page.to_svg", lambda figure: "<svg></svg>")
