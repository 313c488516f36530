"""The set that ships: what it holds, that its parts are apart, and that its maker still makes it."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tinyfuse.core.errors import DataError, UsageError
from tinyfuse.data import load
from tinyfuse.data.digits import synthesise
from tinyfuse.data.digits.augmentation import Augmentation
from tinyfuse.data.digits.corpus import TEST, TRAIN, Features
from tinyfuse.data.digits.embedded import SPEECH_FILE, enlarge, read_digits, read_speech


@pytest.fixture(scope="module")
def stored() -> dict[str, np.ndarray]:
    with np.load(SPEECH_FILE, allow_pickle=False) as archive:
        return dict(archive)


def test_the_committed_speech_is_what_it_says(stored: dict[str, np.ndarray]) -> None:
    assert SPEECH_FILE.stat().st_size <= 3_000_000
    assert stored["code"].shape == (3600, 39, 13) and stored["code"].dtype == np.uint8
    assert stored["speaker_names"].tolist() == list(synthesise.VOICES) and len(set(synthesise.VOICES)) == 40
    assert np.bincount(stored["digit"]).tolist() == [360] * 10
    assert np.bincount(stored["speaker"]).tolist() == [90] * 40
    assert stored["official_test"].sum() == 400 and "1.51" in str(stored["synthesiser"])
    assert all((stored["code"][..., index] > 0).mean() > 0.5 for index in range(13))


def test_no_utterance_is_in_both_parts(stored: dict[str, np.ndarray]) -> None:
    keys = [tuple(row) for row in np.stack([stored[key] for key in ("speaker", "digit", "rate_wpm")], axis=1).tolist()]
    assert len(set(keys)) == len(keys)
    assert len(np.unique(stored["code"].reshape(3600, -1), axis=0)) == 3600


def test_the_plan_of_the_script_is_the_committed_one(stored: dict[str, np.ndarray]) -> None:
    plan = [dataclasses.astuple(take) for take in synthesise.takes()]
    columns = [stored[key] for key in ("speaker", "digit", "take", "rate_wpm", "pitch")]
    assert np.array_equal(np.array(plan), np.stack(columns, axis=1))


@pytest.mark.skipif(shutil.which(synthesise.PROGRAM) is None, reason="espeak-ng is not on PATH")
def test_synthesising_again_gives_the_committed_rows(stored: dict[str, np.ndarray]) -> None:
    version = subprocess.run([synthesise.PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout
    if str(stored["synthesiser"]) not in version:
        pytest.skip(f"made with {stored['synthesiser']}, found {version.strip()}")
    for row in (0, 1234, 2718, 3599):
        again = synthesise.encode(synthesise.features_of(synthesise.takes()[row]), stored["low"], stored["step"])
        assert np.abs(again.astype(int) - stored["code"][row].astype(int)).max() <= 1


def test_a_missing_synthesiser_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
                                           capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(synthesise, "PROGRAM", "no-such-synthesiser")
    synthesise.backgrounds.cache_clear()
    assert synthesise.main(["--out", str(tmp_path / "speech.npz")]) == 1
    assert "install espeak-ng" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_digits_are_mnist_like() -> None:
    written = read_digits()
    assert written.images.shape == (1797, 28, 28) and written.images.dtype == np.uint8
    assert not written.images[:, :4].any() and not written.images[:, :, -4:].any()
    assert written.images.max() == 255
    shares = [np.mean(written.part[written.label == digit] == TEST) for digit in range(10)]
    assert min(shares) > 0.19 and max(shares) < 0.21 and set(written.part) == {TRAIN, TEST}


def test_enlarging_keeps_the_picture() -> None:
    digit = np.zeros((1, 8, 8))
    digit[0, :, 5] = 16
    big = enlarge(digit)[0]
    assert np.argmax(big.sum(axis=0)) in (17, 18) and big[10].max() > 240


def test_the_default_is_the_embedded_set_and_can_be_learnt() -> None:
    from sklearn.neighbors import KNeighborsClassifier

    dataset = load()
    assert dataset.name == "embedded" and dataset.checksum == load("embedded").checksum
    assert len(dataset.train) == 2880 and len(dataset.test) == 359 and len(dataset.validation) > 100
    assert isinstance(dataset.augment, Augmentation)
    clean = dataset.augment.variants[dataset.augment.utterance, 0]
    near = KNeighborsClassifier(5).fit(clean.reshape(2880, 784), dataset.train.label)
    score = near.score(dataset.test.inputs["audio"].reshape(-1, 784), dataset.test.label)
    assert 0.5 < score < 0.97, "speech should be learnable, and not by its nearest neighbour alone"


def test_split_by_voice() -> None:
    spoken, dataset = read_speech(), load(split="speaker", limit=200)
    tested = set(spoken.speaker[dataset.test.group])
    assert len(tested) <= 8 and not tested & set(spoken.speaker[dataset.train.group])
    named = load(split="speaker", held_out="en-gb+m1", limit=50)
    assert {spoken.speaker_names[index] for index in spoken.speaker[named.test.group]} == {"en-gb+m1"}


def test_the_stored_bytes_decode_by_low_and_step(stored: dict[str, np.ndarray]) -> None:
    spoken = read_speech()
    assert isinstance(spoken.voice, Features)
    expected = stored["low"] + stored["step"] * stored["code"][7, 3]
    np.testing.assert_allclose(spoken.voice.values[7, 3], expected, rtol=1e-6)


@pytest.mark.parametrize(("changes", "told"), [
    ({"low": np.full(13, np.nan, np.float32)}, "NaN"), ({"code": np.zeros((3600, 13), np.uint8)}, "shape"),
    ({"digit": np.zeros(5, np.uint8)}, "differ in length"), ({"speaker": np.full(3600, 99, np.uint8)}, "outside")])
def test_a_damaged_archive_is_explained(stored: dict[str, np.ndarray], tmp_path: Path, changes: dict[str, np.ndarray],
                                        told: str) -> None:
    path = tmp_path / "speech.npz"
    np.savez(path, **(stored | changes))  # type: ignore[arg-type]
    with pytest.raises(DataError, match=told):
        read_speech(path)


def test_the_embedded_set_has_one_kind_of_speech() -> None:
    with pytest.raises(UsageError, match="needs a folder"):
        load(spoken="fsdd")


def test_importing_the_data_box_is_light() -> None:
    heavy = ("tensorflow", "librosa", "sklearn", "scipy", "pooch", "numba")
    code = f"import sys, tinyfuse.data; print([name for name in {heavy!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "[]"
