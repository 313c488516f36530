"""Attacks that ask for logits alone: legal queries, counted, the same whatever the batch."""

from __future__ import annotations

from typing import Any

import analytic
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyfuse.attacks import ATTACKS, Batch, Corners, Square, Threat
from tinyfuse.core.errors import TinyfuseError, UsageError
from tinyfuse.threats.audit import audit
from tinyfuse.threats.norm import NOISE_KINDS
from tinyfuse.threats.norms import NORMS
from tinyfuse.threats.random_draws import Streams

GRADIENT_FREE = [name for name, kind in ATTACKS.items() if kind.gradient_free]
SAMPLE_ATTACKS = [name for name, kind in ATTACKS.items() if kind.in_suites and "linf" in kind.norms]

NAMES = ("image", "audio")
SHAPES = {"image": (7, 5, 2), "audio": (6, 6, 1)}
SHORT: dict[str, dict[str, Any]] = {
    "square": {"queries": 40}, "corners": {"draws": 12}, "nes": {"steps": 3, "pairs": 6},
    "spsa": {"steps": 3, "pairs": 6}}


def batch_of(count: int, lattice: bool, seed: int = 0) -> dict[str, np.ndarray]:
    """Samples of which some coordinates lie on the ends of the box."""
    random = np.random.default_rng(seed)
    if lattice:
        codes = {name: random.integers(-150, 150, (count, *shape)) for name, shape in SHAPES.items()}
        return {name: np.clip(values, -128, 127).astype(np.float32) for name, values in codes.items()}
    return {name: np.clip(random.uniform(-0.1, 1.1, (count, *shape)), 0, 1).astype(np.float32)
            for name, shape in SHAPES.items()}


def box(lattice: bool) -> dict[str, float]:
    return {"low": -128.0, "high": 127.0} if lattice else {"low": 0.0, "high": 1.0}


WEIGHTS = {lattice: {name: np.random.default_rng(3).normal(0, 1 / 255 if lattice else 1, (int(np.prod(shape)), 4))
                     for name, shape in SHAPES.items()} for lattice in (False, True)}


def a_target(lattice: bool, bias: float = 0.0) -> analytic.Analytic:
    return analytic.linear(WEIGHTS[lattice], np.array([bias, 0.0, 0.0, 0.0]))


def rows_of(batch: Batch, rows: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values[rows] for name, values in batch.items()}


@st.composite
def threats(draw: st.DrawFn) -> tuple[Threat, dict[str, np.ndarray]]:
    """Any legal threat: norm, modalities, budgets of their own, masks, boxes of single samples, real or whole codes."""
    lattice, norm = draw(st.booleans()), draw(st.sampled_from(["linf", "l2"]))
    names = draw(st.sampled_from([("image",), ("audio",), NAMES]))
    batch = batch_of(4, lattice, draw(st.integers(0, 99)))
    random = np.random.default_rng(draw(st.integers(0, 99)))
    if lattice and norm == "linf":
        epsilon = {name: float(draw(st.integers(0, 12))) for name in names}
    else:
        epsilon = {name: draw(st.floats(0, 12)) * (1 if lattice else 0.1) for name in names}
    low: Any = box(lattice)["low"]
    high: Any = box(lattice)["high"]
    if draw(st.booleans()):
        reach = {name: random.integers(1, 9, batch[name].shape) * (1 if lattice else 0.01) for name in names}
        low = {name: np.maximum(batch[name] - reach[name], low).astype(np.float32) for name in names}
        high = {name: np.minimum(batch[name] + reach[name], high).astype(np.float32) for name in names}
    mask = {name: (random.random(SHAPES[name]) < 0.4).astype(np.float32) for name in names}
    return analytic.threat(norm, epsilon, low, high, mask if draw(st.booleans()) else None, lattice), batch


@pytest.mark.parametrize("name", GRADIENT_FREE)
@settings(max_examples=100, deadline=None)
@given(problem=threats())
def test_every_query_is_a_legal_point(name: str, problem: tuple[Threat, dict[str, np.ndarray]]) -> None:
    threat, batch = problem
    if name == "square" and threat.norm.name == "l2":
        return
    target = a_target(threat.lattice, bias=50.0)
    found = analytic.attacked(name, target, batch, np.zeros(4, int), threat, **SHORT[name])
    audit(found.strongest, batch, threat)
    assert found.queries == target.asked
    for seen in target.seen:
        # Nothing breaks here, so every call holds all samples, each a whole number of times.
        count = len(seen["image"]) // 4
        for which in range(count):
            audit({key: values[which::count] for key, values in seen.items()}, batch, threat)


