"""An input that a network no longer listens to is found, and one that a misleading mean silences is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from analytic import linear
from findings import found, reasons
from row_makers import outcome, probe

from tinyfuse.checks.alone import (
    at_chance,
    chance,
    hear_each,
    mean_answer,
    of_other_classes,
    with_others,
)
from tinyfuse.checks.collapse import NO_LOSS
from tinyfuse.core.results import Row
from tinyfuse.core.statistics import wilson
from tinyfuse.data import Dataset, Samples
from tinyfuse.nn.network import Network
from tinyfuse.nn.predict import predict
from tinyfuse.study.stages.alone import collapse_of

N, CLASSES = 120, 4


def batch() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Two inputs that each show their class: one of four values is large."""
    label = np.arange(N) % CLASSES
    shown = np.eye(CLASSES, dtype=np.float32)[label].reshape(N, 2, 2, 1)
    return {"image": shown, "audio": 0.5 * shown}, label


def heard(weights: dict[str, np.ndarray], bias: Any = 0.0) -> dict[str, float]:
    given, label = batch()
    target = linear(weights, np.zeros(CLASSES) + bias)
    means = {name: values.mean(axis=0) for name, values in given.items()}
    references = {name: values[:8] for name, values in given.items()}
    return {name: one.value for name, one in hear_each(target.logits, given, label, means, references)}


def rows(values: dict[str, float], n: int = 200) -> list[Row]:
    return [outcome([1] * 10), *(probe(name, value, n=n) for name, value in values.items())]


def test_each_input_is_heard_alone_and_a_silent_one_is_an_error() -> None:
    eye = np.eye(CLASSES)
    assert heard({"image": eye, "audio": eye}) == {
        "alone-image": 1, "alone-audio": 1, "alone-all": 1, "alone-none": 0.25}
    silent = heard({"image": eye, "audio": 0 * eye})
    assert silent == {"alone-image": 1, "alone-audio": 0.25, "swapped-audio": 1, "alone-all": 1, "alone-none": 0.25}
    (flag,) = found(rows(silent), "Co")
    assert flag.level == "E" and "audio 25.0% of 200" in flag.text and "image" not in flag.text.split("(")[0]
    assert not found(rows(heard({"image": eye, "audio": eye})), "Co")


def test_a_mean_that_looks_like_one_class_is_no_silence() -> None:
    """One input bends: at the mean of its values it adds much to one class, though no training sample does."""
    given, label = batch()

    def logits(some: Any) -> np.ndarray:
        image, audio = (some[name].reshape(len(some[name]), -1) for name in ("image", "audio"))
        blurred = np.all(np.abs(image - 0.25) < 0.1, axis=1)  # nothing but the mean of all images looks so
        return np.asarray(3.0 * image + audio + 100.0 * blurred[:, None] * np.eye(CLASSES)[0])

    means = {name: values.mean(axis=0) for name, values in given.items()}
    at_mean = logits(with_others(given, ("audio",), means)).argmax(axis=1)
    assert (at_mean == 0).all()
    alone = dict(hear_each(logits, given, label, means, {name: values[:8] for name, values in given.items()}))
    assert alone["alone-audio"].value == 1 and "swapped-audio" not in alone
    assert "25.0% with the others at their training mean, 100.0%" in alone["alone-audio"].detail


def test_the_mean_answer_is_that_at_the_mean_feature_of_a_linear_head() -> None:
    random = np.random.default_rng(0)
    weights = {name: random.normal(0, 1, (4, CLASSES)) for name in ("image", "audio")}
    target, (given, _) = linear(weights, random.normal(0, 1, CLASSES)), batch()
    references = {name: random.random((9, 2, 2, 1), np.float32) for name in given}
    expected = target.logits(with_others(given, ("image",), {name: v.mean(axis=0) for name, v in references.items()}))
    assert np.allclose(mean_answer(target.logits, given, ("image",), references), expected, atol=1e-6)


def test_the_training_mean_of_many_samples() -> None:
    values = np.random.default_rng(0).random((2500, 3), np.float32)
    (mean,) = Samples({"mic": values}, np.zeros(2500, int), np.arange(2500)).means(("mic",)).values()
    assert np.allclose(mean, values.mean(axis=0), atol=1e-6) and mean.dtype == np.float32


