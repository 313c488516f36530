"""Potency, bands and occlusion: linear models whose smallest budgets have a closed form, and layouts that mislead."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from analytic import linear, smallest_budget, threat

from tinyfuse.analyses import ANALYSES, AnalysisSubject, Finding
from tinyfuse.analyses.axis_blocks import blocks_of, chosen_axes, stripes_of
from tinyfuse.analyses.bands import Bands, Occlusion, occluded
from tinyfuse.analyses.budget_search import L2, LINF, Search, Smallest, find_smallest
from tinyfuse.analyses.potency import Potency
from tinyfuse.attacks import PGD, InputGrid
from tinyfuse.attacks.minimal import minimal_shares
from tinyfuse.core.errors import UsageError
from tinyfuse.data import Axis, Dataset, Input, Samples

BANDS, FRAMES = 3, 5
SPECTRUM = Input("mic", (4, 4, 1), axes={"band": Axis(1, BANDS), "time": Axis(BANDS, FRAMES)}, valid=((0, 15),))
PICTURE = Input("cam", (2, 3, 1), axes={"rows": Axis(3, 2)})
FINE = 300
STEP = 0.01 ** (-1 / (FINE - 1))
"""Ratio of two neighbouring budgets."""


def linear_subject(n: int = 24, seed: int = 0) -> tuple[AnalysisSubject, dict[str, np.ndarray], Samples]:
    """Two classes, near their border and far from the ends of the range; every sample is right."""
    random = np.random.default_rng(seed)
    weights = {one.name: random.normal(0, 1, (int(np.prod(one.shape)), 2)) for one in (PICTURE, SPECTRUM)}
    target = linear(weights, -0.5 * sum(found.sum(axis=0) for found in weights.values()))  # a tie in the middle
    inputs = {one.name: random.uniform(0.45, 0.55, (n, *one.shape)).astype(np.float32) for one in (PICTURE, SPECTRUM)}
    samples = Samples(inputs, target.logits(inputs).argmax(axis=1), np.arange(n))
    data = Dataset("linear", (PICTURE, SPECTRUM), ("a", "b"), samples, samples, samples, "0" * 64)
    return AnalysisSubject("linear", "float", "0" * 64, 0, data.inputs, data, target), weights, samples


def values(found: list[Finding], quantity: str, **of: str) -> list[float]:
    return [one.value for one in found if one.quantity == quantity and
            all(one.of.get(name.replace("_", " ")) == value for name, value in of.items()) and one.value is not None]


@pytest.mark.parametrize(("norm", "attacked"), [
    (LINF, ("cam",)), (LINF, ("mic",)), (LINF, ("cam", "mic")), (L2, ("cam",)), (L2, ("mic",))])
def test_the_smallest_budget_of_a_linear_model(norm: str, attacked: tuple[str, ...]) -> None:
    """The margin / sum of the dual norms; what is found lies within one ratio of neighbouring budgets above it."""
    subject, weights, samples = linear_subject()
    expected = smallest_budget(weights, subject.logits(samples.inputs), samples.label, norm, attacked)
    largest = 0.5 if norm == LINF else 0.4
    found = find_smallest(subject, samples, attacked, Search(norm, 5, largest, FINE))
    most = largest * (1.0 if norm == LINF else {("cam",): 6**0.5, ("mic",): 15**0.5}[attacked])
    usable = (expected < 0.9 * min(most, 0.4)) & (expected > 0.01 * most)
    assert usable.sum() > 5
    assert (found.epsilon[usable] >= expected[usable] * (1 - 1e-4)).all()
    assert (found.epsilon[usable] <= expected[usable] * STEP * 1.001).all()


@pytest.mark.parametrize(("norm", "order"), [(LINF, 1), (L2, 2)])
def test_the_smallest_budget_in_a_mask(norm: str, order: int) -> None:
    """Only the weights inside the mask count: eps = margin / ||w_S||_1, margin / ||w_S||_2."""
    subject, weights, samples = linear_subject()
    mask = blocks_of(SPECTRUM, "band", BANDS)["1-1"]
    inside = mask.ravel() > 0
    logits = subject.logits(samples.inputs)
    slope = (weights["mic"][:, 1] - weights["mic"][:, 0])[inside]
    expected = np.abs(logits[:, 1] - logits[:, 0]) / np.linalg.norm(slope, order)
    search = Search(norm, 8, 0.45 if norm == LINF else 0.25, FINE)
    found = find_smallest(subject, samples, ("mic",), search, {"mic": mask}).epsilon
    usable = expected < (0.4 if norm == LINF else 0.6)
    usable &= expected > 0.011
    assert usable.sum() > 5
    assert (found[usable] >= expected[usable] * (1 - 1e-4)).all()
    assert (found[usable] <= expected[usable] * STEP * 1.02).all()


def test_a_band_of_a_spectrum_in_a_picture_is_a_set_of_stripes() -> None:
    """Cell i is coefficient i % bands of frame i // bands; the last cell is padding and in no block."""
    band = blocks_of(SPECTRUM, "band", BANDS)["1-1"].ravel()
    assert np.array_equal(np.flatnonzero(band), np.arange(1, 15, BANDS))
    frames = blocks_of(SPECTRUM, "time", 3)
    assert list(frames) == ["0-1", "2-3", "4-4"] and np.array_equal(np.flatnonzero(frames["2-3"]), np.arange(6, 12))
    assert sum(mask.sum() for mask in frames.values()) == 15 and all(mask.ravel()[15] == 0 for mask in frames.values())
    every = stripes_of(SPECTRUM, "time", (1, 2, 3))
    assert list(every) == ["every other 1", "every other 2"]
    assert np.array_equal(np.flatnonzero(every["every other 2"]), np.arange(6, 12))
    assert np.array_equal(np.flatnonzero(every["every other 1"]), [3, 4, 5, 9, 10, 11])
    with pytest.raises(UsageError, match="did you mean 'time'"):
        chosen_axes(SPECTRUM, ("tine",), (PICTURE, SPECTRUM))


