"""The figures of analyses, by the name of the analysis."""

from tinyfuse.report.figures.analyses import (  # noqa: F401  (they register themselves)
    bars,
    bound_curves,
    budget_curves,
    feature_hulls,
    margin_maps,
    shape_scatter,
)
from tinyfuse.report.figures.analyses.plots import FIGURES, Plot, figures_of, rows_of, values_of

__all__ = ["FIGURES", "Plot", "figures_of", "rows_of", "values_of"]
