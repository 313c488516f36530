"""The page of a selection: every part of it, hostile and damaged files, networks with one input."""

from __future__ import annotations

import base64
import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from pages import HOSTILE, Page

from tinyfuse.checks.run_checks import Flag
from tinyfuse.cli import main as cli
from tinyfuse.core.errors import DataError
from tinyfuse.core.results import ResultStore, Row, pack_survivors
from tinyfuse.quantize.folded_layers import FoldedLayer
from tinyfuse.quantize.recipe import Precision, precision
from tinyfuse.report.selection import render_selection, selection_markdown
from tinyfuse.report.selection_cost import front_figure, sort_of
from tinyfuse.report.selection_file import SelectionFile, read_selection
from tinyfuse.report.selection_maps import grid_cells
from tinyfuse.search.budget import Budget
from tinyfuse.search.candidates import Candidate, grid, mixed
from tinyfuse.search.criteria import Evidence
from tinyfuse.search.groups import parts_of, units_of
from tinyfuse.search.promote import tried
from tinyfuse.search.rank import Judged, compare
from tinyfuse.search.record import to_json
from tinyfuse.search.select import Selection
from tinyfuse.search.settings import QUICK
from tinyfuse.search.study import recipe_json

Change = Callable[[dict[str, Any]], None]
SETTINGS = QUICK.changed(trial_pairs=20, final_pairs=40, test_pairs=40)
BRANCHES = ("image", "audio", "shared")


def layers(branches: tuple[str, ...]) -> list[FoldedLayer]:
    """Two layers of each branch."""
    return [FoldedLayer(f"{branch}_{name}", np.ones((4, 3, 3, 2 + number)), np.zeros(4), ((branch, 2 + number),))
            for branch in branches for number, name in enumerate(("conv1", "conv2"))]


def correct(share: float, n: int) -> np.ndarray:
    """Bool [n] with this share of true values."""
    return np.arange(n) < round(share * n)


def judged(name: str, share: float, flash: int, n: int, modes: tuple[str, ...]) -> Judged:
    """A recipe whose accuracy under attack is ``share``."""
    needs = {"flash": flash, "macs": 9_000_000, "ram": 19_000, "firmware flash": 50_000, "firmware ram": None,
             "instructions": 11_000_000}
    robust = {mode: correct(share - 0.1 * place, n) for place, mode in enumerate(modes)}
    flag = Flag("N", "W", "m", name, 0, "the interval spans 27 points")
    return Judged(name, correct(0.99, 100), robust, needs, (flag,))


def trial(recipe: Precision, flash: int, share: float, modes: tuple[str, ...]) -> Row:
    """A trial row of 20 pairs."""
    survivors = {f"survivors_{mode}": pack_survivors(correct(share, 20)) if mode in ("clean", *modes) else None
                 for mode in ("clean", "image", "audio", "both")}
    return {"kind": "trial", "key": "0", "precision": recipe.name, "recipe": recipe_json(recipe), "n": 20,
            "packed_bytes": flash, "ram_bytes": 19_000, "macs": 9_000_000, **survivors}


def record(branches: tuple[str, ...] = BRANCHES, granularity: str = "layer") -> dict[str, Any]:
    """What `tinyfuse select` writes, from made-up measurements; one branch: a network with one input."""
    modes = ("image", "audio", "both") if len(branches) > 1 else branches
    settings = SETTINGS.changed(granularity=granularity)
    parts, units = parts_of(layers(branches)), units_of(layers(branches), granularity)
    rows = {("", 8): 0.0, **{(part.name, bits): 8.0 - bits for part in parts for bits in settings.widths if bits < 8}}
    sensitivity = {place: {"mse": cost, "kl": cost, "cosine": cost, "margin": cost, "attacked_image": cost,
                           "attacked_audio": None, "n": 40, "attacked": 10} for place, cost in rows.items()}
    curvature = {part.name: {"trace": 0.5, "weights": part.weights, "n": 30} for part in parts}
    errors = {(part.name, bits): 4.0**-bits for part in parts for bits in settings.widths}
    best = mixed(units, {unit.name: 4 + 2 * (place == 0) for place, unit in enumerate(units)}, ())
    recipes = [best, precision("w4"), *(grid(branches, (6, 8), ()) if len(branches) > 1 else [precision("w8")])]
    trials = {recipe.name: tried(trial(recipe, 40_000 + 2_000 * place, 0.5 + 0.05 * (place % 7), modes))
              for place, recipe in enumerate(recipes)}
    sources = {best.name: ("robust 1", "kl 2"), "w4": ("uniform",)}
    candidates = {recipe.name: Candidate(recipe, sources.get(recipe.name, ("grid",))) for recipe in recipes}
    finals = [judged(best.name, 0.9, 40_000, 40, modes), judged("w8", 0.8, 80_000, 40, modes)]
    compared = [compare(finals[0], finals[1], what) for what in ("clean", *modes)]
    study = SimpleNamespace(
        network=SimpleNamespace(name="late" if len(branches) > 1 else branches[0], sha256="ab" * 32), seed=7,
        settings=settings, units=units, parts=parts,
        dataset=SimpleNamespace(name="embedded", split="official", checksum="data0"))
    chosen = Precision("robust-flash45kB", best.image, best.audio, best.shared, best.layers)
    found = Selection(study, Budget({"flash": 45_000}, "flash45kB"),  # type: ignore[arg-type]
                      Evidence(sensitivity, curvature, errors), candidates, trials, finals, finals,
                      {"validation": compared, "test": compared}, ["Chosen: because of reasons."], chosen,
                      Path("late__robust-flash45kB.tflite"))
    return json.loads(json.dumps(to_json(found)))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    """The selection of a network with two inputs."""
    return record()


