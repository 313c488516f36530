"""Branch and bound on networks so small that every code of the ball can be tried: the truth, and nothing else."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import numpy as np
import pytest
from graph_two_inputs import small_network
from scipy.ndimage import distance_transform_cdt

from tinyfuse.analyses.certificates import branches
from tinyfuse.analyses.certificates.ball import Ball
from tinyfuse.analyses.certificates.branches import Branching
from tinyfuse.analyses.certificates.certify import Certifier
from tinyfuse.analyses.certificates.intervals import Intervals
from tinyfuse.analyses.certificates.linear import LinearBounds
from tinyfuse.analyses.certificates.tuned import Split, Tuned, stacked
from tinyfuse.attacks.adversarial import misclassified
from tinyfuse.attacks.targets.twin_target import TwinTarget
from tinyfuse.integer.model import load_model

SIDE = 15


def between_classes(target: TwinTarget, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Codes float32 [1, ...] on a line between two random points, where the class changes."""
    shares = np.linspace(0, 1, 400)
    while True:
        ends = {port.name: rng.integers(-100, 100, (2, 1, *port.shape[1:])) for port in target.model.inputs}
        line = {name: np.rint(first + shares.reshape(-1, *[1] * (first.ndim - 1)) * (last - first)).astype(np.float32)
                for name, (first, last) in ends.items()}
        changes = np.flatnonzero(np.diff(target.logits(line).argmax(axis=1)))
        if len(changes):
            return {name: values[changes[:1]] for name, values in line.items()}


def ball_of(target: TwinTarget, rng: np.random.Generator, reach: int) -> Ball:
    """A ball near a change of class in which two codes of the first input and one of the second are free."""
    boxes, clean = {}, between_classes(target, rng)
    for number, (name, values) in enumerate(clean.items()):
        free = np.zeros(values.size, int)
        free[rng.choice(values.size, 2 - number, replace=False)] = reach
        codes, moved = values.astype(int), free.reshape(values.shape)
        boxes[name] = codes - moved, codes + moved
    return Ball(boxes, clean)


