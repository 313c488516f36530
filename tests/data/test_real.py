"""The real corpora, where they are at hand: counts, splits and the download checksums."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest

from tinyfuse.data import load
from tinyfuse.data.digits.augmentation import Augmentation
from tinyfuse.data.digits.corpus import Corpus
from tinyfuse.data.digits.download import ORIGINALS
from tinyfuse.data.digits.folder import read_folder
from tinyfuse.data.digits.load import read
from tinyfuse.data.digits.pairing import plan


@pytest.fixture(scope="module")
def corpus(real_data: Path) -> Corpus:
    return read_folder(real_data, "auto")


def test_the_official_split_has_all_ten_thousand_test_images(corpus: Corpus) -> None:
    train, validation, test = plan(corpus, split="official", held_out=None, seed=0, limit=None)
    assert np.array_equal(np.sort(test.written), np.arange(60_000, 70_000))
    assert len(train.written) + len(validation.written) == 60_000
    assert np.array_equal(np.sort(np.concatenate([train.written, validation.written])), np.arange(60_000))
    assert [len(np.unique(rows.spoken)) for rows in (train, validation, test)] == [2430, 270, 300]


def test_one_speaker_left_out(corpus: Corpus) -> None:
    parts = plan(corpus, split="speaker", held_out="theo", seed=0, limit=None)
    theo = corpus.spoken.speaker_names.index("theo")
    assert [(corpus.spoken.speaker[rows.spoken] == theo).mean() for rows in parts] == [0.0, 0.0, 1.0]
    assert len(np.unique(parts[2].spoken)) == 500


def test_a_small_run_on_real_speech(real_data: Path) -> None:
    dataset = load(real_data, limit=60)
    assert [len(samples) for samples in (dataset.train, dataset.validation, dataset.test)] == [60] * 3
    assert isinstance(dataset.augment, Augmentation) and np.isfinite(dataset.augment.variants).all()
    assert dataset.name == "mnist+fsdd"
    assert 0.1 < dataset.test.inputs["audio"].reshape(-1, 784)[:, :507].std() < 0.4


def test_speech_commands_have_many_speakers(real_data: Path) -> None:
    if not (real_data / "speech_commands" / "sc_digits_16k.npz").is_file():
        pytest.skip("no Speech Commands digits in the real data folder")
    dataset = load(real_data, spoken="speech_commands", split="speaker", limit=30)
    spoken = read(real_data, "speech_commands").spoken
    assert len(spoken.speaker_names) == 137 and len(dataset.test) == 30
    assert not set(spoken.speaker[dataset.test.group]) & set(spoken.speaker[dataset.train.group])


def test_the_pinned_checksums_are_those_of_the_data(real_data: Path, corpus: Corpus) -> None:
    assert corpus.spoken.digest == ORIGINALS.fsdd_digest
    for name, (_, content_md5) in ORIGINALS.mnist_files.items():
        content = gzip.decompress((real_data / "mnist" / name).read_bytes())
        assert hashlib.md5(content).hexdigest() == content_md5
