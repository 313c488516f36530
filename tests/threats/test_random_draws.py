"""Random starts: they belong to the sample and fill the ball."""

from __future__ import annotations

import analytic
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st


@settings(max_examples=25, deadline=None)
@given(norm=st.sampled_from(["linf", "l2"]), seed=st.integers(0, 2**40), data=st.data())
def test_random_starts_belong_to_the_sample(norm: str, seed: int, data: st.DataObject) -> None:
    clean, _ = analytic.samples(6)
    ids = np.array(data.draw(st.lists(st.integers(0, 2**40), min_size=6, max_size=6, unique=True)))
    order = np.array(data.draw(st.permutations(range(6))))[: data.draw(st.integers(1, 6))]
    both = analytic.threat(norm, {"image": 0.3, "audio": 0.2}).random_point(clean, seed=seed, sample_ids=ids)
    threat = analytic.threat(norm, {"image": 0.3})
    part = threat.random_point({name: values[order] for name, values in clean.items()}, seed=seed,
                               sample_ids=ids[order])
    assert part["image"].tobytes() == both["image"][order].tobytes()
    other = threat.random_point(clean, seed=seed + 1, sample_ids=ids)
    assert not np.array_equal(other["image"], both["image"])


def test_random_starts_fill_the_ball() -> None:
    """L-inf: uniform, not piled up on the corners; L2: radius^784 uniform, so nearly all at the surface."""
    clean = {"image": np.full((200, 28, 28, 1), 0.5, np.float32)}
    ids = np.arange(200)
    threat = analytic.threat("linf", {"image": 0.1})
    cube = threat.random_point(clean, seed=0, sample_ids=ids)["image"] - np.float32(0.5)
    assert abs(cube.std() - 0.2 / np.sqrt(12)) < 1e-3 and abs(cube.mean()) < 1e-3
    mask = np.zeros((28, 28, 1), np.float32)
    mask[0, :2] = 1
    threat = analytic.threat("l2", {"image": 0.1}, mask={"image": mask})
    disc = threat.random_point(clean, seed=0, sample_ids=ids)["image"] - np.float32(0.5)
    radius = np.sqrt(np.square(disc.astype(np.float64)).sum(axis=(1, 2, 3)))
    assert radius.max() <= 0.1 + 1e-6 and abs(np.mean((radius / 0.1) ** 2) - 0.5) < 0.08