def write(folder: Path, table: dict[str, Any]) -> Path:
    """A folder with this selection.json."""
    folder.mkdir(exist_ok=True)
    (folder / "selection.json").write_text(json.dumps(table), encoding="utf-8")
    return folder


def read(folder: Path, table: dict[str, Any]) -> SelectionFile:
    """The selection as the report reads it."""
    return read_selection(write(folder, table) / "selection.json")


def judge(run: Path, rows: list[Row], name: str, differing: int = 0) -> None:
    """Clean and parity rows of a recipe ``name`` in the run folder of one part."""
    mine = [row for row in rows if (row["model"], row.get("precision")) == ("late", "w8") and
            row["kind"] in ("clean", "parity") and row.get("executor") != "litert"]
    changes = {"clean": {}, "parity": {"differing": differing}}
    ResultStore(run / "results.jsonl")._extend(
        [{**row, "key": f"{name} {row['kind']}", "precision": name, **changes[row["kind"]]} for row in mine])


def pictures(page: Page) -> list[str]:
    """The figures as SVG."""
    return [base64.b64decode((image["src"] or "").split(",")[1]).decode() for image in page.attributes("img")]


@pytest.fixture(scope="module")
def html(made: dict[str, Any], rows: list[Row], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page, with rows of the finalists on test pairs."""
    folder = write(tmp_path_factory.mktemp("selection"), made)
    judge(folder / "test", rows, made["validation"][0]["name"])
    judge(folder / "test", rows, "w3", differing=5)
    return render_selection(folder).read_text(encoding="utf-8")


def test_every_part_is_there_in_order(html: str, made: dict[str, Any]) -> None:
    """Headings, figures, facts, and the numbers of the finalists."""
    page = Page(html)
    anchors = [attributes["id"] for attributes in page.attributes("h2")]
    assert anchors == ["chosen", "bits", "front", "sensitivity", "grid", "trials", "method"]
    assert len(page.attributes("img")) == 4
    for needed in ("late, abababababab, training seed 7", "flash 45,000 (bytes of packed weights", "ε = 0.03", "L∞",
                   "embedded, official split", "Chosen: because of reasons.", "40,000", "90.0 (76.9 to 96.0)", "n/m",
                   "same 8-bit input grid", "McNemar", "robust 1, kl 2", "winner's curse", "over: flash",
                   "Sums of costs", "twin and TFLite Micro: 1 model, 300 adversarial inputs",
                   "N Warning", made["validation"][0]["name"], "40 training pairs, and 10 drawn anew",
                   "trials: 20 held-out pairs; finalists: 40", "Not checked on test pairs"):
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
    table["test"][0]["flags"] = [{"code": HOSTILE, "level": "E", "text": HOSTILE}]
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
    (lambda table: table.pop("units"), "units: missing"),
    (_set("units", []), "units: nothing there"),
    (_set("units", 0, "bits", 77), "77 bits"),
    (_set("units", 0, "branch", "video"), "branch 'video'"),
    (_set("units", 0, "weights", True), "True given, a whole number expected"),
    (_set("units", 0, "weights", 10**4000), "at most"),
    (_set("settings", "objective", "speed"), "robust, clean"),
    (_set("settings", "epsilon", float("nan")), "nan given"),
    (_set("settings", "widths", "2-9"), "'2-9' given, a list expected"),
    (_set("trials", 3, "recipe", "weights", {"image": 6}), "'audio' is missing"),
    (_set("trials", 3, "clean", "value", 1.5), "no accuracy with its interval"),
    (_set("trials", 3, "clean", "n", 0), "no accuracy with its interval"),
    (_set("trials", 3, "needs", {}), "packed bytes"),
    (_set("trials", 3, "weaker", "smell"), "no accuracy under attack"),
    (_set("validation", 0, "flags", [{"code": "N", "level": "?", "text": ""}]), "neither error nor warning"),
    (_set("comparisons", {}), "none on validation pairs"),
    (_set("sensitivity", "costs", "kl", 0, [1.0]), "'kl' has not one cost"),
    (_set("sensitivity", "costs", "kl", 0, 0, -1.0), "below 0"),
    (_set("sensitivity", "meaning", {}), "meaning of"),
    (_set("sensitivity", "branches", ["image"]), "belongs to one of the branches"),
    (_set("reasons", ["a\nb"]), "control characters"),
    (_set("model", "\ud800"), "control characters"),
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


def test_what_a_newer_version_adds_is_left_out(made: dict[str, Any], tmp_path: Path) -> None:
    """A name that this version does not know is no damage."""
    table = copy.deepcopy(made)
    table["further"] = table["trials"][0]["further"] = [1]
    assert read(tmp_path, table).sensitivity.pairs == 40


def test_one_input_has_no_grid(tmp_path: Path) -> None:
    """Three figures, a sentence, and no columns of the other modality."""
    page = Page(render_selection(write(tmp_path, record(("audio",)))).read_text(encoding="utf-8"))
    assert len(page.attributes("img")) == 3 and "a network with one input has no widths" in page.text
    assert "image attacked" not in page.text and "audio attacked" in page.text


def test_one_width_for_each_modality(tmp_path: Path) -> None:
    """Units are branches, sensitivities are still those of layers; the chosen widths are framed there."""
    found = read(tmp_path, record(granularity="modality"))
    assert [unit.name for unit in found.units] == list(BRANCHES) and len(found.sensitivity.parts) == 6
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
    assert sorts["image6-audio8-shared6"] == "grid of widths per modality"
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
