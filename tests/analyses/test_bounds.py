"""Lipschitz constants and the bounds made of them: closed forms, and nothing is nearer than a certificate says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinyfuse.analyses import AnalysisSubject
from tinyfuse.analyses.analysis import Finding
from tinyfuse.analyses.bounds import Bounds, certified_terms, estimated_terms, radii, row_terms
from tinyfuse.analyses.lipschitz import UnboundedError, branch_constants
from tinyfuse.analyses.margins import integration_factors, representation_margins, steepness
from tinyfuse.analyses.spectral_norms import convolution_norm
from tinyfuse.data import Dataset
from tinyfuse.nn.batch_norm_folding import folded


class LinearCase:
    """logits = sum over two branches of W^m A^m x^m + b: everything about it is known."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.encoders = [rng.normal(size=(5, size)) for size in (6, 4)]
        self.heads = [rng.normal(size=(5, 3)) for _ in range(2)]
        self.bias = rng.normal(size=3)
        self.x = [rng.normal(size=(8, size)) for size in (6, 4)]

    def logits(self, x: list[np.ndarray]) -> np.ndarray:
        parts = (one @ a.T @ w for one, a, w in zip(x, self.encoders, self.heads, strict=True))
        return np.asarray(sum(parts) + self.bias)

    def terms(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        slopes = [a.T @ w for a, w in zip(self.encoders, self.heads, strict=True)]
        return ([np.linalg.norm(s[:, :, None] - s[:, None, :], axis=0) for s in slopes],
                [row_terms(np.linalg.norm(s, axis=0)) for s in slopes])


def test_linear_encoders_make_equation_5_exact_and_equation_10_smaller() -> None:
    for seed in range(250):
        case = LinearCase(seed)
        logits = case.logits(case.x)
        label = logits.argmax(axis=1)
        exact, by_rows = case.terms()
        joint = radii(logits, label, exact)
        assert (radii(logits, label, by_rows) <= joint + 1e-12).all()
        assert (radii(logits, label, exact[:1]) >= joint - 1e-12).all()
        slopes = [a.T @ w for a, w in zip(case.encoders, case.heads, strict=True)]
        ahead = logits[np.arange(8), label][:, None] - logits
        ways = np.array([[s[:, y, None] - s for s in slopes] for y in label], dtype=object)
        lengths = np.array([np.sqrt(sum((way**2).sum(axis=0) for way in pair)) for pair in ways])
        distance = np.where(np.arange(3) == label[:, None], np.inf, ahead / np.maximum(lengths, 1e-300))
        np.testing.assert_allclose(joint, distance.min(axis=1), rtol=1e-9)
        nearest = distance.argmin(axis=1)
        for scale, stays in ((1 - 1e-6, True), (1 + 1e-6, False)):
            moved = [np.stack([one[i] - scale * distance[i, k] * ways[i][m][:, k] / lengths[i, k]
                               for i, k in enumerate(nearest)]) for m, one in enumerate(case.x)]
            assert ((case.logits(moved).argmax(axis=1) == label) == stays).all()


def test_radius_does_not_change_with_the_scale_of_the_head() -> None:
    case = LinearCase(3)
    case.bias[:] = 0
    logits, (exact, by_rows) = case.logits(case.x), case.terms()
    label = logits.argmax(axis=1)
    for terms in (exact, by_rows):
        np.testing.assert_allclose(radii(7 * logits, label, [7 * term for term in terms]), radii(logits, label, terms))


def test_balanced_weights_reach_two_and_a_half() -> None:
    """Two classes, margins (1, 3), steepness (.5, 2): the best weights are as M / T^2, worth sqrt of sum (M / T)^2."""
    margins, speeds = np.array([1.0, 3.0]), np.array([0.5, 2.0])

    def radius(weights: np.ndarray) -> float:
        logits = np.array([[float(weights @ margins), 0.0]])
        terms = [np.array([[0.0, w * t], [w * t, 0.0]]) for w, t in zip(weights, speeds, strict=True)]
        return float(radii(logits, np.array([0]), terms)[0])

    assert radius(margins / speeds**2) == pytest.approx(2.5)
    assert radius(np.ones(2)) == pytest.approx(1.940, abs=5e-4)


def test_a_wrong_sample_has_radius_0_and_a_constant_score_any() -> None:
    logits = np.array([[0.0, 1.0], [2.0, 1.0]])
    still = [np.zeros((2, 2))]
    assert radii(logits, np.array([0, 0]), still).tolist() == [0.0, np.inf]


def test_margins_are_distances_in_feature_space() -> None:
    kernel = np.array([[3.0, 0.0], [4.0, 0.0]])
    features = np.array([[1.0, 2.0], [-1.0, 0.0]])
    found = representation_margins(features @ kernel, kernel, np.array([0, 1]))
    assert integration_factors(kernel)[0, 1] == 5
    np.testing.assert_allclose(found, [[np.nan, 11 / 5], [3 / 5, np.nan]])


def test_steepness_is_the_largest_slope_of_a_difference() -> None:
    gradients = np.random.default_rng(0).normal(size=(6, 3, 9))
    products = gradients @ gradients.transpose(0, 2, 1)
    by_hand = np.linalg.norm(gradients[:, :, None] - gradients[:, None], axis=-1).max(axis=0)
    np.testing.assert_allclose(steepness(products), by_hand, atol=1e-6)


def test_constants_are_those_of_the_layers(small: Any) -> None:
    deployed = folded(small)
    sizes = {"cam": ((8, 8), (4, 4)), "mic": ((6, 4), (3, 2))}
    for name, found in branch_constants(small).items():
        stem, one, two = (np.asarray(deployed.get_layer(f"{name}_{layer}").kernel)
                          for layer in ("stem", "conv1", "conv2"))
        whole, half = sizes[name]
        expected = convolution_norm(stem, whole, (2, 2)) * (
            1 + convolution_norm(one, half) * convolution_norm(two, half)) / np.sqrt(np.prod(half))
        assert found == pytest.approx(expected, rel=1e-6)


def test_no_jacobian_is_steeper_than_the_constant(subject: AnalysisSubject, half_known: Dataset) -> None:
    head, constants = subject.head, branch_constants(subject.network.model if subject.network else None)
    assert head is not None
    rng = np.random.default_rng(5)
    start = {name: values[:20] for name, values in half_known.test.inputs.items()}
    for branch, (name,) in head.branches.items():
        steps = rng.normal(size=(50, *start[name].shape)).astype(np.float32)
        before = head.features(start)[branch]
        quotients = [np.linalg.norm(head.features({**start, name: start[name] + 0.3 * step})[branch] - before, axis=1)
                     / np.linalg.norm(0.3 * step.reshape(len(step), -1), axis=1) for step in steps]
        steepest = np.sqrt(np.max([np.linalg.eigvalsh(_gram(subject, branch, start))[:, -1]]))
        assert max(np.max(quotients), steepest) <= constants[branch]


def _gram(subject: AnalysisSubject, branch: str, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """J J^T [n, classes, classes] of the scores, seen through an orthonormal basis of the head's rows."""
    head = subject.head
    assert head is not None
    basis = np.linalg.inv(np.linalg.qr(head.kernel[branch])[1])
    return np.asarray(basis.T @ head.slope_products(inputs)[branch] @ basis)


def test_gradients_of_scores_are_those_of_finite_differences(subject: AnalysisSubject, half_known: Dataset) -> None:
    head = subject.head
    assert head is not None
    one = {name: values[:1] for name, values in half_known.test.inputs.items()}
    slope = head.slopes_of(one, 1)["mic"]
    direction = (slope / np.linalg.norm(slope)).astype(np.float32)
    ends = [head.scores(head.features({**one, "mic": one["mic"] + side * direction}))["mic"][0, 1]
            for side in (1e-3, -1e-3)]
    assert (ends[0] - ends[1]) / 2e-3 == pytest.approx(np.linalg.norm(slope), rel=1e-2)
    assert np.sqrt(head.slope_products(one)["mic"][0, 1, 1]) == pytest.approx(np.linalg.norm(slope), rel=1e-5)


def test_nothing_found_is_nearer_than_certified(subject: AnalysisSubject, half_known: Dataset) -> None:
    """Walk from each sample along many directions: no error within the certified radius, for one branch or both."""
    head = subject.head
    assert head is not None and subject.network is not None
    samples = half_known.test
    logits = subject.logits(samples.inputs)
    terms = certified_terms(head, branch_constants(subject.network.model))
    slopes = head.slopes_of(samples.inputs, 0), head.slopes_of(samples.inputs, 1), head.slopes_of(samples.inputs, 2)
    for names, used in ((("cam", "mic"), [*terms.exact.values()]), (("cam", "mic"), [*terms.by_rows.values()]),
                        (("cam",), [terms.exact["cam"]]), (("mic",), [terms.exact["mic"]])):
        certified = radii(logits, samples.label, used)
        for k in range(3):
            ways = {name: np.stack([slopes[k][name][i] - slopes[y][name][i] for i, y in enumerate(samples.label)])
                    for name in names}
            length = np.sqrt(sum((way.reshape(40, -1) ** 2).sum(axis=1) for way in ways.values()))
            for distance in (0.01, 0.1, 0.5, 2.0):
                moved = {**samples.inputs, **{name: (samples.inputs[name] + distance * way / np.maximum(
                    length, 1e-9).reshape(-1, 1, 1, 1)).astype(np.float32) for name, way in ways.items()}}
                broken = subject.predict(moved) != samples.label
                assert (certified[broken] <= distance).all()


def test_certified_radii_are_below_estimates_and_both_are_named(subject: AnalysisSubject, half_known: Dataset) -> None:
    found = list(Bounds(slope_samples=20).run(subject, half_known.test, lambda *_: None))
    radius = {(one.of["equation"], one.of["attacked"], one.status): one for one in found if one.quantity == "radius"}
    assert {key[2] for key in radius} == {"estimate", "certified"}
    for equation, attacked in (("5", "all inputs"), ("10", "all inputs"), ("7", "cam"), ("7", "mic")):
        certified, estimate = (_each(radius[equation, attacked, status]) for status in ("certified", "estimate"))
        assert (certified <= estimate + 1e-12).all() and certified.max() > 0
    wrong = subject.predict(half_known.test.inputs) != half_known.test.label
    assert not _each(radius["5", "all inputs", "certified"])[wrong].any()


def _each(finding: Finding) -> np.ndarray:
    return np.asarray(finding.each, float)


def test_layers_without_a_constant_and_copies_by_broadcasting() -> None:
    import tf_keras
    from tf_keras import layers

    def constant(middle: Callable[[Any], Any]) -> float:
        inputs = {name: tf_keras.Input((1,), name=name) for name in ("a", "b")}
        joined = layers.Concatenate()([middle(inputs["a"]), layers.Dense(1)(inputs["b"])])
        return branch_constants(tf_keras.Model(inputs, layers.Dense(2)(joined)))["a"]

    def copied(x: Any) -> Any:  # x + 2 x, once for each of nine places
        nine = layers.Dense(9, kernel_initializer="ones")(x)
        return layers.Add()([nine, layers.Dense(1, kernel_initializer=tf_keras.initializers.Constant(2))(x)])

    assert constant(copied) == pytest.approx(9)  # (1 + 2) sqrt(9)
    with pytest.raises(UnboundedError, match="Multiply 'gate'"):
        constant(lambda x: layers.Multiply(name="gate")([x, x]))
    with pytest.raises(UnboundedError, match="jumps"):
        constant(layers.ReLU(threshold=0.5))


def test_estimates_of_a_linear_network_are_exact() -> None:
    case = LinearCase(11)
    slopes = [(a.T @ w).T for a, w in zip(case.encoders, case.heads, strict=True)]
    terms = estimated_terms({str(m): np.stack([s @ s.T] * 4) for m, s in enumerate(slopes)})
    for found, expected in zip(terms.exact.values(), case.terms()[0], strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)
    assert terms.status == "estimate" and terms.n == 4
