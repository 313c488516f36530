"""The audit: each rule, broken on its own, is named."""

from __future__ import annotations

from collections.abc import Callable

import analytic
import numpy as np
import pytest

from tinyfuse.core.errors import TinyfuseError, UsageError
from tinyfuse.threats.audit import audit
from tinyfuse.threats.code_grid import InputGrid

MASK = np.ones((28, 28, 1), np.float32)
MASK[0, 0] = 0
THREAT = analytic.threat("linf", {"image": 0.1}, mask={"image": MASK})
GRIDS = {name: InputGrid(1 / 255, -128, -128, 127) for name in ("image", "audio")}
Batch = dict[str, np.ndarray]


def clean_batch(value: float = 0.5) -> Batch:
    return {name: np.full((2, 28, 28, 1), value, np.float32) for name in ("image", "audio")}


def put(name: str, index: tuple[int, ...], value: float) -> Callable[[Batch], None]:
    def change(batch: Batch) -> None:
        batch[name][index] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("image", (1, 5, 5, 0), 0.601), "linf size 0.10100.* at sample 1; the budget is 0.1"),
        (put("image", (1, 0, 0, 0), 0.55), "changes protected coordinates"),
        (put("audio", (0, 3, 3, 0), 0.50000006), "'audio' changed; the threat does not attack it"),
        (put("image", (0, 3, 3, 0), float("nan")), "the box"),
        (put("image", (0, 3, 3, 0), 1.01), "the box"),
    ],
)
def test_a_broken_rule_is_named(change: Callable[[Batch], None], message: str) -> None:
    candidate = clean_batch()
    change(candidate)
    with pytest.raises(TinyfuseError, match=message) as caught:
        audit(candidate, clean_batch(), THREAT)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("image", (1, 5, 5, 0), 26), "'image' moves 26 codes; epsilon 0.1 allows 25"),
        (put("image", (1, 0, 0, 0), 1), "changes protected coordinates"),
        (put("audio", (0, 3, 3, 0), 1), "'audio' changed"),
        (put("image", (0, 3, 3, 0), 128), "the code range"),
    ],
)
def test_a_broken_rule_is_named_for_codes(change: Callable[[Batch], None], message: str) -> None:
    clean = clean_batch(128 / 255)
    codes = {name: np.zeros((2, 28, 28, 1), np.int32) for name in clean}
    audit(codes, clean, THREAT, GRIDS)
    change(codes)
    with pytest.raises(TinyfuseError, match=message):
        audit(codes, clean, THREAT, GRIDS)


def test_the_audit_returns_what_was_spent() -> None:
    candidate = clean_batch()
    candidate["image"][1, 5, 5] += np.float32(0.0625)
    assert audit(candidate, clean_batch(), THREAT) == {"image": 0.0625}
    assert audit(candidate, clean_batch(), analytic.threat("l2", {"image": 1.0})) == {"image": 0.0625}


def test_l2_is_measured_per_sample_in_float64() -> None:
    candidate = clean_batch()
    candidate["image"] += np.float32(0.03)
    threat = analytic.threat("l2", {"image": 28 * 0.03})
    assert audit(candidate, clean_batch(), threat) == {"image": pytest.approx(0.84, rel=1e-5)}
    with pytest.raises(TinyfuseError, match="l2 size"):
        audit(candidate, clean_batch(), analytic.threat("l2", {"image": 28 * 0.03 * 0.9999}))


def test_floats_in_place_of_codes_missing_inputs_and_other_shapes_are_refused() -> None:
    with pytest.raises(TinyfuseError, match="holds float32; audit codes as integers"):
        audit(clean_batch(), clean_batch(), THREAT, GRIDS)
    with pytest.raises(UsageError, match="input 'audio' is missing"):
        audit({"image": clean_batch()["image"]}, clean_batch(), THREAT)
    with pytest.raises(TinyfuseError, match="shape"):
        audit({**clean_batch(), "image": clean_batch()["image"][:1]}, clean_batch(), THREAT)