@pytest.mark.parametrize("name", GRADIENT_FREE)
@pytest.mark.parametrize("lattice", [False, True])
def test_a_sample_does_not_depend_on_the_others(name: str, lattice: bool) -> None:
    target, batch = a_target(lattice), batch_of(20, lattice)
    labels, ids = target.logits(batch).argmax(axis=1), np.arange(100, 120)
    threat = analytic.threat("linf", dict.fromkeys(NAMES, 6.0 if lattice else 0.03), **box(lattice), lattice=lattice)
    together = analytic.attacked(name, target, batch, labels, threat, seed=4, **SHORT[name], sample_ids=ids)
    assert 0 < together.broken.sum() < 20
    again = analytic.attacked(name, target, batch, labels, threat, seed=4, **SHORT[name], sample_ids=ids)
    other = analytic.attacked(name, target, batch, labels, threat, seed=5, **SHORT[name], sample_ids=ids)
    queries = 0
    for rows in (np.array([7]), np.array([19, 3, 0]), np.setdiff1d(np.arange(20), [7, 19, 3, 0])):
        alone = analytic.attacked(name, target, rows_of(batch, rows), labels[rows], threat, seed=4, **SHORT[name],
                                  sample_ids=ids[rows])
        assert np.array_equal(alone.broken, together.broken[rows])
        for key in NAMES:
            assert alone.strongest[key].tobytes() == together.strongest[key][rows].tobytes()
        queries += alone.queries
    assert queries == together.queries == again.queries
    assert all(np.array_equal(again.strongest[key], together.strongest[key]) for key in NAMES)
    assert not all(np.array_equal(other.strongest[key], together.strongest[key]) for key in NAMES)


@pytest.mark.parametrize("name", GRADIENT_FREE)
def test_broken_samples_are_asked_no_more_and_gradients_are_not_needed(name: str) -> None:
    inner, batch = a_target(False), batch_of(30, False)
    labels = inner.logits(batch).argmax(axis=1)
    labels[:5] = (labels[:5] + 1) % 4
    threat = analytic.threat("linf", dict.fromkeys(NAMES, 0.06))
    inner.seen.clear()
    found = analytic.attacked(name, analytic.OnlyLogits(inner), batch, labels, threat, **SHORT[name])
    assert found.broken[:5].all() and found.broken.sum() > 5
    assert all(np.array_equal(found.strongest[key][:5], batch[key][:5]) for key in NAMES)
    sizes = [len(seen["image"]) for seen in inner.seen]
    assert sizes[0] == 30 and sizes[1] in (25, 25 * 10) and sizes[-1] < 25
    assert found.queries == sum(sizes)
    assert not found.zero_gradient.any()
    assert np.array_equal(found.broken, found.broken_last)


def test_the_strongest_point_is_the_one_of_highest_margin() -> None:
    target, batch = a_target(False, bias=50.0), batch_of(6, False)
    found = Corners(draws=30).run(target, batch, np.zeros(6, int), analytic.threat("linf", {"image": 0.1}))
    asked = [target.logits(seen) for seen in list(target.seen)]
    margins = [logits[:, 1:].max(axis=1) - logits[:, 0] for logits in [*asked, target.logits(found.strongest)]]
    assert len(asked) == 31
    np.testing.assert_array_equal(margins[-1], np.max(margins[:-1], axis=0))
    assert not found.broken.any()


def test_a_tie_counts_as_the_device_counts_it() -> None:
    """Equal logits go to the lowest class: class 1 loses a tie with class 0, class 0 wins it."""
    target = analytic.constant(("image",), np.array([3.0, 3.0]))
    found = Corners(draws=3).run(target, {"image": np.full((2, 4, 4, 1), 0.5, np.float32)}, np.array([0, 1]),
                                 analytic.threat("linf", {"image": 0.1}))
    assert found.broken.tolist() == [False, True]
    assert found.queries == 2 + 3


