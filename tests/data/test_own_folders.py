"""Folders of files by class: layouts, pairs, groups, parts, the front end, the cache, and what is said or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from tinyfuse.core.errors import DataError
from tinyfuse.data import Dataset, load
from tinyfuse.data.own import feature_cache

Line = Callable[[BaseException], str]
CLASSES = ("door", "kettle", "tap")
RATE = 8000
TABLE = """\
[inputs.camera]
kind = "picture"
size = [6, 5]

[inputs.mic]
kind = "waveform"
rate = 8000
length = 800
unit = "full scale"
"""


def shade(label: str, number: int) -> int:
    """A grey that names the class and the number of a sample."""
    return 60 * CLASSES.index(label) + 4 * number + 8


def write_picture(path: Path, grey: int, *, size: tuple[int, int] = (5, 6), mode: str = "L") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, grey if mode == "L" else (grey,) * 3).save(path)
    return path


def write_sound(path: Path, level: int, *, seconds: float = 0.1, rate: int = RATE, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full(round(seconds * rate), level / 256), rate, **options)
    return path


def camera_and_mic(root: Path, *, count: int = 8, stem: str = "ada_{}", other: str | None = None) -> Path:
    """``root``/camera/CLASS and ``root``/mic/CLASS whose files of one number show and sound alike."""
    for label in CLASSES:
        for number in range(count):
            write_picture(root / "camera" / label / f"{stem.format(number)}.png", shade(label, number))
            write_sound(root / "mic" / label / f"{(other or stem).format(number)}.wav", shade(label, number))
    return root


def shades(dataset: Dataset, part: str) -> dict[str, np.ndarray]:
    """Which shade each sample of a part has, by input."""
    samples = dataset.part(part)
    return {"camera": np.rint(255 * samples.inputs["camera"][:, 0, 0, 0]).astype(int),
            "mic": np.rint(256 * samples.inputs["mic"][:, 10, 0]).astype(int)}


def all_shades(dataset: Dataset, name: str) -> list[set[int]]:
    return [set(shades(dataset, part)[name].tolist()) for part in ("train", "validation", "test")]


@pytest.fixture
def kitchen(tmp_path: Path) -> Path:
    root = camera_and_mic(tmp_path / "kitchen")
    (root / "dataset.toml").write_text(TABLE)
    return root


def test_pairs_by_stem(kitchen: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = load(kitchen)
    assert dataset.classes == CLASSES and dataset.split == "sample, paired by stem" and dataset.name == "kitchen"
    assert [(one.name, one.shape, one.low, one.high, one.unit) for one in dataset.inputs] == [
        ("camera", (6, 5, 1), 0, 1, ""), ("mic", (800, 1), -1, 1, "full scale")]
    for part in ("train", "validation", "test"):
        found, label = shades(dataset, part), dataset.part(part).label
        assert np.array_equal(found["camera"], found["mic"]) and np.array_equal(found["mic"] // 60, label)
    assert sum(len(one) for one in all_shades(dataset, "mic")) == 24
    assert "paired by stem" in capsys.readouterr().err
    sound, rate = dataset.recording("mic", "test", 1)  # type: ignore[misc]
    assert rate == RATE and np.allclose(sound, shades(dataset, "test")["mic"][1] / 256, atol=1e-4)
    assert dataset.recording("camera", "test", 1) is None  # type: ignore[misc]


def test_pairs_by_class_never_cross_parts(tmp_path: Path) -> None:
    root = camera_and_mic(tmp_path, stem="eye{}", other="ear{}")
    write_sound(root / "mic" / "tap" / "ear8.wav", shade("tap", 8))
    (root / "dataset.toml").write_text(TABLE)
    dataset = load(root, seed=4)
    assert dataset.split == "sample, paired by class"
    for part in ("train", "validation", "test"):
        found, label = shades(dataset, part), dataset.part(part).label
        assert np.array_equal(found["camera"] // 60, label) and np.array_equal(found["mic"] // 60, label)
    for name in ("camera", "mic"):
        one, two, three = all_shades(dataset, name)
        assert not (one & two or one & three or two & three)
    assert len(set(shades(dataset, "test")["mic"].tolist())) == len(dataset.test)
    assert not np.array_equal(*shades(dataset, "train").values())
    assert load(root, seed=4).checksum == dataset.checksum != load(root, seed=5).checksum


def test_one_kind_of_file_is_one_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for label in CLASSES:
        for number in range(4):
            write_picture(tmp_path / label / f"{number}.jpg", shade(label, number), size=(300, 200), mode="RGB")
    dataset = load(tmp_path)
    assert [(one.name, one.shape) for one in dataset.inputs] == [("picture", (96, 96, 3))]
    said = capsys.readouterr().err
    assert "become 96x96 (cut and resized from 200x300)" in said and "split sample" in said


def test_two_kinds_in_one_class_folder_are_two_inputs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for label in CLASSES:
        for number in range(4):
            write_picture(tmp_path / label / f"{number}.pgm", shade(label, number))
            write_sound(tmp_path / label / f"{number}.flac", shade(label, number), seconds=0.5, rate=44100)
    (tmp_path / "tap" / "notes.csv").write_text("1,2\n")
    (tmp_path / "tap" / "Thumbs.db").write_text("x")
    (tmp_path / "_background").mkdir()
    dataset = load(tmp_path)
    assert {one.name: one.shape for one in dataset.inputs} == {"picture": (6, 5, 1), "sound": (49, 10, 1)}
    said = capsys.readouterr().err
    for line in ("ignored 1 (a sequence, which no input reads)", "ignored 1 (no picture, recording or sequence)",
                 "ignored 1 (a name that begins with . or _)", "their size", "0.50 to 0.50 s become 49 frames"):
        assert line in said


def test_sequences_are_cut_and_padded(tmp_path: Path) -> None:
    for place, label in enumerate(CLASSES):
        (tmp_path / label).mkdir()
        for number in range(4):
            values = np.full((8 + number % 2, 3), place + 1.0)
            if number % 2:
                np.save(tmp_path / label / f"{number}.npy", values.astype(np.float16))
            else:
                (tmp_path / label / f"{number}.CSV").write_text("x; y; z\n" + "\n".join("; ".join(map(str, row))
                                                                                        for row in values))
    dataset = load(tmp_path)
    values = dataset.train.inputs["sequence"]
    assert values.shape[1:] == (9, 3) and dataset.front_ends["sequence"]["kind"] == "array"
    assert np.all(np.diff([values[dataset.train.label == label][:, 0].mean() for label in range(3)]) > 0)


def test_folders_of_groups_stay_together(tmp_path: Path) -> None:
    for label in CLASSES:
        for number in range(24):
            write_sound(tmp_path / label / f"speaker{number // 4}" / f"{number}.wav", 2 * shade(label, number) // 3)
    (tmp_path / "dataset.toml").write_text(TABLE[TABLE.index("[inputs.mic]"):])
    dataset = load(tmp_path)
    groups = [set(dataset.part(part).group.tolist()) for part in ("train", "validation", "test")]
    assert dataset.split == "group" and sum(map(len, groups)) == len(set.union(*groups)) == 6
    assert all(len(set(dataset.part(part).label.tolist())) == 3 for part in ("train", "validation", "test"))


def test_a_group_in_the_name_of_a_file(tmp_path: Path) -> None:
    root = camera_and_mic(tmp_path, count=12, stem="take_{}")
    for path in list(root.rglob("*_*")):
        number = int(path.stem.split("_")[1])
        path.rename(path.with_stem(f"{path.stem}_s{number // 2}"))
    (root / "dataset.toml").write_text('group = { separator = "_", field = 3 }\n' + TABLE)
    dataset = load(root)
    assert dataset.split == "group, paired by stem"
    speakers = [{shade % 60 // 8 for shade in one} for one in all_shades(dataset, "mic")]
    assert not (speakers[0] & speakers[1] or speakers[0] & speakers[2] or speakers[1] & speakers[2])


def test_folders_of_parts_are_kept(tmp_path: Path) -> None:
    for part, first, count in (("training", 0, 6), ("testing", 6, 3)):
        for label in CLASSES:
            for number in range(first, first + count):
                write_picture(tmp_path / part / label / f"{number}.png", shade(label, number))
    dataset = load(tmp_path)
    assert dataset.split == "given" and len(dataset.test) == 9
    assert (len(dataset.train), len(dataset.validation)) == (15, 3)
    test = np.rint(255 * dataset.test.inputs["picture"][:, 0, 0, 0]).astype(int)
    assert (test % 60 >= 8 + 4 * 6).all()


def test_values_are_computed_once_and_only_those_needed(kitchen: Path, own_cache: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(kitchen)
    assert len(list(own_cache.rglob("mic-*.npy"))) == len(list(own_cache.rglob("camera-*.npy"))) == 1

    def never(*_: object) -> None:
        raise AssertionError("computed again")

    with monkeypatch.context() as patch:
        patch.setattr(feature_cache, "_compute", never)
        again = load(kitchen)
    assert again.checksum == first.checksum and np.array_equal(again.test.inputs["mic"], first.test.inputs["mic"])
    assert not [path for path in own_cache.rglob("*") if path.name.startswith(".")]
    limited = load(kitchen, limit=3)
    assert [len(limited.part(part)) for part in ("train", "validation", "test")] == [3, 3, 3]
    sizes = sorted(np.load(path, mmap_mode="r").shape[0] for path in own_cache.rglob("mic-*.npy"))
    assert sizes == [9, 24]


def test_a_cache_that_cannot_be_written_costs_only_time(kitchen: Path, tmp_path: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    expected = load(kitchen)
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TINYFUSE_CACHE", str(tmp_path / "file"))
    found = load(kitchen)
    assert found.checksum == expected.checksum
    assert np.array_equal(found.test.inputs["mic"], expected.test.inputs["mic"])
    monkeypatch.setattr(feature_cache, "MAX_IN_MEMORY_BYTES", 1000)
    with pytest.raises(DataError, match=r"cannot be written .*make room, or set TINYFUSE_CACHE"):
        load(kitchen)


def test_identity_is_the_content_of_the_files(kitchen: Path) -> None:
    before = load(kitchen).checksum
    for path in kitchen.rglob("ada_*"):
        path.rename(path.with_stem(path.stem.replace("ada", "eva")))
    assert load(kitchen).checksum == before
    write_sound(kitchen / "mic" / "tap" / "eva_3.wav", 77)
    assert load(kitchen).checksum != before


def test_files_without_a_partner_are_counted(kitchen: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (kitchen / "mic" / "door" / "ada_3.wav").unlink()
    dataset = load(kitchen)
    assert sum(len(dataset.part(part)) for part in ("train", "validation", "test")) == 23
    assert "ignored 1 (no file of the same stem in every input)" in (said := capsys.readouterr().err)
    assert "door/ada_3.png" in said


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


CHANGES: list[tuple[Callable[[Path], object], str]] = [
    (lambda root: damage(root / "mic" / "tap" / "ada_0.wav"), r"ada_0\.wav: damaged .*expected a recording"),
    (lambda root: damage(root / "camera" / "tap" / "ada_0.png"), r"ada_0\.png: damaged .*expected a picture"),
    (lambda root: (root / "camera" / "tap" / "ada_0.png").write_text("no picture"), r"ada_0\.png: .*a picture"),
    (lambda root: write_sound(root / "mic" / "tap" / "ada_0.wav", 1, rate=4000), "its rate is 4000 Hz"),
    (lambda root: write_sound(root / "mic" / "tap" / "ada_0.wav", 1, seconds=0), r"ada_0\.wav: .*samples"),
    (lambda root: soundfile.write(root / "mic" / "tap" / "ada_0.wav", [np.nan] * 9, RATE, "FLOAT"), "NaN"),
    (lambda root: write_picture(root / "camera" / "tap" / "ada_0.jpg", 3), "two files of one stem"),
    (lambda root: [path.unlink() for path in (root / "mic" / "door").iterdir()], "'mic' has no file of class 'door'"),
    (lambda root: (root / "mic").rename(root / "mik"), r"no folder 'mic' for input 'mic' \(did you mean 'mik'\?\)"),
    (lambda root: (root / "dataset.toml").write_text(f'pair = "stems"\n{TABLE}'), "did you mean 'stem'"),
    (lambda root: (root / "dataset.toml").write_text(f'classes = ["tap", "dor"]\n{TABLE}'), "did you mean 'door'"),
    (lambda root: (root / "dataset.toml").write_text('group = { field = 9 }\n' + TABLE), "2 pieces between '_'"),
    (lambda root: (root / "dataset.toml").write_text("[inputs.mic]\nlow = 1\n[inputs.camera]\n"), "describe arrays"),
]


@pytest.mark.parametrize(("change", "told"), CHANGES, ids=[told for _, told in CHANGES])
def test_what_does_not_fit_gets_one_line(change: Callable[[Path], object], told: str, kitchen: Path, own_cache: Path,
                                         one_line: Line) -> None:
    change(kitchen)
    with pytest.raises(DataError, match=told) as caught:
        load(kitchen)
    one_line(caught.value)
    assert not [path for path in own_cache.rglob("*") if path.name.startswith(".")]


def test_layouts_that_are_none_of_ours_get_one_line(tmp_path: Path, one_line: Line) -> None:
    places = {"empty": [], "flat": ["a.png"], "one": ["tap/a.png"], "texts": ["tap/a.txt", "door/b.txt"],
              "mixed": ["train/tap/a.png", "test/tap/a.png", "more/tap/a.png"],
              "apart": ["tap/a.png", "door/b.wav"]}
    told = {"empty": "no folders in it", "flat": "no folders in it", "one": "one class only, 'tap'",
            "texts": "no files in folders of classes", "mixed": "beside them 'more'",
            "apart": "no kind of file is in every class"}
    for name, files in places.items():
        (tmp_path / name).mkdir()
        for file in files:
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            write_picture(path, 1) if path.suffix == ".png" else path.write_text("x")
        with pytest.raises(DataError, match=told[name]) as caught:
            load(tmp_path / name)
        one_line(caught.value)


def test_two_inputs_of_one_kind_need_folders(tmp_path: Path) -> None:
    for label in CLASSES:
        write_picture(tmp_path / label / "a.png", 3)
    (tmp_path / "dataset.toml").write_text('[inputs.left]\nkind = "picture"\nsize = [4, 4]\n[inputs.right]\n'
                                           'kind = "picture"\nsize = [4, 4]\n')
    with pytest.raises(DataError, match="'left' and 'right' both read pictures"):
        load(tmp_path)


def test_copies_of_training_files_in_other_parts_are_said(kitchen: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load(kitchen)
    assert "hold the same" not in capsys.readouterr().err
    for path in (kitchen / "mic" / "tap").iterdir():
        write_sound(path, 9)
    load(kitchen)
    said = capsys.readouterr().err
    assert "input 'mic': 3 files of the validation and test parts hold the same as a file of the training part" in said


def test_a_folder_whose_name_is_no_input_name_is_given_one(kitchen: Path, one_line: Line) -> None:
    (kitchen / "camera").rename(kitchen / "front cam")
    (kitchen / "dataset.toml").unlink()
    with pytest.raises(DataError, match=r"'front cam': .*\[inputs.NAME\] with folder = \"front cam\"") as caught:
        load(kitchen)
    one_line(caught.value)
    (kitchen / "dataset.toml").write_text(TABLE.replace("[inputs.camera]", '[inputs.camera]\nfolder = "front cam"'))
    assert [one.name for one in load(kitchen).inputs] == ["camera", "mic"]
