"""Every registered attack on models whose answer is known, in real units and in whole codes."""

from __future__ import annotations

from dataclasses import dataclass

import analytic
import numpy as np
import pytest

from tinyfuse.attacks import ATTACKS, Adversarial, Batch, Target, Threat
from tinyfuse.threats.audit import audit

SHAPE = (8, 8, 1)
SIZE = 64
NAMES = ("image", "audio")
SAMPLE_ATTACKS = tuple(name for name, kind in ATTACKS.items() if kind.in_suites and "linf" in kind.norms)
GRADIENT = tuple(name for name in SAMPLE_ATTACKS if not ATTACKS[name].gradient_free)
GRADIENT_FREE = tuple(name for name in SAMPLE_ATTACKS if ATTACKS[name].gradient_free)
SETTINGS: dict[str, dict[str, int]] = {"corners": {"draws": 400}}


@dataclass(frozen=True)
class Space:
    """Real inputs, or codes: the same problems with a unit of 1/255 or of one code."""

    lattice: bool

    @property
    def unit(self) -> float:
        return 1.0 if self.lattice else 1 / 255

    def threat(self, units: float, names: tuple[str, ...] = NAMES, norm: str = "linf") -> Threat:
        low, high = (-128.0, 127.0) if self.lattice else (0.0, 1.0)
        return analytic.threat(norm, dict.fromkeys(names, units * self.unit), low, high, lattice=self.lattice)

    def batch(self, count: int, seed: int = 0) -> dict[str, np.ndarray]:
        """Samples far enough from the box for 50 units."""
        random = np.random.default_rng(seed)
        codes = {name: random.integers(-70, 70, (count, *SHAPE)) for name in NAMES}
        return {name: (values if self.lattice else (values + 128) / 255).astype(np.float32)
                for name, values in codes.items()}

    def weights(self, classes: int, seed: int = 1) -> dict[str, np.ndarray]:
        random = np.random.default_rng(seed)
        return {name: random.normal(0, 1 / (255 * self.unit), (SIZE, classes)) for name in NAMES}


@pytest.fixture(params=[False, True], ids=["real", "codes"])
def space(request: pytest.FixtureRequest) -> Space:
    return Space(request.param)


def run(name: str, target: Target, batch: Batch, labels: np.ndarray, threat: Threat) -> Adversarial:
    found = analytic.attacked(name, target, batch, labels, threat, **SETTINGS.get(name, {}))
    audit(found.strongest, batch, threat)
    assert np.array_equal(found.broken, target.logits(found.strongest).argmax(axis=1) != labels)
    return found


def test_every_attack_is_either_with_or_without_gradients() -> None:
    assert set(GRADIENT_FREE) == {"square", "corners", "nes", "spsa"} and set(GRADIENT) == {"fgsm", "pgd", "mim"}
    assert [name for name, kind in ATTACKS.items() if kind.iterative] == ["pgd", "mim", "diva"]
    assert set(ATTACKS) - set(SAMPLE_ATTACKS) == {"fgm", "universal", "universal-pgd", "diva"}


@pytest.mark.parametrize(("name", "norm"), [(name, norm) for name in SAMPLE_ATTACKS for norm in ("linf", "l2")
                                            if (name, norm) != ("square", "l2")])
@pytest.mark.parametrize("names", [("image",), ("audio",), NAMES])
def test_no_attack_beats_the_closed_form_of_a_linear_model(
        name: str, norm: str, names: tuple[str, ...], space: Space) -> None:
    """Below margin / ||w||_dual nothing breaks; a few times above it, every attack finds a way."""
    weights, batch = space.weights(2), space.batch(1)
    target = analytic.linear(weights, np.zeros(2))
    # The bias puts the smallest budget of the sample here; the L2 ball is thinner, and codes come whole.
    units = 5.5 if norm == "linf" else 60.0
    below, above = (5, 6) if norm == "linf" and space.lattice else (units * (1 - 1e-6), units * (1 + 1e-5))
    gap = analytic.smallest_budget(weights, np.array([[1.0, 0.0]]), np.zeros(1, int), norm, names)[0]
    logits = target.logits(batch)[0]
    target = analytic.linear(weights, np.array([logits[1] - logits[0] + units * space.unit / gap, 0.0]))
    labels = np.zeros(1, int)
    assert analytic.smallest_budget(weights, target.logits(batch), labels, norm, names)[0] == pytest.approx(
        units * space.unit)
    assert not run(name, target, batch, labels, space.threat(below, names, norm)).broken.any()
    if name in GRADIENT and not (norm == "l2" and space.lattice):
        assert run(name, target, batch, labels, space.threat(above, names, norm)).broken.all()
    if name != "corners":
        assert run(name, target, batch, labels, space.threat(units * 2, names, norm)).broken.all()


def test_random_corners_break_a_linear_model_as_often_as_theory_says(space: Space) -> None:
    """A draw moves the margin by a sum of +-epsilon w_i, nearly normal: P(break) = 1 - Phi(margin / eps ||w||_2)."""
    weights = space.weights(2)
    slope = np.concatenate([weights[name][:, 1] - weights[name][:, 0] for name in NAMES])
    batch = {name: np.repeat(values, 2000, axis=0) for name, values in space.batch(1).items()}
    logits = analytic.linear(weights, np.zeros(2)).logits(space.batch(1))[0]
    deviation = 10 * space.unit * np.sqrt(np.square(slope).sum())
    target = analytic.linear(weights, np.array([logits[1] - logits[0] + deviation, 0.0]))
    found = analytic.attacked("corners", target, batch, np.zeros(2000, int), space.threat(10), draws=1)
    assert found.broken.mean() == pytest.approx(0.1587, abs=0.03)
    assert found.queries == 4000


