"""The notebook of the documents: its cells run one after the other, and what they end with can be shown."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs/tour.ipynb"


def cells(kind: str) -> list[str]:
    found = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] == kind]


def shown(text: str, names: dict[str, Any]) -> Any:
    """Run one cell; the value of its last expression, as a notebook shows it."""
    tree = ast.parse(text)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if isinstance(last, ast.Expr) else None


def test_every_cell_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    values = [shown(cell, names) for cell in cells("code")]
    assert len(values) > 8
    for value in values:
        assert value is None or len(repr(value)) < 3000
        for form in ("_repr_html_", "_repr_svg_"):
            assert not hasattr(value, form) or getattr(value, form)().startswith("<")
    assert names["same"].differences[0].differing == 0 and len(names["table"]) == len(names["found"].rows)


def test_it_is_stored_without_outputs_and_is_linked() -> None:
    stored = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert stored["nbformat"] == 4 and not any(cell.get("outputs") for cell in stored["cells"])
    assert "(tour.ipynb)" in NOTEBOOK.with_name("notebook.md").read_text(encoding="utf-8")
