"""Normalisation: fitted on training values, clipped to what was seen, laid out with the padding at 0."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyfuse.core.errors import DataError
from tinyfuse.core.strict import encode
from tinyfuse.data.digits.features import FRONT_END
from tinyfuse.frontend.array import Array
from tinyfuse.frontend.normalisation import Normalisation, apply, fit, identity, read_normalisation, value_range
from tinyfuse.frontend.picture import Picture


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 1000.0))
@settings(max_examples=25, deadline=None)
def test_unit_fills_the_unit_interval_and_pads_with_zero(seed: int, spread: float) -> None:
    raw = (np.random.default_rng(seed).standard_normal((20, 39, 13)) * spread - 30.0).astype(np.float32)
    fitted = fit(FRONT_END, raw)
    cells = apply(FRONT_END, fitted, raw)
    assert cells.shape == (20, 28, 28, 1) and cells.dtype == np.float32
    assert cells.min() >= 0.0 and cells.max() <= 1.0 and value_range(FRONT_END, fitted) == (0.0, 1.0)
    assert not cells.reshape(20, 784)[:, 507:].any()
    inside = cells.reshape(20, 784)[:, :507].reshape(20, 39, 13)
    assert 0 < np.mean(inside == 1.0) < 0.004 and 0 < np.mean(inside == 0.0) < 0.004
    order = np.argsort(raw[:, 0, 0])
    assert (np.diff(inside[order, 0, 0]) >= 0).all()


def test_values_are_laid_out_row_by_row() -> None:
    raw = np.random.default_rng(1).standard_normal((50, 39, 13)).astype(np.float32)
    found = apply(FRONT_END, identity(FRONT_END, -10.0, 10.0), raw).reshape(50, 784)[:, 13 * 5 + 2]
    assert found == pytest.approx((raw[:, 5, 2] + 10) / 20, abs=1e-6)


def test_standard_is_by_place_along_the_last_axis() -> None:
    front_end = Array(size=(20, 3))
    raw = (np.random.default_rng(2).standard_normal((300, 20, 3)) * [1, 5, 9] + [0, -3, 7]).astype(np.float32)
    fitted = fit(front_end, raw)
    np.testing.assert_allclose(fitted.mean, raw.mean(axis=(0, 1), dtype=np.float64), atol=1e-6)
    np.testing.assert_allclose(fitted.std, raw.std(axis=(0, 1), dtype=np.float64), rtol=1e-5)
    found = apply(front_end, fitted, raw)
    np.testing.assert_allclose(found.mean(axis=(0, 1)), 0, atol=0.01)
    low, high = value_range(front_end, fitted)
    assert low == pytest.approx(found.min()) and high == pytest.approx(found.max()) and -4 < low < -2 < 2 < high < 4


@pytest.mark.parametrize(("front_end", "expected"), [
    (Picture(size=(2, 2), scale=(-1.0, 1.0)), (-1.0, 1.0)), (Array(size=(2, 2, 1), normalise="none"), (3.0, 9.0)),
    (Array(size=(2, 2, 1), normalise="none", input_shape=(5,)), (0.0, 9.0))])
def test_without_normalisation_the_range_is_its_own_or_that_of_the_data(front_end: Any, expected: Any) -> None:
    values = np.linspace(3, 9, 8, dtype=np.float32).reshape(2, 2, 2, 1)
    fitted = fit(front_end, values)
    assert value_range(front_end, fitted) == expected and set(fitted.mean) == {0.0}
    if isinstance(front_end, Array):
        assert np.array_equal(apply(front_end, fitted, values).reshape(2, -1)[:, :4], values.reshape(2, -1))
        assert apply(front_end, fitted, values + 100).max() == 9


def test_constant_values_do_not_divide_by_zero() -> None:
    raw = np.full((5, 39, 13), -80.0, np.float32)
    assert np.isfinite(apply(FRONT_END, fit(FRONT_END, raw), raw)).all()


def test_nothing_to_fit_on_is_said() -> None:
    with pytest.raises(DataError, match="no training values"):
        fit(FRONT_END, np.zeros((0, 39, 13), np.float32))


def test_a_table_survives_being_written_and_read() -> None:
    fitted = Normalisation(tuple(range(13)), tuple(range(1, 14)), -3.5, 4.25)
    assert read_normalisation(FRONT_END, encode(fitted), "table") == fitted


GOOD = encode(identity(FRONT_END))


@pytest.mark.parametrize(("change", "told"), [
    ({"lowest": 1.0}, "did you mean 'low'"), ({"mean": [0.0] * 12}, "as many numbers"),
    ({"std": [0.0] * 13}, "positive"), ({"mean": [], "std": []}, "positive std"),
    ({"mean": [0.0] * 12, "std": [1.0] * 12}, "needs 13 numbers"),
    ({"low": "0"}, "expected a number"), ({"high": float("nan")}, "finite"), ({"low": 2.0}, "below high"),
    ({"mean": [True] * 13}, "expected a number"), ({"std": None}, "expected a list"),
])
def test_a_table_is_strict(change: dict[str, object], told: str) -> None:
    with pytest.raises(DataError, match=told):
        read_normalisation(FRONT_END, GOOD | change, "table")
