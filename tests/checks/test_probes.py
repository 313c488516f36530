"""The experiments themselves, on targets whose faults are known: each must show in its number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from analytic import CODES, Analytic, constant, flipped, linear, pocket, rounding

from tinyfuse.attacks import Batch, Threat
from tinyfuse.checks.experiments import PROBES, ProbeSubject, measure, zero_gradient_share
from tinyfuse.checks.linear_model import linear_problem
from tinyfuse.threats.norms import norm_of

N, SHAPE = 12, (4, 4, 1)
INPUTS = ("image", "audio")


def batch(seed: int = 0, *, codes: bool = False) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    if codes:
        return {name: rng.integers(-100, 100, (N, *SHAPE)).astype(np.float32) for name in INPUTS}
    return {name: rng.uniform(0.2, 0.8, (N, *SHAPE)).astype(np.float32) for name in INPUTS}


def plane(size: float = 1.0) -> Analytic:
    """Three classes; the margins are small enough to be broken, and large enough not to be at once."""
    rng = np.random.default_rng(3)
    return linear({name: rng.normal(0, size, (16, 3)) for name in INPUTS}, np.zeros(3))


def bench(target: Any, clean: Batch | None = None, epsilon: float = 0.1, **changes: Any) -> ProbeSubject:
    given = batch() if clean is None else clean
    labels = target.logits(given).argmax(axis=1)
    threat = Threat(norm_of("linf"), dict.fromkeys(INPUTS, epsilon), dict.fromkeys(INPUTS, (0.0, 1.0)))
    return replace(ProbeSubject(target, given, labels, labels, threat, 8), **changes)


def code_bench(**changes: Any) -> ProbeSubject:
    clean = batch(codes=True)
    grids = dict.fromkeys(INPUTS, CODES)
    target = linear({name: np.random.default_rng(3).normal(0, 0.01, (16, 3)) for name in INPUTS}, np.zeros(3), grids)
    labels = target.logits(clean).argmax(axis=1)
    threat = Threat(norm_of("linf"), dict.fromkeys(INPUTS, 7.0), dict.fromkeys(INPUTS, (-128.0, 127.0)), lattice=True)
    return replace(ProbeSubject(target, clean, labels, labels, threat, 8), **changes)


def value(name: str, on: ProbeSubject) -> float:
    found = PROBES[name](on)
    assert found is not None
    return found.value


GOOD: Mapping[str, float] = {"audit": 0, "zero-budget": 0, "fgsm-equals-pgd1": 0, "unbounded": 0, "repeat": 0,
                             "softmax-output": 0, "bad-gradient": 0, "planted": 1, "analytic": 0, "certificate": 0,
                             "label-source": 1, "loss-falls": 0, "black-box-only": 0, "double-restarts": 0}


@pytest.mark.parametrize("name", GOOD)
def test_a_linear_model_passes(name: str) -> None:
    assert value(name, bench(plane())) == GOOD[name]
    assert value(name, code_bench()) == GOOD[name]


def test_gradients_of_the_wrong_sign_show_everywhere() -> None:
    on = bench(flipped(plane()))
    assert value("loss-falls", on) > 0.5 and value("noise", on) < 0
    assert value("planted", on) < 0.5 and value("unbounded", on) > 0 and value("black-box-only", on) > 0


def test_rounding_that_hides_gradients_shows() -> None:
    """Plain gradients of a model that rounds are 0: what an attack on them says is worthless."""
    hidden, seen = (bench(rounding(plane(), 20.0, straight_through=through)) for through in (False, True))
    assert zero_gradient_share(hidden, "image").value == 1 and zero_gradient_share(seen, "image").value == 0
    assert value("unbounded", hidden) > 0 and value("unbounded", seen) == 0
    assert value("black-box-only", hidden) > value("black-box-only", seen)


def test_what_nothing_can_break_is_noticed() -> None:
    assert value("unbounded", bench(constant(INPUTS, np.array([0.0, 2.0])))) == 1


def test_gradients_that_are_not_finite_are_counted() -> None:
    inner = plane()
    bad = Analytic(INPUTS, inner._logits_of, lambda given, slope, name: inner._pull(given, slope, name) * np.nan)
    assert value("bad-gradient", bench(bad)) == N


def test_probabilities_are_noticed() -> None:
    inner = plane()

    def softmax(given: Batch) -> np.ndarray:
        powers = np.exp(inner._logits_of(given))
        return powers / powers.sum(axis=1, keepdims=True)

    assert value("softmax-output", bench(Analytic(INPUTS, softmax, inner._pull))) == 1


def test_own_answers_for_labels_and_short_steps_are_noticed() -> None:
    on = bench(plane())
    assert value("label-source", replace(on, truth=(on.labels + 1) % 3)) == 0
    assert value("step-below-code", code_bench(shortest_step=0.4)) == 1
    assert value("step-below-code", code_bench(shortest_step=1.0)) == 0
    assert PROBES["step-below-code"](on) is None  # nothing is rounded


def test_verdicts_that_depend_on_the_company_are_noticed() -> None:
    inner = plane(0.3)
    shy = Analytic(INPUTS, lambda given: inner._logits_of(given) * (len(given["image"]) > N // 2) +
                   np.array([0.0, 0.0, 1e3]) * (len(given["image"]) <= N // 2), inner._pull)
    assert value("repeat", bench(shy)) > 0


def test_steps_that_are_too_few_show_in_the_loss() -> None:
    """A narrow valley: more steps get further down."""
    clean = batch()
    planted = {name: values[:1] + np.float32(0.1) for name, values in clean.items()}
    on = bench(pocket(planted, radius=0.5), clean, steps=2)
    assert value("double-steps-loss", on) != 0


def test_the_gradient_is_probed_input_by_input_and_what_is_known_is_skipped() -> None:
    found = dict(measure(bench(plane()), skip=lambda name: not name.startswith("zero-gradient")))
    assert {name: one.value for name, one in found.items()} == {"zero-gradient-image": 0, "zero-gradient-audio": 0}


def test_padding_is_measured() -> None:
    half = np.zeros(SHAPE, np.float32)
    half[:2] = 1
    assert value("padding-share", bench(plane(), padding={"audio": half})) == pytest.approx(0.25, abs=0.05)
    assert PROBES["padding-share"](bench(plane())) is None


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("lattice", [False, True])
def test_the_closed_form_of_the_linear_problem(seed: int, lattice: bool) -> None:
    """Corner by corner: the best of all moves of single coordinates is what the closed form says."""
    clean = batch(seed, codes=lattice)
    low, high, size = (-128.0, 127.0, 5.0) if lattice else (0.0, 1.0, 0.1)
    threat = Threat(norm_of("linf"), {"audio": size}, {"audio": (low, high)}, lattice=lattice)
    target, labels, breakable = linear_problem(clean, threat, None, seed=seed)
    assert 0 < breakable.sum() < N and not labels.any()
    slope = target.gradient(clean, labels, ("audio",)).wrt["audio"]
    worst = {**clean, "audio": np.clip(clean["audio"] + size * np.sign(slope), low, high).astype(np.float32)}
    assert np.array_equal(target.logits(worst).argmax(axis=1) == 1, breakable)
    assert not target.logits(clean).argmax(axis=1)[~breakable].any()
