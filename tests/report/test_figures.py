"""Figures show something, name their axes and units, and do not overlap."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tinyfuse.checks.firmware_cost import FirmwareCost
from tinyfuse.core.results import Row
from tinyfuse.report.figures.curves import literature_figure, robustness_figure, threats_figure
from tinyfuse.report.figures.heatmaps import width_figure
from tinyfuse.report.figures.sizes import size_figure
from tinyfuse.report.figures.style import to_svg
from tinyfuse.report.view import RunView, view_of

FIGURES = ("late", "audio", "threats", "threats-alone", "literature", "size", "widths")


@pytest.fixture(scope="module")
def view(rows: list[Row]) -> RunView:
    """The made-up run, derived once."""
    return view_of(rows)


@pytest.fixture(scope="module")
def figures(view: RunView) -> dict[str, Figure]:
    """One figure of each kind, and the single-modality one."""
    made = {"late": robustness_figure(view, "late"), "audio": robustness_figure(view, "audio"),
            "threats": threats_figure(view, "late", ("w6", "image6-audio9-shared8")),
            "threats-alone": threats_figure(view, "audio", ("w6", "w7", "w8", "w9")),
            "literature": literature_figure(view, "late"),
            "size": size_figure(view.lines, epsilon=view.epsilon),
            "widths": width_figure(view.lines, epsilon=view.epsilon)}
    return {name: figure for name, figure in made.items() if figure is not None}


def pixels(figure: Figure) -> np.ndarray:
    """RGBA uint8 [height, width, 4]."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


@pytest.mark.parametrize("name", FIGURES)
def test_no_panel_is_blank(figures: dict[str, Figure], name: str) -> None:
    """Each panel has marks of its own, not just a frame."""
    figure = figures[name]
    image = pixels(figure)
    for axes in figure.axes:
        box = axes.get_window_extent()
        height = image.shape[0]
        inside = image[height - int(box.y1) + 4:height - int(box.y0) - 4, int(box.x0) + 4:int(box.x1) - 4, :3]
        assert inside.reshape(-1, 3).std(axis=0).max() > 3, axes


@pytest.mark.parametrize("name", FIGURES)
def test_tick_labels_and_titles_do_not_overlap(figures: dict[str, Figure], name: str) -> None:
    """Neither within a figure's texts outside the panels nor with the legend."""
    figure = figures[name]
    pixels(figure)
    ticks = [tick.label1 for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)
             for tick in axis.get_major_ticks() if tick.label1.get_visible() and
             min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())]
    texts = [*ticks, *(text for axes in figure.axes for text in (axes.title, axes.xaxis.label, axes.yaxis.label))]
    legends = [axes.get_legend() for axes in figure.axes if axes.get_legend()] + list(figure.legends)
    boxes = [text.get_window_extent() for text in texts if text.get_window_extent().width] + [
        legend.get_window_extent() for legend in legends]
    for index, box in enumerate(boxes):
        assert figure.bbox.padded(1).contains(box.x0, box.y0) and figure.bbox.padded(1).contains(box.x1, box.y1)
        for other in boxes[index + 1:]:
            overlap = (min(box.x1, other.x1) - max(box.x0, other.x0), min(box.y1, other.y1) - max(box.y0, other.y0))
            assert min(overlap) <= 1 or box.bounds == other.bounds, (box, other)


def test_axes_are_labelled_with_units(figures: dict[str, Figure]) -> None:
    """A reader needs no caption to know what is drawn."""
    def labels(name: str) -> str:
        own = [axes.get_xlabel() + " " + axes.get_ylabel() for axes in figures[name].axes]
        return " ".join([*own, figures[name].get_supxlabel()])
    assert "ε (L∞, units of the inputs)" in labels("late") and "robust accuracy (%)" in labels("late")
    assert "packed weights (KiB)" in labels("size") and "at ε = 0.05" in labels("size")
    assert "image bits" in labels("widths") and "audio bits" in labels("widths")


def test_curves_float_dashed_integer_solid(figures: dict[str, Figure], view: RunView) -> None:
    """Two rows (uniform, mixes) of three modalities; the drawn values are the worst cases, from clean on."""
    panels = figures["late"].axes
    assert [panel.get_title() for panel in panels[:3]] == ["image attacked", "audio attacked", "all attacked"]
    assert len(panels) == 6
    upper = {line.get_label(): line for line in panels[2].get_lines()}
    assert set(upper) == {"float", "w6", "w7", "w8", "w9"}
    assert upper["float"].get_linestyle() == "--" and upper["w8"].get_linestyle() == "-"
    points = view.curves["late", "w8"].own["all"]
    drawn = list(zip(*upper["w8"].get_data(), strict=True))
    start = view.curves["late", "w8"].start
    assert start and drawn[0] == (0.0, 100 * start.value)
    assert drawn[1:] == [(point.epsilon, 100 * point.accuracy.value) for point in points]
    assert len({line.get_color() for line in upper.values()}) == 5


