"""Attacks on linear models, where the smallest successful budget is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinyfuse.attacks import DifferentiableTarget, Threat, attack, fgsm, pgd
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
    threats = [Threat(norm, {modality: smallest * factor}, low=-1.0) for factor in (1 - 1e-6, 1 + 1e-6)]
    below, above = fgsm(target, clean, np.array([0]), threats)
    assert not below.broken.any() and above.broken.all()


def test_fgsm_with_both_budgets_adds_up_the_slopes(linear_of: Build) -> None:
    random = np.random.default_rng(4)
    weights = {name: random.normal(0, 1, (784, 2)) for name in ("image", "audio")}
    target = linear_of(weights, np.array([0.5, 0.0]))
    norms = {name: np.abs(w[:, 1] - w[:, 0]).sum() for name, w in weights.items()}
    clean = {name: np.zeros((1, 28, 28, 1), np.float32) for name in weights}
    unit = 0.5 / (norms["image"] + 3 * norms["audio"])
    threats = [Threat("linf", {"image": unit * f, "audio": 3 * unit * f}, low=-1.0) for f in (1 - 1e-6, 1 + 1e-6)]
    below, above = fgsm(target, clean, np.array([0]), threats)
    assert not below.broken.any() and above.broken.all()


def test_one_gradient_serves_every_threat(linear: Build, samples: Draw) -> None:
    target, (clean, labels) = linear(), samples(6)
    threats = [
        Threat(norm, dict.fromkeys(names, epsilon))
        for norm in ("linf", "l2")
        for names in (("image",), ("audio",), ("image", "audio"))
        for epsilon in (0.0, 0.01, 0.1)
    ]
    together = fgsm(target, clean, labels, threats)
    assert target.gradient_calls == 1  # type: ignore[attr-defined]
    for threat, found in zip(threats, together, strict=True):
        alone = fgsm(target, clean, labels, [threat])[0]
        audit(found.last, clean, threat)
        assert all(np.array_equal(found.last[name], alone.last[name]) for name in clean)
        assert np.array_equal(found.broken, np.argmax(target.logits(found.last), axis=1) != labels)


@pytest.mark.parametrize("epsilon", [0.0, 0.003, 0.01, 0.1, 0.5])
@pytest.mark.parametrize("names", [("image",), ("audio",), ("image", "audio")])
def test_fgsm_is_one_step_of_pgd_bit_for_bit(
    linear: Build, samples: Draw, names: tuple[str, ...], epsilon: float
) -> None:
    target, (clean, labels) = linear(), samples(20)
    threat = Threat("linf", dict.fromkeys(names, epsilon))
    once = fgsm(target, clean, labels, [threat])[0]
    looped = pgd(target, clean, labels, threat, steps=1, step_size=epsilon)
    for name in clean:
        assert once.last[name].tobytes() == looped.last[name].tobytes()
        assert name in names or looped.last[name] is clean[name]
        assert epsilon > 0 or once.last[name].tobytes() == clean[name].tobytes()
    assert np.array_equal(once.broken, looped.broken)


def test_fgsm_is_one_step_of_pgd_for_l2_up_to_an_ulp(linear: Build, samples: Draw) -> None:
    target, (clean, labels) = linear(), samples(20)
    threat = Threat("l2", {"image": 1.5})
    once = fgsm(target, clean, labels, [threat])[0].last["image"]
    looped = pgd(target, clean, labels, threat, steps=1, step_size=1.5).last["image"]
    np.testing.assert_allclose(once, looped, rtol=0, atol=2.0**-23)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_no_budget_changes_nothing(linear: Build, samples: Draw, norm: str) -> None:
    target, (clean, labels) = linear(), samples(5)
    found = pgd(target, clean, labels, Threat(norm, {"image": 0.0, "audio": 0.0}), steps=3, random_start=True)
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
    found = pgd(target, clean, np.zeros(3, int), Threat(norm, {"image": 0.1}, low=-1.0), steps=5)
    np.testing.assert_allclose(found.last["image"], np.broadcast_to(worst, (3, 28, 28, 1)), atol=1e-7)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_mask_is_applied_before_normalising(linear: Build, samples: Draw, norm: str) -> None:
    mask = np.zeros((28, 28, 1), np.float32)
    mask[:4] = 1
    target, (clean, labels) = linear(), samples(4)
    clean = {name: values * np.float32(0.5) + np.float32(0.25) for name, values in clean.items()}
    threat = Threat(norm, {"audio": 0.1}, mask={"audio": mask})
    for found in (fgsm(target, clean, labels, [threat])[0], pgd(target, clean, labels, threat, steps=4)):
        spent = audit(found.last, clean, threat)
        assert spent["audio"] == pytest.approx(0.1, rel=1e-4)


def test_stronger_attacks_win_and_descriptions_say_how(linear: Build, samples: Draw) -> None:
    target, (clean, _) = linear(), samples(50)
    labels = np.argmax(target.logits(clean), axis=1)
    threats = [Threat("linf", {"image": epsilon}) for epsilon in (0.002, 0.2)]
    weak, strong = attack("pgd", target, clean, labels, threats, steps=4, step_size={"image": 0.05})
    assert weak.broken.sum() < strong.broken.sum()
    assert weak.describe() == {
        "attack": "pgd",
        "norm": "linf",
        "lattice": False,
        "low": 0.0,
        "high": 1.0,
        "epsilon_image": 0.002,
        "steps": 4,
        "step_size_image": 0.05,
        "loss": "cross-entropy",
        "random_start": False,
        "restarts": 1,
        "gradient_floor": 1e-12,
    }
    assert "array" not in repr(weak)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"steps": 2, "step_size": -1.0}, "step size for 'image' is -1.0"),
        ({"steps": 2, "step_size": float("nan")}, "step size for 'image' is nan"),
        ({"steps": 2, "step_size": {"imgae": 0.1}}, r"'imgae' \(did you mean 'image'\?\)"),
        ({"steps": 2, "step_size": {}}, "step size for 'image' is missing"),
        ({"steps": 2, "random_start": True, "seed": -1}, "negative"),
        ({"steps": 2, "random_start": True, "sample_ids": np.arange(3)}, "give 4 integers"),
    ],
)
def test_wrong_hyper_parameters_are_refused(
    linear: Build, samples: Draw, arguments: dict[str, Any], message: str
) -> None:
    clean, labels = samples(4)
    with pytest.raises(UsageError, match=message):
        pgd(linear(), clean, labels, Threat("linf", {"image": 0.1}), **arguments)


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
        fgsm(linear(), samples(4)[0], labels, [Threat("linf", {"image": 0.1})])


def test_unknown_modalities_and_attacks_are_refused(linear: Build, samples: Draw) -> None:
    clean, labels = samples(2)
    with pytest.raises(UsageError, match=r"attacks 'adio' \(did you mean 'audio'\?\), but 'linear' has the inputs"):
        fgsm(linear(), clean, labels, [Threat("linf", {"adio": 0.1})])
    with pytest.raises(UsageError, match=r"unknown attack 'fgms' \(did you mean 'fgsm'\?\); use one of fgsm, pgd"):
        attack("fgms", linear(), clean, labels, [])
