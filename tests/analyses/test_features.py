"""Heads and features of networks and of integer models, density, convexity, and pictures of features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyfuse.analyses import AnalysisSubject
from tinyfuse.analyses.class_shape import ClassShape, rank_correlation
from tinyfuse.analyses.head import head_of_network, head_of_twin
from tinyfuse.analyses.inner_cut import InnerCut, last_hidden
from tinyfuse.analyses.margins import Margins, off_orthogonal
from tinyfuse.analyses.projection import Projection, principal_components
from tinyfuse.attacks import TwinTarget
from tinyfuse.core.errors import UsageError
from tinyfuse.data import Dataset, Samples, load
from tinyfuse.data.digits.load import INPUTS
from tinyfuse.integer.model import load_model
from tinyfuse.nn import zoo
from tinyfuse.nn.network import load_network
from tinyfuse.report.figures.analyses.feature_hulls import hull

MODELS = Path(__file__).resolve().parents[2] / "models" / "digits"


def no_progress(*_: Any) -> None:
    pass


@pytest.fixture(scope="module")
def twin() -> TwinTarget:
    return TwinTarget(load_model(MODELS / "late__w8.tflite"))


@pytest.fixture(scope="module")
def digits() -> Samples:
    """Digits as the network knows them."""
    return load(limit=10).test


def test_head_gives_the_logits_of_the_network(subject: AnalysisSubject, half_known: Dataset) -> None:
    head, inputs = subject.head, half_known.test.inputs
    assert head is not None and head.branches == {"cam": ("cam",), "mic": ("mic",)}
    found = sum(head.scores(head.features(inputs)).values()) + head.bias
    np.testing.assert_allclose(found, subject.logits(inputs), atol=1e-5)


def test_head_of_an_integer_model_gives_its_logits_to_one_code(twin: TwinTarget, digits: Samples) -> None:
    head = head_of_twin(twin)
    assert head is not None and set(head.branches) == {"image", "audio"}
    codes = {name: values.astype(np.float32) for name, values in twin.model.codes_of(digits.inputs).items()}
    found, grid = sum(head.scores(head.features(digits.inputs)).values()) + head.bias, twin.model.output.grid
    inside = np.clip(found, *grid.dequantise(np.array([grid.low, grid.high])))
    assert np.abs(inside - twin.logits(codes)).max() <= 0.51 * grid.scale


def test_integer_features_and_slopes_are_those_of_its_network(twin: TwinTarget, digits: Samples) -> None:
    integer, real = head_of_twin(twin), head_of_network(load_network(MODELS / "late.keras").model)
    assert integer is not None and real is not None
    ours, theirs = integer.features(digits.inputs), real.features(digits.inputs)
    slopes, exact = integer.slopes_of(digits.inputs, 3), real.slopes_of(digits.inputs, 3)
    for branch in theirs:
        assert np.median(np.abs(ours[branch] - theirs[branch])) < 0.01 * theirs[branch].max()  # a few saturate
        assert np.corrcoef(slopes[branch].ravel(), exact[branch].ravel())[0, 1] > 0.9
        assert np.linalg.norm(slopes[branch]) == pytest.approx(np.linalg.norm(exact[branch]), rel=0.2)


def test_margins_of_both_branches(subject: AnalysisSubject, half_known: Dataset) -> None:
    found = list(Margins(slope_samples=20).run(subject, half_known.test, no_progress))
    named = {(one.quantity, *one.of.values()): one for one in found}
    one = named["vulnerability", "cam", "a", "b"].value
    other = named["vulnerability", "mic", "a", "b"].value
    assert one and other and named["vulnerability ratio", "cam", "mic", "a", "b"].value == pytest.approx(one / other)
    pairs = [named["vulnerability ratio", "cam", "mic", *pair].value or 0 for pair in ("ab", "ac", "bc")]
    assert named["vulnerability ratio", "cam", "mic"].value == pytest.approx(np.prod(pairs) ** (1 / 3))
    each = np.asarray(named["margin", "cam"].each, float)
    assert len(each) == 40
    assert named["branch accuracy", "cam"].value == pytest.approx((each > 0).mean())


def test_orthogonal_rows_are_found_to_be_so() -> None:
    rows = np.linalg.qr(np.random.default_rng(0).normal(size=(8, 3)))[0]
    assert off_orthogonal(rows * [1.0, 5.0, 0.2]) < 1e-12
    assert off_orthogonal(np.array([[1.0, 1.0], [0.0, 1.0]])) == pytest.approx(np.sqrt(0.5))


@pytest.mark.parametrize(("name", "layers"), [
    ("late", ("image_block2_relu", "audio_block2_relu")), ("intermediate", ("shared_concat",)),
    ("early", ("shared_block2_relu",))])
def test_the_inner_place_lies_ahead_of_the_last_hidden_layer(name: str, layers: tuple[str, ...]) -> None:
    assert last_hidden(zoo.build(name, INPUTS, 10)) == layers


def test_a_cut_network_classifies_alike(subject: AnalysisSubject, half_known: Dataset) -> None:
    assert subject.network is not None
    model, inputs = subject.network.model, half_known.test.inputs
    assert last_hidden(model) == ("cam_stem_relu", "mic_stem_relu")
    cut = InnerCut.at(model, ("mic_relu", "cam_conv1", "cam_stem_relu"))
    assert (cut.classify(cut.values(inputs)) == subject.predict(inputs)).all()
    with pytest.raises(UsageError, match="do not part"):
        InnerCut.at(model, ("cam_relu",))
    with pytest.raises(UsageError, match="did you mean 'cam_relu'"):
        InnerCut.at(model, ("cam_rel",))


def test_shape_of_classes(subject: AnalysisSubject, half_known: Dataset) -> None:
    """Regions of the head are convex, those of the layers before it need not be; drops follow from accuracies."""
    settings = ClassShape(train_samples=60, pairs=60, places="input+inner+features", steps=2, epsilon=0.3)
    found = list(settings.run(subject, half_known.test, no_progress))
    named = {(one.quantity, *one.of.values()): one.value for one in found}
    assert all(named["convexity", name, "features", "all"] == 1 for name in "abc")
    assert {key[2:] for key in named if key[0] == "convexity" and len(key) == 4} >= {
        ("input", "all"), ("input", "cam"), ("inner", "all"), ("inner", "mic_stem_relu")}
    for name in "abc":
        clean, attacked = named["clean accuracy", name], named["attacked accuracy", name]
        assert clean and attacked is not None and attacked <= clean
        assert named["drop", name] == pytest.approx((clean - attacked) / clean)
    assert max(named["drop", name] or 0 for name in "abc") > 0
    densities = [value for key, value in named.items() if key[0] == "density" and len(key) == 3]
    assert len(densities) == 9 and all(value and 0 < value < 0.9 for value in densities)


def test_a_universal_attack_is_one_for_all(subject: AnalysisSubject, half_known: Dataset) -> None:
    settings = ClassShape(train_samples=40, pairs=2, places="features", attack="universal", steps=1, epsilon=0.5)
    named = {(one.quantity, *one.of.values()): one.value for one in settings.run(subject, half_known.test, no_progress)}
    assert 0 <= (named["attacked accuracy", "a"] or 0) <= 1


def test_shape_of_an_integer_model(twin: TwinTarget, tiny_dataset: Dataset) -> None:
    subject = AnalysisSubject("late", "w8", "0" * 64, 0, INPUTS, tiny_dataset, twin)
    settings = ClassShape(train_samples=20, pairs=2, places="inner+features", steps=1)
    found = list(settings.run(subject, tiny_dataset.test.take(slice(10)), no_progress))
    assert {one.of["place"] for one in found if "place" in one.of} == {"features"}
    with pytest.raises(UsageError, match="an integer model has no layer image_block2_relu"):
        list(ClassShape(places="image_block2_relu", train_samples=10).run(subject, tiny_dataset.test, no_progress))


def test_rank_correlation_and_its_p() -> None:
    one = np.arange(8.0)
    assert rank_correlation(one, np.exp(one)) == (pytest.approx(1), pytest.approx(1 / 5000, abs=4e-4))
    value, p = rank_correlation(one, np.array([1.0, 0, 3, 2, 5, 4, 7, np.nan])) or (0, 1)
    assert value == pytest.approx(1 - 6 * 6 / (7 * 48))  # by 1 - 6 sum d^2 / (n (n^2 - 1))
    assert 0 < p < 0.05
    assert rank_correlation(one, np.ones(8)) is None


def test_principal_components_find_the_line() -> None:
    along = np.random.default_rng(0).normal(size=60)
    found, shares = principal_components(np.outer(along, [3.0, 4.0]))
    assert shares[0] == pytest.approx(1)
    np.testing.assert_allclose(found[:, 0], 5 * (along - along.mean()), atol=1e-9)


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_a_picture_of_features(method: str, subject: AnalysisSubject, half_known: Dataset) -> None:
    found = list(Projection(method=method).run(subject, half_known.test, no_progress))
    points = [one for one in found if one.quantity == "coordinate"]
    assert [(one.of["branch"], one.of["axis"]) for one in points] == [
        (branch, axis) for branch in ("cam", "mic", "all") for axis in "12"]
    assert all(np.isfinite(np.asarray(one.each, float)).all() for one in points)


def test_hull_of_a_square_and_of_a_line() -> None:
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0.5, 0.5]])
    assert len(hull(square)) == 4
    assert len(hull(np.array([[0.0, 0], [1, 1], [2, 2]]))) == 0
