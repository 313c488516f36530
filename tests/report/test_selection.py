"""The page of a selection: every part of it, hostile and damaged files, networks with one input."""

from __future__ import annotations

import base64
import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from pages import HOSTILE, Page, write_rows

from tinyfuse.checks.run_checks import Flag
from tinyfuse.cli import main as cli
from tinyfuse.core.errors import DataError
from tinyfuse.core.results import Row
from tinyfuse.core.strict import encode
from tinyfuse.quantize.folded_layers import FoldedLayer
from tinyfuse.quantize.recipe import Recipe, uniform
from tinyfuse.report.figures.heatmaps import grid_cells
from tinyfuse.report.figures.trials import front_figure, sort_of
from tinyfuse.report.notebook import ChosenBits
from tinyfuse.report.selection import render_selection, selection_markdown
from tinyfuse.search.candidates import grid, mixed
from tinyfuse.search.criteria import CRITERIA
from tinyfuse.search.groups import parts_of, units_of, widths_of
from tinyfuse.search.rank import Judged, compare
from tinyfuse.search.record import (
    DataName,
    Figures,
    SelectionRecord,
    Sensitivity,
    Trial,
    UnitBits,
    read_selection,
)
from tinyfuse.search.settings import QUICK
from tinyfuse.study.worst_case import accuracy_of
from tinyfuse.threats.modes import modes_of

Change = Callable[[dict[str, Any]], None]
SETTINGS = QUICK.changed(trial_samples=20, final_samples=40, test_samples=40)
INPUTS = ("image", "audio")


def layers(branches: tuple[str, ...]) -> list[FoldedLayer]:
    """Two layers of each branch."""
    return [FoldedLayer(f"{branch}_{name}", np.ones((4, 3, 3, 2 + number)), np.zeros(4), ((branch, 2 + number),))
            for branch in branches for number, name in enumerate(("conv1", "conv2"))]


def correct(share: float, n: int) -> np.ndarray:
    """Bool [n] with this share of true values."""
    return np.arange(n) < round(share * n)


def judged(name: str, share: float, flash: int, n: int, inputs: tuple[str, ...]) -> Judged:
    """A recipe whose accuracy under attack is ``share``."""
    needs = {"flash": flash, "macs": 9_000_000, "ram": 19_000, "firmware flash": 50_000, "instructions": 11_000_000}
    robust = {mode: correct(share - 0.1 * place, n) for place, mode in enumerate(modes_of(inputs))}
    flag = Flag("N", "W", "m", name, 0, "the interval spans 27 points")
    return Judged(name, correct(0.99, 100), robust, needs, (flag,))


def figures(one: Judged) -> dict[str, Any]:
    """What a record holds of it."""
    return {"name": one.name, "needs": one.needs, "clean": accuracy_of(one.clean), "weakest": one.weakest,
            "robust": {mode: accuracy_of(share) for mode, share in one.robust.items()}, "flags": one.flags}


def record(inputs: tuple[str, ...] = INPUTS, granularity: str = "layer") -> dict[str, Any]:
    """What `tinyfuse select` writes, from made-up measurements."""
    branches = (*inputs, "shared") if len(inputs) > 1 else inputs
    settings = SETTINGS.changed(granularity=granularity)
    parts, units = parts_of(layers(branches)), units_of(layers(branches), granularity, inputs)
    best = mixed(units, {unit.name: 4 + 2 * (place == 0) for place, unit in enumerate(units)}, ())
    recipes = [best, uniform(4), *(grid(branches, (6, 8), ()) if len(inputs) > 1 else [uniform(8)])]
    sources = {best.name: ("robust 1", "kl 2"), "w4": ("uniform",)}
    trials = tuple(Trial(
        **figures(judged(recipe.name, 0.5 + 0.05 * (place % 7), 40_000 + 2_000 * place, 20, inputs)), recipe=recipe,
        sources=sources.get(recipe.name, ("grid",)), front=place == 0,
        exceeded=("flash",) if 40_000 + 2_000 * place > 45_000 else ()) for place, recipe in enumerate(recipes))
    finals = [judged(best.name, 0.9, 40_000, 40, inputs), judged("w8", 0.8, 80_000, 40, inputs)]
    compared = tuple(compare(finals[0], finals[1], what) for what in ("clean", *modes_of(inputs)))
    costs = tuple(tuple(8.0 - bits for bits in settings.widths) for _ in parts)
    chosen = Recipe("robust-flash45kB", best.weights, best.layers)
    found = SelectionRecord(
        model="late" if len(inputs) > 1 else inputs[0], network="ab" * 32, training_seed=7, inputs=inputs,
        data=DataName("embedded", "official", "data0"), settings=settings, budget={"flash": 45_000},
        chosen=chosen.name, recipe=chosen, file="late__robust-flash45kB.tflite",
        units=tuple(UnitBits(unit.name, unit.branch, unit.weights, widths_of(units, chosen)[unit.name])
                    for unit in units),
        sensitivity=Sensitivity(parts=tuple(part.name for part in parts), branches=tuple(part.branch for part in parts),
                                widths=settings.widths, costs=dict.fromkeys(CRITERIA, costs), meaning=CRITERIA,
                                samples=40, attacked_samples=10, curvature_samples=30),
        trials=trials, validation=tuple(Figures(**figures(one)) for one in finals),
        test=tuple(Figures(**figures(one)) for one in finals), comparisons={"validation": compared, "test": compared},
        reasons=("Chosen: because of reasons.",))
    return json.loads(json.dumps(encode(found)))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    """The selection of a network with two inputs."""
    return record()


