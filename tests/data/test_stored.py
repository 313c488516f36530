"""Rows on disk: the same values as the array would have, loaded only as far as they are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyfuse.data import Dataset, load, stored
from tinyfuse.data.stored import StoredRows, blocks_of


@pytest.fixture
def rows(tmp_path: Path) -> tuple[StoredRows, np.ndarray]:
    values = np.random.default_rng(0).integers(0, 256, (40, 3, 2), dtype=np.uint8)
    np.save(tmp_path / "values.npy", values)
    chosen = np.random.default_rng(1).permutation(40)[:25]
    mapped = np.load(tmp_path / "values.npy", mmap_mode="r")
    return (StoredRows(mapped, chosen, lambda block: block / np.float32(2), (3, 2)),
            values[chosen] / np.float32(2))


@pytest.mark.parametrize("key", [3, -1, slice(None), slice(4, 19, 3), np.array([5, 5, 0]), np.arange(25) % 2 == 0,
                                 (slice(2, 5), 1), (7, slice(None), 0)], ids=str)
def test_an_index_loads_what_the_array_would_give(key: Any, rows: tuple[StoredRows, np.ndarray],
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "BLOCK_BYTES", 100)
    made, expected = rows
    found = made[key]
    assert found.dtype == np.float32 and np.array_equal(found, expected[key])


def test_it_is_like_an_array(rows: tuple[StoredRows, np.ndarray]) -> None:
    made, expected = rows
    assert (made.shape, made.ndim, made.size, made.nbytes, len(made)) == ((25, 3, 2), 3, 150, 600, 25)
    assert np.array_equal(np.asarray(made), expected) and np.array_equal(np.stack(list(made)), expected)
    assert repr(made) == "StoredRows(float32 [25, 3, 2], on disk)"


def test_few_rows_are_loaded_and_many_stay(rows: tuple[StoredRows, np.ndarray],
                                           monkeypatch: pytest.MonkeyPatch) -> None:
    made, expected = rows
    assert isinstance(made.take(slice(None)), np.ndarray)
    monkeypatch.setattr(stored, "LARGEST_LOADED_BYTES", 24 * 10)
    order = np.random.default_rng(2).permutation(25)
    kept = made.take(order)
    assert isinstance(kept, StoredRows) and np.array_equal(kept[4:9], expected[order][4:9])
    assert isinstance(kept.take(slice(0, 10)), np.ndarray)


def test_blocks_cover_an_array(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "BLOCK_BYTES", 50)
    values = np.arange(33.0).reshape(11, 3)
    found = list(blocks_of(values))
    assert [len(block) for _, block in found] == [2, 2, 2, 2, 2, 1]
    assert np.array_equal(np.concatenate([block for _, block in found]), values)


def test_changes_to_a_private_mapping_survive(tmp_path: Path) -> None:
    np.save(tmp_path / "imu.npy", np.zeros((60, 3), np.float32))
    imu = np.load(tmp_path / "imu.npy", mmap_mode="c")
    imu[:] = np.arange(60)[:, None]
    dataset = Dataset.from_arrays({"imu": imu}, np.arange(60) % 3)
    found = np.concatenate([dataset.part(part).inputs["imu"][:, 0] for part in ("train", "validation", "test")])
    assert len(np.unique(found)) > 50 and imu[59, 0] == 59


def test_a_data_set_larger_than_memory_is_the_same_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    np.savez(tmp_path / "own.npz", camera=rng.integers(0, 256, (90, 5, 4, 1), dtype=np.uint8),
             imu=rng.normal(size=(90, 7)).astype(np.float32), label=np.arange(90) % 3)
    small = load(tmp_path / "own.npz")
    monkeypatch.setattr(stored, "LARGEST_LOADED_BYTES", 200)
    large: Dataset = load(tmp_path / "own.npz")
    assert large.checksum == small.checksum and isinstance(large.train.inputs["camera"], StoredRows)
    for part in ("train", "validation", "test"):
        assert np.array_equal(large.part(part).inputs["imu"][:], small.part(part).inputs["imu"])
    inputs, label = large.epoch(2, seed=5)
    expected, same_label = small.epoch(2, seed=5)
    assert isinstance(inputs["camera"], StoredRows) and np.array_equal(label, same_label)
    for rows in (slice(0, 20), slice(20, 40)):
        assert np.array_equal(inputs["camera"][rows], expected["camera"][rows])
    few = large.test.balanced(2)
    assert isinstance(few.inputs["imu"], np.ndarray)
    assert np.array_equal(few.inputs["imu"], small.test.balanced(2).inputs["imu"])
