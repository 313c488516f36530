"""Targets made of targets: ensembles, DIVA, and a float model beside an integer one in one code space."""

from __future__ import annotations

from typing import Any

import analytic
import numpy as np
import pytest

from tinyfuse.attacks import DIVA, PGD, DequantisedTarget, DivaTarget, EnsembleTarget, InputGrid, Target
from tinyfuse.attacks.losses import cross_entropy
from tinyfuse.attacks.target import focused
from tinyfuse.core.errors import UsageError
from tinyfuse.threats.audit import audit

NAMES = ("image", "audio")
SHAPE = (5, 5, 1)
GRIDS = {"image": InputGrid(1 / 255, -128, -128, 127), "audio": InputGrid(1 / 100, 10, -128, 127)}


def linear(seed: int, *, scale: float = 0.3, grids: Any = None) -> analytic.Analytic:
    random = np.random.default_rng(seed)
    return centred({name: random.normal(0, scale, (25, 4)) for name in NAMES}, grids)


def centred(weights: dict[str, np.ndarray], grids: Any = None) -> analytic.Analytic:
    """All logits are 0 in the middle of the box, so that every class occurs."""
    middle = 0.0 if grids else 0.5
    return analytic.linear(weights, -middle * sum(w.sum(axis=0) for w in weights.values()), grids)


def inputs(count: int, *, codes: bool = False) -> dict[str, np.ndarray]:
    random = np.random.default_rng(9)
    if codes:
        return {name: random.integers(-60, 60, (count, *SHAPE)).astype(np.float32) for name in NAMES}
    return {name: random.uniform(0.2, 0.8, (count, *SHAPE)).astype(np.float32) for name in NAMES}


def wrong(target: Target, batch: dict[str, np.ndarray], labels: np.ndarray) -> np.ndarray:
    return np.asarray(target.logits(batch).argmax(axis=1) != labels)


def test_an_ensemble_has_the_mean_of_losses_and_gradients_and_its_last_member_judges() -> None:
    members, batch = [linear(seed) for seed in (1, 2, 3)], inputs(6)
    labels = np.arange(6) % 4
    target = EnsembleTarget(members)
    for loss in ("cross-entropy", "margin"):
        found = target.gradient(batch, labels, NAMES, loss)
        parts = [member.gradient(batch, labels, NAMES, loss) for member in members]
        np.testing.assert_allclose(found.loss, np.mean([part.loss for part in parts], axis=0))
        for name in NAMES:
            mean = np.mean([part.wrt[name] for part in parts], axis=0)
            np.testing.assert_allclose(found.wrt[name], mean, rtol=1e-5, atol=1e-7)
            assert found.wrt[name].dtype == np.float32
        assert np.array_equal(found.logits, members[2].logits(batch))
    assert np.array_equal(target.logits(batch), members[2].logits(batch))
    assert target.name == "analytic+analytic+analytic" and target.executor == "numpy" and target.grids is None


@pytest.mark.parametrize("make", [lambda a, b: EnsembleTarget([a, b]), lambda a, b: DivaTarget(a, b, c=0.7)])
def test_the_focus_is_the_whole_target_for_some_inputs_and_rows(make: Any) -> None:
    target, batch, labels = make(linear(1), linear(2)), inputs(6), np.arange(6) % 4
    rows = np.array([4, 1, 1])
    whole, part = target.gradient(batch, labels, ("audio",)), focused(target, batch, ("audio",))
    some = part.gradient({"audio": batch["audio"][rows]}, labels[rows], rows)
    np.testing.assert_allclose(some.wrt["audio"], whole.wrt["audio"][rows], rtol=1e-6)
    np.testing.assert_allclose(some.loss, whole.loss[rows], rtol=1e-12)
    np.testing.assert_allclose(part.logits({"audio": batch["audio"][rows]}, rows), target.logits(batch)[rows])


def test_attacking_an_ensemble_breaks_all_members_more_often_than_attacking_one() -> None:
    members, batch = [linear(seed, scale=1.0) for seed in (1, 2)], inputs(200)
    labels = members[0].logits(batch).argmax(axis=1)
    rows = members[1].logits(batch).argmax(axis=1) == labels
    batch, labels = {name: values[rows] for name, values in batch.items()}, labels[rows]
    threat, target = analytic.threat("linf", dict.fromkeys(NAMES, 0.06)), EnsembleTarget(members)
    shares = []
    for source in (members[0], members[1], target):
        last = PGD().run(source, batch, labels, threat).last
        shares.append(np.mean(wrong(members[0], last, labels) & wrong(members[1], last, labels)))
    assert len(labels) > 20 and shares[2] > max(shares[0], shares[1]) + 0.1


def test_the_gradient_of_diva_is_the_slope_of_its_loss() -> None:
    real, integer, labels = linear(1), linear(2), np.array([0, 1, 2, 3])
    target, batch = DivaTarget(real, integer, c=0.6), inputs(4)
    batch = {name: values.astype(np.float64) for name, values in batch.items()}

    def loss(point: dict[str, np.ndarray]) -> np.ndarray:
        own, other = (np.exp(-cross_entropy(member.logits(point), labels)[0]) for member in (real, integer))
        return np.asarray(own - 0.6 * other)

    found = target.gradient(batch, labels, NAMES, "margin")
    np.testing.assert_allclose(found.loss, loss(batch), rtol=1e-12)
    for name in NAMES:
        for place in np.ndindex(SHAPE):
            shift = np.zeros(SHAPE)
            shift[place] = 1e-5
            up, down = ({**batch, name: batch[name] + sign * shift} for sign in (1, -1))
            slope = (loss(up) - loss(down)) / 2e-5
            np.testing.assert_allclose(found.wrt[name][(slice(None), *place)], slope, atol=1e-6)


