"""The threat model: refusals, and what projection guarantees."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import analytic
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyfuse.core.errors import UsageError
from tinyfuse.threats.audit import audit

NAMES = ("image", "audio")
MASK = (np.arange(784).reshape(28, 28, 1) < 507).astype(np.float32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"norm": "l_inf", "budget": {"image": 0.1}},
            r"unknown norm 'l_inf' \(did you mean 'linf'\?\); use one of",
        ),
        ({"norm": "linf", "budget": {"image": -0.1}}, "epsilon of 'image' is -0.1"),
        ({"norm": "linf", "budget": {"image": float("nan")}}, "epsilon of 'image' is nan"),
        ({"norm": "linf", "budget": {"image": float("inf")}}, "epsilon of 'image' is inf"),
        ({"norm": "linf", "budget": {}}, "attacks nothing"),
        (
            {"norm": "linf", "budget": {"image": 0.1}, "low": 1.0, "high": 1.0},
            "box of 'image' from 1.0 to 1.0 is empty",
        ),
        ({"norm": "l2", "budget": {"image": 0.1}, "mask": {"imag": MASK}}, r"did you mean 'image'\?"),
        ({"norm": "l2", "budget": {"image": 0.1}, "mask": {"image": MASK / 2}}, "values other than 0 and 1"),
    ],
)
def test_a_wrong_threat_is_refused_in_one_line(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        analytic.threat(**arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"audio": np.zeros((1, 28, 28, 1), np.float32)}, "the batch holds audio"),
        ({"image": np.zeros((1, 28, 28, 1))}, "'image' is float64"),
        ({"image": np.full((1, 28, 28, 1), 1.5, np.float32)}, "leaves the box"),
        ({"image": np.full((1, 28, 28, 1), np.nan, np.float32)}, "leaves the box"),
    ],
)
def test_clean_data_that_do_not_fit_are_refused(batch: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        analytic.threat("linf", {"image": 0.1}).check(batch)


def test_a_mask_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(UsageError, match="does not broadcast"):
        analytic.threat("linf", {"image": 0.1}, mask={"image": np.ones((5, 5, 1))}).attackable("image", (28, 28, 1))


@settings(max_examples=60, deadline=None)
@given(
    norm=st.sampled_from(["linf", "l2"]),
    epsilon=st.floats(0, 30),
    seed=st.integers(0, 2**32 - 1),
    attacked=st.sampled_from([("image",), ("audio",), NAMES]),
    masked=st.booleans(),
    box=st.sampled_from([(0.0, 1.0), (-2.0, 3.0)]),
)
def test_projection_stays_in_ball_box_and_mask(
    norm: str, epsilon: float, seed: int, attacked: tuple[str, ...], masked: bool, box: tuple[float, float]
) -> None:
    random = np.random.default_rng(seed)
    clean = {name: random.uniform(*box, (3, 28, 28, 1)).astype(np.float32) for name in NAMES}
    wild = {name: (clean[name] + random.normal(0, 2, (3, 28, 28, 1))).astype(np.float32) for name in NAMES}
    threat = analytic.threat(norm, dict.fromkeys(attacked, epsilon), *box, mask={attacked[0]: MASK} if masked else None)
    projected = threat.project(wild, clean)
    audit(projected, clean, threat)
    for name in NAMES:
        delta = projected[name].astype(np.float64) - clean[name]
        if name not in attacked:
            assert projected[name] is clean[name]
            continue
        size = np.abs(delta).max() if norm == "linf" else np.sqrt(np.square(delta).sum(axis=(1, 2, 3))).max()
        assert size <= epsilon * (1 + 1e-6) + 1e-5
        assert projected[name].min() >= box[0] and projected[name].max() <= box[1]
        assert not (masked and name == attacked[0] and delta[:, MASK == 0].any())
        assert epsilon < 1e-5 or delta.any()


def test_points_inside_stay_where_they_are() -> None:
    clean = {"image": np.full((2, 28, 28, 1), 0.5, np.float32)}
    inside = {"image": clean["image"] + np.float32(0.0625)}
    for norm, epsilon in (("linf", 0.0625), ("l2", 28 * 0.0625)):
        threat = analytic.threat(norm, {"image": epsilon})
        assert np.array_equal(threat.project(inside, clean)["image"], inside["image"])


def test_every_modality_has_its_own_l2_ball() -> None:
    clean = {name: np.full((1, 28, 28, 1), 0.5, np.float32) for name in NAMES}
    wild = {name: clean[name] + np.float32(0.4) for name in NAMES}
    moved = analytic.threat("l2", {"image": 1.0, "audio": 3.0}).project(wild, clean)
    lengths = {name: float(np.linalg.norm((moved[name] - clean[name]).astype(np.float64))) for name in NAMES}
    assert lengths == pytest.approx({"image": 1.0, "audio": 3.0}, rel=1e-5)


def test_the_description_is_flat_and_tells_masks_apart() -> None:
    described = analytic.threat("l2", {"audio": 1.0}, mask={"audio": MASK}).describe()
    assert described["budget_audio"] == 1.0 and described["norm"] == "l2" and described["high_audio"] == 1.0
    other = analytic.threat("l2", {"audio": 1.0}, mask={"audio": 1 - MASK}).describe()
    assert described["mask_audio"] != other["mask_audio"]
    assert all(isinstance(value, str | float | bool) for value in described.values())


def test_importing_the_attacks_does_not_import_tensorflow() -> None:
    code = "import sys, tinyfuse.attacks; sys.exit('tensorflow' in sys.modules or 'tf_keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