@pytest.mark.parametrize("lattice", [False, True])
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("kind", NOISE_KINDS)
def test_random_moves_have_the_size_that_was_asked(kind: str, norm: str, lattice: bool) -> None:
    mask = np.zeros((12, 10, 1), np.float32)
    mask[3:9] = 1
    rows, streams = np.arange(50), Streams(1, np.arange(50), "test")
    size = 5.0 if norm == "linf" else 30.0
    moved = NORMS[norm].noise(kind, streams, rows, mask, size, on_lattice=lattice)
    assert moved.dtype == np.float32 and not np.any(moved * (1 - mask))
    assert not lattice or np.array_equal(moved, np.rint(moved))
    inside = moved[:, 3:9].reshape(50, -1).astype(np.float64)
    assert abs(inside.mean()) < 0.2 * np.abs(inside).mean()
    if norm == "linf":
        expected = {"signs": size**2, "gaussian": size**2, "uniform": size**2 / 3}[kind]
        assert np.square(inside).mean() == pytest.approx(expected, rel=0.1)
        assert kind == "gaussian" or np.abs(inside).max() <= size
    else:
        lengths = np.sqrt(np.square(inside).sum(axis=1))
        assert lengths.max() <= size * (1 + 1e-6)
        assert lengths.min() > 0.85 * size
        if not lattice:
            # (length / size)^d is uniform in [0, 1] for a uniform point in a ball of d dimensions.
            expected = 0.5 if kind == "uniform" else 1.0
            assert np.mean((lengths / size) ** mask.sum()) == pytest.approx(expected, abs=0.12)


def test_small_l2_moves_in_whole_codes_change_a_few_coordinates_by_one() -> None:
    """Length 3 over 784 coordinates: truncation would leave nothing, so 9 of them move."""
    streams, mask = Streams(0, np.arange(5), "test"), np.ones((28, 28, 1))
    moved = NORMS["l2"].noise("signs", streams, np.arange(5), mask, 3.0, on_lattice=True)
    assert np.array_equal(np.unique(moved), [-1, 0, 1])
    assert np.all(np.square(moved).sum(axis=(1, 2, 3)) == 9)


@pytest.mark.parametrize("name", ["nes", "spsa"])
def test_estimates_see_more_than_a_step_below_one_code_would(name: str) -> None:
    """On codes a probe of less than one code sees a flat function: the least probe and step are one code."""
    target, batch = a_target(True), batch_of(20, True)
    labels = target.logits(batch).argmax(axis=1)
    threat = analytic.threat("linf", dict.fromkeys(NAMES, 8.0), **box(True), lattice=True)
    found = analytic.attacked(name, target, batch, labels, threat, probe=0.001, step=0.001, steps=16, pairs=10)
    smallest = analytic.smallest_budget(WEIGHTS[True], target.logits(batch), labels, "linf", NAMES)
    assert (smallest < 5).sum() >= 5 and found.broken[smallest < 5].all()
    moved = np.abs(target.seen[2]["image"][:10] - target.seen[2]["image"][0]).max()
    assert moved >= 1


def test_no_budget_leaves_the_clean_input() -> None:
    target, batch = a_target(True), batch_of(3, True)
    labels = target.logits(batch).argmax(axis=1)
    for name in GRADIENT_FREE:
        threat = analytic.threat("linf", {"image": 0.0}, **box(True), lattice=True)
        found = analytic.attacked(name, target, batch, labels, threat, **SHORT[name])
        assert not found.broken.any() and found.strongest["image"].tobytes() == batch["image"].tobytes()
        assert found.strongest["audio"] is batch["audio"]


@pytest.mark.parametrize(("norm", "epsilon", "change", "seen"), [
    ("l2", 0.99999, 0.99999, 0), ("l2", 1.0, 0.9999999, 1), ("linf", 5.99999, 5.99999, 5), ("linf", 6.0, 5.9999995, 6),
    ("l2", 6.0, -5.9999995, -6)])
def test_rounding_errors_are_repaired_but_never_beyond_the_budget(
        norm: str, epsilon: float, change: float, seen: float) -> None:
    threat = analytic.threat(norm, {"image": epsilon}, -128, 127, lattice=True)
    clean = {"image": np.zeros((1, 3, 3, 1), np.float32)}
    point = {"image": clean["image"].copy()}
    point["image"][0, 1, 2, 0] = change
    realised = threat.realise(point, clean)
    assert realised["image"][0, 1, 2, 0] == seen
    audit(realised, clean, threat)


