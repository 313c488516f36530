"""Projection to the codes of an integer model: rounding as on the device, never out of the budget."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import analytic
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tinyfuse.core.errors import TinyfuseError, UsageError
from tinyfuse.threats.audit import audit
from tinyfuse.threats.code_grid import InputGrid
from tinyfuse.threats.code_threats import to_codes

NAMES = ("image", "audio")
MASK = (np.arange(784).reshape(28, 28, 1) % 3 > 0).astype(np.float32)
UNIT = InputGrid(scale=1 / 255, zero_point=-128, low=-128, high=127)
grids = st.builds(
    InputGrid,
    scale=st.floats(1e-4, 0.2),
    zero_point=st.integers(-128, 127),
    low=st.just(-128),
    high=st.just(127),
)


def test_halves_round_away_from_zero_as_on_the_device() -> None:
    grid = InputGrid(scale=0.5, zero_point=3, low=-128, high=127)
    values = np.array([0.25, 0.75, 1.25, -0.25, -0.75, -1.25, 0.2499999, 1e6, -1e6], np.float32)
    assert grid.quantise(values).tolist() == [4, 5, 6, 2, 1, 0, 3, 127, -128]


def test_the_largest_float_below_a_half_rounds_down() -> None:
    grid = InputGrid(scale=1.0, zero_point=0, low=-128, high=127)
    assert grid.quantise(np.array([0.49999997], np.float32)).tolist() == [0]


@settings(max_examples=300, deadline=None)
@given(grid=grids, value=st.floats(-30, 30, width=32))
def test_rounding_matches_exact_decimal_arithmetic(grid: InputGrid, value: float) -> None:
    quotient = Decimal(float(np.float32(value) / np.float32(grid.scale)))
    code = int(abs(quotient).quantize(Decimal(1), ROUND_HALF_UP)) * (1 if quotient >= 0 else -1) + grid.zero_point
    assert grid.quantise(np.array([value]))[0] == min(max(code, grid.low), grid.high)


@settings(max_examples=200, deadline=None)
@given(scale=st.floats(1e-6, 10), zero_point=st.integers(-32768, 32767))
def test_codes_survive_the_way_to_floats_and_back(scale: float, zero_point: int) -> None:
    grid = InputGrid(scale, zero_point, -32768, 32767)
    codes = np.linspace(-32768, 32767, 5000).astype(np.int32)
    assert np.array_equal(grid.quantise(grid.dequantise(codes)), codes)


@pytest.mark.parametrize(
    "arguments", [(0.0, 0, -128, 127), (float("nan"), 0, -128, 127), (0.1, 200, -128, 127), (0.1, 5, 5, 5)]
)
def test_an_impossible_grid_is_refused(arguments: tuple[float, int, int, int]) -> None:
    with pytest.raises(UsageError, match="input grid"):
        InputGrid(*arguments)


def test_nan_has_no_code() -> None:
    with pytest.raises(TinyfuseError, match="NaN or infinite"):
        UNIT.quantise(np.array([np.nan]))


@pytest.mark.parametrize("codes", [1, 2, 3, 10, 26, 100, 200])
def test_a_budget_of_k_over_255_is_k_codes(codes: int) -> None:
    assert UNIT.budget(codes / 255) == codes
    assert UNIT.budget(np.nextafter(np.float32(codes / 255), 0) * (1 - 1e-5)) == codes - 1


@settings(max_examples=80, deadline=None)
@given(
    norm=st.sampled_from(["linf", "l2"]),
    epsilon=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
    grid=grids,
    attacked=st.sampled_from([("image",), ("audio",), NAMES]),
    masked=st.booleans(),
)
def test_codes_stay_inside_the_threat(
    norm: str, epsilon: float, seed: int, grid: InputGrid, attacked: tuple[str, ...], masked: bool
) -> None:
    random = np.random.default_rng(seed)
    clean = {name: random.uniform(0, 1, (3, 28, 28, 1)).astype(np.float32) for name in NAMES}
    threat = analytic.threat(norm, dict.fromkeys(attacked, epsilon), mask={attacked[0]: MASK} if masked else None)
    wild = {name: (clean[name] + random.normal(0, epsilon, (3, 28, 28, 1))).astype(np.float32) for name in NAMES}
    adversarial = threat.project(wild, clean)
    codes = to_codes(adversarial, clean, threat, {"image": grid, "audio": UNIT})
    audit(codes, clean, threat, {"image": grid, "audio": UNIT})
    for name, used in (("image", grid), ("audio", UNIT)):
        start = used.quantise(clean[name])
        change = (codes[name] - start).astype(np.float64)
        if name not in attacked:
            assert not change.any()
            continue
        if norm == "linf":
            assert np.abs(change).max() * used.scale <= epsilon * (1 + 1e-6)
        else:
            delta = adversarial[name].astype(np.float64) - clean[name]
            length = np.sqrt(np.square(change).sum(axis=(1, 2, 3))) * used.scale
            assert (length <= np.sqrt(np.square(delta).sum(axis=(1, 2, 3))) + 4e-6).all()
            assert (length <= epsilon * (1 + 1e-6) + 4e-6).all()
        assert codes[name].min() >= used.low and codes[name].max() <= used.high
        assert not (masked and name == attacked[0] and change[:, MASK == 0].any())


@settings(max_examples=60, deadline=None)
@given(norm=st.sampled_from(["linf", "l2"]), most=st.integers(0, 12), seed=st.integers(0, 2**32 - 1), grid=grids)
def test_legal_codes_of_data_on_the_grid_are_reproduced(norm: str, most: int, seed: int, grid: InputGrid) -> None:
    random = np.random.default_rng(seed)
    low, high = grid.quantise(np.array([0.0, 1.0]))
    assume(high > low)
    start = random.integers(low, high + 1, (2, 28, 28, 1))
    wanted = np.clip(start + random.integers(-most, most + 1, start.shape), low, high)
    epsilon = grid.scale * (most if norm == "linf" else 28 * most)
    threat = analytic.threat(norm, {"image": epsilon}, low=-50.0, high=50.0)
    clean, adversarial = grid.dequantise(start), grid.dequantise(wanted)
    codes = to_codes({"image": adversarial}, {"image": clean}, threat, {"image": grid})
    assert np.array_equal(codes["image"], wanted)
    assert np.array_equal(grid.dequantise(codes["image"]), adversarial)


def test_nearest_rounding_would_leave_the_budget_and_ours_does_not() -> None:
    """At scale 1/255 epsilon 0.002 is less than one code, so no legal move exists."""
    clean = {"image": np.full((1, 28, 28, 1), 100 / 255, np.float32)}
    adversarial = {"image": clean["image"] + np.float32(0.002)}
    threat = analytic.threat("linf", {"image": 0.002})
    naive = {"image": UNIT.quantise(adversarial["image"])}
    assert (naive["image"] - UNIT.quantise(clean["image"])).max() == 1
    with pytest.raises(TinyfuseError, match=r"'image' moves 1 codes; epsilon 0.002 allows 0"):
        audit(naive, clean, threat, {"image": UNIT})
    codes = to_codes(adversarial, clean, threat, {"image": UNIT})
    assert np.array_equal(codes["image"], UNIT.quantise(clean["image"]))


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_mask_holds_even_for_inputs_that_broke_it(norm: str) -> None:
    clean = {"image": np.full((1, 28, 28, 1), 100 / 255, np.float32)}
    threat = analytic.threat(norm, {"image": 0.1}, mask={"image": MASK})
    codes = to_codes({"image": clean["image"] + np.float32(0.05)}, clean, threat, {"image": UNIT})["image"]
    moved = codes != UNIT.quantise(clean["image"])
    assert np.array_equal(moved[0], MASK == 1)


def test_the_linf_budget_is_spent_in_full() -> None:
    clean = {"image": np.full((1, 28, 28, 1), 100 / 255, np.float32)}
    adversarial = {"image": clean["image"] - np.float32(0.0109)}
    threat = analytic.threat("linf", {"image": 0.0109})
    change = to_codes(adversarial, clean, threat, {"image": UNIT})["image"] - UNIT.quantise(clean["image"])
    assert (change == -2).all()


def test_codes_stay_in_the_box_of_a_grid_wider_than_the_box() -> None:
    grid = InputGrid(0.01, 0, -128, 127)
    clean = {"image": np.ones((1, 28, 28, 1), np.float32)}
    codes = to_codes(
        {"image": clean["image"] + np.float32(0.2)}, clean, analytic.threat("linf", {"image": 0.2}), {"image": grid}
    )
    assert codes["image"].max() == 100