def test_silence_is_the_smallest_value_of_the_sample_and_not_of_its_padding() -> None:
    given = np.linspace(0.2, 0.9, 32, dtype=np.float32).reshape(2, 4, 4, 1)
    given[:, 3, 3] = 0  # padding
    mask = blocks_of(SPECTRUM, "time", 3)["2-3"]
    found = occluded(given, mask, SPECTRUM)
    assert np.array_equal(found[mask[None] * np.ones_like(given) > 0].reshape(2, -1),
                          np.repeat(given[:, 0, 0], 6, axis=1))
    assert np.array_equal(found[:, mask == 0], given[:, mask == 0])


def test_occlusion_finds_the_frames_that_carry_the_class() -> None:
    """A model that reads frame 2 alone: any other block may fall silent."""
    random = np.random.default_rng(0)
    heard = np.zeros((16, 2))
    heard[6:9, 1] = 1
    target = linear({"mic": heard}, np.array([1.5, 0.0]))
    label = np.arange(20) % 2
    shown = np.where(label[:, None] == 1, 0.8, 0.2) + random.uniform(-0.1, 0.1, (20, 16))
    shown[:, 0] = 0.05
    samples = Samples({"mic": shown.reshape(20, 4, 4, 1).astype(np.float32)}, label, np.arange(20))
    data = Dataset("frames", (SPECTRUM,), ("a", "b"), samples, samples, samples, "0" * 64)
    subject = AnalysisSubject("frames", "float", "0" * 64, 0, (SPECTRUM,), data, target)
    found = list(Occlusion(axes=("time",), blocks=5, stripes=()).run(subject, samples, lambda *a, **k: None))
    assert values(found, "accuracy occluded", axis="time") == [1, 1, 0.5, 1, 1]
    assert values(found, "loss by occlusion", axis="time") == [0, 0, 0.5, 0, 0]
    attacks = list(Bands(axes=("time",), blocks=5, steps=2, levels=8).run(subject, samples, lambda *a, **k: None))
    assert values(attacks, "unbroken in a block") == [1, 1, 0, 1, 1]


def test_the_budget_at_which_accuracy_is_chance() -> None:
    found = Smallest(np.array([0, 0.1, 0.2, 0.3, 0.4, np.inf, 0.05, 0.6]), 1.0)
    assert found.deactivating(0.25) == 0.4  # 0.6 and inf are left of 8
    assert found.deactivating(0.0) is None and found.deactivating(0.13) == 0.6
    middle = found.median()
    assert middle is not None and middle.samples == 7 and middle.value == 0.3
    assert Smallest(np.zeros(3), 1.0).median() is None


def test_shares_on_codes_are_what_the_change_spends() -> None:
    """L2 on whole codes: no change is longer than what is reported, and it breaks the sample."""
    random = np.random.default_rng(2)
    weights = {name: random.normal(0, 0.01, (16, 2)) for name in ("cam", "mic")}
    grid = InputGrid(1 / 255, -128, -128, 127)
    target = linear(weights, np.zeros(2), {"cam": grid, "mic": grid})
    batch = {name: random.integers(-50, 50, (20, 4, 4, 1)).astype(np.float32) for name in weights}
    labels = target.logits(batch).argmax(axis=1)
    labels[0] = 1 - labels[0]
    largest = threat("l2", {"cam": 60.0, "mic": 120.0}, -128.0, 127.0, lattice=True)
    share = minimal_shares(target, batch, labels, largest, attack=PGD(steps=6), levels=60)
    assert share[0] == 0 and np.isfinite(share).sum() > 10 and (share[1:] > 0).all()
    closed = np.abs(np.diff(target.logits(batch))[:, 0]) / sum(
        size * np.linalg.norm(np.diff(weights[name])) for name, size in largest.budget.items())
    assert (share[1:] >= closed[1:] * (1 - 1e-6)).all()
    with pytest.raises(UsageError, match="at least 2 levels"):
        minimal_shares(target, batch, labels, largest, attack=PGD(steps=1), levels=1)


def test_potency_of_a_linear_model_has_its_rows() -> None:
    subject, _, samples = linear_subject(8)
    found = list(Potency(steps=2, levels=6).run(subject, samples, lambda *a, **k: None))
    modes = {(one.of["input"], one.of["norm"]) for one in found}
    assert modes == {(mode, norm) for mode in ("cam", "mic", "all") for norm in (LINF, L2)}
    all_at_once, alone = (values(found, "smallest budget", input=name, norm=LINF)[0] for name in ("all", "cam"))
    assert 0 < all_at_once <= alone
    known = {one.name for one in ANALYSES["potency"].quantities}
    assert {one.quantity for one in found} <= known


def test_potency_of_integers_counts_codes(subject: AnalysisSubject, small_twin: Any) -> None:
    samples = small_twin.dataset.test.take(slice(10))
    found = list(Potency(norms=(LINF,), steps=2, largest_linf=0.2).run(small_twin, samples, lambda *a, **k: None))
    codes = next(one for one in found if one.quantity == "smallest codes" and one.of["input"] == "cam")
    share = next(one for one in found if one.quantity == "smallest budget" and one.of["input"] == "cam")
    scale = small_twin.target.grids["cam"].scale
    assert codes.each is not None and share.each is not None
    whole = np.asarray(codes.each, float)
    assert np.array_equal(whole[np.isfinite(whole)], np.rint(whole[np.isfinite(whole)]))
    assert np.allclose(np.asarray(share.each, float), whole * scale)
