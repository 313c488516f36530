"""Folders from end to end: packed and original forms, both corpora, and what is said when something is amiss."""

from __future__ import annotations

import functools
import gzip
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tinyfuse.core.errors import DataError, UsageError
from tinyfuse.core.strict import decode, encode
from tinyfuse.data import Dataset, load
from tinyfuse.data.digits.augmentation import Augmentation
from tinyfuse.data.digits.corpus import TEST, TRAIN, VALIDATION, Clips
from tinyfuse.data.digits.features import FRONT_END, PICTURE
from tinyfuse.data.digits.folder import read_folder
from tinyfuse.data.digits.load import read
from tinyfuse.data.digits.pairing import plan
from tinyfuse.frontend.normalisation import Normalisation

packed = functools.partial(gzip.compress, mtime=0)  # the time of packing would be part of names of tests
Line = Callable[[BaseException], str]


@pytest.fixture(scope="module")
def dataset(packed_folder: Path) -> Dataset:
    return load(packed_folder, limit=40)


@pytest.fixture
def copy(packed_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(packed_folder, tmp_path / "data"))


@pytest.fixture(scope="module")
def commands_folder(corpora: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    corpora.write_mnist(folder)
    corpora.write_commands(folder)
    return folder


def test_shapes_types_and_ranges(dataset: Dataset) -> None:
    assert dataset.name == "mnist+fsdd" and dataset.classes == tuple("0123456789")
    for samples in (dataset.train, dataset.validation, dataset.test):
        n = len(samples)
        assert 10 <= n <= 40 and list(samples.inputs) == [one.name for one in dataset.inputs] == ["image", "audio"]
        for one, array in zip(dataset.inputs, samples.inputs.values(), strict=True):
            assert array.shape == (n, *one.shape) and array.dtype == np.float32, one.name
            assert np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1
        assert samples.label.dtype == samples.group.dtype == np.int64
    assert len(dataset.checksum) == 64


def augmentation(dataset: Dataset) -> Augmentation:
    assert isinstance(dataset.augment, Augmentation)
    return dataset.augment


def test_variants_belong_to_their_samples(dataset: Dataset) -> None:
    audio, rows = augmentation(dataset).variants, augmentation(dataset).utterance
    assert audio.shape[1:] == (12, 28, 28, 1) and audio.dtype == np.float32 and rows.dtype == np.int64
    assert np.array_equal(audio[rows, 0], dataset.train.inputs["audio"])
    assert len(audio) == len(np.unique(dataset.train.group))
    assert not audio.reshape(-1, 784)[:, 507:].any()


def test_samples_carry_the_right_images_and_utterances(packed_folder: Path, dataset: Dataset) -> None:
    corpus = read(packed_folder)
    rows = plan(corpus, split="official", held_out=None, seed=0, limit=40)
    assert corpus.spoken.speaker_names == ("ada", "ben")
    for part, samples in zip(rows, (dataset.train, dataset.validation, dataset.test), strict=True):
        expected = corpus.written.images[part.written].astype(np.float64)[..., None] / 255
        np.testing.assert_allclose(samples.inputs["image"], expected, atol=1e-6)
        assert np.array_equal(samples.group, part.spoken)
        assert np.array_equal(samples.label, corpus.spoken.label[samples.group])


def test_the_cache_changes_nothing(packed_folder: Path, own_cache: Path) -> None:
    cold, warm = load(packed_folder, seed=1), load(packed_folder, seed=1)
    limited = load(packed_folder, seed=1, limit=40)
    files = list(own_cache.rglob("*.npz"))
    assert len(files) == 1
    files[0].unlink()
    alone = load(packed_folder, seed=1, limit=40)
    assert cold.checksum == warm.checksum != limited.checksum == alone.checksum
    assert np.array_equal(augmentation(cold).variants, augmentation(warm).variants)
    assert np.array_equal(augmentation(limited).variants, augmentation(alone).variants)
    assert np.array_equal(limited.test.inputs["audio"], alone.test.inputs["audio"])


def test_seed_and_split_change_the_checksum(packed_folder: Path, dataset: Dataset) -> None:
    checksums = {dataset.checksum, load(packed_folder, limit=40, seed=5).checksum,
                 load(packed_folder, limit=40, split="speaker").checksum,
                 load(packed_folder, limit=40, split="speaker", held_out="ada").checksum}
    assert len(checksums) == 4
    assert load(packed_folder, limit=40).checksum == dataset.checksum


def test_scaling_sees_training_speech_only(packed_folder: Path, copy: Path, dataset: Dataset) -> None:
    path = copy / "fsdd" / "fsdd_8k.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    used = set(dataset.train.group.tolist())
    audio = arrays["audio"].copy()
    for row in set(range(len(arrays["digit"]))) - used:
        first, last = arrays["offsets"][row : row + 2]
        audio[first:last] = audio[first:last][::-1] // 3
    np.savez(path, **(arrays | {"audio": audio}))
    changed = load(copy, limit=40)
    assert dataset.front_ends == {"image": PICTURE.table(), "audio": FRONT_END.table()}
    assert changed.fitted == dataset.fitted and changed.checksum != dataset.checksum
    assert np.array_equal(augmentation(changed).variants, augmentation(dataset).variants)


def test_another_order_of_summation_is_the_same_data(packed_folder: Path, dataset: Dataset,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    """On another processor the sixth decimal of a fitted mean may round the other way."""
    fitted = decode(Normalisation, dataset.fitted["audio"], "fitted", DataError)
    other = replace(fitted, mean=(fitted.mean[0] + 1e-6, *fitted.mean[1:]))
    monkeypatch.setattr("tinyfuse.data.digits.load.fit", lambda front_end, values: other)
    found = load(packed_folder, limit=40)
    assert found.fitted == {"audio": encode(other)} != dataset.fitted and found.checksum == dataset.checksum
    assert not np.array_equal(found.test.inputs["audio"], dataset.test.inputs["audio"])
    table = {"data": {"checksum": dataset.checksum}, "fitted": dataset.fitted}
    as_trained = found.as_trained(table, "late.keras")
    assert as_trained.fitted == dataset.fitted and found.as_trained(table | {"fitted": found.fitted}, "late") is found
    assert np.array_equal(as_trained.test.inputs["audio"], dataset.test.inputs["audio"])
    assert np.array_equal(augmentation(as_trained).variants, augmentation(dataset).variants)
    with pytest.raises(DataError, match=r"late\.keras was trained on .* with another split"):
        found.as_trained({"data": {"name": "mnist+fsdd", "checksum": "0" * 64}}, "late.keras")
    with pytest.raises(DataError, match="did you mean 'mean'"):
        found.as_trained(table | {"fitted": {"audio": {"men": []}}}, "late.keras")


def test_original_recordings_equal_the_packed_form(corpora: SimpleNamespace, packed_folder: Path, tmp_path: Path,
                                                   dataset: Dataset) -> None:
    corpora.write_mnist(tmp_path, compress=False)
    corpora.write_fsdd_recordings(tmp_path / "recordings")
    found = load(tmp_path, limit=40)
    assert found.checksum == dataset.checksum
    assert np.array_equal(found.test.inputs["audio"], dataset.test.inputs["audio"])


def test_speech_commands_follow_their_lists(commands_folder: Path, corpora: SimpleNamespace) -> None:
    spoken = read_folder(commands_folder, "auto").spoken
    assert spoken.name == "speech_commands" and spoken.speaker_names == corpora.commands_speakers
    for part, speakers in ((TRAIN, range(8)), (VALIDATION, range(8, 10)), (TEST, range(10, 12))):
        assert set(spoken.speaker[spoken.part == part]) == set(speakers)
    assert isinstance(spoken.voice, Clips) and spoken.voice.noise is not None
    assert spoken.voice.noise.shape == (2, 8000)
    clip = spoken.voice.clip(30)
    assert abs(len(clip) - 1600) < 8 and clip.dtype == np.float32
    peak_hz = np.argmax(np.abs(np.fft.rfft(clip))) * 8000 / len(clip)
    assert peak_hz == pytest.approx(250 * (spoken.label[30] + 1), abs=10)


def test_speech_commands_end_to_end(commands_folder: Path) -> None:
    dataset = load(commands_folder, split="speaker", limit=20)
    assert dataset.name == "mnist+speech_commands" and len(dataset.train) == len(dataset.test) == 20
    speaker = read(commands_folder).spoken.speaker
    speakers = [set(speaker[samples.group]) for samples in (dataset.train, dataset.validation, dataset.test)]
    assert not speakers[0] & speakers[1] and not speakers[0] & speakers[2] and not speakers[1] & speakers[2]


@pytest.mark.parametrize(("name", "content", "told"), [
    ("mnist/train-images-idx3-ubyte.gz", None, "train-images-idx3-ubyte"),
    ("mnist/t10k-labels-idx1-ubyte.gz", None, "t10k-labels-idx1-ubyte"),
    ("mnist/t10k-labels-idx1-ubyte.gz", b"", "too few"),
    ("mnist/train-labels-idx1-ubyte.gz", packed(b"\0\0\x08\x03" + bytes(4)), "magic number 0x00000803"),
    ("mnist/train-labels-idx1-ubyte.gz", packed(b"\0\0\x08\x01\0\0\0\x02\x01\x0a"), "labels for 120 images"),
    ("mnist/train-images-idx3-ubyte.gz", packed(bytes.fromhex("00000803000000010000000200000002") + bytes(4)),
     "28, 28"),
    ("fsdd/fsdd_8k.npz", b"PK\x03\x04", "damaged"),
])
def test_damaged_parts_are_named(copy: Path, one_line: Line, name: str, content: bytes | None, told: str) -> None:
    path = copy / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load(copy)
    message = one_line(caught.value)
    assert told in message and (content is None or path.name in message)


def test_labels_out_of_range_are_named(copy: Path, corpora: SimpleNamespace) -> None:
    label = np.arange(120) % 11
    path = copy / "mnist" / "train-labels-idx1-ubyte.gz"
    path.write_bytes(packed(corpora.idx_bytes(label, 0x801)))
    with pytest.raises(DataError, match=rf"{path.name}: a label lies outside 0\.\.9"):
        load(copy)


@pytest.mark.parametrize(("changes", "told"), [
    ({"digit": np.full(260, 12, np.uint8)}, "outside 0..9"),
    ({"offsets": np.arange(261)}, "clipped or damaged"),
    ({"offsets": np.array([0, 5])}, "clipped or damaged"),
    ({"audio": np.zeros(10, np.int16)}, "clipped or damaged"),
    ({"audio": np.zeros(10, np.float32)}, "dtype float32"),
    ({"speaker": np.full(260, 9, np.uint8)}, "outside the 2 names"),
    ({"sample_rate": np.array(44100)}, "44100 Hz"),
    ({"speaker_names": np.array("ada")}, "outside the 1 names"),
    ({"speaker": np.zeros(259, np.uint8)}, "differ in length"),
    ({"sample_rate": np.array([8000, 8000])}, "8000, 8000 Hz"), ({"digit": np.array(3)}, "clipped or damaged"),
    ({"official_test": None}, "no item named 'official_test.npy'"),
])
def test_inconsistent_archives_are_explained(copy: Path, one_line: Line, changes: dict[str, np.ndarray | None],
                                             told: str) -> None:
    path = copy / "fsdd" / "fsdd_8k.npz"
    with np.load(path) as stored:
        arrays = {key: value for key, value in (dict(stored) | changes).items() if value is not None}
    np.savez(path, **arrays)
    with pytest.raises(DataError) as caught:
        load(copy)
    assert told in one_line(caught.value) and str(path) in str(caught.value)


def test_a_damaged_recording_is_named(corpora: SimpleNamespace, tmp_path: Path) -> None:
    corpora.write_mnist(tmp_path)
    corpora.write_fsdd_recordings(tmp_path / "recordings")
    path = tmp_path / "recordings" / "3_ben_4.wav"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"3_ben_4\.wav: .*its header announces"):
        load(tmp_path)


def test_missing_speech_commands_files_are_named(commands_folder: Path, tmp_path: Path) -> None:
    for missing in ("seven", "testing_list.txt"):
        folder = Path(shutil.copytree(commands_folder, tmp_path / missing))
        target = folder / missing
        shutil.rmtree(target) if target.is_dir() else target.unlink()
        with pytest.raises(DataError, match=missing):
            load(folder)


def test_folders_without_data(tmp_path: Path, corpora: SimpleNamespace, one_line: Line) -> None:
    for folder, told in ((tmp_path / "none", "no such file or folder"), (tmp_path, "one for each class")):
        with pytest.raises(DataError) as caught:
            load(folder)
        assert told in one_line(caught.value) and str(folder) in str(caught.value)
    corpora.write_mnist(tmp_path)
    with pytest.raises(DataError, match="no spoken digits"):
        load(tmp_path)
    with pytest.raises(DataError, match="unpack it and give the folder"):
        load(tmp_path / "t10k-labels-idx1-ubyte.gz")


@pytest.mark.parametrize(("arguments", "error", "told"), [
    ({"spoken": "fssd"}, UsageError, "did you mean 'fsdd'"),
    ({"spoken": "speech_commands"}, DataError, "speech_commands"),
    ({"seed": -1}, UsageError, "out of range"), ({"spokn": "fsdd"}, UsageError, "did you mean 'spoken'")])
def test_arguments_are_checked(packed_folder: Path, arguments: dict[str, object], error: type[Exception],
                               told: str) -> None:
    with pytest.raises(error, match=told):
        load(packed_folder, **arguments)  # type: ignore[arg-type]


def test_lists_of_other_systems_name_the_same_files(commands_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(commands_folder, tmp_path / "copy"))
    for name, style in (("validation_list.txt", "./{}"), ("testing_list.txt", ".\\{}\r")):
        lines = (folder / name).read_text().splitlines()
        changed = [style.format(line.replace("/", "\\") if "\\" in style else line) for line in lines]
        (folder / name).write_text("\n".join(changed) + "\n\n", newline="")
    before, after = (read_folder(one, "auto").spoken for one in (commands_folder, folder))
    assert np.array_equal(before.part, after.part) and before.digest == after.digest


@pytest.mark.parametrize(("line", "told"), [
    ("seven/0a7c2a8d_nohash_9.wav", "names no file"), ("data/seven/00000011_nohash_0.wav", "names no file"),
    ("seven", "names no file"), ("seven/00000000_nohash_0.wav", "testing_list.txt: '.*' is in both lists")])
def test_lists_that_do_not_fit_the_files_are_refused(commands_folder: Path, tmp_path: Path, line: str, told: str,
                                                     one_line: Line) -> None:
    folder = Path(shutil.copytree(commands_folder, tmp_path / "copy"))
    for name in ("testing_list.txt", "validation_list.txt") if "is in" in told else ("testing_list.txt",):
        with (folder / name).open("a") as stream:
            stream.write(line + "\n")
    with pytest.raises(DataError, match=told) as caught:
        read_folder(folder, "auto")
    one_line(caught.value)


def test_a_folder_without_written_digits_is_refused(commands_folder: Path, tmp_path: Path, one_line: Line) -> None:
    folder = Path(shutil.copytree(commands_folder, tmp_path / "copy", ignore=shutil.ignore_patterns("*ubyte*")))
    with pytest.raises(DataError, match="no written digits; expected") as caught:
        read_folder(folder, "auto")
    one_line(caught.value)


def test_a_list_of_other_words_alone_is_refused_and_others_are_counted(
        commands_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(shutil.copytree(commands_folder, tmp_path / "copy"))
    with (folder / "testing_list.txt").open("a") as stream:
        stream.write("bed/0a7c2a8d_nohash_0.wav\nbed/0a7c2a8d_nohash_1.wav\n")
    read_folder(folder, "auto")
    assert "testing_list.txt: ignored 2 lines of words that are no digits: bed" in capsys.readouterr().err
    (folder / "testing_list.txt").write_text("bed/0a7c2a8d_nohash_0.wav\n")
    with pytest.raises(DataError, match="none of its 1 lines names a digit"):
        read_folder(folder, "auto")


def test_recordings_of_any_speaker_are_read_and_what_is_ignored_is_said(
        corpora: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpora.write_mnist(tmp_path)
    folder = tmp_path / "recordings"
    corpora.write_fsdd_recordings(folder)
    speakers = ("speaker2", "anne-marie", "zo\u00eb", "jean_luc")
    for speaker in speakers:
        corpora.write_wav(folder / f"4_{speaker}_0.WAV", corpora.tone(1, digit=4, rate_hz=8000), rate_hz=8000)
    corpora.write_wav(folder / "four_ada_0.wav", np.ones(800), rate_hz=8000)
    (folder / "notes.txt").write_text("x")
    spoken = read_folder(tmp_path, "fsdd").spoken
    assert set(spoken.speaker_names) == {"ada", "ben", *speakers} and len(spoken) == 260 + 4
    said = capsys.readouterr().err
    assert "ignored 1 file whose names are not like 7_jackson_32.wav: four_ada_0.wav" in said and "notes.txt" in said
    corpora.write_wav(folder / "4_zo\u00eb_00.wav", np.ones(800), rate_hz=8000)
    with pytest.raises(DataError, match="a second recording of digit 4"):
        read_folder(tmp_path, "fsdd")


def test_words_keep_every_speaker_and_say_what_they_leave_out(
        commands_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(shutil.copytree(commands_folder, tmp_path / "copy"))
    (folder / "seven" / "00000000_nohash_0.wav").rename(folder / "seven" / "zo\u00eb-2_nohash_0.WAV")
    (folder / "seven" / "take1.wav").write_bytes(b"x")
    spoken = read_folder(folder, "auto").spoken
    assert "zo\u00eb-2" in spoken.speaker_names and len(spoken) == 240
    assert "ignored 1 file whose names are not like 0a7c2a8d_nohash_0.wav: take1.wav" in capsys.readouterr().err
