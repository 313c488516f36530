"""Pictures as Pillow makes them, arrays as they come."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinyfuse.frontend.array import Array
from tinyfuse.frontend.picture import Picture

COLOUR = np.random.default_rng(1).integers(0, 256, (12, 20, 3), np.uint8)


def test_grey_is_the_luma_of_itu_r_601_in_whole_numbers() -> None:
    found = Picture(size=(12, 20)).features(COLOUR)[..., 0] * 255
    red, green, blue = np.moveaxis(COLOUR.astype(np.int64), -1, 0)
    assert np.array_equal(np.rint(found), (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16)


def test_crops_keep_the_middle_pad_or_distort() -> None:
    picture = np.zeros((8, 16), np.uint8)
    picture[:, 4:12] = 255
    ones = {crop: Picture(size=(8, 8), crop=crop, resize="box").features(picture)[..., 0]  # type: ignore[arg-type]
            for crop in ("centre", "pad", "stretch")}
    assert ones["centre"].min() == 1
    assert np.array_equal(ones["stretch"][0], [0, 0, 1, 1, 1, 1, 0, 0])
    assert not ones["pad"][:2].any() and not ones["pad"][6:].any() and ones["pad"][2:6, 2:6].min() == 1


def test_a_box_of_two_by_two_is_the_rounded_mean() -> None:
    grey = COLOUR[..., 0]
    found = Picture(size=(6, 10), resize="box").features(grey)[..., 0] * 255
    mean = grey.reshape(6, 2, 10, 2).mean(axis=(1, 3))
    assert np.abs(np.rint(found) - mean).max() <= 1  # rounded across, then down


@pytest.mark.parametrize("raw", [COLOUR[..., :1], COLOUR[..., :1].repeat(2, axis=2), COLOUR[..., 0],
                                 COLOUR[..., 0].astype(np.uint16) * 257])
def test_ways_to_hold_a_grey_picture_are_one(raw: np.ndarray) -> None:
    front_end = Picture(size=(12, 20), scale=(-1.0, 1.0))
    assert np.array_equal(front_end.features(raw), (COLOUR[..., :1] / np.float32(255)) * np.float32(2) - np.float32(1))


def test_colour_ignores_transparency_and_grey_becomes_colour() -> None:
    front_end = Picture(size=(12, 20), colour="rgb")
    clear = np.concatenate([COLOUR, np.zeros((12, 20, 1), np.uint8)], axis=2)
    assert np.array_equal(front_end.features(clear), COLOUR / np.float32(255))
    assert np.array_equal(front_end.features(COLOUR[..., 0]), (COLOUR[..., :1] / np.float32(255)).repeat(3, axis=2))
    assert front_end.features(COLOUR[..., 0] > 100).max() == 1


@pytest.mark.parametrize(("placement", "long", "short"), [
    ("start", [0, 1, 2, 3], [1, 1, 0, 0]), ("centre", [1, 2, 3, 4], [0, 1, 1, 0])])
def test_sequences_are_cut_and_padded_along_their_first_axis(placement: Any, long: list[int], short: list[int]) -> None:
    front_end = Array(size=(4, 2), placement=placement, axis_names=("frames", "sensors"))
    assert front_end.features(np.arange(6).repeat(2).reshape(6, 2))[:, 0].tolist() == long
    assert front_end.features(np.ones((2, 2), np.int8))[:, 1].tolist() == short
    assert front_end.axes == {"frames": (2, 4), "sensors": (1, 2)}
