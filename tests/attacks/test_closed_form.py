"""Attacks on linear models, where the smallest successful budget is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import analytic
import numpy as np
import pytest

from tinyfuse.attacks import FGSM, PGD, DifferentiableTarget, attack_of
from tinyfuse.core.errors import UsageError
from tinyfuse.threats.audit import audit

Build = Callable[..., DifferentiableTarget]
Draw = Callable[..., tuple[dict[str, np.ndarray], np.ndarray]]


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("modality", ["image", "audio"])
def test_the_smallest_budget_is_the_margin_over_the_dual_norm(linear_of: Build, norm: str, modality: str) -> None:
    """Two classes, clean input 0: margin m breaks at epsilon = m / ||w||_1 (L-inf) and m / ||w||_2 (L2)."""
    random = np.random.default_rng(3)
    weights = {name: random.normal(0, 1, (784, 2)) for name in ("image", "audio")}
    target = linear_of(weights, np.array([0.7, -0.2]))
    slope = weights[modality][:, 1] - weights[modality][:, 0]
    smallest = 0.9 / (np.abs(slope).sum() if norm == "linf" else np.sqrt(np.square(slope).sum()))
    clean = {name: np.zeros((1, 28, 28, 1), np.float32) for name in weights}
    threats = [analytic.threat(norm, {modality: smallest * factor}, low=-1.0) for factor in (1 - 1e-6, 1 + 1e-6)]
    below, above = (FGSM().run(target, clean, np.array([0]), threat) for threat in threats)
    assert not below.broken.any() and above.broken.all()


def test_fgsm_with_both_budgets_adds_up_the_slopes(linear_of: Build) -> None:
    random = np.random.default_rng(4)
    weights = {name: random.normal(0, 1, (784, 2)) for name in ("image", "audio")}
    target = linear_of(weights, np.array([0.5, 0.0]))
    norms = {name: np.abs(w[:, 1] - w[:, 0]).sum() for name, w in weights.items()}
    clean = {name: np.zeros((1, 28, 28, 1), np.float32) for name in weights}
    unit = 0.5 / (norms["image"] + 3 * norms["audio"])
    threats = [analytic.threat("linf", {"image": unit * f, "audio": 3 * unit * f}, low=-1.0)
               for f in (1 - 1e-6, 1 + 1e-6)]
    below, above = (FGSM().run(target, clean, np.array([0]), threat) for threat in threats)
    assert not below.broken.any() and above.broken.all()


def test_one_gradient_serves_every_threat(linear: Build, samples: Draw) -> None:
    target, (clean, labels) = linear(), samples(6)
    threats = [
        analytic.threat(norm, dict.fromkeys(names, epsilon))
        for norm in ("linf", "l2")
        for names in (("image",), ("audio",), ("image", "audio"))
        for epsilon in (0.0, 0.01, 0.1)
    ]
    gradient = target.gradient(clean, labels, ("image", "audio"))
    together = [FGSM().run(target, clean, labels, threat, known=gradient) for threat in threats]
    assert target.gradient_calls == 1  # type: ignore[attr-defined]
    for threat, found in zip(threats, together, strict=True):
        alone = FGSM().run(target, clean, labels, threat)
        audit(found.last, clean, threat)
        assert all(np.array_equal(found.last[name], alone.last[name]) for name in clean)
        assert np.array_equal(found.broken, np.argmax(target.logits(found.last), axis=1) != labels)


@pytest.mark.parametrize("epsilon", [0.0, 0.003, 0.01, 0.1, 0.5])
@pytest.mark.parametrize("names", [("image",), ("audio",), ("image", "audio")])
def test_fgsm_is_one_step_of_pgd_bit_for_bit(
    linear: Build, samples: Draw, names: tuple[str, ...], epsilon: float
) -> None:
    target, (clean, labels) = linear(), samples(20)
    threat = analytic.threat("linf", dict.fromkeys(names, epsilon))
    once = FGSM().run(target, clean, labels, threat)
    looped = PGD(steps=1, step_size=epsilon).run(target, clean, labels, threat)
    for name in clean:
        assert once.last[name].tobytes() == looped.last[name].tobytes()
        assert name in names or looped.last[name] is clean[name]
        assert epsilon > 0 or once.last[name].tobytes() == clean[name].tobytes()
    assert np.array_equal(once.broken, looped.broken)


def test_fgsm_is_one_step_of_pgd_for_l2_up_to_an_ulp(linear: Build, samples: Draw) -> None:
    target, (clean, labels) = linear(), samples(20)
    threat = analytic.threat("l2", {"image": 1.5})
    once = FGSM().run(target, clean, labels, threat).last["image"]
    looped = PGD(steps=1, step_size=1.5).run(target, clean, labels, threat).last["image"]
    np.testing.assert_allclose(once, looped, rtol=0, atol=2.0**-23)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_no_budget_changes_nothing(linear: Build, samples: Draw, norm: str) -> None:
    target, (clean, labels) = linear(), samples(5)
    threat = analytic.threat(norm, {"image": 0.0, "audio": 0.0})
    found = PGD(steps=3, random_start=True).run(target, clean, labels, threat)
    assert all(found.last[name].tobytes() == clean[name].tobytes() for name in clean)
    assert np.array_equal(found.broken, np.argmax(target.logits(clean), axis=1) != labels)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_pgd_reaches_the_optimum_of_a_linear_model(linear_of: Build, norm: str) -> None:
    """With two classes the whole ball points one way: the last iterate is the closed-form worst case."""
    random = np.random.default_rng(5)
    weights = {"image": random.normal(0, 1, (784, 2))}
    target, clean = linear_of(weights, np.array([0.0, 0.0])), {"image": np.zeros((3, 28, 28, 1), np.float32)}
    slope = (weights["image"][:, 1] - weights["image"][:, 0]).reshape(28, 28, 1)
    worst = 0.1 * (np.sign(slope) if norm == "linf" else slope / np.sqrt(np.square(slope).sum()))
    found = PGD(steps=5).run(target, clean, np.zeros(3, int), analytic.threat(norm, {"image": 0.1}, low=-1.0))
    np.testing.assert_allclose(found.last["image"], np.broadcast_to(worst, (3, 28, 28, 1)), atol=1e-7)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_mask_is_applied_before_normalising(linear: Build, samples: Draw, norm: str) -> None:
    mask = np.zeros((28, 28, 1), np.float32)
    mask[:4] = 1
    target, (clean, labels) = linear(), samples(4)
    clean = {name: values * np.float32(0.5) + np.float32(0.25) for name, values in clean.items()}
    threat = analytic.threat(norm, {"audio": 0.1}, mask={"audio": mask})
    for found in (FGSM().run(target, clean, labels, threat), PGD(steps=4).run(target, clean, labels, threat)):
        spent = audit(found.last, clean, threat)
        assert spent["audio"] == pytest.approx(0.1, rel=1e-4)


def test_stronger_attacks_win_and_descriptions_say_how(linear: Build, samples: Draw) -> None:
    target, (clean, _) = linear(), samples(50)
    labels = np.argmax(target.logits(clean), axis=1)
    threats = [analytic.threat("linf", {"image": epsilon}) for epsilon in (0.002, 0.2)]
    attack = PGD(steps=4, step_size=0.05)
    weak, strong = (attack.run(target, clean, labels, threat) for threat in threats)
    assert weak.broken.sum() < strong.broken.sum()
    assert attack.settings() == {"name": "pgd", "steps": 4, "step_size": 0.05, "random_start": False, "restarts": 1,
                                 "seed": 0, "loss": "cross-entropy"}
    assert attack_of("pgd", attack.settings()) == attack
    assert repr(attack) == ("PGD(steps=4, step_size=0.05, random_start=False, restarts=1, seed=0, "
                            "loss='cross-entropy')")
    assert "array" not in repr(weak)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"restarts": 0}, "restarts is 0"),
        ({"step_size": -1.0}, "step_size is -1.0"),
        ({"step_size": float("nan")}, "step_size is nan"),
        ({"step_size": "long"}, "step_size is 'long'; expected a number"),
        ({"stpes": 2}, r"unknown key 'stpes' \(did you mean 'steps'\?\); allowed: steps, step_size"),
        ({"loss": "margn"}, r"unknown loss 'margn' \(did you mean 'margin'\?\)"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_wrong_hyper_parameters_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        attack_of("pgd", arguments)


@pytest.mark.parametrize("ids", [np.arange(3), np.arange(4.0), np.arange(4) - 1])
def test_wrong_sample_ids_are_refused(linear: Build, samples: Draw, ids: np.ndarray) -> None:
    clean, labels = samples(4)
    with pytest.raises(UsageError, match="give 4 integers >= 0"):
        PGD(steps=2).run(linear(), clean, labels, analytic.threat("linf", {"image": 0.1}), sample_ids=ids)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(4), "labels are float64"),
        (np.zeros((4, 10), int), "shape"),
        (np.full(4, -1), "a label is -1"),
        (np.zeros(3, int), "4 samples, but there are 3 labels"),
        (np.zeros(0, int), "n > 0"),
    ],
)
def test_wrong_labels_are_refused(linear: Build, samples: Draw, labels: np.ndarray, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        FGSM().run(linear(), samples(4)[0], labels, analytic.threat("linf", {"image": 0.1}))


def test_unknown_modalities_and_attacks_are_refused(linear: Build, samples: Draw) -> None:
    clean, labels = samples(2)
    with pytest.raises(UsageError, match=r"attacks 'adio' \(did you mean 'audio'\?\), but 'linear' has the inputs"):
        FGSM().run(linear(), clean, labels, analytic.threat("linf", {"adio": 0.1}))
    with pytest.raises(UsageError, match=r"unknown attack 'pdg' \(did you mean 'pgd'\?\); use one of fgsm, fgm, pgd"):
        attack_of("pdg")
