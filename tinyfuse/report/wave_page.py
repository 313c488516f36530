"""The page of a folder that holds attacks on recordings and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tinyfuse.core.files import write_text
from tinyfuse.core.results import Row
from tinyfuse.report.page import page_text
from tinyfuse.report.waves import wave_section

PAGE = "waves.html"


def write_page(rows: Sequence[Row], folder: str | Path) -> Path:
    """Write ``waves.html`` into ``folder``; return its path."""
    path = Path(folder) / PAGE
    write_text(path, page_text("waves.html.j2", found=wave_section(rows, folder)))
    return path
