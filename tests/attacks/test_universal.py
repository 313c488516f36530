"""Universal perturbations: known answers, one delta for all samples, nothing outside the threat, honest rates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import analytic
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyfuse.attacks import Batch, Gradient, InputGrid, Threat, Universal
from tinyfuse.attacks.universal import judge, perturbed
from tinyfuse.core.errors import TinyfuseError, UsageError
from tinyfuse.threats.audit import audit
from tinyfuse.threats.code_threats import code_problem

NAMES = ("image", "audio")
SHAPES = {"image": (4, 5, 1), "audio": (3, 6, 1)}
WEIGHTS = {name: np.random.default_rng(7).normal(0, 1, (int(np.prod(shape)), 3)) for name, shape in SHAPES.items()}
WIDE = {"low": -100.0, "high": 100.0}


def batch_of(count: int, lattice: bool = False, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    if lattice:
        return {name: random.integers(-128, 128, (count, *shape)).astype(np.float32) for name, shape in SHAPES.items()}
    return {name: random.uniform(0, 1, (count, *shape)).astype(np.float32) for name, shape in SHAPES.items()}


class Watched:
    """A target that audits every point it is asked about, against the samples that the point stands for."""

    def __init__(self, inner: analytic.Analytic, threat: Threat) -> None:
        self.name, self.executor, self.inputs, self.grids = inner.name, inner.executor, inner.inputs, inner.grids
        self.inner, self.threat, self.gradients, self.forwards = inner, threat, 0, 0
        self.logits, self.gradient = inner.logits, inner.gradient
        self.judged: Callable[[np.ndarray], None] = lambda logits: None

    def focus(self, batch: Batch, varying: tuple[str, ...]) -> Any:
        watched = self

        def whole(point: Batch, rows: np.ndarray) -> dict[str, np.ndarray]:
            clean = {name: values[rows] for name, values in batch.items()}
            audit({**clean, **point}, clean, watched.threat.take(rows))
            return {**clean, **point}

        class Focus:
            def logits(self, point: Batch, rows: np.ndarray) -> np.ndarray:
                watched.forwards += len(rows)
                logits = watched.inner.logits(whole(point, rows))
                watched.judged(logits)
                return logits

            def gradient(self, point: Batch, labels: np.ndarray, rows: np.ndarray, loss: str) -> Gradient:
                watched.gradients += len(rows)
                return watched.inner.gradient(whole(point, rows), labels, varying, loss)

        return Focus()


@pytest.mark.parametrize("loss", ["cross-entropy", "margin"])
@pytest.mark.parametrize("lattice", [False, True])
def test_linf_on_a_linear_model_reaches_the_best_corner(lattice: bool, loss: str) -> None:
    """Two classes, all samples of class 0: epsilon * sign(w1 - w0) raises every margin by epsilon * ||w1 - w0||_1."""
    weights = {name: w[:, :2] for name, w in WEIGHTS.items()}
    target, batch = analytic.linear(weights, np.array([40.0 if lattice else 1.0, 0.0])), batch_of(12, lattice)
    threat = analytic.threat("linf", {"image": 3.0, "audio": 5.0} if lattice else {"image": 0.1, "audio": 0.3},
                             low=-1000.0, high=1000.0, lattice=lattice)
    found = Universal(loss=loss, batch_size=5, epochs=2).run(target, batch, np.zeros(12, int), threat)
    for name, epsilon in threat.budget.items():
        best = epsilon * np.sign(weights[name][:, 1] - weights[name][:, 0])
        np.testing.assert_allclose(found.delta[name].reshape(-1), best, rtol=1e-6)


def test_l2_on_a_linear_model_follows_the_normal() -> None:
    weights = {name: w[:, :2] for name, w in WEIGHTS.items()}
    target, batch = analytic.linear(weights, np.array([1.0, 0.0])), batch_of(9)
    threat = analytic.threat("l2", {"image": 0.5, "audio": 2.0}, **WIDE)
    found = Universal(epochs=3).run(target, batch, np.zeros(9, int), threat)
    for name, epsilon in threat.budget.items():
        normal = weights[name][:, 1] - weights[name][:, 0]
        np.testing.assert_allclose(found.delta[name].reshape(-1), epsilon * normal / np.linalg.norm(normal), rtol=1e-4)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_majority_decides_not_the_loudest_gradient(norm: str) -> None:
    """Five samples of class 0 on a gentle slope (the audio input) against two of class 1 on one 1000 times as steep."""

    def logits(batch: Batch) -> np.ndarray:
        level = (batch["image"].astype(np.float64) * batch["audio"]).sum(axis=(1, 2, 3))
        return np.stack([np.zeros(len(level)), level], axis=1)

    target = analytic.Analytic(NAMES, logits, lambda batch, slope, name: np.broadcast_to(
        slope[:, 1, None, None, None] * batch["audio"], batch["image"].shape))
    batch = {"image": np.full((7, 2, 2, 1), -0.1, np.float32), "audio": np.ones((7, 1, 1, 1), np.float32)}
    batch["image"][5:], batch["audio"][5:] = 0.1, 1000.0
    found = Universal(loss="margin").run(target, batch, np.array([0] * 5 + [1] * 2),
                                         analytic.threat(norm, {"image": 0.4}, **WIDE))
    assert (found.delta["image"] > 0.19).all()
    assert found.verdict.broken.tolist() == [True] * 5 + [False] * 2


@st.composite
def threats(draw: st.DrawFn) -> tuple[Threat, dict[str, np.ndarray]]:
    """Any legal threat: norm, modalities, budgets of their own, masks, boxes of single samples, real or whole codes."""
    lattice, norm = draw(st.booleans()), draw(st.sampled_from(["linf", "l2"]))
    names = draw(st.sampled_from([("image",), ("audio",), NAMES]))
    batch, random = batch_of(6, lattice, draw(st.integers(0, 99))), np.random.default_rng(draw(st.integers(0, 99)))
    whole = lattice and norm == "linf"
    epsilon = {name: float(draw(st.integers(0, 12))) if whole else draw(st.floats(0, 12)) * (1 if lattice else 0.1)
               for name in names}
    low: Any = -128.0 if lattice else 0.0
    high: Any = 127.0 if lattice else 1.0
    if draw(st.booleans()):
        reach = {name: random.integers(1, 9, batch[name].shape) * (1 if lattice else 0.01) for name in names}
        low = {name: np.maximum(batch[name] - reach[name], low).astype(np.float32) for name in names}
        high = {name: np.minimum(batch[name] + reach[name], high).astype(np.float32) for name in names}
    mask = {name: (random.random(SHAPES[name]) < 0.4).astype(np.float32) for name in names}
    return analytic.threat(norm, epsilon, low, high, mask if draw(st.booleans()) else None, lattice), batch


@settings(max_examples=150, deadline=None)
@given(problem=threats(), batch_size=st.integers(1, 8), epochs=st.integers(1, 3), step=st.sampled_from([0.0, 0.1, 1.0]))
def test_every_query_and_the_result_are_one_legal_delta(problem: tuple[Threat, dict[str, np.ndarray]], batch_size: int,
                                                         epochs: int, step: float) -> None:
    threat, batch = problem
    plain = analytic.linear(WEIGHTS, np.zeros(3))
    labels = plain.logits(batch).argmax(axis=1)
    target = Watched(plain, threat)
    found = Universal(batch_size=batch_size, epochs=epochs, step=step).run(target, batch, labels, threat)
    assert found.queries == target.gradients + target.forwards
    audit(found.verdict.point, batch, threat)
    for name in threat.attacked:
        delta = found.delta[name]
        assert delta.shape == (1, *SHAPES[name]) and delta.dtype == np.float32
        low, high = threat.box[name]
        expected = np.clip(batch[name] + delta, np.asarray(low, np.float32), np.asarray(high, np.float32))
        assert np.array_equal(found.verdict.point[name], expected)
        assert not threat.lattice or np.array_equal(delta, np.rint(delta))
    again = judge(plain, batch, labels, threat, found.delta)
    assert np.array_equal(again.broken, found.verdict.broken) and np.array_equal(again.changed, found.verdict.changed)


def test_codes_that_real_inputs_reach_have_boxes_of_their_own() -> None:
    """Threat model R: every sample has its own reachable codes, and batches of the attack must not mix them up."""
    grids = {name: InputGrid(scale=1 / 40, zero_point=-5, low=-128, high=127) for name in NAMES}
    clean = batch_of(30, seed=4)
    threat, codes = code_problem(analytic.threat("linf", {"image": 0.06, "audio": 0.04}), clean, grids, "real")
    plain = analytic.linear({name: w / 40 for name, w in WEIGHTS.items()}, np.zeros(3), grids)
    labels = plain.logits(codes).argmax(axis=1)
    target = Watched(plain, threat)
    found = Universal(batch_size=7).run(target, codes, labels, threat)
    assert found.verdict.broken.any() and target.gradients == 300 and target.forwards == 330
    assert {float(np.abs(d).max()) for d in found.delta.values()} == {3.0, 2.0}


def test_gradients_of_the_wrong_sign_do_no_harm_and_zero_gradients_no_change() -> None:
    plain, batch = analytic.linear(WEIGHTS, np.zeros(3)), batch_of(20, seed=2)
    labels = plain.logits(batch).argmax(axis=1)
    labels[:4] = (labels[:4] + 1) % 3
    threat = analytic.threat("linf", {"image": 0.05})
    found = Universal().run(analytic.flipped(plain), batch, labels, threat)
    assert found.verdict.missed[:4].all()
    still = Universal().run(analytic.constant(NAMES, np.array([3.0, 0.0, 0.0])), batch, np.zeros(20, int), threat)
    assert not still.delta["image"].any() and still.verdict.fooling_rate == 0 and not still.verdict.broken.any()


def test_the_best_epoch_is_kept() -> None:
    """Steps of the whole budget along one sample's gradient each undo one another; what broke most is returned."""
    batch, counts = batch_of(40, seed=3), []
    plain = analytic.linear(WEIGHTS, -analytic.linear(WEIGHTS, np.zeros(3)).logits(batch).mean(axis=0))
    labels = plain.logits(batch).argmax(axis=1)
    target = Watched(plain, analytic.threat("linf", dict.fromkeys(NAMES, 0.3)))
    target.judged = counts.append
    found = Universal(batch_size=1, epochs=6, seed=3).run(target, batch, labels, target.threat)
    broken = [int((logits.argmax(axis=1) != labels).sum()) for logits in counts]
    assert len(broken) == 7 and int(found.verdict.broken.sum()) == max(broken) > broken[-1]