def test_every_threat_model_has_its_own_line(figures: dict[str, Figure], view: RunView) -> None:
    """Float, G, R and transfer, each with its own values and look, in the panel of its recipe and modality."""
    panels = figures["threats"].axes
    assert len(panels) == 6 and [panel.get_ylabel() for panel in panels[::3]] == ["w6", "image6-\naudio9-\nshared8"]
    lines = {str(line.get_label()): line for line in panels[4].get_lines()}
    assert set(lines) == {"float", "G: codes", "R: real, then rounded", "T: transfer from float"}
    curves = view.curves["late", "image6-audio9-shared8"]
    for label, points in (("float", view.curves["late", "float"].own["audio"]), ("G: codes", curves.own["audio"]),
                          ("R: real, then rounded", curves.real["audio"]),
                          ("T: transfer from float", curves.transfer["audio"])):
        assert list(lines[label].get_ydata())[1:] == [100 * point.accuracy.value for point in points], label
    looks = {(line.get_color(), line.get_linestyle(), line.get_marker()) for line in lines.values()}
    assert len(looks) == 4
    legend = panels[2].get_legend()
    assert legend is not None and {text.get_text() for text in legend.get_texts()} == set(lines)


def test_a_float_simulation_has_no_threat_models_of_integers(rows: list[Row]) -> None:
    """Weights rounded in a float network read real values and round nothing."""
    simulated = [{**row, "precision": "minmax6", "key": f"m{row['key']}"} |
                 ({"source": "minmax6"} if row.get("source") else {}) for row in rows
                 if (row["model"], row["precision"]) == ("late", "float") and row.get("criterion") != "replayed"]
    view = view_of([*rows, *simulated])
    line = next(line for line in view.lines if line.precision == "minmax6")
    assert line.executor == "keras" and line.robust_integer and not line.robust_real and not line.transfer
    assert threats_figure(view, "late", ("minmax6",)) is None


def test_threat_models_of_one_input_stand_side_by_side(figures: dict[str, Figure]) -> None:
    """One row with a column per recipe."""
    assert [panel.get_title() for panel in figures["threats-alone"].axes] == ["w6", "w7", "w8", "w9"]


def test_the_literature_is_one_attack_and_its_last_iterate(figures: dict[str, Figure], rows: list[Row]) -> None:
    """Not the worst case: the rows of profile "paper", one row of panels for each attack."""
    panels = figures["literature"].axes
    assert [panel.get_ylabel().split(",")[0] for panel in panels[::3]] == ["fgsm", "pgd"]
    drawn = next(line for line in panels[4].get_lines() if line.get_label() == "w7")
    expected = [100 * row["accuracy"] for row in rows if row.get("profile") == "paper" and
                (row["model"], row["precision"], row["attacked"], row["attack"]["name"]) ==
                ("late", "w7", ["audio"], "pgd") and row["criterion"] == "last-iterate"]
    assert list(drawn.get_ydata())[1:] == expected


def test_pareto_line_joins_what_no_smaller_recipe_beats(figures: dict[str, Figure], view: RunView) -> None:
    """Recomputed from the summary for one panel."""
    panel = figures["size"].axes[2]
    assert panel.get_title() == "late"
    mine = sorted((line.packed_bytes / 1024, 100 * line.clean.value) for line in view.lines
                  if line.model == "late" and line.precision != "float" and line.packed_bytes and line.clean)
    front = [(size, value) for size, value in mine if all(
        value > other for kib, other in mine if kib < size or (kib == size and other != value))]
    step = next(line for line in panel.get_lines() if line.get_drawstyle() == "steps-post")
    assert list(zip(*step.get_data(), strict=True))[:-1] == front
    assert len(panel.containers) == len(mine)