def a_pair(count: int = 150) -> tuple[analytic.Analytic, analytic.Analytic, dict[str, np.ndarray], np.ndarray]:
    """A model and a slightly different one (as after quantisation), on samples that both get right."""
    random = np.random.default_rng(0)
    weights = {name: random.normal(0, 1, (25, 4)) for name in NAMES}
    other = {name: w + random.normal(0, 0.4, w.shape) for name, w in weights.items()}
    real, integer, batch = centred(weights), centred(other), inputs(count)
    labels = real.logits(batch).argmax(axis=1)
    both = integer.logits(batch).argmax(axis=1) == labels
    return real, integer, {name: values[both] for name, values in batch.items()}, labels[both]


def test_diva_tells_the_models_apart_where_a_plain_attack_breaks_both() -> None:
    real, integer, batch, labels = a_pair()
    threat, target = analytic.threat("linf", dict.fromkeys(NAMES, 0.08)), DivaTarget(real, integer)
    apart = PGD(steps=20).run(target, batch, labels, threat, survivors_only=True)
    short = DIVA(steps=20).run(integer, batch, labels, threat, beside=real)
    assert all(np.array_equal(short.strongest[name], apart.strongest[name]) for name in NAMES)
    plain = PGD(steps=20).run(integer, batch, labels, threat)
    audit(apart.strongest, batch, threat)
    rates = [np.mean(~wrong(real, found, labels) & wrong(integer, found, labels))
             for found in (batch, plain.last, apart.strongest)]
    assert rates[0] == 0 and rates[2] > rates[1] + 0.3 and rates[2] > 0.5


def test_diva_with_momentum_is_mim_on_both_models() -> None:
    real, integer, batch, labels = a_pair()
    threat = analytic.threat("linf", dict.fromkeys(NAMES, 0.08))
    ours = DIVA(steps=5, momentum=0.5, c=2.0).run(integer, batch, labels, threat, beside=real)
    theirs = analytic.attacked("mim", DivaTarget(real, integer, 2.0), batch, labels, threat, steps=5, momentum=0.5,
                               survivors_only=True)
    assert all(np.array_equal(ours.strongest[name], theirs.strongest[name]) for name in NAMES)
    assert DIVA(steps=5).step_lengths(threat, None) == {"image": 0.04, "audio": 0.04}


def test_a_sample_on_which_both_models_err_does_not_end_diva() -> None:
    real, integer, batch, labels = a_pair()
    others = (labels + 1) % 4
    found = DivaTarget(real, integer).gradient(batch, others, NAMES)
    assert np.array_equal(found.logits.argmax(axis=1), others)
    right = DivaTarget(real, integer).gradient(batch, labels, NAMES)
    assert np.array_equal(right.logits, integer.logits(batch))


def test_a_float_model_joins_an_integer_one_in_its_code_space() -> None:
    """Gradients per code: those of the float model are scaled by each input's step, and points are whole codes."""
    real, integer, batch = linear(1), linear(2, scale=0.003, grids=GRIDS), inputs(20, codes=True)
    seen = DequantisedTarget(real, GRIDS)
    labels = seen.logits(batch).argmax(axis=1)
    target = EnsembleTarget([seen, integer])
    assert target.grids == GRIDS
    found = target.gradient(batch, labels, NAMES)
    inner = real.gradient({name: GRIDS[name].dequantise(values) for name, values in batch.items()}, labels, NAMES)
    own = integer.gradient(batch, labels, NAMES)
    for name in NAMES:
        expected = (inner.wrt[name] * np.float32(GRIDS[name].scale) + own.wrt[name]) / 2
        np.testing.assert_allclose(found.wrt[name], expected, rtol=1e-4, atol=1e-9)
    threat = analytic.threat("linf", dict.fromkeys(NAMES, 6.0), -128, 127, lattice=True)
    for made in (target, DivaTarget(seen, integer)):
        audit(PGD(steps=5).run(made, batch, labels, threat).last, batch, threat)


def test_members_of_different_spaces_are_refused() -> None:
    real, integer = linear(1), linear(2, grids=GRIDS)
    with pytest.raises(UsageError, match=r"takes image codes .* 'analytic' takes real values; .* DequantisedTarget"):
        EnsembleTarget([real, integer])
    with pytest.raises(UsageError, match="bring real-valued ones to codes"):
        DivaTarget(DequantisedTarget(real, {**GRIDS, "audio": InputGrid(1 / 50, 0, -128, 127)}), integer)
    with pytest.raises(UsageError, match="has the inputs image, but 'analytic' has image, audio"):
        EnsembleTarget([real, analytic.constant(("image",), np.zeros(4))])


def test_bad_ensembles_are_refused() -> None:
    with pytest.raises(UsageError, match="give at least one"):
        EnsembleTarget([])
    with pytest.raises(UsageError, match="c is -1"):
        DIVA(c=-1)