def test_breaking_what_was_right_is_worth_more_than_keeping_wrong_what_was_wrong() -> None:
    """On one coordinate, class 1 from x > 0. Upwards breaks one sample and repairs three that were wrong when clean."""
    target = analytic.linear({"image": np.array([[0.0, 1.0]])}, np.zeros(2))
    batch = {"image": np.array([-0.5, -9, -9, -9, -0.5, -0.5, -0.5], np.float32).reshape(7, 1, 1, 1)}
    labels = np.array([0, 0, 0, 0, 1, 1, 1])
    found = Universal().run(target, batch, labels, analytic.threat("linf", {"image": 1.0}, **WIDE))
    assert found.delta["image"].item() == 1.0 and found.verdict.broken.tolist() == [True] + [False] * 6


def test_a_step_on_codes_is_at_least_one_code() -> None:
    weights, batch = {name: w[:, :2] for name, w in WEIGHTS.items()}, batch_of(5, lattice=True)
    threat = analytic.threat("linf", {"image": 5.0, "audio": 0.0}, low=-300.0, high=300.0, lattice=True)
    attack = Universal(epochs=1, step=0.01, loss="margin")
    found = attack.run(analytic.linear(weights, np.zeros(2)), batch, np.zeros(5, int), threat)
    assert set(np.abs(found.delta["image"]).reshape(-1)) == {1.0} and not found.delta["audio"].any()