@pytest.mark.parametrize("name", SAMPLE_ATTACKS)
def test_boxes_of_single_samples_may_leave_some_without_a_move_and_all_may_break(name: str) -> None:
    """As when the device rounds: one sample has no code within reach, and the others leave the batch one by one."""
    target, batch = a_target(True), batch_of(5, True)
    labels = target.logits(batch).argmax(axis=1)
    reach = np.array([0, 60, 60, 60, 60], np.float32).reshape(-1, 1, 1, 1)
    low, high = ({key: np.clip(batch[key] + sign * reach, -128, 127) for key in NAMES} for sign in (-1, 1))
    threat = analytic.threat("linf", dict.fromkeys(NAMES, 60.0), low, high, lattice=True)
    for rows in (np.arange(5), np.array([0]), np.arange(1, 5)):
        found = analytic.attacked(name, target, rows_of(batch, rows), labels[rows], threat.take(rows),
                                  survivors_only=True)
        assert np.array_equal(found.broken, rows > 0)
        audit(found.strongest, rows_of(batch, rows), threat.take(rows))


@pytest.mark.parametrize(("name", "told"), [
    ("square", {"queries": 1000, "share": 0.8}), ("corners", {"draws": 100, "kind": "signs"}),
    ("nes", {"steps": 20, "pairs": 20, "probe": 0.5, "momentum": 0.9}),
    ("spsa", {"steps": 20, "pairs": 20, "probe": 0.5, "momentum": 0.9})])
def test_settings_tell_what_ran(name: str, told: dict[str, Any]) -> None:
    assert ATTACKS[name](seed=9).settings() == {"name": name, **told, "seed": 9}  # type: ignore[call-arg]


@pytest.mark.parametrize("shapes", [{"image": (6, 3)}, {"audio": (12,)}, {"image": (6, 3), "audio": (12,)}])
@pytest.mark.parametrize("name", SAMPLE_ATTACKS)
def test_sequences_and_vectors_are_inputs_too(name: str, shapes: dict[str, tuple[int, ...]]) -> None:
    random = np.random.default_rng(0)
    weights = {key: random.normal(0, 1, (int(np.prod(shape)), 3)) for key, shape in shapes.items()}
    target = analytic.linear(weights, np.zeros(3))
    batch = {key: random.uniform(0.3, 0.7, (9, *shape)).astype(np.float32) for key, shape in shapes.items()}
    labels, threat = target.logits(batch).argmax(axis=1), analytic.threat("linf", dict.fromkeys(shapes, 0.3))
    found = analytic.attacked(name, target, batch, labels, threat)
    audit(found.strongest, batch, threat)
    assert found.broken.sum() >= 3


@pytest.mark.parametrize(("name", "wrong", "message"), [
    ("square", {"queries": 1}, "square: queries is 1; give at least 2"),
    ("square", {"share": 0.0}, "square: share is 0.0"),
    ("corners", {"draws": 0}, "corners: draws is 0"),
    ("corners", {"kind": "sings"}, r"unknown kind of noise 'sings' \(did you mean 'signs'\?\)"),
    ("nes", {"steps": 0}, "nes: steps is 0"),
    ("spsa", {"pairs": 0}, "spsa: pairs is 0"),
    ("nes", {"probe": float("nan")}, "nes: probe is nan"),
    ("nes", {"momentum": -1.0}, "nes: momentum is -1.0"),
    ("corners", {"seed": -1}, "corners: seed is -1"),
    ("square", {"sample_ids": np.array([0, -2])}, "give 2 integers >= 0"),
    ("nes", {"sample_ids": np.arange(3)}, "sample_ids are int64 of shape .* give 2 integers"),
])
def test_wrong_parameters_are_refused(name: str, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        analytic.attacked(name, a_target(False), batch_of(2, False), np.zeros(2, int),
                          analytic.threat("linf", {"image": 0.1}), **wrong)


def test_targets_and_threats_that_do_not_fit_are_refused() -> None:
    batch, labels, threat = batch_of(2, False), np.zeros(2, int), analytic.threat("linf", {"image": 0.1})
    with pytest.raises(UsageError, match="square: the norm is l2; this attack is defined for linf"):
        Square().run(a_target(False), batch, labels, analytic.threat("l2", {"image": 0.1}))
    with pytest.raises(UsageError, match="has no gradients, which pgd needs; use one of square, corners, nes, spsa"):
        analytic.attacked("pgd", analytic.OnlyLogits(a_target(False)), batch, labels, threat)
    for name in GRADIENT_FREE:
        with pytest.raises(TinyfuseError, match="NaN"):
            analytic.attacked(name, analytic.constant(NAMES, np.array([np.nan, 0.0])), batch, labels, threat)
        with pytest.raises(TinyfuseError, match="probabilities"):
            analytic.attacked(name, analytic.constant(NAMES, np.array([0.25, 0.75])), batch, labels, threat)
