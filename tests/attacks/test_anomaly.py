"""Autoencoders under attack: errors are raised or hidden, on the float network and on the integers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyfuse.attacks import PGD, KerasTarget, Threat, audit, code_problem
from tinyfuse.attacks.targets.anomaly import AnomalyTwin, judged_network, threshold_of, verdict_logits
from tinyfuse.core.errors import UsageError
from tinyfuse.data import Input, Samples
from tinyfuse.integer.executors import open_executor
from tinyfuse.integer.model import IntegerModel, dequantize, load_model
from tinyfuse.nn import zoo
from tinyfuse.nn.network import Network
from tinyfuse.nn.objectives.reconstruction import anomaly_scores, auc
from tinyfuse.nn.predict import predict
from tinyfuse.quantize.convert import baseline, convert
from tinyfuse.quantize.recipe import read_recipe

SENSOR = Input("sensor", (5, 8), -1.0, 1.0)
EPSILON = 0.1
"""With random weights the "reconstruction" is near 0, so that small samples are normal and large ones anomalies."""


@pytest.fixture(scope="module")
def samples() -> Samples:
    rng = np.random.default_rng(0)
    label = np.arange(40) % 2
    size = np.where(label, 0.75, 0.55)[:, None, None]
    values = rng.choice([-1.0, 1.0], (40, 5, 8)) * size * rng.uniform(0.8, 1.0, (40, 1, 1))
    return Samples({"sensor": values.astype(np.float32)}, label, np.arange(40))


@pytest.fixture(scope="module")
def network() -> Network:
    model = zoo.build("anomaly-detection", (SENSOR,), 2)
    return Network("anomaly-detection", model, (SENSOR,), ("normal", "anomaly"), {"sha256": "0" * 64}, Path("a.keras"))


@pytest.fixture(scope="module")
def integer(network: Network, samples: Samples) -> IntegerModel:
    return load_model(convert(baseline(network, samples), read_recipe("w9")).data, name="anomaly")


@pytest.fixture(scope="module")
def threshold(network: Network, samples: Samples) -> float:
    return threshold_of(anomaly_scores(predict(network.model, samples), samples.inputs), samples.label)


def attacked(target: Any, start: dict[str, np.ndarray], samples: Samples, threat: Threat) -> dict[str, np.ndarray]:
    found = PGD(steps=6).run(target, start, samples.label, threat)
    whole = {name: values.astype(np.int32) for name, values in found.strongest.items()}
    audit(whole if target.grids else found.strongest, start, threat, target.grids)
    assert found.broken.mean() > 0.5
    return found.strongest


def test_the_float_networks_errors_are_raised_and_hidden(network: Network, samples: Samples, threshold: float) -> None:
    target = KerasTarget(judged_network(network.model, threshold))
    scores = anomaly_scores(predict(network.model, samples), samples.inputs)
    np.testing.assert_allclose(target.logits(samples.inputs), verdict_logits(scores, threshold), rtol=1e-4, atol=1e-5)
    threat = Threat("linf", {"sensor": EPSILON}, {"sensor": (-1.0, 1.0)})
    made = attacked(target, dict(samples.inputs), samples, threat)
    changed = Samples(made, samples.label, samples.group)
    after = anomaly_scores(predict(network.model, changed), made)
    assert (after[samples.label == 0] > scores[samples.label == 0]).all()
    assert (after[samples.label == 1] < scores[samples.label == 1]).all()
    assert auc(scores, samples.label) == 1.0 > auc(after, samples.label)


def test_so_are_those_of_the_integers_as_tflm_computes_them(integer: IntegerModel, samples: Samples,
                                                            threshold: float) -> None:
    target = AnomalyTwin(integer, threshold)
    threat = Threat("linf", {"sensor": EPSILON}, {"sensor": (-1.0, 1.0)})
    inside, start = code_problem(threat, samples.inputs, integer.grids, "codes")
    made = attacked(target, start, samples, inside)
    device = open_executor(integer, "tflm")

    def scores(codes: dict[str, np.ndarray]) -> np.ndarray:
        rebuilt = dequantize(device.run({"sensor": codes["sensor"].astype(np.int32)}), integer.output)
        return anomaly_scores(rebuilt, {"sensor": dequantize(codes["sensor"], integer.inputs[0])})

    np.testing.assert_allclose(target.scores(made), scores(made), rtol=1e-12)
    before, after = scores(start), scores(made)
    assert (after > before)[samples.label == 0].all() and (after < before)[samples.label == 1].all()


def test_the_gradient_holds_both_parts_of_the_error(network: Network, integer: IntegerModel, samples: Samples,
                                                    threshold: float) -> None:
    twin, real = AnomalyTwin(integer, threshold), KerasTarget(judged_network(network.model, threshold))
    codes = {"sensor": integer.codes_of(samples.inputs)["sensor"].astype(np.float32)}
    found = twin.gradient(codes, samples.label, ("sensor",), "margin")
    expected = real.gradient(samples.inputs, samples.label, ("sensor",), "margin")
    a, b = found.wrt["sensor"].reshape(-1), expected.wrt["sensor"].reshape(-1) * integer.inputs[0].scale
    assert np.corrcoef(a, b)[0, 1] > 0.98 and np.linalg.norm(a - b) < 0.2 * np.linalg.norm(b)
    np.testing.assert_array_equal(found.logits, twin.logits(codes))


@pytest.mark.parametrize("threshold", [0.0, -1.0, float("nan"), float("inf")])
def test_a_threshold_is_a_number_above_zero(integer: IntegerModel, threshold: float) -> None:
    with pytest.raises(UsageError, match="above 0"):
        AnomalyTwin(integer, threshold)


def test_what_cannot_be_judged_is_one_line(integer: IntegerModel, threshold: float) -> None:
    with pytest.raises(UsageError, match=r"no codes of anomaly"):
        AnomalyTwin(integer, threshold).logits({"sensor": np.full((1, 5, 8), 0.5, np.float32)})
    with pytest.raises(UsageError, match="no normal sample"):
        threshold_of(np.ones(3), np.ones(3))
    with pytest.raises(UsageError, match="returns its input again"):
        judged_network(zoo.build("streaming-wake-word", (Input("sensor", (30, 1, 40)),), 3), 1.0)