def test_rates_count_what_their_names_say() -> None:
    """Five samples on one coordinate, moved by 1: logits (0, x), so class 1 from x > 0."""
    target = analytic.linear({"image": np.array([[0.0, 1.0]])}, np.zeros(2))
    batch = {"image": np.array([-0.5, -0.5, -2.0, 0.5, 0.5], np.float32).reshape(5, 1, 1, 1)}
    labels = np.array([0, 1, 0, 1, 0])
    delta = {"image": np.ones((1, 1, 1, 1), np.float32)}
    found = judge(target, batch, labels, analytic.threat("linf", {"image": 1.0}, **WIDE), delta)
    assert found.missed.tolist() == [False, True, False, False, True]
    assert found.broken.tolist() == [True, False, False, False, True]
    assert found.changed.tolist() == [True, True, False, False, False]
    assert found.fooling_rate == pytest.approx(0.4)


def test_the_result_depends_on_the_seed_alone() -> None:
    plain, batch = analytic.linear(WEIGHTS, np.zeros(3)), batch_of(40, seed=3)
    labels = plain.logits(batch).argmax(axis=1)
    threat = analytic.threat("l2", dict.fromkeys(NAMES, 0.5))
    first, again, other = (Universal(epochs=1, batch_size=3, seed=seed).run(plain, batch, labels, threat)
                           for seed in (1, 1, 2))
    assert all(np.array_equal(first.delta[name], again.delta[name]) for name in NAMES)
    assert any(not np.array_equal(first.delta[name], other.delta[name]) for name in NAMES)
    told = Universal(epochs=1, batch_size=3, seed=1).settings()
    assert told == {"name": "universal", "epochs": 1, "step": 1.0, "batch_size": 3, "loss": "cross-entropy", "seed": 1,
                    "train_samples": 200}