def test_accuracy_against_size_is_one_mark_with_its_interval_for_each_recipe(view: RunView) -> None:
    """Flash where it was measured, packed weights and a hollow mark where not; clean above, then under attack."""
    cost = FirmwareCost(core="m4", flash_bytes=102_400)
    lines = [replace(line, firmware=cost) if (line.model, line.precision) == ("late", "w8") else line
             for line in view.lines]
    figure = size_figure(lines, epsilon=view.epsilon)
    assert figure is not None
    panels = figure.axes
    assert [panel.get_title() for panel in panels] == ["image", "audio", "late", *[""] * 5]
    assert [panel.get_ylabel().split(" ")[0] for panel in panels] == [
        "clean", "", "", "image", "", "audio", "", "all"]
    assert "robust acc. (%) at ε = 0.05" in panels[3].get_ylabel()
    flash = "flash of the firmware (KiB)"
    assert [panel.get_xlabel() for panel in panels] == ["", "", "", flash, "", flash, "", flash]
    marks = {str(bars.get_label()): bars for bars in panels[7].containers}
    assert set(marks) == {line.precision for line in lines if line.model == "late"} - {"float"}
    for name, kib in (("w8", 100.0), ("w7", None)):
        line = next(line for line in lines if (line.model, line.precision) == ("late", name))
        accuracy, (point, _, (bar,)) = line.robust_integer["all"], marks[name].lines
        assert point.get_xdata()[0] == (kib or (line.packed_bytes or 0) / 1024)
        assert point.get_ydata()[0] == 100 * accuracy.value
        assert np.allclose(bar.get_segments()[0][:, 1], [100 * accuracy.low, 100 * accuracy.high])
        assert (point.get_markerfacecolor() == "none") == (kib is None)
    (float_line,) = (line for line in panels[7].get_lines() if line.get_linestyle() == "--")
    before = next(line for line in lines if (line.model, line.precision) == ("late", "float"))
    assert float_line.get_ydata()[0] == 100 * before.robust_float["all"].value


def test_recipes_of_one_size_stand_side_by_side(view: RunView) -> None:
    """No mark covers another: their centres on the drawing are some points apart."""
    lines = [replace(line, firmware=FirmwareCost(core="m4", flash_bytes=102_400)) for line in view.lines
             if line.model == "late" and line.precision != "float"]
    figure = size_figure(lines, epsilon=view.epsilon)
    assert figure is not None
    pixels(figure)
    points = [bars.lines[0] for bars in figure.axes[0].containers]
    places = sorted(point.get_transform().transform(point.get_xydata())[0][0] for point in points)
    assert len(places) == 8 and np.diff(places).min() > 5


def test_heat_map_cells_are_the_measured_recipes(figures: dict[str, Figure], view: RunView) -> None:
    """8 of 16 cells are filled, row = image bits, column = audio bits; the rest stays empty."""
    panel = figures["widths"].axes[0]
    grid = np.ma.filled(panel.get_images()[0].get_array().astype(float), np.nan)
    assert grid.shape == (4, 4) and np.isfinite(grid).sum() == 8
    line = next(line for line in view.lines if (line.model, line.precision) == ("late", "image6-audio9-shared8"))
    assert line.clean and grid[0, 3] == 100 * line.clean.value
    assert panel.patch.get_hatch()


def test_svg_is_well_formed_and_themed(figures: dict[str, Figure]) -> None:
    """Inks follow the reader's theme, colours of recipes stay; text is text."""
    svg = to_svg(figures["size"])
    root = ElementTree.fromstring(svg)
    assert root.tag.endswith("svg") and "late" in "".join(root.itertext())
    assert "prefers-color-scheme:dark" in svg and "var(--ink)" in svg and "#d55e00" in svg


def test_svg_is_deterministic(view: RunView) -> None:
    """Two figures from the same rows are the same bytes."""
    first, second = (robustness_figure(view, "audio") for _ in range(2))
    assert first is not None and second is not None and to_svg(first) == to_svg(second)


def test_hostile_names_stay_text_in_svg(rows: list[Row]) -> None:
    """Names reach the drawing escaped, and are not taken for formulas."""
    hostile = "<script>alert(1)</script>$\\frac$"
    changed = [{**row, "precision": hostile} if row["precision"] == "w6" else row for row in rows]
    view = view_of(changed)
    figure = size_figure(view.lines, epsilon=view.epsilon)
    assert figure is not None
    svg = to_svg(figure)
    assert "<script" not in svg and hostile in "".join(ElementTree.fromstring(svg).itertext())


def test_nothing_to_draw(rows: list[Row]) -> None:
    """Partial runs have no figures instead of empty ones."""
    view = view_of([row for row in rows if row["kind"] == "model"])
    assert robustness_figure(view, "late") is None and literature_figure(view, "late") is None
    assert threats_figure(view, "late", ("w6",)) is None and robustness_figure(view, "nobody") is None
    assert size_figure(view.lines, epsilon=None) is None
    assert width_figure(view.lines, epsilon=None) is None
    unattacked = view_of([row for row in rows if row["kind"] in ("model", "clean")])
    figure = size_figure(unattacked.lines, epsilon=None)
    assert figure is not None and len(figure.axes) == 3
