"""The page of a study: its verdicts first, then the paper's figures drawn again, float and integers side by side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tinyfuse.core.errors import DataError
from tinyfuse.core.files import write_text
from tinyfuse.core.provenance import read_run
from tinyfuse.core.results import Row
from tinyfuse.core.statistics import Effect
from tinyfuse.report.analysed import figures, groups
from tinyfuse.report.figures.study_curves import points_of, study_figure
from tinyfuse.report.page import page_text, picture
from tinyfuse.study.papers import study_of
from tinyfuse.study.papers.claims import Claim, integers
from tinyfuse.study.papers.paper import Figure, Paper
from tinyfuse.study.papers.run_study import evidence_in, read_folder
from tinyfuse.study.papers.verdicts import Evidence, Judgement, judge

WIDTHS = (9, 8, 7, 6)
PAGE = Path("report", "index.html")
_NONE = "–"


def judged(paper: Paper, evidence: Evidence) -> dict[str, dict[str, Judgement]]:
    """Judge every claim on the paper's float networks (""), and on the integers of each width, by its name."""
    families: dict[str, list[Claim]] = {"": list(paper.claims)}
    measured = {row["precision"] for row in evidence.rows if row["kind"] == "attack"}
    for bits in WIDTHS:
        if integers(bits) in measured:
            families[integers(bits)] = [one for claim in paper.claims if (one := claim.deployed(bits))]
    found: dict[str, dict[str, Judgement]] = {claim.name: {} for claim in paper.claims}
    for family, claims in families.items():
        for verdict in judge(claims, evidence, paper.trainings_needed):
            found[verdict.claim.name][family] = verdict
    return found


def verdict_table(folder: str | Path) -> list[dict[str, Any]]:
    """Return the verdicts of a study as plain values; of a smoke run there are none."""
    about, evidence = read_folder(folder), evidence_in(Path(folder))
    paper = study_of(about.study)
    if about.quick:
        return []
    return [{"claim": name, "statement": of[""].claim.statement, "place": of[""].claim.place,
             "sha256": of[""].claim.sha256,
             "verdicts": {family or "float": {"verdict": one.verdict, "p": one.p, "reason": one.reason,
                                              "effects": [_effect(effect) for effect in one.effects],
                                              "contrasts": [each.text for each in one.claim.contrasts]}
                          for family, one in of.items()}} for name, of in judged(paper, evidence).items()]


def verdict_lines(folder: str | Path) -> list[str]:
    """Put each verdict of a study in a line; of a smoke run say that it decides nothing."""
    about, evidence = read_folder(folder), evidence_in(Path(folder))
    if about.quick:
        return [f"{about.study} --quick: {sum(row['kind'] == 'attack' for row in evidence.rows)} rows of attacks; a "
                "smoke run judges no claim"]
    found = judged(study_of(about.study), evidence)
    return [f"{name}: {of[''].verdict}{_deciding(of[''])}" + "".join(
        f"; {family}: {one.verdict}{_deciding(one)}" for family, one in of.items() if family)
        for name, of in found.items()]


def render_study(folder: str | Path) -> Path:
    """Write the page of a study, finished or not; return its path."""
    path = Path(folder) / PAGE
    write_text(path, render_text(Path(folder)))
    return path


def render_text(folder: Path) -> str:
    """Return the page as HTML text."""
    about, evidence = read_folder(folder), evidence_in(folder)
    paper = study_of(about.study)
    try:
        facts = read_run(folder / "run.json")
    except (DataError, OSError):
        facts = None
    families = judged(paper, evidence) if not about.quick else {}
    return page_text(
        "study.html.j2", paper=paper, about=about, facts=facts, seeds=evidence.seeds, n=len(evidence.groups),
        groups=len(set(evidence.groups.tolist())), claims=[_claim(of) for of in families.values()],
        columns=list(dict.fromkeys(family for of in families.values() for family in of if family)),
        changed=_changed(paper, evidence), trained=_trained(paper, evidence), figures=[*_figures(paper, evidence)],
        analyses=[*_analyses(evidence)], failed=_failed(evidence), parity=_parity(evidence))


def _claim(of: dict[str, Judgement]) -> dict[str, Any]:
    first = of[""]
    rows = [[contrast.text, *(_by_text(of, family, contrast.text, place) for family in of)]
            for place, contrast in enumerate(first.claim.contrasts)]
    return {"claim": first.claim, "paper": _cell(first), "beside": {name: _cell(one) for name, one in of.items()
                                                                    if name},
            "head": ["contrast, percentage points", "float, as in the paper", *(name for name in of if name)],
            "rows": rows}


def _by_text(of: dict[str, Judgement], family: str, text: str, place: int) -> str:
    one = of[family]
    found = next((effect for contrast, effect in zip(one.claim.contrasts, one.effects, strict=True)
                  if contrast.text == text), None)
    return _points(found)


