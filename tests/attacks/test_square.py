"""The Square attack: schedule, start, windows."""

from __future__ import annotations

import analytic
import numpy as np
import pytest

from tinyfuse.attacks import Square
from tinyfuse.attacks.square import Frame, halvings


def test_the_share_halves_at_the_proposals_of_the_paper() -> None:
    at = [0, 10, 11, 50, 51, 200, 201, 500, 501, 1000, 1001, 2000, 2001, 4000, 4001, 6000, 6001, 8000, 8001, 9999]
    assert [halvings(step, 10_000) for step in at] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9]
    assert [halvings(step, 1000) for step in (1, 2, 5, 6, 999)] == [0, 1, 1, 2, 9]


@pytest.mark.parametrize(("share", "side"), [(1.0, 28), (0.8, 25), (0.05, 6), (0.0001, 1)])
def test_windows_are_squares_of_the_share_at_every_place_that_fits(share: float, side: int) -> None:
    frame = Frame.of(np.ones((28, 28, 1)))
    places = np.random.default_rng(0).random((12_000, 2))
    windows = frame.windows(places, share, (28, 28, 1))[..., 0]
    assert np.all(windows.any(axis=2).sum(axis=1) == side) and np.all(windows.any(axis=1).sum(axis=1) == side)
    assert np.all(windows.sum(axis=(1, 2)) == side**2)
    assert windows.any(axis=0).all()
    corners = frame.windows(np.array([[0.0, 0.0], [1 - 1e-12, 1 - 1e-12]]), share, (28, 28, 1))
    assert corners[0, 0, 0] and corners[1, -1, -1]


def test_windows_stay_in_the_rectangle_of_the_mask() -> None:
    mask = np.zeros((28, 20, 1))
    mask[5:8, 2:15], mask[9, 4] = 1, 1
    frame = Frame.of(mask)
    assert frame == Frame(5, 2, 5, 13)
    windows = frame.windows(np.random.default_rng(0).random((500, 2)), 0.8, (28, 20, 1))[..., 0]
    assert np.array_equal(windows.any(axis=0), np.pad(np.ones((5, 13), bool), ((5, 18), (2, 5))))
    assert np.all(windows.sum(axis=(1, 2)) == 5 * 7)


def test_an_empty_mask_changes_nothing() -> None:
    target = analytic.linear({"image": np.random.default_rng(0).normal(0, 1, (16, 2))}, np.array([9.0, 0.0]))
    clean = {"image": np.full((2, 4, 4, 1), 0.5, np.float32)}
    threat = analytic.threat("linf", {"image": 0.1}, mask={"image": np.zeros((4, 4, 1))})
    found = Square(queries=50).run(target, clean, np.zeros(2, int), threat)
    assert found.strongest["image"].tobytes() == clean["image"].tobytes()
    assert found.queries == 4  # the clean point and the stripes; no proposal can change anything


def test_it_starts_from_vertical_stripes_and_stays_at_the_ends_of_the_ball() -> None:
    target = analytic.linear({"image": np.random.default_rng(0).normal(0, 1, (8 * 8 * 3, 2))}, np.array([99.0, 0.0]))
    clean = {"image": np.random.default_rng(1).uniform(0.3, 0.7, (5, 8, 8, 3)).astype(np.float32)}
    Square(queries=60).run(target, clean, np.zeros(5, int), analytic.threat("linf", {"image": 0.1}))
    deltas = [np.round((seen["image"] - clean["image"]) / 0.1, 4) for seen in target.seen if len(seen["image"]) == 5]
    assert np.array_equal(target.seen[0]["image"], clean["image"])
    stripes = deltas[1]
    assert np.all(stripes == stripes[:, :1]) and set(np.unique(stripes)) == {-1.0, 1.0}
    assert len({stripe.tobytes() for stripe in stripes}) == 5
    assert 0.3 < (stripes[:, 0, :, 0] == stripes[:, 0, :, 1]).mean() < 0.7
    assert all(set(np.unique(delta)) <= {-1.0, 1.0} for delta in deltas[1:])
    assert len(target.seen) == 60


def test_with_two_modalities_each_proposal_changes_one() -> None:
    weights = {name: np.random.default_rng(0).normal(0, 1, (64, 2)) for name in ("image", "audio")}
    target = analytic.linear(weights, np.array([999.0, 0.0]))
    clean = {name: np.full((1, 8, 8, 1), 0.5, np.float32) for name in weights}
    threat = analytic.threat("linf", {"image": 0.1, "audio": 0.02})
    found = Square(queries=400).run(target, clean, np.zeros(1, int), threat)
    held, margin = target.seen[1], -np.inf
    changes = {"image": 0, "audio": 0}
    for seen in target.seen[2:]:
        changed = [name for name in weights if not np.array_equal(seen[name], held[name])]
        assert len(changed) == 1
        changes[changed[0]] += 1
        logits = target.logits(seen)[0]
        before = target.logits(held)[0]
        if logits[1] - logits[0] > before[1] - before[0]:
            held, margin = seen, logits[1] - logits[0]
        if sum(changes.values()) == found.queries - 2:
            break
    assert min(changes.values()) > 150
    reached = target.logits(found.strongest)[0]
    assert reached[1] - reached[0] == margin


def test_it_reaches_most_of_the_optimum_of_a_linear_model() -> None:
    """The best point of the ball is worth epsilon * ||w||_1; random search over squares gets beyond 2/3 of it."""
    random = np.random.default_rng(0)
    weights = {"image": random.normal(0, 1, (784, 2))}
    target = analytic.linear(weights, np.array([999.0, 0.0]))
    clean = {"image": random.uniform(0.2, 0.8, (4, 28, 28, 1)).astype(np.float32)}
    found = Square(queries=1000).run(target, clean, np.zeros(4, int), analytic.threat("linf", {"image": 0.1}))
    slope = weights["image"][:, 1] - weights["image"][:, 0]
    gained = [target.logits(point)[:, 1] - target.logits(point)[:, 0] for point in (clean, found.strongest)]
    share = (gained[1] - gained[0]) / (0.1 * np.abs(slope).sum())
    assert np.all(share > 2 / 3) and np.all(share <= 1 + 1e-6)