@pytest.mark.parametrize(("alone", "together", "level"), [
    ({"image": 0.95, "audio": 0.10}, 0.97, "E"), ({"image": 0.95, "audio": 0.14}, 0.97, "E"),
    ({"image": 0.95, "audio": 0.16}, 0.97, None), ({"image": 0.10, "audio": 0.12}, 0.97, "E"),
    ({"image": 0.95, "audio": 0.10, "swapped": 0.95}, 0.97, "E"),
    ({"image": 0.95, "audio": 0.10, "swapped": 0.80}, 0.97, "W"),
    ({"image": 0.40, "audio": 0.10}, 0.54, None), ({"image": 0.40, "audio": 0.10}, 0.56, "E")])
def test_where_the_finding_begins(alone: dict[str, float], together: float, level: str | None) -> None:
    """At chance: the interval reaches down to it. Together: half of the way from chance to no error.

    Swapped: a loss of more than 3 points says that the input counts beside the other.
    """
    values = {"swapped-audio" if name == "swapped" else f"alone-{name}": value for name, value in alone.items()}
    flags = found(rows({**values, "alone-all": together, "alone-none": 0.1}), "Co")
    assert [flag.level for flag in flags] == ([] if level is None else [level])


def test_chance_is_the_most_frequent_class() -> None:
    assert chance(np.array([0, 0, 0, 2])) == 0.75
    assert at_chance(0.14, 200, 0.1) and wilson(28, 200)[0] <= 0.1 < wilson(29, 200)[0]


def test_without_evidence_it_is_a_gap_and_of_one_input_it_has_no_meaning() -> None:
    assert "Co" in reasons([outcome([1] * 10)])
    assert "Co" not in reasons([outcome([1] * 10, inputs={"mic": 1.0})])


def test_samples_of_other_classes() -> None:
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [40, 30, 30]))
    partner = of_other_classes(labels)
    assert (labels[partner] != labels).all() and np.array_equal(np.sort(partner), np.arange(100))


def test_an_input_that_counts_only_beside_the_other_is_no_error() -> None:
    """Early fusion after ten epochs: the image alone says nothing, and a wrong one ruins the answer."""
    label = np.arange(N) % CLASSES
    key = np.random.default_rng(1).integers(CLASSES, size=N)
    shown = np.eye(CLASSES, dtype=np.float32)
    given = {"image": shown[key], "audio": shown[(label - key) % 4]}

    def logits(some: Any) -> np.ndarray:  # the class is the sum of what both show, modulo 4
        return np.asarray([np.bincount([(one.argmax() + other.argmax()) % 4], minlength=4)
                           for one, other in zip(some["image"], some["audio"], strict=True)])

    means = {name: values.mean(axis=0) for name, values in given.items()}
    references = {name: values[:8] for name, values in given.items()}
    each = {name: one.value for name, one in hear_each(logits, given, label, means, references)}
    assert each["alone-all"] == 1 and each["swapped-image"] < 0.5
    assert [flag.level for flag in found(rows(each, n=N), "Co")] == ["W"]


def test_a_trained_network_is_heard_on_validation_samples(thin_early: Network, tiny_dataset: Dataset) -> None:
    """Whatever is said of it is so: after ten epochs on 200 samples it goes by the audio alone."""
    said, known = collapse_of(thin_early, tiny_dataset), tiny_dataset.validation

    def accuracy(**changed: np.ndarray) -> float:
        found = predict(thin_early.model, replace(known, inputs={**known.inputs, **changed}))
        return float(np.mean(found.argmax(axis=1) == known.label))

    partner = of_other_classes(known.label)
    lost = {name: accuracy() - accuracy(**{name: values[partner]}) for name, values in known.inputs.items()}
    assert said is None or "\n" not in said
    assert accuracy() > 0.6 and max(lost.values()) > 0.5
    for name, loss in lost.items():
        assert said is None or f"{name} 10.0% of 40" not in said or ("stopped listening" in said) == (loss <= NO_LOSS)
