"""The joint L2 ball of several inputs and the ball of every step: closed forms, and nothing outside of them."""

from __future__ import annotations

from typing import Any

import analytic
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyfuse.attacks import FGM, MIM, NES, PGD, Corners, SampleAttack, Square, Universal
from tinyfuse.attacks.minimal import minimal_shares
from tinyfuse.attacks.universal_pgd import UniversalPGD
from tinyfuse.core.errors import TinyfuseError, UsageError
from tinyfuse.threats.audit import audit
from tinyfuse.threats.code_grid import InputGrid
from tinyfuse.threats.code_threats import code_problem, to_codes
from tinyfuse.threats.norms import NORMS
from tinyfuse.threats.threat import Threat

NAMES = ("camera", "mic", "radar")
SHAPES = {"camera": (3, 4, 1), "mic": (5, 2), "radar": (6,)}
RANDOM = np.random.default_rng(3)
WEIGHTS = {name: RANDOM.normal(0, scale, (int(np.prod(SHAPES[name])), 2))
           for name, scale in zip(NAMES, (1.0, 4.0, 0.3), strict=True)}
SLOPES = {name: w[:, 1] - w[:, 0] for name, w in WEIGHTS.items()}
JOINT = NORMS["l2-joint"]


def zeros(count: int) -> dict[str, np.ndarray]:
    return {name: np.zeros((count, *shape), np.float32) for name, shape in SHAPES.items()}


def joint(budget: dict[str, float], **more: Any) -> Threat:
    """Return the threat of the joint ball, in a wide box."""
    return analytic.threat("l2-joint", budget, **({"low": -100.0, "high": 100.0} | more))


@settings(max_examples=150, deadline=None)
@given(norm=st.sampled_from(["l2-joint", "l2-steps"]), lattice=st.booleans(), seed=st.integers(0, 2**32 - 1),
       epsilon=st.lists(st.one_of(st.just(0.0), st.floats(0.01, 20)), min_size=1, max_size=3), masked=st.booleans())
def test_projection_steps_noise_and_draws_stay_in_the_ball(norm: str, lattice: bool, seed: int, epsilon: list[float],
                                                           masked: bool) -> None:
    random, budget = np.random.default_rng(seed), dict(zip(NAMES, epsilon, strict=False))
    mask = {NAMES[0]: random.integers(0, 2, SHAPES[NAMES[0]]).astype(np.float32)} if masked else None
    threat = analytic.threat(norm, budget, low=-8.0, high=8.0, mask=mask, lattice=lattice)
    clean = {name: random.integers(-8, 9, (4, *shape)).astype(np.float32) for name, shape in SHAPES.items()}
    wild = {name: clean[name] + random.normal(0, 3, clean[name].shape).astype(np.float32) for name in NAMES}
    points = [threat.project(wild, clean), threat.random_point(clean, seed=1, sample_ids=np.arange(4)),
              threat.project(threat.ascend(clean, wild, budget), clean)]
    for point in points:
        audit(threat.realise(point, clean), clean, threat)
        assert all(point[name] is clean[name] for name in NAMES if name not in budget)
    target, labels = analytic.linear(WEIGHTS, np.zeros(2)), np.zeros(4, int)
    for attack in (Corners(draws=2), Corners(draws=2, kind="uniform"), NES(steps=1, pairs=2)):
        audit(attack.run(target, clean, labels, threat).strongest, clean, threat)


@pytest.mark.parametrize("attack", [FGM(), PGD(steps=4), MIM(steps=4)])
@pytest.mark.parametrize("budget", [(0.7, 0.7, 0.7), (0.2, 1.5, 3.0), (0.5, 0.0, 2.0)])
def test_a_linear_model_breaks_at_its_margin_over_the_length_of_all_slopes(attack: SampleAttack,
                                                                          budget: tuple[float, ...]) -> None:
    """Margin m, loss slope s: the least factor of the budget is m / || (epsilon_m s_m)_m ||_2."""
    given_budget, m = dict(zip(NAMES, budget, strict=True)), 0.9
    target = analytic.linear(WEIGHTS, np.array([m, 0.0]))
    least = m / np.sqrt(sum(np.square(given_budget[name] * SLOPES[name]).sum() for name in NAMES))
    for factor, breaks in ((1 - 1e-4, False), (1 + 1e-4, True)):
        threat = joint({name: value * least * factor for name, value in given_budget.items()})
        found = attack.run(target, zeros(1), np.array([0]), threat)
        assert found.broken.tolist() == [breaks]
    for name in NAMES:
        best = np.square(threat.budget[name]) * SLOPES[name] / m
        np.testing.assert_allclose(found.strongest[name].reshape(-1), best, rtol=1e-3, atol=1e-6)
    share = minimal_shares(target, zeros(1), np.array([0]), joint(given_budget), attack=attack, levels=60)
    assert least <= share[0] * (1 + 1e-6) and share[0] <= least * 1.09


