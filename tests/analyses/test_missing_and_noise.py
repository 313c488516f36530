"""Missing inputs, noise curves, scores of detection, and layers changed one at a time: figures with a closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from analytic import linear
from scipy.stats import norm

from tinyfuse.analyses import AnalysisSubject, Finding
from tinyfuse.analyses.detection import Detection, average_precision, d_prime, mean_average_precision
from tinyfuse.analyses.integer_layers import IntegerLayers, weighted_layers
from tinyfuse.analyses.missing import ANSWER, FEATURE, MEAN, ZERO, Missing, feature_logits
from tinyfuse.analyses.modules import Gated, Modules, rounded_kernel
from tinyfuse.analyses.noise import LEVELS, Noise, effective_robustness, relative_robustness
from tinyfuse.core.errors import UsageError
from tinyfuse.data import Dataset, Input, Samples
from tinyfuse.nn.objectives.reconstruction import auc

INPUTS = (Input("cam", (4,), low=0.0, high=2.0), Input("mic", (4,)))


def quiet(*_: Any, **__: Any) -> None:
    """Nothing to advance."""


def one_hot_subject(blurred: float = 0.0) -> tuple[AnalysisSubject, Samples]:
    """Each input shows its class; at ``blurred`` the mean of cam is a sure class 0."""
    label = np.arange(40) % 4
    shown = np.eye(4, dtype=np.float32)[label]
    samples = Samples({"cam": 2 * shown, "mic": shown}, label, np.arange(40))
    target = linear({"cam": np.eye(4), "mic": np.eye(4)}, np.zeros(4))
    plain = target.logits

    def logits(batch: Any) -> np.ndarray:
        sure = np.all(np.abs(batch["cam"] - 0.5) < 0.1, axis=1)
        return plain(batch) + blurred * sure[:, None] * np.eye(4)[0]

    target.logits = logits  # type: ignore[method-assign]
    data = Dataset("shown", INPUTS, tuple("abcd"), samples, samples, samples, "0" * 64)
    return AnalysisSubject("shown", "float", "0" * 64, 0, INPUTS, data, target), samples


def by(found: list[Finding], quantity: str) -> dict[tuple[str, ...], float | None]:
    return {tuple(one.of.values()): one.value for one in found if one.quantity == quantity}


def test_a_mean_input_can_mislead_where_the_mean_answer_does_not() -> None:
    subject, samples = one_hot_subject(blurred=100.0)
    found = list(Missing(answers=8).run(subject, samples, quiet))
    alone, without = by(found, "accuracy alone"), by(found, "accuracy without")
    assert alone["mic", MEAN] == 0.25 and alone["mic", ANSWER] == alone["mic", ZERO] == alone["cam", MEAN] == 1
    assert without["cam", MEAN] == 0.25 and without["mic", MEAN] == 1
    assert by(found, "accuracy") == {("all",): 1.0, ("none",): 0.25}


def test_the_mean_feature_is_the_mean_answer_and_integers_agree(subject: AnalysisSubject,
                                                                small_twin: AnalysisSubject) -> None:
    """Logits are own branch + mean of the other + bias: averaged over the samples of the mean it is the same."""
    samples, train = subject.dataset.test.take(slice(12)), subject.dataset.train.balanced(20, seed=0)
    head = subject.head
    assert head is not None
    average = {name: values.mean(axis=0) for name, values in head.features(train.inputs).items()}
    expected = np.mean([subject.logits({**samples.inputs, "mic": np.broadcast_to(
        train.inputs["mic"][row], samples.inputs["mic"].shape)}) for row in range(len(train))], axis=0)
    assert np.allclose(feature_logits(head, head.features(samples.inputs), average, ("cam",)), expected, atol=1e-4)
    for one in (subject, small_twin):
        kinds = {found.of["stand-in"] for found in Missing(mean_samples=20).run(one, samples, quiet)
                 if "stand-in" in found.of}
        assert kinds == {ZERO, MEAN, FEATURE}


def test_areas_and_differences_of_noise_curves() -> None:
    assert relative_robustness((0, 0.1, 0.3), (1.0, 0.8, 0.4)) == pytest.approx(0.09 + 0.12)
    assert relative_robustness(LEVELS, [1.0] * 10) == pytest.approx(0.9)
    late = (0.9, 0.7, 0.5)
    assert effective_robustness(late, late) == pytest.approx(0)
    assert effective_robustness((0.95, 0.75, 0.55), late) == pytest.approx(0)  # better when clean, no more
    assert effective_robustness((0.9, 0.8, 0.6), late) == pytest.approx(0.2)


def test_noise_is_on_every_sample_within_the_range_and_at_0_on_none() -> None:
    subject, samples = one_hot_subject()
    seen: list[Any] = []
    inner = subject.target.logits
    subject.target.logits = lambda batch: (seen.append(dict(batch)), inner(batch))[1]  # type: ignore[method-assign]
    found = list(Noise(levels=(0.0, 0.5), reference=(1.0, 0.5)).run(subject, samples, quiet))
    clean, noisy = seen[0], seen[1]
    assert np.array_equal(clean["cam"], samples.inputs["cam"])
    assert np.array_equal(noisy["mic"], samples.inputs["mic"])
    moved = noisy["cam"] - samples.inputs["cam"]
    assert (np.abs(moved).max(axis=1) > 0).mean() > 0.8  # of all samples; values at an end of the range may stay there
    assert noisy["cam"].min() >= 0 and noisy["cam"].max() <= 2
    curve = by(found, "accuracy under noise")
    assert curve["cam", "0"] == curve["all", "0"] == 1 and by(found, "effective robustness").keys() == {("all",)}
    area = by(found, "relative robustness")["all",]
    at_half = curve["all", "0.5"]
    assert area is not None and at_half is not None and area == pytest.approx(0.5 * (1 + at_half) / 2)
    again = list(Noise(levels=(0.0, 0.5)).run(subject, samples, quiet))
    assert by(again, "accuracy under noise") == curve


@pytest.mark.parametrize("settings", [{"levels": (0.1, 0.2)}, {"levels": (0.0, 0.2, 0.2)}, {"levels": (0.0,)},
                                      {"reference": (1.0,)}])
def test_noise_levels_that_make_no_curve(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Noise(**settings)


def test_average_precision_auc_and_d_prime() -> None:
    truth = np.array([1, 0, 1, 0, 0])
    assert average_precision(np.array([5, 4, 3, 2, 1]), truth) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(np.ones(5), truth) == pytest.approx(2 / 5)  # ties count whole
    assert auc(np.array([5, 4, 3, 2, 1]), truth) == pytest.approx(5 / 6)
    both = np.stack([truth, 1 - truth, np.zeros(5, int)], axis=1).astype(bool)
    scores = np.stack([[5, 4, 3, 2, 1], [1, 2, 3, 4, 5], [0] * 5], axis=1)
    assert mean_average_precision(scores, both) == pytest.approx(
        np.mean([5 / 6, average_precision(scores[:, 1], both[:, 1])]))  # a class without samples does not count
    # Two normal distributions d' apart have AUC = Phi(d' / sqrt 2).
    assert d_prime(float(norm.cdf(1.5 / np.sqrt(2)))) == pytest.approx(1.5) and d_prime(0.5) == 0
    assert np.isinf(d_prime(1.0))


def test_each_class_as_a_detector() -> None:
    subject, samples = one_hot_subject()
    found = list(Detection().run(subject, samples, quiet))
    assert by(found, "mAP") == {(): 1.0} and by(found, "mean AUC") == {(): 1.0}
    assert len(by(found, "AUC")) == 4


def test_weights_are_rounded_to_as_many_values_as_the_bits_allow() -> None:
    kernel = np.random.default_rng(0).normal(0, 1, (3, 3, 2, 5))
    rounded = rounded_kernel(kernel, 3)
    scale = np.abs(kernel).max(axis=(0, 1, 2)) / 3
    assert np.allclose(rounded / scale, np.rint(rounded / scale)) and np.abs(rounded - kernel).max() <= scale.max() / 2
    assert np.allclose(np.abs(rounded).max(axis=(0, 1, 2)), np.abs(kernel).max(axis=(0, 1, 2)))
    assert np.array_equal(rounded_kernel(np.zeros((2, 2)), 4), np.zeros((2, 2)))


def test_gates_change_one_layer_and_give_it_back(subject: AnalysisSubject) -> None:
    assert subject.network is not None
    samples = subject.dataset.train.take(slice(20))
    gated = Gated(subject.network.model, samples)

    def logits() -> np.ndarray:
        return np.asarray(gated.model({name: values[:] for name, values in samples.inputs.items()}))

    before = logits()
    assert np.allclose(before, subject.logits(samples.inputs), atol=1e-4)
    with gated.removed("head"):
        assert np.allclose(logits(), before.mean(axis=0), atol=1e-5)
    with gated.rounded("head", 2):
        head = gated.model.get_layer("head")
        assert len(np.unique(np.round(np.asarray(head.kernel)[:, 0], 6))) <= 3 and not np.allclose(logits(), before)
    assert np.array_equal(logits(), before)


def test_layers_of_integers_have_fewer_codes_or_give_their_mean(small_twin: AnalysisSubject) -> None:
    assert small_twin.twin is not None
    samples = small_twin.dataset.train.take(slice(20))
    layers = IntegerLayers(small_twin.twin.model, samples)
    codes, names = small_twin.twin.model.codes_of(samples.inputs), weighted_layers(small_twin.twin.model.graph)
    before, output = layers.target.twin.run(codes), layers.target.twin.graph.outputs[0]
    assert np.array_equal(before, small_twin.twin.twin.run(codes)) and "mic_conv1" in names
    with layers.rounded("mic_conv1", 3) as target:
        weights = target.twin.graph.tensors[names["mic_conv1"].inputs[1]].data
        assert weights is not None and max(len(np.unique(channel)) for channel in weights) <= 7
        assert not np.array_equal(target.twin.run(codes), before)
    with layers.removed("head") as target:  # its output is the same for all samples: the mean, to half a code
        assert np.abs(target.twin.run(codes) - before.mean(axis=0)).max() <= 0.51
    with layers.removed("mic_conv1") as target:
        end = names["mic_conv1"].outputs[0]
        found, was = target.twin.tensors(codes)[end], layers.target.twin.tensors(codes)[end]
        assert np.ptp(found, axis=(0, 1, 2)).max() == 0
        assert np.abs(found[0, 0, 0] - was.mean(axis=(0, 1, 2))).max() <= 0.51
    assert np.array_equal(small_twin.twin.twin.run(codes), before) and output == layers.target.logit_tensor


@pytest.mark.parametrize("kind", ["float", "integers"])
def test_removing_a_branch_is_told_by_layer(kind: str, subject: AnalysisSubject, small_twin: AnalysisSubject) -> None:
    subject = subject if kind == "float" else small_twin
    samples = subject.dataset.test.take(slice(10))
    found = list(Modules(layers=("mic_stem",), steps=2, levels=6, mean_samples=10).run(subject, samples, quiet))
    assert {(one.of["layer"], one.of["change"]) for one in found} == {
        ("none", "none"), ("mic_stem", "4 bits"), ("mic_stem", "mean")}
    assert by(found, "shift of the smallest budget")["none", "none"] == 0
    with pytest.raises(UsageError, match="did you mean 'mic_stem'"):
        list(Modules(layers=("mic_sten",)).run(subject, samples, quiet))