def tight_balls(target: TwinTarget, rng: np.random.Generator) -> Iterator[tuple[Ball, int, bool]]:
    """Yield two balls, the largest whose codes all have one class and one more, with this class and which it is.

    All codes of a wide ball are tried; a point in it as far as can be from every other class is the middle.
    """
    wide = ball_of(target, rng, SIDE // 2)
    points = every_point(wide)
    named = target.logits(points).argmax(axis=1)
    label = int(np.bincount(named).argmax())
    if (named == label).all():
        return
    reaches = distance_transform_cdt((named == label).reshape(SIDE, SIDE, SIDE), metric="chessboard").reshape(-1)
    at = np.stack(np.unravel_index(np.arange(len(named)), (SIDE, SIDE, SIDE)))
    room = np.minimum(at, SIDE - 1 - at).min(axis=0)
    middles = np.flatnonzero((reaches <= room) & (named == label) & (reaches > 1))
    if not len(middles):
        return
    middle = middles[reaches[middles].argmax()]
    clean = {name: values[[middle]] for name, values in points.items()}
    for reach in (int(reaches[middle]) - 1, int(reaches[middle])):
        boxes = {name: (clean[name].astype(int) - reach * (low < high), clean[name].astype(int) + reach * (low < high))
                 for name, (low, high) in wide.boxes.items()}
        yield Ball(boxes, clean), label, reach < reaches[middle]


def every_point(ball: Ball) -> dict[str, np.ndarray]:
    """All codes of the boxes, float32 by name."""
    columns = [range(int(low), int(high) + 1) for lows, highs in ball.boxes.values()
               for low, high in zip(lows.flat, highs.flat, strict=True)]
    rows, found, start = np.array(list(itertools.product(*columns)), np.float32), {}, 0
    for name, (low, _) in ball.boxes.items():
        found[name] = rows[:, start:start + low.size].reshape(-1, *low.shape[1:])
        start += low.size
    return found


@pytest.mark.parametrize("few_inputs", [0, 99])
def test_certified_means_no_counterexample_and_nothing_stays_open(few_inputs: int,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(branches, "ENUMERATED", 2)
    monkeypatch.setattr(branches, "_FEW_INPUTS", few_inputs)
    monkeypatch.setattr(Branching, "_try", lambda self, tuned: None)  # a lucky point must not answer for the splits
    seen = set()
    for seed in (3, 5):
        rng = np.random.default_rng(seed)
        target = TwinTarget(load_model(small_network(rng), name=f"small{seed}"))
        certifier = Certifier(target, ("intervals", "linear"))
        for ball, label, safe in tight_balls(target, rng):
            logits = target.logits(every_point(ball))
            truth = not misclassified(logits, np.full(len(logits), label)).any()
            assert truth == safe
            proved, codes = Branching(certifier, ball, label, time.monotonic() + 600).run()
            assert (proved, codes is None) == (truth, truth)
            if codes is not None:
                assert misclassified(target.logits(codes), np.array([label])).all()
                assert all(((low <= codes[name]) & (codes[name] <= high)).all()
                           for name, (low, high) in ball.boxes.items())
            seen.add((truth, bool(certifier.proved(ball, np.array([label]))[0])))
    assert {(True, False), (False, False)} <= seen  # splits proved what lines do not, and found what breaks
    assert (False, True) not in seen


def test_any_shares_and_multipliers_bound_every_point_that_meets_the_splits() -> None:
    rng = np.random.default_rng(7)
    target = TwinTarget(load_model(small_network(rng), name="small"))
    intervals = Intervals(target.twin, target.logit_tensor)
    linear, ball = LinearBounds(intervals), ball_of(target, rng, reach=3)
    boxes = intervals.propagate(intervals.columns(ball.boxes))
    codes = target.twin.tensors({name: values.astype(np.int32) for name, values in every_point(ball).items()})
    row = rng.normal(size=(1, 1, 3))
    sums = codes[target.logit_tensor].reshape(-1, 3) @ row[0, 0]
    inside = [index for index in intervals.order[:-1] if (boxes[index][0] < boxes[index][1]).any()]
    for trial in range(12):
        index = inside[trial % len(inside)]
        place = int(rng.choice(np.flatnonzero((boxes[index][0] < boxes[index][1]).reshape(-1))))
        first, last = (int(end.reshape(-1)[place]) for end in boxes[index])
        split = Split(index, place, int(rng.integers(first, last)), bool(trial % 2))
        tuned = Tuned(linear, ball, branches.cut(boxes, split), {}, [(split,)])
        tuned.multipliers[0][0] = abs(rng.normal())
        bounds = [tuned.ascend(row, target.logit_tensor, np.array([np.inf]), 1)[0]]
        tuned.shares = {one: (rng.random(low.shape), rng.random(high.shape)) for one, (low, high) in
                        tuned.shares.items()}
        bounds += [tuned.ascend(row, target.logit_tensor, np.array([np.inf]), steps)[0] for steps in (1, 15)]
        at = codes[index].reshape(len(sums), -1)[:, place]
        meets = at > split.code if split.beyond else at <= split.code
        assert np.all(sums[meets] >= max(bounds))
        assert bounds[2] >= bounds[1]


@pytest.mark.parametrize("joint", [False, True])
def test_lengths_bound_every_code_of_a_part_also_where_its_box_left_the_clean_codes(joint: bool) -> None:
    rng = np.random.default_rng(2)
    target = TwinTarget(load_model(small_network(rng), name="small"))
    intervals, whole, least = Intervals(target.twin, target.logit_tensor), ball_of(target, rng, reach=3), []
    for _ in range(40):
        boxes = {}
        for name, (low, high) in whole.boxes.items():
            first = rng.integers(low, high + 1)
            boxes[name] = first, np.where(rng.random(first.shape) < 0.5, first, rng.integers(first, high + 1))
        part = Ball(boxes, whole.clean, dict.fromkeys(boxes, 3.5), joint)
        points, inside = part.inside({name: codes.astype(float) for name, codes in every_point(part).items()})
        if not inside.any():
            continue
        rows = {name: rng.normal(size=codes.shape[1:]) for name, codes in points.items()}
        sums = np.sum([(codes * rows[name]).reshape(len(codes), -1).sum(axis=1) for name, codes in points.items()], 0)
        concretise = part.concretise(intervals)
        assert concretise is not None
        bound = concretise({intervals.twin.inputs[name]: row[None, None] for name, row in rows.items()})
        least.append(float(sums[inside].min() - bound[0, 0]))
    assert len(least) > 10 and min(least) > -1e-6 and any(one < 2 for one in least)


def test_problems_are_taken_together_where_one_has_no_lines_for_a_tensor() -> None:
    one, two = (np.full(3, share, np.float32) for share in (0.25, 0.5))
    found = stacked([{4: (one, two), 7: (one, one)}, {7: (two, two)}])
    assert found.keys() == {7}
    np.testing.assert_array_equal(found[7][0], [one, two])


def test_time_that_is_over_leaves_a_sample_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(branches, "ENUMERATED", 2)
    monkeypatch.setattr(Branching, "_try", lambda self, tuned: None)
    rng = np.random.default_rng(0)
    target = TwinTarget(load_model(small_network(rng), name="small"))
    _, (ball, label, safe) = tight_balls(target, rng)
    assert not safe
    certifier = Certifier(target, ("intervals",))
    assert Branching(certifier, ball, label, time.monotonic() - 1).run() == (False, None)
