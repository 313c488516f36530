"""Why a network is fragile: margins, bounds, density and convexity of its features, what breaks it and where.

Each analysis is one file, a frozen dataclass of settings that turns a model and samples into findings.
"""

from tinyfuse.analyses import (  # noqa: F401  (they register themselves)
    bands,
    bounds,
    class_shape,
    detection,
    localisation,
    margins,
    missing,
    modules,
    noise,
    potency,
    projection,
)
from tinyfuse.analyses.analysis import ANALYSES, Analysis, Finding, Quantity, register
from tinyfuse.analyses.subject import AnalysisSubject

__all__ = ["ANALYSES", "Analysis", "AnalysisSubject", "Finding", "Quantity", "register"]
