"""The real corpora, where they are at hand: counts, splits and the download checksums."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest

from tinyfuse.data.digits.download import ORIGINALS
from tinyfuse.data.digits.folder import read_folder
from tinyfuse.data.digits.load import load
from tinyfuse.data.digits.pairing import plan
from tinyfuse.data.digits.sources import Source


@pytest.fixture(scope="module")
def source(real_data: Path) -> Source:
    return read_folder(real_data, "auto")


def test_the_official_split_has_all_ten_thousand_test_images(source: Source) -> None:
    train, validation, test = plan(source, split="official", held_out=None, seed=0, limit=None)
    assert np.array_equal(np.sort(test.written), np.arange(60_000, 70_000))
    assert len(train.written) + len(validation.written) == 60_000
    assert np.array_equal(np.sort(np.concatenate([train.written, validation.written])), np.arange(60_000))
    assert [len(np.unique(rows.spoken)) for rows in (train, validation, test)] == [2430, 270, 300]


def test_one_speaker_left_out(source: Source) -> None:
    parts = plan(source, split="speaker", held_out="theo", seed=0, limit=None)
    theo = source.spoken.speaker_names.index("theo")
    assert [(source.spoken.speaker[rows.spoken] == theo).mean() for rows in parts] == [0.0, 0.0, 1.0]
    assert len(np.unique(parts[2].spoken)) == 500


def test_a_small_run_on_real_speech(real_data: Path) -> None:
    dataset = load(real_data, limit=60)
    assert [len(pairs) for pairs in (dataset.train, dataset.validation, dataset.test)] == [60] * 3
    assert dataset.name == "mnist+fsdd" and np.isfinite(dataset.variants.audio).all()
    assert 0.1 < dataset.test.audio.reshape(-1, 784)[:, :507].std() < 0.4


def test_speech_commands_have_many_speakers(real_data: Path) -> None:
    if not (real_data / "speech_commands" / "sc_digits_16k.npz").is_file():
        pytest.skip("no Speech Commands digits in the real data folder")
    dataset = load(real_data, spoken="speech_commands", split="speaker", limit=30)
    assert len(dataset.speakers) == 137 and len(dataset.test) == 30
    assert not set(dataset.test.speaker.tolist()) & set(dataset.train.speaker.tolist())


def test_the_pinned_checksums_are_those_of_the_data(real_data: Path, source: Source) -> None:
    assert source.spoken.digest == ORIGINALS.fsdd_digest
    for name, (_, content_md5) in ORIGINALS.mnist_files.items():
        content = gzip.decompress((real_data / "mnist" / name).read_bytes())
        assert hashlib.md5(content).hexdigest() == content_md5