@pytest.mark.parametrize(("arguments", "message"), [
    ({"epochs": 0}, "universal: epochs is 0; give at least 1"),
    ({"batch_size": 0}, "universal: batch_size is 0"),
    ({"step": -0.1}, "universal: step is -0.1; give at least 0"),
    ({"step": float("nan")}, "universal: step is nan"),
    ({"seed": -1}, "universal: seed is -1"),
    ({"loss": "margn"}, r"unknown loss 'margn' \(did you mean 'margin'\?\)"),
])
def test_wrong_settings_are_refused(arguments: dict[str, Any], message: str) -> None:
    target, batch = analytic.linear(WEIGHTS, np.zeros(3)), batch_of(2)
    with pytest.raises(UsageError, match=message) as caught:
        Universal(**arguments).run(target, batch, np.zeros(2, int), analytic.threat("linf", {"image": 0.1}))
    assert "\n" not in str(caught.value)


def test_a_delta_outside_the_threat_is_not_judged() -> None:
    target, labels = analytic.linear(WEIGHTS, np.zeros(3)), np.zeros(2, int)
    batch = {name: np.zeros((2, *shape), np.float32) for name, shape in SHAPES.items()}
    mask = np.ones(SHAPES["image"], np.float32)
    mask[0] = 0
    threat = analytic.threat("linf", {"image": 2.0}, low=-128.0, high=127.0, mask={"image": mask}, lattice=True)
    inside = (2 * mask)[None]
    judge(target, batch, labels, threat, {"image": inside})
    for delta, message in (
        ({}, r"give its delta of shape \[1, 4, 5, 1\]; given: nothing"),
        ({"image": inside[0]}, r"given: image \[4, 5, 1\]"),
        ({"image": inside * 2}, "has linf size 4 at sample 0; the budget is 2"),
        ({"image": np.full_like(inside, 1)}, "changes protected coordinates"),
        ({"image": inside / 4}, "holds fractions"),
    ):
        with pytest.raises(TinyfuseError, match=message):
            judge(target, batch, labels, threat, delta)


def test_a_delta_from_a_set_with_more_reach_is_clipped_for_one_with_less() -> None:
    """Threat model R: the largest reach in codes is 3 or 2, depending on where the clean values lie between codes."""
    grids = {name: InputGrid(scale=1 / 40, zero_point=-5, low=-128, high=127) for name in NAMES}
    target = analytic.linear({name: w / 40 for name, w in WEIGHTS.items()}, np.zeros(3), grids)
    between, upon = ({name: np.full((1, *shape), value, np.float32) for name, shape in SHAPES.items()}
                     for value in (20.4 / 40, 20 / 40))
    wanted = analytic.threat("linf", {"image": 2.2 / 40})
    near, far = (code_problem(wanted, clean, grids, "real") for clean in (upon, between))
    assert (near[0].budget["image"], far[0].budget["image"]) == (2, 3)
    found = Universal().run(target, far[1], np.zeros(1, int), far[0])
    verdict = judge(target, near[1], np.zeros(1, int), near[0], found.delta)
    assert np.abs(found.delta["image"]).max() == 3
    assert np.array_equal(verdict.point["image"] - near[1]["image"], np.clip(found.delta["image"], -2, 2))


def test_a_perturbation_leaves_other_inputs_and_the_clean_batch_alone() -> None:
    batch = batch_of(3)
    before = {name: values.copy() for name, values in batch.items()}
    delta = {"audio": np.full((1, *SHAPES["audio"]), 0.7, np.float32)}
    moved = perturbed(batch, analytic.threat("linf", {"audio": 1.0}), delta)
    assert moved["image"] is batch["image"] and moved["audio"].max() == 1.0
    assert all(np.array_equal(batch[name], before[name]) for name in NAMES)
