"""Masks by name cover the cells that they name."""

from __future__ import annotations

import numpy as np
import pytest

from tinyfuse.core.errors import UsageError
from tinyfuse.data import padding_mask
from tinyfuse.threats.masks import masks_of


def test_bands_blocks_and_data() -> None:
    coefficients = [masks_of([f"audio=mfcc:{c}"])["audio"] for c in range(13)]
    frames = [masks_of([f"audio=time:{t}"])["audio"] for t in range(39)]
    assert np.array_equal(sum(coefficients), padding_mask()) and np.array_equal(sum(frames), padding_mask())
    assert all(mask.sum() == 39 for mask in coefficients) and all(mask.sum() == 13 for mask in frames)
    assert np.array_equal(masks_of(["audio=data"])["audio"], padding_mask())
    one = masks_of(["audio=mfcc:2-3", "audio=time:5-6"])["audio"].reshape(-1)
    assert np.flatnonzero(one).tolist() == [67, 68, 80, 81]
    rows = masks_of(["image=rows:0-1"])["image"]
    assert rows[:2].all() and not rows[2:].any()


@pytest.mark.parametrize(("text", "words"), [
    ("audio=mfcc:5-13", "0 <= A <= B <= 12"), ("audio=mfcc:3-2", "is no range"),
    ("audio=tiem:1", "did you mean 'time'"),
    ("imge=rows:1", "did you mean 'image'"), ("image=mfcc:1", "unknown form 'mfcc'"), ("audio", "unknown form ''"),
    ("image=rows:", "is no range"), ("image=rows:-1", "is no range")])
def test_wrong_masks_are_one_line(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        masks_of([text])
    assert "\n" not in str(caught.value)


def test_masks_that_leave_nothing() -> None:
    with pytest.raises(UsageError, match="leave nothing"):
        masks_of(["audio=mfcc:1", "audio=mfcc:2"])
