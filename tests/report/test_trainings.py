"""Several trainings in the figures: their mean, and a band that knows that trainings differ."""

from __future__ import annotations

import numpy as np
import pytest

from tests.row_makers import outcome
from tinyfuse.core.statistics import two_level
from tinyfuse.report.bench_page import render_page
from tinyfuse.report.view import RunView, view_of

pytestmark = pytest.mark.usefixtures("undrawn")


def rows_of(shares: dict[int, float], data: dict[int, str] | None = None) -> list[dict[str, object]]:
    """Clean and attacked rows of a float network in one training for each seed, n=100."""
    rows = []
    for seed, share in shares.items():
        for epsilon in (0.02, 0.04):
            kept = np.arange(100) < 100 * share * (0.03 / epsilon)
            rows.append(outcome(kept, attacked=("image",), epsilon=epsilon, precision="float", executor="keras",
                                seed=seed))
        rows.append(outcome(np.ones(100, bool), precision="float", executor="keras", seed=seed))
    return [{**row, "key": f"{place:016x}", "data_checksum": (data or {}).get(row["seed"], "data")}
            for place, row in enumerate(rows)]


def curve(view: RunView) -> list[float]:
    (found,) = view.drawn.values()
    return [point.accuracy.value for points in found.own.values() for point in points]


def test_a_curve_is_the_mean_of_trainings_and_its_band_knows_their_spread() -> None:
    """Trainings at 60 and 40 % leave 50 %, between wider limits than any one of them has."""
    view = view_of(rows_of({0: 0.4, 1: 0.2}))
    assert curve(view) == pytest.approx([0.45, 0.225])
    (found,) = view.drawn.values()
    point = next(iter(found.own.values()))[0]
    alone = two_level(np.arange(100)[np.newaxis] < 45)
    assert point.accuracy.high - point.accuracy.low > 2 * (alone.high - alone.low)
    page = render_page(view)
    assert "mean and band over the trainings with seeds 0, 1" in page and "only seed" not in page


def test_trainings_on_other_data_are_not_averaged() -> None:
    """They did not judge the same samples: the figure keeps to the first."""
    view = view_of(rows_of({0: 0.4, 1: 0.2}, {1: "other"}))
    assert curve(view) == pytest.approx([0.6, 0.3]) and view.seeds == [0]