def write(folder: Path, table: dict[str, Any]) -> Path:
    """A folder with this selection.json."""
    folder.mkdir(exist_ok=True)
    (folder / "selection.json").write_text(json.dumps(table), encoding="utf-8")
    return folder


def read(folder: Path, table: dict[str, Any]) -> SelectionRecord:
    """The selection as the report reads it."""
    return read_selection(write(folder, table) / "selection.json")


def judge(run: Path, rows: list[Row], name: str, differing: int = 0) -> None:
    """Clean and parity rows of a recipe ``name`` in the run folder of one part."""
    mine = [row for row in rows if (row["model"], row.get("precision")) == ("late", "w8") and
            row["kind"] in ("clean", "parity") and row.get("executor") != "litert"]
    changes = {"clean": {}, "parity": {"differing": differing}}
    write_rows(run / "results.jsonl", ({**row, "key": f"{name} {row['kind']}", "precision": name,
                                        **changes[row["kind"]]} for row in mine))


def pictures(page: Page) -> list[str]:
    """The figures as SVG."""
    return [base64.b64decode((image["src"] or "").split(",")[1]).decode() for image in page.attributes("img")]


@pytest.fixture(scope="module")
def html(made: dict[str, Any], rows: list[Row], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page, with rows of the finalists on test samples."""
    folder = write(tmp_path_factory.mktemp("selection"), made)
    judge(folder / "test", rows, made["validation"][0]["name"])
    judge(folder / "test", rows, "w3", differing=5)
    return render_selection(folder).read_text(encoding="utf-8")


def test_every_part_is_there_in_order(html: str, made: dict[str, Any]) -> None:
    """Headings, figures, facts, and the numbers of the finalists."""
    page = Page(html)
    anchors = [attributes["id"] for attributes in page.attributes("h2")]
    assert anchors == ["answer", "chosen", "bits", "front", "sensitivity", "grid", "trials", "method"]
    assert len(page.attributes("img")) == 4
    for needed in ("late, abababababab, training seed 7", "flash 45,000 (bytes of packed weights", "ε = 0.03", "L∞",
                   "embedded, official split", "Chosen: because of reasons.", "40,000", "90.0 (76.9 to 96.0)", "n/m",
                   "same 8-bit input grid", "McNemar", "robust 1, kl 2", "winner's curse", "over: flash",
                   "Sums of costs", "twin and TFLite Micro: 1 model, 300 adversarial inputs",
                   "N Warning", made["validation"][0]["name"], "40 training samples, and 10 drawn anew",
                   "trials: 20 held-out samples; finalists: 40", "Not checked on test samples",
                   "layers that inputs share :",
                   "% stay right (95 % interval"):
        assert needed in page.text, needed


def test_rows_of_what_is_not_shown_do_not_matter(html: str) -> None:
    """A rejected recipe, whose codes differ, is in the same folder."""
    assert "Do not use these figures" not in html and "5 of" not in Page(html).text


def test_nothing_is_loaded_and_figures_are_drawings(html: str) -> None:
    """Data images only, one script that the policy names, every drawing well-formed."""
    page = Page(html)
    assert len(page.attributes("script")) == 1 and "script-src 'sha256-" in html
    assert not {"link", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in page.tags}
    assert not re.search(r"url\(|@import|https?://", html)
    for svg in pictures(page):
        ElementTree.fromstring(svg)
        assert "mathdefault" not in svg and not re.findall(r'href="(?!#|data:image/png)', svg)


def test_a_differing_code_is_said_first(made: dict[str, Any], rows: list[Row], tmp_path: Path) -> None:
    """The chosen recipe's twin is not TFLite Micro: a banner, and no claim of equality."""
    folder = write(tmp_path, made)
    judge(folder / "validation", rows, made["validation"][0]["name"], differing=5)
    text = Page(render_selection(folder).read_text(encoding="utf-8")).text
    assert "Do not use these figures" in text and "NOT TFLite Micro" in text


def test_names_are_escaped(made: dict[str, Any], tmp_path: Path) -> None:
    """Markup in every text that a file may bring, on the page and in the drawings."""
    table = copy.deepcopy(made)
    table["model"] = table["chosen"] = table["file"] = table["data"]["name"] = HOSTILE
    table["reasons"], table["units"][0]["name"] = [HOSTILE], HOSTILE
    table["sensitivity"]["parts"][0] = table["trials"][0]["name"] = table["validation"][0]["name"] = HOSTILE
    table["trials"][0]["sources"] = table["trials"][0]["exceeded"] = [HOSTILE]
    table["test"][0]["flags"] = [{**table["test"][0]["flags"][0], "code": HOSTILE, "level": "E", "text": HOSTILE}]
    table["comparisons"]["test"][0].update(b=HOSTILE, what=HOSTILE)
    for names in ("costs", "meaning"):
        table["sensitivity"][names] = {HOSTILE if name == "kl" else name: value
                                       for name, value in table["sensitivity"][names].items()}
    html = render_selection(write(tmp_path, table)).read_text(encoding="utf-8")
    page = Page(html)
    assert len(page.attributes("script")) == 1 and len(page.attributes("img")) == 4
    assert not any("onerror" in attributes for _, attributes in page.tags) and "{{ 7*7 }}" in page.text
    for svg in pictures(page):
        assert not {"script", "img"} & {node.tag.rpartition("}")[2] for node in ElementTree.fromstring(svg).iter()}


def _set(*path: Any) -> Change:
    """A change that sets the entry at ``path`` to its last item."""
    *way, last, value = path

    def change(table: dict[str, Any]) -> None:
        place: Any = table
        for step in way:
            place = place[step]
        place[last] = value
    return change


@pytest.mark.parametrize(("change", "words"), [
    (lambda table: table.pop("units"), "key 'units' is missing"),
    (_set("units", []), "units: nothing there"),
    (_set("units", 0, "bits", 77), "77 bits"),
    (_set("units", 0, "branch", "video"), "branch 'video'"),
    (_set("units", 0, "weights", True), "weights is True; expected a whole number"),
    (_set("units", 0, "weights", 10**4000), "beyond"),
    (_set("settings", "objective", "speed"), "one of 'robust', 'clean'"),
    (_set("settings", "epsilon", float("nan")), "not valid JSON"),
    (_set("settings", "widths", "2-9"), "'2-9'; expected a list"),
    (_set("trials", 3, "recipe", "weights", {"image": 6}), "without 'shared'"),
    (_set("trials", 3, "clean", "value", 1.5), "no accuracy with its interval"),
    (_set("trials", 3, "clean", "n", 0), "no accuracy with its interval"),
    (_set("trials", 3, "needs", {}), "packed bytes"),
    (_set("trials", 3, "weakest", "smell"), "no accuracy under attack"),
    (_set("validation", 0, "flags", 0, "level", "?"), "a flag of no known level"),
    (_set("comparisons", {}), "none on validation samples"),
    (_set("sensitivity", "costs", "kl", 0, [1.0]), "'kl' has not one cost"),
    (_set("sensitivity", "costs", "kl", 0, 0, -1.0), "below 0"),
    (_set("sensitivity", "meaning", {}), "meaning of"),
    (_set("sensitivity", "branches", ["image"]), "belongs to one branch"),
    (_set("reasons", ["a\nb"]), "control characters"),
    (_set("model", "\ud800"), "not valid Unicode"),
])
def test_damage_is_one_line(made: dict[str, Any], tmp_path: Path, change: Change, words: str) -> None:
    """What is missing, of another type or absurd."""
    table = copy.deepcopy(made)
    change(table)
    with pytest.raises(DataError) as caught:
        read(tmp_path, table)
    assert words in str(caught.value) and "\n" not in str(caught.value) and "selection.json" in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b"1" * 9000])
