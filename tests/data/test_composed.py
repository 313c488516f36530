"""Pictures of two digits: the spoken one stands where the truth says, the other one is different."""

from __future__ import annotations

import numpy as np
import pytest

from tinyfuse.core.errors import DataError
from tinyfuse.data import Dataset, load
from tinyfuse.data.digits.composed import LAYOUTS, compose, composed_part, halved, partners
from tinyfuse.data.samples import Samples


def quadrants(picture: np.ndarray) -> np.ndarray:
    """[n, 28, 28, 1] -> [n, 4, 14, 14]."""
    return picture.reshape(len(picture), 2, 14, 2, 14).transpose(0, 1, 3, 2, 4).reshape(len(picture), 4, 14, 14)


def test_the_truth_is_the_quadrant_of_the_spoken_digit_and_another_class_stands_in_one_other() -> None:
    label = np.arange(300) % 10
    # Each digit is a picture of its own value, so that what stands in a quadrant tells its class.
    picture = np.broadcast_to((label / 10 + 0.05)[:, None, None, None], (300, 28, 28, 1)).astype(np.float32)
    made = composed_part(Samples({"image": picture, "audio": picture}, label, label), np.random.default_rng(0))
    shown = np.round(quadrants(made.inputs["image"]).mean(axis=(2, 3)) * 10 - 0.5).astype(int)
    truth = quadrants(made.regions["image"]).all(axis=(2, 3))
    assert np.array_equal(truth.sum(axis=1), np.ones(300)) and made.regions["image"].sum() == 300 * 196
    assert np.array_equal(shown[truth], label)
    other = np.sort(np.where(truth, -1, shown), axis=1)[:, -1]
    assert (other >= 0).all() and (other != label).all()
    empty = quadrants(made.inputs["image"]).max(axis=(2, 3)) == 0
    assert np.array_equal(empty.sum(axis=1), np.full(300, 2))
    seen = {tuple(pair) for pair in np.stack([truth.argmax(axis=1), (~truth & ~empty).argmax(axis=1)], axis=1)}
    assert seen == {tuple(pair) for pair in LAYOUTS} and np.array_equal(made.inputs["audio"], picture)


def test_taking_samples_takes_their_truth_along() -> None:
    picture = np.random.default_rng(1).random((20, 28, 28, 1), np.float32)
    made = composed_part(Samples({"image": picture}, np.arange(20) % 10, np.arange(20)), np.random.default_rng(0))
    rows = np.array([7, 3])
    assert np.array_equal(made.take(rows).regions["image"], made.regions["image"][rows])
    assert np.array_equal(halved(picture)[0, 0, 0], picture[0, :2, :2].mean(axis=(0, 1), dtype=np.float32))


def test_the_source_composes_parts_and_epochs_anew_and_the_same_again(tiny_dataset: Dataset) -> None:
    made, again = compose(tiny_dataset), compose(tiny_dataset)
    assert made.checksum == again.checksum != tiny_dataset.checksum
    assert np.array_equal(made.test.inputs["image"], again.test.inputs["image"])
    assert np.array_equal(made.test.label, tiny_dataset.test.label)
    first, second = made.epoch(0, seed=0)[0], made.epoch(1, seed=0)[0]
    for inputs in (first, second):
        assert ((quadrants(inputs["image"]).max(axis=(2, 3)) > 0).sum(axis=1) == 2).all()
    assert not np.array_equal(first["image"], second["image"])
    assert np.array_equal(made.epoch(0, seed=0)[0]["image"], first["image"])


def test_composed_is_a_source_of_its_own_and_takes_others() -> None:
    made = load("composed", limit=20)
    assert made.name == "composed-embedded" and set(made.test.regions) == {"image"}
    assert load("composed:embedded", limit=20).checksum == made.checksum
    with pytest.raises(DataError, match="nowhere"):
        load("composed:nowhere", limit=20)


def test_a_partner_needs_a_second_class() -> None:
    with pytest.raises(Exception, match="two classes"):
        partners(np.zeros(3, int), np.zeros(3, int), np.random.default_rng(0))