def test_with_equal_budgets_it_is_the_ball_around_all_inputs_side_by_side() -> None:
    """CRMT: one step of epsilon g / ||g|| over all modalities, projection to one joint length."""
    gradient = {name: RANDOM.normal(0, 1, (5, *shape)).astype(np.float32) for name, shape in SHAPES.items()}
    threat = joint(dict.fromkeys(NAMES, 0.5))
    moved = threat.ascend(zeros(5), gradient, threat.budget)
    together = {"all": np.concatenate([gradient[name].reshape(5, -1) for name in NAMES], axis=1)}
    one = analytic.threat("l2", {"all": 0.5}, low=-100.0, high=100.0)
    clean = {"all": np.zeros_like(together["all"])}
    for found, wanted in ((moved, one.ascend(clean, together, one.budget)),
                          (threat.project(gradient, zeros(5)), one.project(together, clean))):
        beside = np.concatenate([found[name].reshape(5, -1) for name in NAMES], axis=1)
        np.testing.assert_allclose(beside, wanted["all"], rtol=1e-5, atol=1e-8)


def test_one_attacked_input_has_the_l2_ball() -> None:
    wild = {name: RANDOM.normal(0, 2, (3, *shape)).astype(np.float32) for name, shape in SHAPES.items()}
    alone = analytic.threat("l2", {"mic": 0.8}, low=-100.0, high=100.0).project(wild, zeros(3))
    np.testing.assert_allclose(joint({"mic": 0.8}).project(wild, zeros(3))["mic"], alone["mic"], rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), budget=st.lists(st.floats(0.01, 5), min_size=3, max_size=3))
def test_the_joint_ball_lies_between_balls_of_each_input(seed: int, budget: list[float]) -> None:
    """|| . ||_2 / sqrt(M) <= max_m <= || . ||_2 over M inputs: what one threat allows, a wider one does."""
    given_budget, random = dict(zip(NAMES, budget, strict=True)), np.random.default_rng(seed)
    change = {name: random.normal(0, 1, (6, *shape)) for name, shape in SHAPES.items()}
    each, all_of_them = (NORMS[norm].shares(change, given_budget) for norm in ("l2", "l2-joint"))
    assert (each <= all_of_them * (1 + 1e-12)).all() and (all_of_them <= each * np.sqrt(3) * (1 + 1e-12)).all()


def test_random_points_fill_the_joint_ball() -> None:
    """Two coordinates of two inputs: a disc, where the squared radius is uniform, stretched by the budgets."""
    clean = {"a": np.zeros((400, 1), np.float32), "b": np.zeros((400, 1), np.float32)}
    threat = joint({"a": 1.0, "b": 4.0})
    point = threat.random_point(clean, seed=0, sample_ids=np.arange(400))
    square = threat.norm.shares(point, threat.budget) ** 2
    assert square.max() <= 1 + 1e-6 and abs(square.mean() - 0.5) < 0.05
    assert abs(np.square(point["b"]).mean() / np.square(point["a"]).mean() / 16 - 1) < 0.25


def test_codes_spend_what_the_real_change_may() -> None:
    """On grids of other scales the joint share counts scale times codes; rounding down keeps a change inside."""
    grids = {name: InputGrid(scale, 0, -128, 127) for name, scale in zip(NAMES, (0.02, 0.1, 0.005), strict=True)}
    threat = analytic.threat("l2-joint", {"camera": 0.3, "mic": 0.9, "radar": 0.1}, low=-0.6, high=0.6)
    clean = {name: RANDOM.uniform(-0.5, 0.5, (20, *shape)).astype(np.float32) for name, shape in SHAPES.items()}
    wild = {name: values + RANDOM.normal(0, 1, values.shape).astype(np.float32) for name, values in clean.items()}
    audit(to_codes(threat.project(wild, clean), clean, threat, grids), clean, threat, grids)
    lattice, start = code_problem(threat, clean, grids, "codes")
    assert lattice.budget == pytest.approx({"camera": 15, "mic": 9, "radar": 20}, rel=1e-6)
    target = analytic.linear({name: w * grids[name].scale for name, w in WEIGHTS.items()}, np.array([9.0, 0.0]), grids)
    found = PGD(steps=8).run(target, start, np.zeros(20, int), lattice)
    audit({name: found.last[name].astype(np.int32) for name in NAMES}, clean, threat, grids)
    assert lattice.norm.shares({name: found.last[name] - start[name] for name in NAMES}, lattice.budget).mean() > 0.5
    with pytest.raises(UsageError, match="'real' is defined for linf, given l2-joint"):
        code_problem(threat, clean, grids, "real")


