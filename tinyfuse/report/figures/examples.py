"""One attacked sample as a reader sees it: clean, attacked, and the change alone, magnified."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinyfuse.data import Input
from tinyfuse.report.figures.style import COLOURS, new_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TIME, _LAYOUT = ("time", "frames"), ("rows", "columns", "channels")
_COLOUR_CHANNELS = 3


def example_figure(one: Input, clean: np.ndarray, attacked: np.ndarray) -> Figure:
    """Draw the values ``clean`` and ``attacked`` of an input, and ``attacked - clean`` on a scale of its own."""
    change = attacked.astype(np.float64) - clean
    most = float(np.abs(change).max()) or 1.0
    with style():
        figure = new_figure(9.0, 3.1)
        panels = figure.subplots(1, 3)
        for panel, title, values in zip(panels, ("clean", "attacked"), (clean, attacked), strict=False):
            panel.set_title(title)
            _draw(panel, one, values, (one.low, one.high), "cividis")
        panels[2].set_title(f"the change, {magnification(one, clean, attacked):.0f} times as strong")
        _draw(panels[2], one, change, (-most, most), "RdBu_r")
    return figure


def magnification(one: Input, clean: np.ndarray, attacked: np.ndarray) -> float:
    """Return by how much the change is magnified: the width of the input's range over that of the change."""
    most = float(np.abs(attacked.astype(np.float64) - clean).max())
    return one.span / (2 * most) if most else 1.0


def _draw(panel: Axes, one: Input, values: np.ndarray, limits: tuple[float, float], colours: str) -> None:
    """Draw one set of values as a spectrogram, a picture or a line, whatever the axes of the input say."""
    across = next((name for name in _TIME if name in one.axes), "")
    down = next((name for name in one.axes if across and name not in (across, *_LAYOUT)), "")
    panel.grid(visible=False)
    if down:
        _picture(panel, _spread(one, values, down, across), limits, colours, origin="lower", aspect="auto")
        panel.set(xlabel=across, ylabel=down)
        return
    flat = np.squeeze(values)
    is_picture = flat.ndim == 3 and flat.shape[-1] == _COLOUR_CHANNELS
    if flat.ndim == 2 or is_picture:
        shown = (flat - limits[0]) / (limits[1] - limits[0]) if is_picture else flat
        _picture(panel, np.clip(shown, 0, 1) if is_picture else shown, limits, colours, origin="upper", aspect="equal")
        panel.set(xticks=(), yticks=())
    else:
        panel.plot(values.ravel(), color=COLOURS[3], linewidth=0.8)
        panel.set(ylim=limits, xlabel=across or "value")


def _picture(panel: Axes, shown: np.ndarray, limits: tuple[float, float], colours: str, **how: Any) -> None:
    panel.imshow(shown, cmap=colours, vmin=limits[0], vmax=limits[1], interpolation="nearest", **how)
    panel.tick_params(length=0)


def _spread(one: Input, values: np.ndarray, down: str, across: str) -> np.ndarray:
    """Lay out the values that carry information along two axes; what has no place there is left out."""
    table = np.full((one.axes[down].size, one.axes[across].size), np.nan)
    places = one.valid_mask().ravel() > 0
    table[one.places_along(down).ravel()[places], one.places_along(across).ravel()[places]] = values.ravel()[places]
    return table
