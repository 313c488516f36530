"""Masks by name cover the cells that they name."""

from __future__ import annotations

import numpy as np
import pytest

from tinyfuse.core.errors import UsageError
from tinyfuse.data import Axis, Input
from tinyfuse.data.digits.load import INPUTS
from tinyfuse.threats.masks import masks_of

SENSORS = (Input("spectrum", (24, 12, 1), axes={"time": Axis(12, 24), "band": Axis(1, 12)}),
           Input("motion", (32, 6), valid=((6, 96), (100, 192))))


def test_bands_blocks_and_data() -> None:
    coefficients = [masks_of([f"audio=mfcc:{c}"], INPUTS)["audio"] for c in range(13)]
    frames = [masks_of([f"audio=time:{t}"], INPUTS)["audio"] for t in range(39)]
    carrying = INPUTS[1].valid_mask()
    assert carrying.sum() == 507
    assert np.array_equal(sum(coefficients), carrying) and np.array_equal(sum(frames), carrying)
    assert all(mask.sum() == 39 for mask in coefficients) and all(mask.sum() == 13 for mask in frames)
    assert np.array_equal(masks_of(["audio=valid"], INPUTS)["audio"], carrying)
    one = masks_of(["audio=mfcc:2-3", "audio=time:5-6"], INPUTS)["audio"].reshape(-1)
    assert np.flatnonzero(one).tolist() == [67, 68, 80, 81]
    rows = masks_of(["image=rows:0-1"], INPUTS)["image"]
    assert rows[:2].all() and not rows[2:].any()
    assert masks_of(["audio=rows:27"], INPUTS)["audio"].sum() == 28


def test_any_input_names_its_own_axes() -> None:
    masks = masks_of(["spectrum=time:3-4", "spectrum=band:0", "motion=valid"], SENSORS)
    assert np.argwhere(masks["spectrum"]).tolist() == [[3, 0, 0], [4, 0, 0]]
    outside = np.flatnonzero(masks["motion"] == 0).tolist()
    assert masks["motion"].shape == (32, 6) and outside == [*range(6), *range(96, 100)]
    with pytest.raises(UsageError, match="allowed: motion=valid"):
        masks_of(["motion=time:3"], SENSORS)


@pytest.mark.parametrize(("text", "words"), [
    ("audio=mfcc:5-13", "0 <= A <= B <= 12"), ("audio=mfcc:3-2", "is no range"),
    ("audio=tiem:1", "did you mean 'time'"),
    ("imge=rows:1", "did you mean 'image'"), ("image=mfcc:1", "unknown axis 'mfcc'"), ("audio", "unknown axis ''"),
    ("image=rows:", "is no range"), ("image=rows:-1", "is no range")])
def test_wrong_masks_are_one_line(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        masks_of([text], INPUTS)
    assert "\n" not in str(caught.value)


def test_masks_that_leave_nothing() -> None:
    with pytest.raises(UsageError, match="leave nothing"):
        masks_of(["audio=mfcc:1", "audio=mfcc:2"], INPUTS)