def test_the_audit_names_a_joint_budget_that_is_overspent() -> None:
    threat, clean = joint({"camera": 1.0, "mic": 2.0}), zeros(2)
    point = {name: values.copy() for name, values in clean.items()}
    point["camera"][1, 0, 0, 0], point["mic"][1, 0, 0] = 0.8, 1.2
    audit(point, clean, threat)
    point["mic"][1, 0, 0] = 1.21
    with pytest.raises(TinyfuseError, match=r"'camera' and 'mic' spend 1\.003008.* at sample 1"):
        audit(point, clean, threat)


def test_attacks_say_for_which_norms_they_are_defined() -> None:
    for attack, norm, message in (
        (Square(), "l2-joint", "square: the norm is l2-joint; this attack is defined for linf"),
        (FGM(), "linf", "fgm: the norm is linf; this attack is defined for l2 and l2-joint and l2-steps"),
        (UniversalPGD(), "l2", "universal-pgd: the norm is l2; this attack is defined for l2-steps"),
    ):
        with pytest.raises(UsageError, match=message):
            threat = analytic.threat(norm, {"mic": 1.0}, low=-9.0, high=9.0)
            attack.run(analytic.linear(WEIGHTS, np.zeros(2)), zeros(1), np.zeros(1, int), threat)


def test_steps_given_in_input_units_are_shorter_where_a_joint_budget_is() -> None:
    assert PGD(steps=4, step_size=0.3).step_lengths(joint({"camera": 0.9, "mic": 0.3}), None) == pytest.approx(
        {"camera": 0.3, "mic": 0.1})
    assert PGD(steps=4, step_size=0.3).step_lengths(analytic.threat("l2", {"camera": 0.9, "mic": 0.3}), None) == {
        "camera": 0.3, "mic": 0.3}


@pytest.mark.parametrize("lattice", [False, True])
def test_universal_perturbations_have_known_optima(lattice: bool) -> None:
    """Two classes, all samples of class 0: both balls have one best point, whatever the sample."""
    target = analytic.linear(WEIGHTS, np.array([0.5, 0.0]))
    scale = 300.0 if lattice else 1.0
    budget = {"camera": 0.5 * scale, "mic": 2.0 * scale}
    found = Universal(epochs=3, batch_size=3).run(target, zeros(7), np.zeros(7, int), joint(
        budget, low=-9e3, high=9e3, lattice=lattice))
    length = np.sqrt(sum(np.square(budget[name] * SLOPES[name]).sum() for name in budget))
    for name, epsilon in budget.items():
        np.testing.assert_allclose(found.delta[name].reshape(-1), epsilon**2 * SLOPES[name] / length,
                                   rtol=1e-3, atol=1.0 if lattice else 1e-5)
    steps = analytic.threat("l2-steps", budget, low=-9e3, high=9e3, lattice=lattice)
    moved = UniversalPGD(epochs=2, batch_size=3).run(target, zeros(7), np.zeros(7, int), steps)
    assert moved.verdict.broken.all() and moved.queries == 7 * (2 + 2)
    for name, epsilon in budget.items():
        slope = SLOPES[name].reshape(SHAPES[name][0], -1)
        best = epsilon * slope / np.linalg.norm(slope, axis=1, keepdims=True)
        np.testing.assert_allclose(moved.delta[name].reshape(slope.shape), best, rtol=1e-4, atol=1.0 if lattice else 0)


def test_released_steps_have_exactly_their_length_and_protected_ones_none() -> None:
    """Several classes and samples, so that the mean of the samples is no unit vector before it is stretched."""
    random = np.random.default_rng(1)
    target = analytic.linear({name: random.normal(0, 1, (int(np.prod(shape)), 4)) for name, shape in SHAPES.items()},
                             np.zeros(4))
    clean = {name: random.normal(0, 1, (9, *shape)).astype(np.float32) for name, shape in SHAPES.items()}
    mask = np.ones(SHAPES["mic"], np.float32)
    mask[2] = 0
    threat = analytic.threat("l2-steps", {"mic": 0.25}, low=-99.0, high=99.0, mask={"mic": mask})
    labels = target.logits(clean).argmax(axis=1)
    found = UniversalPGD(epochs=3, batch_size=4).run(target, clean, labels, threat)
    np.testing.assert_allclose(np.linalg.norm(found.delta["mic"][0], axis=1), 0.25 * mask[:, 0], rtol=1e-6)
    assert found.verdict.point["camera"] is clean["camera"]
    same = UniversalPGD(epochs=3, batch_size=4).run(target, clean, labels, threat)
    assert same.delta["mic"].tobytes() == found.delta["mic"].tobytes()