def test_what_is_no_selection_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes) -> None:
    """Through the command line: exit code 1 and no traceback."""
    (tmp_path / "selection.json").write_bytes(data)
    assert cli.main(["report", str(tmp_path)]) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1 and not (tmp_path / "report").exists()


def test_an_unknown_name_is_damage(made: dict[str, Any], tmp_path: Path) -> None:
    """Nothing that a file says is left out in silence."""
    table = copy.deepcopy(made)
    table["trials"][0]["further"] = [1]
    with pytest.raises(DataError, match="unknown key 'further'"):
        read(tmp_path, table)


def test_one_input_has_no_grid(tmp_path: Path) -> None:
    """Three figures, a sentence, and no columns of the other modality."""
    page = Page(render_selection(write(tmp_path, record(("audio",)))).read_text(encoding="utf-8"))
    assert len(page.attributes("img")) == 3 and "a network with one input has no widths" in page.text
    assert "image attacked" not in page.text and "audio attacked" in page.text


def test_one_width_for_each_modality(tmp_path: Path) -> None:
    """Units are branches, sensitivities are still those of layers; the chosen widths are framed there."""
    found = read(tmp_path, record(granularity="modality"))
    assert [unit.name for unit in found.units] == [*INPUTS, "shared"] and len(found.sensitivity.parts) == 6
    assert "Bits by modality" in Page(render_selection(tmp_path).read_text(encoding="utf-8")).text


