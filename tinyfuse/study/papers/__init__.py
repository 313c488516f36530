"""The studies by name, one file for each paper."""

from __future__ import annotations

from tinyfuse.core.errors import UsageError, nearest
from tinyfuse.study.papers.crmt2024 import CRMT2024
from tinyfuse.study.papers.li2021 import LI2021
from tinyfuse.study.papers.li2022 import LI2022
from tinyfuse.study.papers.nakano2024 import NAKANO2024
from tinyfuse.study.papers.paper import Paper
from tinyfuse.study.papers.tian2021 import TIAN2021

STUDIES: dict[str, Paper] = {one.name: one for one in (NAKANO2024, CRMT2024, LI2022, LI2021, TIAN2021)}


def study_of(name: str) -> Paper:
    """Return the study called ``name``; UsageError if there is none."""
    if name not in STUDIES:
        raise UsageError(f"unknown study '{name}'{nearest(name, STUDIES)}; choose one of {', '.join(STUDIES)}")
    return STUDIES[name]