@pytest.mark.parametrize("name", SAMPLE_ATTACKS)
def test_a_constant_model_is_never_broken_and_always_wrong_samples_always_are(name: str, space: Space) -> None:
    target = analytic.constant(NAMES, np.array([0.5, 2.0, -1.0]))
    found = run(name, target, space.batch(3), np.array([1, 0, 1]), space.threat(20))
    assert found.broken.tolist() == [False, True, False]
    assert found.zero_gradient.tolist() == [name in GRADIENT] * 3


def a_linear_problem(space: Space) -> tuple[analytic.Analytic, dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """A linear target, samples that it gets right, their labels and their smallest budgets in units."""
    weights, batch = space.weights(3), space.batch(12)
    target = analytic.linear(weights, np.zeros(3))
    logits = target.logits(batch)
    labels = logits.argmax(axis=1)
    return target, batch, labels, analytic.smallest_budget(weights, logits, labels, "linf", NAMES) / space.unit


@pytest.mark.parametrize("name", SAMPLE_ATTACKS)
def test_wrong_gradients_fool_exactly_the_attacks_that_use_them(name: str, space: Space) -> None:
    target, batch, labels, smallest = a_linear_problem(space)
    threat = space.threat(float(np.median(smallest)) * 3)
    honest, fooled = (run(name, model, batch, labels, threat) for model in (target, analytic.flipped(target)))
    assert honest.broken.sum() >= (1 if name == "corners" else 8)
    assert fooled.broken.any() == (name in GRADIENT_FREE)
    assert name in GRADIENT or np.array_equal(honest.broken, fooled.broken)


@pytest.mark.parametrize("name", SAMPLE_ATTACKS)
def test_rounding_inside_a_model_hides_it_from_plain_gradients_only(name: str, space: Space) -> None:
    """A model of round(x K) / K: zero gradients look like robustness; straight-through gradients and queries tell."""
    target, batch, labels, smallest = a_linear_problem(space)
    levels = 1 / (4 * space.unit)
    masked, through = (analytic.rounding(target, levels, straight_through=flag) for flag in (False, True))
    labels = masked.logits(batch).argmax(axis=1)
    threat = space.threat(np.ceil(np.median(smallest)) * 2 + 8)
    seen = run(name, masked, batch, labels, threat)
    assert seen.broken.any() == (name in GRADIENT_FREE)
    assert seen.zero_gradient.all() == (name in GRADIENT)
    assert run(name, through, batch, labels, threat).broken.mean() >= 0.5


@pytest.mark.parametrize("name", SAMPLE_ATTACKS)
@pytest.mark.parametrize("names", [("image",), NAMES])
def test_a_planted_adversarial_example_is_found_and_only_within_reach(
        name: str, names: tuple[str, ...], space: Space) -> None:
    """A pocket of 3/5 of the way around a corner of the ball: noise cannot hit it, an attack has to climb into it."""
    batch, random = space.batch(4), np.random.default_rng(5)
    batch = {key: np.repeat(values[:1], 4, axis=0) for key, values in batch.items()}
    units, coordinates = 20.0, SIZE * len(names)
    corner = {key: np.float32(units * space.unit) * random.choice([-1.0, 1.0], SHAPE) for key in names}
    planted = {key: batch[key][:1] + corner[key] for key in names}
    target = analytic.pocket(planted, 0.6 * units * space.unit * np.sqrt(coordinates))
    labels = np.zeros(4, int)  # class 0, outside the pocket
    found = run(name, target, batch, labels, space.threat(units, names))
    assert found.broken.all() == (name != "corners")
    assert not run(name, target, batch, labels, space.threat(0.3 * units, names)).broken.any()


def test_random_corners_find_a_pocket_that_few_coordinates_open(space: Space) -> None:
    """Six coordinates have to agree: one draw in 64, so 400 draws miss with a chance of 0.2 % per sample."""
    batch, where = space.batch(1), np.zeros(SHAPE)
    where[2:4, 3:6] = 1
    planted = {"image": batch["image"] + np.float32(20 * space.unit)}
    target = analytic.pocket(planted, 10 * space.unit, {"image": where})
    batch = {name: np.repeat(values, 20, axis=0) for name, values in batch.items()}
    found = run("corners", target, batch, np.zeros(20, int), space.threat(20, ("image",)))
    assert found.broken.all()
    moved = (found.strongest["image"] - batch["image"])[:, where == 1] / space.unit
    np.testing.assert_allclose(moved, 20, rtol=1e-5)


@pytest.mark.parametrize("name", ["fgsm", "pgd", "mim"])
def test_a_saturated_cross_entropy_hides_a_pocket_that_the_margin_shows(name: str, space: Space) -> None:
    """At logits of 0 and -20,000 the probability of the other class is 0 even in float64."""
    batch = space.batch(1)
    target = analytic.pocket({"image": batch["image"] + np.float32(20 * space.unit)}, 100 * space.unit, steepness=1e4)
    threat = space.threat(20, ("image",))
    blind, sees = (analytic.attacked(name, target, batch, np.zeros(1, int), threat, loss=loss)
                   for loss in ("cross-entropy", "margin"))
    assert blind.zero_gradient.all() and not blind.broken.any()
    assert sees.broken.all()