def test_the_grid_has_every_combination_once(made: dict[str, Any], tmp_path: Path) -> None:
    """Eight cells of two widths; a recipe with rules for layers is none."""
    cells = grid_cells(read(tmp_path, made))
    assert set(cells) == {(i, a, s) for i in (6, 8) for a in (6, 8) for s in (6, 8)}
    assert cells[8, 8, 8].name == "w8" and cells[6, 8, 6].name == "image6-audio8-shared6"


def test_the_front_figure_tells_sorts_apart(made: dict[str, Any], tmp_path: Path) -> None:
    """Chosen, one width, grid; the front does not fall; the budget of flash is drawn."""
    found = read(tmp_path, made)
    sorts = {trial.name: sort_of(trial, found.best.name).text for trial in found.trials}
    assert sorts[found.best.name] == "chosen" and sorts["w4"] == sorts["w8"] == "one width everywhere"
    assert sorts["image6-audio8-shared6"] == "grid of widths by input"
    figure = front_figure(found)
    for panel in figure.axes:
        step = next(line for line in panel.lines if line.get_drawstyle() == "steps-post")
        assert np.all(np.diff(np.asarray(step.get_ydata())) >= 0)
        assert any(list(line.get_xdata()) == [45_000 / 1024] * 2 for line in panel.lines)


def test_markdown_has_the_tables(made: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Through the command line; what the numbers are stands above them."""
    folder = write(tmp_path, made)
    assert cli.main(["report", str(folder), "--markdown"]) == 0
    text = capsys.readouterr().out
    assert text == selection_markdown(folder)
    assert "training seed 7" in text and "90.0 (76.9 to 96.0)" in text and len(re.findall("^[|] ---", text, re.M)) == 5
    assert len({line.count("|") for line in text.splitlines() if line.startswith("| image")}) == 1


def test_the_budget_of_attacks_is_not_a_choice(made: dict[str, Any], tmp_path: Path,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    """A selection was made at one epsilon."""
    assert cli.main(["report", str(write(tmp_path, made)), "--epsilon", "0.1"]) == 2
    assert "one epsilon" in capsys.readouterr().err


def test_a_selection_shows_itself(made: dict[str, Any], tmp_path: Path) -> None:
    """In a notebook: the reasons, a line for each trial, the widths as a figure."""
    (tmp_path / "selection.json").write_text(json.dumps(made))
    found = read_selection(tmp_path / "selection.json")
    shown = ChosenBits(found, found.recipe, tmp_path / found.file)
    assert "because of reasons" in repr(shown) and shown.plot()._repr_svg_().startswith("<svg")
    table = shown.to_frame()
    assert len(table) == len(found.trials) and table["chosen"].sum() == 1
    assert {"needs.flash", "clean", "robust.all"} <= set(table.columns)
