"""Which iterate counts, random starts, and models that only look robust."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import analytic
import numpy as np
import pytest

from tinyfuse.attacks import FGSM, PGD, Batch, DifferentiableTarget, Gradient, InputGrid, loss_and_slope
from tinyfuse.core.errors import TinyfuseError, UsageError


def _ce(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return loss_and_slope("cross-entropy", logits, labels)[0]


Build = Callable[..., DifferentiableTarget]
Draw = Callable[..., tuple[dict[str, np.ndarray], np.ndarray]]
BOTH = analytic.threat("linf", {"image": 0.1, "audio": 0.1})


class Altered:
    """A target whose gradients, inputs or logits are changed on the way."""

    executor = "numpy"
    grids: Mapping[str, InputGrid] | None = None

    def __init__(
        self,
        inner: DifferentiableTarget,
        *,
        of_gradient: Callable[[np.ndarray], np.ndarray] = lambda g: g,
        of_logits: Callable[[np.ndarray], np.ndarray] = lambda z: z,
        of_input: Callable[[np.ndarray], np.ndarray] = lambda x: x,
    ) -> None:
        self.inner, self.of_gradient, self.of_logits, self.of_input = inner, of_gradient, of_logits, of_input
        self.name, self.inputs = inner.name, inner.inputs

    def logits(self, batch: Batch) -> np.ndarray:
        return self.of_logits(self.inner.logits({name: self.of_input(x) for name, x in batch.items()}))

    def gradient(self, batch: Batch, labels: np.ndarray, wrt: tuple[str, ...],
                 loss: str = "cross-entropy") -> Gradient:
        seen = {name: self.of_input(x) for name, x in batch.items()}
        found = self.inner.gradient(seen, labels, wrt, loss)
        changed = {name: self.of_gradient(g) for name, g in found.wrt.items()}
        return replace(found, logits=self.of_logits(found.logits), wrt=changed)


class Ring:
    """Two classes; class 1 exactly where the mean of the image lies in (0.52, 0.56): a step can jump over it."""

    name, executor, inputs = "ring", "numpy", ("image",)
    grids: Mapping[str, InputGrid] | None = None

    def logits(self, batch: Batch) -> np.ndarray:
        mean = batch["image"].mean(axis=(1, 2, 3), dtype=np.float64)
        inside = 100 * (0.02 - np.abs(mean - 0.54))
        return np.stack([np.full(len(mean), 0.25), inside + 0.25], axis=1)

    def gradient(self, batch: Batch, labels: np.ndarray, wrt: tuple[str, ...],
                 loss: str = "cross-entropy") -> Gradient:
        logits = self.logits(batch)
        return Gradient(logits, _ce(logits, labels), {"image": np.ones_like(batch["image"])})


@pytest.fixture
def clean_and_right(linear: Build, samples: Draw) -> tuple[DifferentiableTarget, dict[str, np.ndarray], np.ndarray]:
    target, (clean, _) = linear(), samples(30)
    return target, clean, np.argmax(target.logits(clean), axis=1)


def test_an_iterate_that_broke_the_model_is_kept_when_the_last_one_does_not() -> None:
    clean = {"image": np.full((2, 28, 28, 1), 0.5, np.float32)}
    found = PGD(steps=3, step_size=0.035).run(Ring(), clean, np.zeros(2, int), analytic.threat("linf", {"image": 0.1}))
    assert not found.broken_last.any() and found.broken.all()
    np.testing.assert_allclose(found.strongest["image"], 0.535, atol=1e-6)
    np.testing.assert_allclose(found.last["image"], 0.6, atol=1e-6)


def test_without_success_the_iterate_of_highest_loss_is_kept() -> None:
    """The steps land at 0.515 and 0.575; the first is closer to the ring, neither is in it."""
    clean = {"image": np.full((1, 28, 28, 1), 0.455, np.float32)}
    found = PGD(steps=2, step_size=0.06).run(Ring(), clean, np.array([0]), analytic.threat("linf", {"image": 0.2}))
    assert not found.broken.any()
    np.testing.assert_allclose(found.strongest["image"], 0.515, atol=1e-6)
    np.testing.assert_allclose(found.last["image"], 0.575, atol=1e-6)


def test_a_clean_start_does_not_count_but_a_random_one_does() -> None:
    clean = {"image": np.full((1, 28, 28, 1), 0.54, np.float32)}
    threat = analytic.threat("linf", {"image": 0.1})
    assert not PGD(steps=1, step_size=0.1).run(Ring(), clean, np.array([0]), threat).broken.any()
    assert PGD(steps=1, step_size=0.1, random_start=True).run(Ring(), clean, np.array([0]), threat).broken.all()


def test_the_strongest_iterate_has_the_highest_loss_and_flags_can_be_found_again(
    clean_and_right: tuple[DifferentiableTarget, dict[str, np.ndarray], np.ndarray],
) -> None:
    target, clean, labels = clean_and_right
    for seed in range(3):
        found = PGD(steps=5, step_size=0.15, random_start=True, seed=seed).run(target, clean, labels, BOTH)
        last, best = target.logits(found.last), target.logits(found.strongest)
        assert (_ce(best, labels) >= _ce(last, labels) - 1e-12).all()
        assert np.array_equal(found.broken, best.argmax(1) != labels)
        assert np.array_equal(found.broken_last, last.argmax(1) != labels)
        assert not (found.broken_last & ~found.broken).any()


def test_flags_hold_when_the_backward_pass_sees_other_logits() -> None:
    """A backward pass that calls everything broken must not outvote the forward pass."""
    optimist = Altered(Ring())
    optimist.gradient = lambda batch, labels, wrt, loss: replace(  # type: ignore[method-assign]
        Ring().gradient(batch, labels, wrt), logits=np.tile([0.0, 9.0], (len(labels), 1))
    )
    clean = {"image": np.full((2, 28, 28, 1), 0.3, np.float32)}
    assert not PGD(steps=3).run(optimist, clean, np.zeros(2, int), analytic.threat("linf", {"image": 0.1})).broken.any()
    near = {"image": np.full((2, 28, 28, 1), 0.44, np.float32)}
    found = PGD(steps=3).run(optimist, near, np.zeros(2, int), analytic.threat("linf", {"image": 0.1}))
    assert found.broken_last.all() and found.broken.all()
    assert (optimist.logits(found.strongest).argmax(1) == 1).all()


def test_attacks_do_not_depend_on_the_company_of_a_sample(
    clean_and_right: tuple[DifferentiableTarget, dict[str, np.ndarray], np.ndarray],
) -> None:
    target, clean, labels = clean_and_right
    rows, ids = np.array([7, 2, 19]), np.arange(1000, 1030)
    whole = PGD(steps=4, random_start=True).run(target, clean, labels, BOTH, sample_ids=ids)
    some = {name: values[rows] for name, values in clean.items()}
    part = PGD(steps=4, random_start=True).run(target, some, labels[rows], BOTH, sample_ids=ids[rows])
    assert all(np.array_equal(part.last[name], whole.last[name][rows]) for name in clean)
    assert np.array_equal(part.broken, whole.broken[rows])


def test_a_constant_model_shows_zero_gradients(linear_of: Build, samples: Draw) -> None:
    clean, _ = samples(5)
    target = linear_of({name: np.zeros((784, 3)) for name in clean}, np.array([1.0, 2.0, 9.0]))
    for found in (
        FGSM().run(target, clean, np.full(5, 2), BOTH),
        PGD(steps=2).run(target, clean, np.full(5, 2), BOTH),
    ):
        assert found.zero_gradient.all() and not found.broken.any()
        assert all(np.array_equal(found.last[name], clean[name]) for name in clean)


def test_zero_gradients_are_flagged_per_sample_and_attacked_modality(linear_of: Build, samples: Draw) -> None:
    clean, labels = samples(5)
    target = linear_of({"image": np.zeros((784, 10)), "audio": np.full((784, 10), 1e-3) * np.arange(10)}, np.zeros(10))
    image, audio, both = (FGSM().run(target, clean, labels, analytic.threat("linf", dict.fromkeys(names, 0.1)))
                          for names in (("image",), ("audio",), ("image", "audio")))
    assert image.zero_gradient.all() and not audio.zero_gradient.any() and not both.zero_gradient.any()


def test_a_masked_gradient_model_resists_hard_gradients_and_falls_to_straight_through(
    linear: Build, samples: Draw
) -> None:
    """Rounding, round(x K) / K, has derivative 0; with the identity as backward pass the attack works."""
    inner, (clean, _) = linear(), samples(20)

    def rounded(x: np.ndarray) -> np.ndarray:
        return np.round(x * 16).astype(np.float32) / 16

    hard = Altered(inner, of_input=rounded, of_gradient=np.zeros_like)
    labels = np.argmax(hard.logits(clean), axis=1)
    masked = PGD(steps=5).run(hard, clean, labels, BOTH)
    assert masked.zero_gradient.all() and not masked.broken.any()
    through = PGD(steps=5).run(Altered(inner, of_input=rounded), clean, labels, BOTH)
    assert through.broken.all() and not through.zero_gradient.any()


def test_a_flipped_gradient_lowers_the_loss(
    clean_and_right: tuple[DifferentiableTarget, dict[str, np.ndarray], np.ndarray],
) -> None:
    target, clean, labels = clean_and_right
    flipped = FGSM().run(Altered(target, of_gradient=np.negative), clean, labels, BOTH)
    true = FGSM().run(target, clean, labels, BOTH)
    before = _ce(target.logits(clean), labels)
    assert (_ce(target.logits(flipped.last), labels) <= before).all() and not flipped.broken.any()
    assert (_ce(target.logits(true.last), labels) >= before).all() and true.broken.any()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_gradients_that_are_not_finite_stop_the_attack(linear: Build, samples: Draw, value: float) -> None:
    clean, labels = samples(4)

    def poisoned(gradient: np.ndarray) -> np.ndarray:
        gradient[2, 0, 0, 0] = value
        return gradient

    for run in (lambda t: FGSM().run(t, clean, labels, BOTH), lambda t: PGD(steps=1).run(t, clean, labels, BOTH)):
        with pytest.raises(TinyfuseError, match=r"'linear' for 'image' is NaN or infinite in 1 of 4 samples"):
            run(Altered(linear(), of_gradient=poisoned))


def test_probabilities_and_logits_that_are_not_finite_are_refused(linear: Build, samples: Draw) -> None:
    clean, labels = samples(4)

    def softmax(z: np.ndarray) -> np.ndarray:
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return np.asarray(e / e.sum(axis=1, keepdims=True))

    with pytest.raises(TinyfuseError, match="returns probabilities"):
        FGSM().run(Altered(linear(), of_logits=softmax), clean, labels, BOTH)
    with pytest.raises(TinyfuseError, match="NaN or infinite logits"):
        FGSM().run(Altered(linear(), of_logits=lambda z: z * np.nan), clean, labels, BOTH)
    with pytest.raises(UsageError, match="a label is 10, but 'linear' has 10 classes"):
        FGSM().run(Altered(linear(classes=11), of_logits=lambda z: z[:, :10]), clean, np.full(4, 10), BOTH)


def test_short_l2_gradients_make_short_steps_as_in_cleverhans(linear_of: Build) -> None:
    """CleverHans' floor makes confident models look robust: a gradient of 1e-9 makes a step of 1/1000."""
    random = np.random.default_rng(6)
    target = linear_of({"image": random.normal(0, 1, (784, 2))}, np.array([26.0, 0.0]))
    clean, labels = {"image": np.zeros((1, 28, 28, 1), np.float32)}, np.array([0])
    threat = analytic.threat("l2", {"image": 1.0}, low=-1.0)
    held = FGSM().run(target, clean, labels, threat)
    assert not held.zero_gradient.any() and np.linalg.norm(held.last["image"]) < 0.5
    gradient = target.gradient(clean, labels, ("image",)).wrt["image"]
    assert np.linalg.norm(threat.norm.direction(gradient, 0.0)) == pytest.approx(1.0, rel=1e-5)
