"""Attacks in the codes of an integer model stay within what its threat models allow."""

from __future__ import annotations

from collections.abc import Callable

import analytic
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyfuse.attacks import PGD, DequantisedTarget, DifferentiableTarget, InputGrid, audit, code_problem
from tinyfuse.core.errors import TinyfuseError

Build = Callable[..., DifferentiableTarget]
Draw = Callable[..., tuple[dict[str, np.ndarray], np.ndarray]]
GRIDS = {"image": InputGrid(1 / 255, -128, -128, 127), "audio": InputGrid(0.0112, 3, -128, 127)}
EPSILONS = st.floats(0.0, 0.4)


@settings(max_examples=40, deadline=None)
@given(epsilon=EPSILONS, seed=st.integers(0, 2**32 - 1), masked=st.booleans())
def test_both_threats_hold_what_they_promise(samples: Draw, linear: Build, epsilon: float, seed: int,
                                             masked: bool) -> None:
    batch, labels = samples(4, seed)
    mask = {"audio": (np.arange(784).reshape(28, 28, 1) % 3 > 0).astype(np.float32)} if masked else None
    threat = analytic.threat("linf", {"image": epsilon, "audio": epsilon / 2}, mask=mask)
    target = DequantisedTarget(linear(), GRIDS)
    start = {name: GRIDS[name].quantise(values) for name, values in batch.items()}
    for domain in ("codes", "real"):
        inside, codes = code_problem(threat, batch, GRIDS, domain)
        found = PGD(steps=3).run(target, codes, labels, inside)
        for point in (found.last, found.strongest):
            audit(point, codes, inside)
            moved = {name: np.abs(point[name] - start[name]) for name in point}
            for name, grid in GRIDS.items():
                slack = 0 if domain == "codes" else 1
                assert moved[name].max() <= grid.budget(threat.budget[name]) + slack
                assert np.array_equal(point[name], np.rint(point[name]))
            assert not masked or not (moved["audio"] * (1 - mask["audio"])).any()


def test_an_unattacked_input_keeps_its_codes(samples: Draw, linear: Build) -> None:
    batch, labels = samples(5)
    threat, codes = code_problem(analytic.threat("linf", {"audio": 0.1}), batch, GRIDS, "codes")
    found = PGD(steps=2).run(DequantisedTarget(linear(), GRIDS), codes, labels, threat)
    assert found.last["image"] is codes["image"]
    moved = {**found.last, "image": found.last["image"] + 1}
    with pytest.raises(TinyfuseError, match="does not attack it"):
        audit(moved, codes, threat)


@settings(max_examples=40, deadline=None)
@given(epsilon=st.floats(0.002, 0.3), seed=st.integers(0, 2**32 - 1))
def test_l2_codes_stay_in_the_ball_and_still_move(samples: Draw, linear: Build, epsilon: float, seed: int) -> None:
    """Steps far below one code add up in the shadow iterate; what the model sees never leaves the ball."""
    batch, labels = samples(3, seed)
    threat, codes = code_problem(analytic.threat("l2", {"image": 20 * epsilon}), batch, GRIDS, "codes")
    found = PGD(steps=20).run(DequantisedTarget(linear(), GRIDS), codes, labels, threat)
    change = (found.last["image"] - codes["image"]).astype(np.float64) * GRIDS["image"].scale
    assert (np.sqrt((change**2).sum(axis=(1, 2, 3))) <= 20 * epsilon * (1 + 1e-6)).all()
    assert 20 * epsilon < 1.0 or change.any()
