"""Cached features: found again, checked, and never in the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tinyfuse.core.cache_folder import cache_folder
from tinyfuse.data import cache
from tinyfuse.data.digits.load import cached, cached_path
from tinyfuse.data.own.feature_cache import features_of
from tinyfuse.frontend.recording import Waveform


def test_computed_once(own_cache: Path) -> None:
    calls: list[int] = []

    def compute() -> np.ndarray:
        calls.append(1)
        return np.arange(6, dtype=np.float32).reshape(2, 3)

    first, second = cached("a", (2, 3), compute), cached("a", (2, 3), compute)
    assert np.array_equal(first, second) and len(calls) == 1
    assert own_cache in cached_path("a").parents


@pytest.mark.parametrize("damage", ["cut", "flip", "shape", "text"])
def test_a_damaged_file_is_computed_again(damage: str) -> None:
    good = np.random.default_rng(0).random((50, 13)).astype(np.float32)
    cached("a", good.shape, lambda: good)
    path = cached_path("a")
    data = bytearray(path.read_bytes())
    if damage == "shape":
        np.savez(path, features=good[:20])
    elif damage == "text":
        path.write_text("hello")
    else:
        data[1000] ^= 1
        path.write_bytes(data[:2000] if damage == "cut" else data)
    assert np.array_equal(cached("a", good.shape, lambda: good), good)
    assert np.array_equal(cached("a", good.shape, lambda: good * 0), good)


@pytest.mark.usefixtures("own_cache")
def test_what_other_arithmetic_computed_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values of recordings may differ in their last bits from one revision, or one library, to the next."""
    front_end, asked = Waveform(rate=8000, length=4), []

    def sample(index: int) -> tuple[np.ndarray, int]:
        asked.append(index)
        return np.full(4, 0.5, np.float32), 8000

    for revision in (1, 1, 2):
        monkeypatch.setattr(cache, "REVISION", revision)
        features_of("mic", front_end, 2, sample, "content")
    assert asked == [0, 1, 0, 1]


def test_a_folder_that_cannot_be_made_only_costs_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    monkeypatch.setenv("TINYFUSE_CACHE", str(blocker / "cache"))
    assert cached("a", (2,), lambda: np.ones(2, np.float32)).sum() == 2


def test_where_the_cache_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TINYFUSE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "tinyfuse"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "tinyfuse"
