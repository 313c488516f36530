"""``tinyfuse analyse``: rows that are not computed twice, a page, and one clear line for what cannot be done."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinyfuse
from tinyfuse.analyses import ANALYSES, Analysis, AnalysisSubject, Finding, Quantity
from tinyfuse.analyses.run_analyses import run_analyses
from tinyfuse.cli import main as cli
from tinyfuse.cli.analyse import settings_of
from tinyfuse.core.errors import UsageError
from tinyfuse.core.results import ResultStore
from tinyfuse.data import Dataset, Samples
from tinyfuse.report.analysed import Analysed, groups, write_page
from tinyfuse.report.figures.analyses import FIGURES

OWN = ("margins", "bounds", "shape", "projection")
FAST = {"margins": {"slope_samples": 10}, "bounds": {"slope_samples": 10},
        "shape": {"train_samples": 30, "pairs": 5, "steps": 1, "places": "features"}, "projection": {}}


@dataclass(frozen=True)
class Counted(Analysis):
    """Counts its runs and stops in the middle of the first one."""

    name = "counted"
    title = "Counted"
    quantities = (Quantity("size", "size", "", "how many", ()),)
    calls = []  # noqa: RUF012

    def run(self, subject: AnalysisSubject, samples: Samples, advance: Any) -> Iterable[Finding]:
        self.calls.append(len(samples))
        yield Finding("size", {}, float("inf"), len(samples), each=[1.0, np.nan])
        if len(self.calls) == 1:
            raise KeyboardInterrupt
        yield Finding("size", {"class": "a"}, 3, len(samples))


@pytest.fixture(scope="module")
def analysed(small_file: Path, half_known: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Analysed:
    folder = tmp_path_factory.mktemp("out")
    return tinyfuse.analyse(small_file, half_known, analyses=OWN, settings=FAST, samples=24, out=folder)


def test_an_interrupted_analysis_is_made_again_and_a_finished_one_is_not(subject: AnalysisSubject, half_known: Dataset,
                                                                         tmp_path: Path) -> None:
    Counted.calls.clear()
    samples, path = half_known.test.take(slice(6)), tmp_path / "results.jsonl"
    with pytest.raises(KeyboardInterrupt):
        run_analyses([Counted()], subject, samples, ResultStore(path))
    rows = run_analyses([Counted()], subject, samples, ResultStore(path))
    assert [row["quantity"] for row in rows] == ["size", "size", "seconds"]
    assert rows[0]["value"] is None and rows[0]["each"] == [1.0, None]
    before = path.read_bytes()
    assert run_analyses([Counted()], subject, samples, ResultStore(path)) == rows
    assert path.read_bytes() == before and len(Counted.calls) == 2
    run_analyses([Counted()], subject, half_known.test.take(slice(7)), ResultStore(path))
    assert Counted.calls[2:] == [7]


def test_every_own_analysis_leaves_rows_and_figures_on_a_page(analysed: Analysed) -> None:
    assert {row["analysis"] for row in analysed.rows} == set(OWN)
    known = {name: {one.name for one in ANALYSES[name].quantities} | {"seconds"} for name in OWN}
    assert all(row["quantity"] in known[row["analysis"]] for row in analysed.rows)
    assert analysed.page is not None
    text = analysed.page.read_text(encoding="utf-8")
    assert all(ANALYSES[name].title in text for name in OWN)
    assert text.count("<img") == sum(len(list(FIGURES[name](group))) for group in groups(analysed.rows)
                                     for name in [group[0]["analysis"]])
    assert "radius" in repr(analysed) and "estimate" in repr(analysed) and "certified" in repr(analysed)


def test_report_writes_the_page_of_analyses_again(analysed: Analysed, capsys: pytest.CaptureFixture[str]) -> None:
    """A page for bench runs would be empty: it is not written."""
    assert analysed.page is not None
    page, folder = analysed.page.read_bytes(), analysed.page.parent
    analysed.page.unlink()
    assert cli.main(["report", str(folder)]) == 0
    assert analysed.page.read_bytes() == page and not (folder / "report").exists()
    assert cli.main(["report", str(folder), "--markdown"]) == 2 and "analyses alone" in capsys.readouterr().err
    with pytest.raises(UsageError, match=r"their page is analyses\.html"):
        tinyfuse.write_report(folder)


def test_figures_are_drawn_for_a_notebook(analysed: Analysed, tmp_path: Path) -> None:
    plots = analysed.plots()
    assert {"Margins to the nearest class", "Ratio of vulnerabilities", "Samples that withstand a change of radius r",
            "Principal components of the features"} <= set(plots)
    assert next(iter(plots.values())).save(tmp_path / "one.png").stat().st_size > 1000


def test_names_from_outside_cannot_change_the_page(analysed: Analysed, tmp_path: Path) -> None:
    evil = [{**row, "model": "<b>x</b>", "of": dict.fromkeys(row["of"], "<script>")} for row in analysed.rows
            if row["analysis"] == "bounds" and row["quantity"] != "radius"]
    text = write_page(evil, tmp_path).read_text(encoding="utf-8")
    assert "<b>x" not in text and "&lt;script&gt;" in text and text.count("<script>") == 1


def test_the_command_prints_rows_as_json(small_file: Path, monkeypatch: pytest.MonkeyPatch, half_known: Dataset,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("tinyfuse.cli.analyse.load_from", lambda args: half_known)
    assert cli.main(["analyse", str(small_file), "--analyses", "margins", "--samples", "9", "--set",
                     "margins.slope_samples=5", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows[-1]["quantity"] == "seconds" and rows[0]["settings"] == {"slope_samples": 5}
    assert {row["n"] for row in rows if row["quantity"] == "margin" and "class" not in row["of"]} == {9}


@pytest.mark.parametrize(("words", "said"), [
    (["--analyses", "margin"], "did you mean 'margins'"),
    (["--set", "bounds.slope_sample=3"], "did you mean 'slope_samples'"),
    (["--set", "bounds.slope_samples=0"], "give at least 1"),
    (["--analyses", "margins", "--set", "bounds.slope_samples=3"], "settings of bounds, which is not among"),
    (["--set", "slope_samples=3"], "give an analysis, one of its settings"),
    (["--set", "shape.attack=pgdd"], "did you mean 'pgd'"),
    (["--set", "projection.method=umap"], "use pca or tsne"),
    (["--set", 'potency.norms=["l3"]'], "unknown norm 'l3'"),
    (["--set", "potency.norms=[]"], "give at least one"),
    (["--set", "bands.norm=l3"], "unknown norm 'l3'"),
    (["--set", "modules.largest=0"], "give more than 0"),
    (["--analyses", "margins"], "no model that can be taken here"),
])
def test_what_cannot_be_done_is_said_in_one_line(words: list[str], said: str, tmp_path: Path,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["analyse", str(tmp_path / "there.bin"), *words]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_what_a_model_lacks_is_named_or_left_out(small_file: Path, half_known: Dataset,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ANALYSES, "counted", Counted)
    monkeypatch.setattr(Counted, "needs", ("integer",))
    with pytest.raises(UsageError, match=r"counted needs an integer .tflite, which small float has not"):
        tinyfuse.analyse(small_file, half_known, analyses=["counted"], samples=4)


def test_settings_are_read_as_numbers_or_texts() -> None:
    found = settings_of(["shape.attack=universal", "shape.epsilon=0.1", "shape.pairs = 7"])
    assert found == {"shape": {"attack": "universal", "epsilon": 0.1, "pairs": 7}}