def _cell(one: Judgement) -> dict[str, str]:
    kind = {"holds": "good", "does not hold": "bad"}.get(one.verdict, "open")
    return {"verdict": one.verdict, "kind": kind, "effect": _points(one.effects[one.weakest]), "reason": one.reason,
            "p": f"p = {one.p:.2g}" if one.p < 1 else ""}


def _deciding(one: Judgement) -> str:
    text = _points(one.effects[one.weakest])
    return (f" ({text})" if text != _NONE else "") + (f" [{one.reason}]" if one.reason else "")


def _points(one: Effect | None) -> str:
    """Write an effect in percentage points with its interval."""
    return _NONE if one is None else f"{100 * one.value:+.1f} ({100 * one.low:+.1f} to {100 * one.high:+.1f})"


def _effect(one: Effect | None) -> dict[str, float] | None:
    return None if one is None else {"value": one.value, "low": one.low, "high": one.high, "n": one.n,
                                     "trainings": one.trainings}


def _changed(paper: Paper, evidence: Evidence) -> list[str]:
    """Name the claims that are not the ones that were written down before the run."""
    before = {row["claim"]: row["sha256"] for row in evidence.rows if row["kind"] == "claim"}
    return [claim.name for claim in paper.claims if before.get(claim.name) != claim.sha256]


def _figures(paper: Paper, evidence: Evidence) -> Iterator[dict[str, Any]]:
    for wanted in paper.figures:
        drawn = study_figure(evidence, wanted)
        for one in picture(drawn, "study", [_numbers(evidence, wanted)] if drawn else ()):
            yield {**one, "place": wanted.place[:1].upper() + wanted.place[1:], "title": wanted.title,
                   "expected": wanted.expected, "missing": _missing(evidence, wanted)}


def _trained(paper: Paper, evidence: Evidence) -> list[str]:
    """Name the trainings of the study that there are rows of."""
    known = {row["model"] for row in evidence.rows if row["kind"] != "claim"}
    return [one.name for one in paper.trainings if one.name in known]


def _missing(evidence: Evidence, wanted: Figure) -> str:
    """Name the panels of a figure that nothing was measured for, and the lines that are in none."""
    panels = {panel.title: {label for label, side in panel.lines.items() if evidence.values(side)}
              for row in wanted.rows for panel in row}
    known = set().union(*panels.values())
    lines = dict.fromkeys(label for row in wanted.rows for panel in row for label in panel.lines if label not in known)
    return "; ".join([*(title for title, found in panels.items() if not found), *lines])


def _analyses(evidence: Evidence) -> Iterator[dict[str, Any]]:
    """Yield the pictures of the analyses of the first training."""
    found = [row for row in evidence.rows if row["kind"] == "analysis"]
    first = min((row["seed"] for row in found), default=0)
    for group in groups([row for row in found if row["seed"] == first]):
        name = f"{group[0]['model']}, {group[0]['analysis']}"
        for plot in figures(group):
            for one in picture(plot.figure, "analysis"):
                yield {**one, "title": f"{name}: {plot.title}", "caption": plot.caption, "seed": first}


def _numbers(evidence: Evidence, wanted: Figure) -> dict[str, Any]:
    """Return the table of a figure: a row for each line, a column for each budget."""
    scale, digits = (1, 2) if wanted.ratio else (100, 1)
    tracks = [(panel.title, label, {point[0]: point[1:] for point in points_of(evidence, side)})
              for row in wanted.rows for panel in row for label, side in panel.lines.items()]
    budgets = sorted({epsilon for *_, track in tracks for epsilon in track})

    def cell(track: dict[float, Any], epsilon: float) -> str:
        if epsilon not in track:
            return _NONE
        value, low, high = track[epsilon]
        return f"{scale * value:.{digits}f} ({scale * max(low, 0):.{digits}f} to {scale * high:.{digits}f})"

    return {"title": "Numbers" + ("" if wanted.ratio else ", %"), "texts": 2,
            "head": ["panel", "line", *(f"ε = {epsilon:g}" for epsilon in budgets)],
            "rows": [[title, label, *(cell(track, epsilon) for epsilon in budgets)]
                     for title, label, track in tracks if track]}


def _failed(evidence: Evidence) -> list[Row]:
    """Return the failures that no rows of the same subject follow: those of the others were mended since."""
    last = {(row["model"], row["precision"], row["seed"]): place for place, row in enumerate(evidence.rows)
            if row["kind"] == "attack"}
    return [row for place, row in enumerate(evidence.rows) if row["kind"] == "failed" and
            last.get((row["model"], row["precision"], row["seed"]), -1) < place]


def _parity(evidence: Evidence) -> tuple[int, int]:
    rows = [row for row in evidence.rows if row["kind"] == "parity"]
    return sum(row["values"] for row in rows), sum(row["differing"] for row in rows)
