"""The reference set's .npy files, in the shapes and types in which they may come."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tinyfuse.core.errors import DataError, UsageError
from tinyfuse.data import load
from tinyfuse.data.digits.load import read
from tinyfuse.data.digits.pairing import plan


def write(folder: Path, *, one_hot: bool = False, flat: bool = True, pixels: float = 1.0, scaled: bool = True) -> None:
    """100 training pairs of 40 utterances, 30 test pairs of 20."""
    for part, n, utterances in (("train", 100, 40), ("test", 30, 20)):
        generator = np.random.default_rng(n)
        label = np.arange(n) % 10
        speech = generator.random((utterances, 507))
        speech[:, 0] = np.arange(utterances) % 10 / 10
        images = np.rint(generator.random((n, 784)) * 255) / 255 * pixels
        partner = np.array([digit + 10 * generator.integers(utterances // 10) for digit in label])
        features = speech[partner] * (1 if scaled else 6) - (0 if scaled else 3)
        np.save(folder / f"data_wr_{part}.npy", images if flat else images.reshape(n, 28, 28, 1).astype(np.float32))
        np.save(folder / f"data_sp_{part}.npy", features if flat else features.reshape(n, 39, 13).astype(np.float32))
        np.save(folder / f"labels_{part}.npy", np.eye(10)[label] if one_hot else label)


@pytest.mark.parametrize("options", [{}, {"one_hot": True}, {"flat": False}, {"pixels": 255.0}])
def test_every_shape_of_the_files_gives_the_same_pairs(tmp_path: Path, options: dict[str, bool]) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "other").mkdir()
    write(tmp_path / "plain")
    write(tmp_path / "other", **options)
    plain, other = load(tmp_path / "plain"), load(tmp_path / "other")
    assert plain.checksum == other.checksum
    assert len(plain.train) + len(plain.validation) == 100 and len(plain.test) == 30


def test_given_pairs_and_values_are_kept(tmp_path: Path) -> None:
    write(tmp_path)
    dataset = load(tmp_path)
    speech, images = np.load(tmp_path / "data_sp_test.npy"), np.load(tmp_path / "data_wr_test.npy")
    order = plan(read(tmp_path), split="official", held_out=None, seed=0, limit=None)[2].written - 100
    np.testing.assert_allclose(dataset.test.inputs["audio"].reshape(30, 784)[:, :507], speech[order], atol=1e-6)
    np.testing.assert_allclose(dataset.test.inputs["image"].reshape(30, 784), images[order], atol=1e-6)
    assert np.array_equal(dataset.test.label, order % 10)
    assert dataset.name == "khacef" and dataset.fitted["audio"]["std"] == [1.0] * 13
    assert set(dataset.front_ends) == {"image"}  # how others made their features is not for us to say


def test_no_utterance_is_in_two_parts_even_if_the_files_repeat_it(tmp_path: Path) -> None:
    write(tmp_path)
    train, test = np.load(tmp_path / "data_sp_train.npy"), np.load(tmp_path / "data_sp_test.npy")
    train[3] = test[3]
    np.save(tmp_path / "data_sp_train.npy", train)
    dataset = load(tmp_path)
    parts = [set(samples.group.tolist()) for samples in (dataset.train, dataset.validation, dataset.test)]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]
    assert len(dataset.test) == 30 and len(dataset.train) + len(dataset.validation) == 99


def test_features_beyond_the_unit_interval_are_scaled(tmp_path: Path) -> None:
    write(tmp_path, scaled=False)
    dataset = load(tmp_path)
    assert dataset.fitted["audio"]["mean"] != [0.0] * 13
    assert dataset.train.inputs["audio"].min() == 0 and dataset.train.inputs["audio"].max() == 1


def test_limit_and_speaker_split(tmp_path: Path) -> None:
    write(tmp_path)
    assert np.bincount(load(tmp_path, limit=20).train.label).tolist() == [2] * 10
    with pytest.raises(UsageError, match="use split 'official'"):
        load(tmp_path, split="speaker")


@pytest.mark.parametrize(("name", "array", "told"), [
    ("data_sp_train", np.full((100, 507), np.nan), "NaN"),
    ("data_sp_test", np.zeros((30, 500)), "shape (30, 500)"),
    ("data_wr_test", np.full((30, 784), 300.0), "pixels in 0..1 or 0..255"),
    ("data_wr_train", np.zeros((99, 784)), "99 images, 100 utterances"),
    ("labels_test", np.full(30, 11), "outside 0..9"),
    ("labels_test", np.full(30, 1.5), "outside 0..9"),
    ("labels_train", np.ones((100, 10)), "one-hot"),
    ("labels_train", np.array([{}] * 100, dtype=object), "pickle"),
    ("labels_train", None, "labels_train.npy is missing"),
    ("data_sp_train", np.array(3.0), "shape ()"),
])
def test_bad_files_are_named(tmp_path: Path, one_line: Callable[[BaseException], str], name: str,
                             array: np.ndarray | None, told: str) -> None:
    write(tmp_path)
    path = tmp_path / f"{name}.npy"
    path.unlink()
    if array is not None:
        np.save(path, array, allow_pickle=True)
    with pytest.raises(DataError) as caught:
        load(tmp_path)
    assert told in one_line(caught.value)
