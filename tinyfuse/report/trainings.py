"""Curves of several trainings as one: their mean, with the interval over trainings and samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinyfuse.core.statistics import two_level
from tinyfuse.report.summary import LineCurves
from tinyfuse.study.worst_case import Accuracy, CurvePoint, Track


def pooled(curves: Sequence[LineCurves]) -> LineCurves:
    """Return the mean of ``curves``, those of one line in each training; budgets that all of them have."""
    if len(curves) == 1:
        return curves[0]
    clean = {n: np.concatenate([one.clean[n] for one in curves])
             for n in curves[0].clean if all(n in one.clean for one in curves)}
    attacks = [name for name in curves[0].literature if all(name in one.literature for one in curves)]
    return LineCurves(clean, _track([one.own for one in curves]), _track([one.real for one in curves]),
                      _track([one.transfer for one in curves]),
                      {name: _track([one.literature[name] for one in curves]) for name in attacks})


def over_trainings(survivors: Sequence[np.ndarray]) -> Accuracy:
    """Compute the mean accuracy of bool [n] of each training, and its interval over trainings and samples."""
    found = two_level(np.stack(survivors))
    return Accuracy(found.value, max(found.low, 0.0), min(found.high, 1.0), found.n)


def _track(tracks: Sequence[Track]) -> Track:
    found: Track = {}
    for mode in tracks[0]:
        points = [_point(point, [other for track in tracks[1:] for other in track.get(mode, ())
                                 if other.budget == point.budget]) for point in tracks[0][mode]]
        found[mode] = [point for point, count in points if count == len(tracks)]
    return {mode: points for mode, points in found.items() if points}


def _point(first: CurvePoint, others: Sequence[CurvePoint]) -> tuple[CurvePoint, int]:
    """Return the mean of points at one budget, and of how many."""
    alike = [one for one in others if len(one.survivors) == len(first.survivors)]
    flags = [first.survivors, *(one.survivors for one in alike)]
    return CurvePoint(first.budget, over_trainings(flags), np.concatenate(flags)), len(flags)
