"""A user's own arrays: from Python, from an .npz, from a folder of .npy; what is inferred, said, refused."""

from __future__ import annotations

import re
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyfuse
from tinyfuse.core.errors import DataError, TinyfuseError
from tinyfuse.data import Axis, Dataset, load
from tinyfuse.data.own.settings import DatasetSettings, read_settings

Line = Callable[[BaseException], str]
N = 60
NAMES = np.array(["walk", "run", "fall"])[np.arange(N) % 3]
RNG = np.random.default_rng(5)
PICTURES = RNG.integers(0, 256, (N, 6, 5, 3), dtype=np.uint8)
MOTION = RNG.normal(size=(N, 8, 2)).astype(np.float32)
ARRAYS = {"camera": PICTURES, "imu": MOTION, "label": NAMES}


def parts(dataset: Dataset) -> list[Any]:
    return [dataset.part(name) for name in ("train", "validation", "test")]


def save(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def test_what_is_left_out_is_inferred_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    dataset = tinyfuse.Dataset.from_arrays({"camera": PICTURES, "imu": MOTION}, NAMES)
    camera, imu = dataset.inputs
    assert (camera.shape, camera.low, camera.high) == ((6, 5, 3), 0, 255)
    train = dataset.train
    assert (imu.low, imu.high) == (train.inputs["imu"].min(), train.inputs["imu"].max())
    assert dataset.classes == ("fall", "run", "walk") and dataset.split == "sample"
    assert [np.bincount(part.label).tolist() for part in parts(dataset)] == [[14] * 3, [2] * 3, [4] * 3]
    assert all(part.inputs["imu"].max() <= imu.high for part in parts(dataset))
    said = capsys.readouterr().err
    assert "camera 6x5x3, imu 8x2" in said and "3 classes (fall, run, walk)" in said
    assert "'camera' is uint8; float32 holds every value exactly" in said


def test_samples_keep_their_values_and_labels() -> None:
    dataset = Dataset.from_arrays({"number": np.arange(N)[:, None], "copy": 2 * np.arange(N)}, NAMES, low=0, high=200)
    seen = []
    for part in parts(dataset):
        rows = part.inputs["number"][:, 0].astype(int)
        assert part.inputs["number"].dtype == np.float32 and dataset.inputs[1].shape == (1,)
        assert np.array_equal(part.inputs["copy"][:, 0], 2 * rows)
        assert [dataset.classes[label] for label in part.label] == NAMES[rows].tolist()
        seen += rows.tolist()
    assert sorted(seen) == list(range(N))


@pytest.mark.parametrize(("dtype", "word"), [("float16", "exactly"), ("int16", "exactly"), ("float64", "rounded"),
                                             ("int32", "exactly"), ("bool", "exactly"), (">f4", "exactly")])
def test_every_type_of_number_is_taken_and_said(dtype: str, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    values = (1000 * MOTION).astype(dtype) if dtype != "float64" else MOTION.astype(np.float64) / 3
    dataset = Dataset.from_arrays({"imu": values}, NAMES)
    assert f"'imu' is {values.dtype}" in (said := capsys.readouterr().err) and word in said
    assert dataset.train.inputs["imu"].dtype == np.float32
    low, high = dataset.inputs[0].low, dataset.inputs[0].high
    found = np.sort(np.concatenate([part.inputs["imu"].ravel() for part in parts(dataset)]))
    assert np.array_equal(found, np.sort(np.clip(values.astype(np.float32), low, high).ravel()))


def test_a_table_says_range_axes_classes_and_shares() -> None:
    table = {"classes": ["walk", "run", "fall"], "name": "gait", "split": {"validation": 0.3, "test": 0.3},
             "inputs": {"imu": {"low": -8, "high": 8, "unit": "g", "axes": ["time", "axis"], "valid": [[0, 12]]}}}
    dataset = Dataset.from_arrays({"imu": MOTION}, NAMES, table=table)
    imu = dataset.inputs[0]
    assert (imu.low, imu.high, imu.unit, imu.valid) == (-8, 8, "g", ((0, 12),)) and dataset.name == "gait"
    assert imu.axes == {"time": Axis(2, 8), "axis": Axis(1, 2)} and dataset.classes == ("walk", "run", "fall")
    assert [len(part) for part in parts(dataset)] == [24, 18, 18]


def test_the_table_of_the_documents_is_one() -> None:
    page = (Path(__file__).resolve().parent.parent.parent / "docs" / "data.md").read_text(encoding="utf-8")
    text = re.search(r"```toml\n(.*?)```", page, flags=re.DOTALL)
    assert text
    table = read_settings(tomllib.loads(text[1]), "docs/data.md")
    assert table.input("camera").front_end and table.input("imu").valid == ((0, 180),)
    for key in (field.name for field in fields(DatasetSettings)):
        assert f"{key} = " in page or f"[{key}" in page, key


def test_a_bound_that_float32_rounds_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    values = np.linspace(0.1, 0.7, N)
    for dtype in (np.float32, np.float64):
        dataset = Dataset.from_arrays({"level": values.astype(dtype)}, NAMES, low=0.1, high=0.7)
        assert (dataset.inputs[0].low, dataset.inputs[0].high) == (0.1, 0.7)
    part = np.where((values == 0.1) | (values == 0.7) | (np.arange(N) % 2 == 0), "train", "test")
    Dataset.from_arrays({"level": values}, NAMES, part=part, seed=3)
    assert "clipped" not in capsys.readouterr().err


def test_an_array_takes_a_front_end() -> None:
    sounds = RNG.normal(size=(N, 1600)).astype(np.float32) / 8
    table = {"inputs": {"mic": {"kind": "log-mel", "rate": 8000, "length": 1600, "window": 256, "hop": 128, "bands": 12,
                                "unit": "dB"}}}
    dataset = Dataset.from_arrays({"mic": sounds}, NAMES, table=table)
    mic = dataset.inputs[0]
    assert mic.shape == (11, 12, 1) and mic.axes["frames"] == Axis(12, 11) and mic.unit == "dB"
    assert set(dataset.fitted) == {"mic"} and dataset.front_ends["mic"]["kind"] == "log-mel"
    moved = {"mic": {**dataset.fitted["mic"], "low": dataset.fitted["mic"]["low"] - 1}}
    other = dataset.as_trained({"data": {"checksum": dataset.checksum}, "fitted": moved}, "net.keras")
    assert other.fitted == moved and not np.array_equal(other.test.inputs["mic"], dataset.test.inputs["mic"])
    assert other.checksum == dataset.checksum


def test_class_names_that_are_numbers_are_in_their_order() -> None:
    label = np.arange(N) % 12
    assert Dataset.from_arrays({"imu": MOTION}, label).classes == tuple(map(str, range(12)))
    dataset = Dataset.from_arrays({"number": np.arange(N)}, label.astype(str), low=0, high=N)
    assert dataset.classes == tuple(map(str, range(12)))
    assert np.array_equal(dataset.train.inputs["number"][:, 0] % 12, dataset.train.label)


def test_groups_are_in_one_part_each_and_classes_in_all() -> None:
    group = np.array([f"speaker {index}" for index in np.arange(N) // 6])
    dataset = Dataset.from_arrays({"imu": MOTION}, NAMES, group=group, seed=3)
    sets = [set(part.group.tolist()) for part in parts(dataset)]
    assert dataset.split == "group" and not (sets[0] & sets[1] or sets[0] & sets[2] or sets[1] & sets[2])
    assert all(np.bincount(part.label, minlength=3).min() > 0 for part in parts(dataset))
    assert len(dataset.test) == 12 and sum(map(len, parts(dataset))) == N


def test_parts_are_kept_and_validation_is_drawn_where_none_is_given() -> None:
    part = np.where(np.arange(N) < 45, "train", "test")
    dataset = Dataset.from_arrays({"number": np.arange(N)}, NAMES, part=part, low=0, high=99)
    assert dataset.split == "given" and sorted(dataset.test.inputs["number"][:, 0]) == list(range(45, 60))
    assert len(dataset.validation) == 6 and len(dataset.train) == 39
    numbered = Dataset.from_arrays({"number": np.arange(N)}, NAMES, part=np.arange(N) // 6 % 3)
    assert [len(one) for one in parts(numbered)] == [24, 18, 18]


def test_identity_is_what_was_read_and_asked_for() -> None:
    def checksum(values: np.ndarray = MOTION, label: np.ndarray = NAMES, **options: Any) -> str:
        return Dataset.from_arrays({"imu": values}, label, **options).checksum

    changed = MOTION.copy()
    changed[7, 0, 0] += np.float32(1e-6)
    same = {checksum(), checksum(np.asfortranarray(MOTION)), checksum(MOTION.astype(">f4")), checksum(name="another")}
    others = [checksum(changed), checksum(label=np.roll(NAMES, 1)), checksum(seed=1), checksum(limit=6),
              checksum(low=-9, high=9), checksum(split={"test": 0.3}), checksum(group=np.arange(N) // 3)]
    assert len(same) == 1 and len({*same, *others}) == 1 + len(others)


def test_limit_draws_classes_evenly() -> None:
    dataset = Dataset.from_arrays({"imu": MOTION}, NAMES, limit=6)
    assert [np.bincount(part.label).tolist() for part in parts(dataset)] == [[2] * 3] * 3


def test_files_and_python_give_the_same_data_set(tmp_path: Path) -> None:
    plain = load(save(tmp_path / "own.npz", **ARRAYS))
    np.savez_compressed(tmp_path / "packed.npz", **ARRAYS)  # type: ignore[arg-type]
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, values in ARRAYS.items():
        np.save(folder / f"{name}.npy", values)
    memory = Dataset.from_arrays({"camera": PICTURES, "imu": MOTION}, NAMES)
    for other in (load(tmp_path / "packed.npz"), load(folder), memory):
        assert other.checksum == plain.checksum and np.array_equal(other.test.inputs["imu"], plain.test.inputs["imu"])
    assert plain.name == "own" and load(folder).name == "folder"


def test_a_table_is_found_beside_inside_or_where_one_says(tmp_path: Path) -> None:
    path = save(tmp_path / "own.npz", **ARRAYS)
    (tmp_path / "dataset.toml").write_text('name = "folder"\n')
    assert load(path).name == "folder"
    (tmp_path / "own.toml").write_text('name = "beside"\n')
    assert load(path).name == "beside"
    inside = save(tmp_path / "inside.npz", **ARRAYS, **{"dataset.toml": np.array('name = "inside"')})
    assert load(inside).name == "inside"
    with zipfile.ZipFile(tmp_path / "own.npz", "a") as archive:
        archive.writestr("dataset.toml", 'name = "member"')
    assert load(path).name == "member"
    (tmp_path / "other.toml").write_text('name = "said"\n')
    assert load(path, table=tmp_path / "other.toml").name == "said"


class Pipeline:
    """What tf.data is known by."""

    element_spec = None

    def __init__(self, elements: list[Any]) -> None:
        self.elements = elements

    def as_numpy_iterator(self) -> Iterator[Any]:
        return iter(self.elements)


class Column:
    """What a column of a data frame is known by."""

    def __init__(self, values: list[Any]) -> None:
        self.values = values

    def to_numpy(self) -> np.ndarray:
        made = np.empty(len(self.values), object)
        made[:] = self.values
        return made


def test_pipelines_columns_and_tensors_are_welcome() -> None:
    expected = Dataset.from_arrays({"imu": MOTION}, NAMES).checksum
    single = Pipeline([({"imu": one}, name.encode()) for one, name in zip(MOTION, NAMES, strict=True)])
    batched = Pipeline([({"imu": MOTION[rows]}, NAMES[rows].astype("S")) for rows in (slice(0, 35), slice(35, N))])
    for made in (Dataset.from_arrays(single), Dataset.from_arrays(batched),
                 Dataset.from_arrays({"imu": Column(list(MOTION))}, Column(NAMES.tolist())),
                 Dataset.from_arrays({"imu": SimpleNamespace(numpy=lambda: MOTION)}, NAMES.tolist()),
                 Dataset.from_arrays({"imu": MOTION}, NAMES.astype("S")),
                 Dataset.from_arrays({"imu": MOTION}, NAMES.astype("S").astype(object))):
        assert made.checksum == expected
    bare = Dataset.from_arrays(Pipeline([(one, 1 - index % 2) for index, one in enumerate(MOTION)]))
    assert [one.name for one in bare.inputs] == ["input"]


def test_representations_are_short() -> None:
    dataset = Dataset.from_arrays({"camera": PICTURES, "imu": MOTION}, NAMES)
    assert repr(dataset) == ("Dataset(arrays: camera 6x5x3, imu 8x2; 3 classes (fall, run, walk); 42 train, "
                             "6 validation, 12 test samples)")
    assert repr(dataset.test) == "Samples(12: camera 6x5x3, imu 8x2)"


NAN, ONE, WIDE = MOTION.copy(), NAMES.copy(), MOTION.copy()
NAN[[3, 9], 1, 0] = np.nan
ONE[4] = "odd"
WIDE[5] = 1e3
RAGGED = [[1, 2], [3]]
BAD: list[tuple[dict[str, Any], str]] = [
    ({"label": NAMES[:50]}, r"different lengths \(label 50, imu 60\)"),
    ({"inputs": {"imu": NAN}}, r"NaN in sample 3 at \[1, 0\] \(2 such values\)"),
    ({"label": ONE}, "class 'odd' has 1 sample; at least 3"),
    ({"label": np.arange(N), "classes": ["a", "b"]}, "label 2 of sample 2 is out of range .* allowed: 0 to 1"),
    ({"classes": ["walk", "run", "falls"]}, r"label 'fall' is no class \(did you mean 'falls'\?\)"),
    ({"classes": ["walk", "run", "fall", "stand"]}, "no sample of class 'stand'"),
    ({"label": np.arange(N) / 2}, "label 0.5 of sample 1 is no class"),
    ({"label": np.zeros(N)}, "label has 1 different value; expected 2"),
    ({"label": MOTION}, "give one label for each sample"),
    ({"label": MOTION[:, 0]}, "not one-hot"), ({"label": np.zeros((N, 3))}, "not one-hot"),
    ({"label": np.arange(2 * N).reshape(N, 2) % 3 > 0}, r"marks 2 classes in sample 2 \(20 such samples\): a sample"),
    ({"label": [b"\xff", b"a"] * (N // 2)}, "no UTF-8"), ({"label": None}, "no array 'label'"),
    ({"label": [None] * N}, "holds None in row 0"), ({"label": [["a", "b"], ["a"]] * (N // 2)}, "one class for each"),
    ({"label": np.array(["walk"] * (N - 1) + [float("nan")], object)}, f"holds nan in row {N - 1}"),
    ({"inputs": {"imu": WIDE}, "low": -10, "high": 10}, r"16 values .* outside \[-10, 10\], the first in sample 5"),
    ({"low": 4, "high": 3}, "give low below high"),
    ({"low": {"imo": 4}}, r"describes input 'imo', .* \(did you mean 'imu'\?\)"),
    ({"inputs": {"im-u": MOTION}}, "input name 'im-u'"),
    ({"inputs": {"imu": NAMES}}, "dtype <U4; give numbers"),
    ({"inputs": {"imu": MOTION.astype(complex)}}, "dtype complex128"),
    ({"inputs": {"imu": np.arange(N) + 2**40}}, "1099511627776 in sample 0"),
    ({"inputs": {"imu": np.full(N, 1e300)}}, r"1e\+300 in sample 0"),
    ({"inputs": {"imu": np.zeros((N, 0))}}, "with values"),
    ({"inputs": {"imu": RAGGED}, "label": [0, 1]}, "equal shapes for all samples"),
    ({"inputs": {}}, "no input beside the labels"),
    ({"inputs": MOTION}, "inputs is ndarray; give arrays by name"),
    ({"inputs": Pipeline([])}, "pipeline is empty"),
    ({"inputs": Pipeline([MOTION])}, "no pairs"),
    ({"clases": ["a"]}, r"unknown key 'clases' \(did you mean 'classes'\?\)"),
    ({"limit": 1}, "limit 1 is too small"), ({"seed": -1}, "seed -1 is out of range"),
    ({"split": {"test": 0.95}}, "two shares above 0 whose sum is below 1"),
    ({"table": {"inputs": {"imu": {"axes": ["a", "b", "c"]}}}}, "shape .8, 2., but 3 axes are named"),
    ({"table": {"inputs": {"imu": {"kind": "log-mal"}}}}, "did you mean 'log-mel'"),
    ({"group": NAMES}, "class 'fall' lies in 1 group, which cannot be divided"),
    ({"group": MOTION}, "group is float32"),
    ({"part": ["train"] * (N - 1) + ["tests"]}, r"part 'tests' \(did you mean 'test'\?\)"),
    ({"part": ["train"] * N}, "no sample is in the test part"),
    ({"part": ["train", "test"] * (N // 2), "group": np.arange(N) // 2}, "in the train and in the test part"),
]


@pytest.mark.parametrize(("changes", "told"), BAD, ids=[told for _, told in BAD])
def test_bad_arrays_get_one_line(changes: dict[str, Any], told: str, one_line: Line) -> None:
    with pytest.raises(TinyfuseError, match=told) as caught:
        Dataset.from_arrays(**{"inputs": {"imu": MOTION}, "label": NAMES, **changes})
    one_line(caught.value)


@pytest.mark.parametrize(("arrays", "told"), [
    ({"imu": MOTION, "labels": NAMES}, "no array 'label' .did you mean 'labels'"),
    ({"imu": np.array([{}] * N, object), "label": NAMES}, "Python objects .a pickle., which are never loaded"),
    ({"label": NAMES}, "no input beside the labels")])
def test_bad_archives_get_one_line(arrays: dict[str, np.ndarray], told: str, tmp_path: Path, one_line: Line) -> None:
    with pytest.raises(DataError, match=told) as caught:
        load(save(tmp_path / "own.npz", **arrays))
    assert "own.npz" in one_line(caught.value)


@pytest.mark.parametrize("end", [0, 40, 200, 900, -200, -30])
def test_clipped_archives_get_one_line(end: int, tmp_path: Path, one_line: Line) -> None:
    path = save(tmp_path / "own.npz", **ARRAYS)
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(DataError, match=r"own\.npz") as caught:
        load(path)
    one_line(caught.value)


def test_an_absurd_header_costs_no_memory(tmp_path: Path) -> None:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (4000000000000,), }".ljust(117) + b"\n"
    with zipfile.ZipFile(tmp_path / "own.npz", "w") as archive:
        archive.writestr("imu.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(24))
    with pytest.raises(DataError, match="announces 32000000000000 bytes, it holds 24"):
        load(tmp_path / "own.npz")


@pytest.mark.parametrize(("name", "told"), [
    ("own.pkl", "pickles are never loaded; save its arrays with numpy.savez"), ("own.csv", "one file is one sample"),
    ("own.bin", "not data that is read as it is; expected an .npz"), ("none", "no such file or folder")])
def test_other_files_are_told_what_to_do(name: str, told: str, tmp_path: Path, one_line: Line) -> None:
    if name != "none":
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DataError, match=told) as caught:
        load(tmp_path / name)
    one_line(caught.value)


@pytest.mark.parametrize("kind", ["plain", "packed", "folder"])
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_damage_gives_one_error_or_nothing(kind: str, tmp_path_factory: pytest.TempPathFactory,
                                           data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("damage")
    arrays = {"imu": MOTION[:18, :2], "label": np.arange(18) % 3}
    path = folder / "own.npz"
    if kind == "folder":
        for name, values in arrays.items():
            np.save(folder / f"{name}.npy", values)
        path = folder / "imu.npy"
    else:
        (np.savez if kind == "plain" else np.savez_compressed)(path, **arrays)  # type: ignore[arg-type]
    whole = bytearray(path.read_bytes())
    near = st.integers(0, 250) | st.integers(max(0, len(whole) - 250), len(whole) - 1)
    for position in data.draw(st.lists(near, max_size=4)):
        whole[min(position, len(whole) - 1)] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bytes(whole[:data.draw(st.just(len(whole)) | st.integers(0, len(whole)))]))
    try:
        load(folder if kind == "folder" else path)
    except TinyfuseError as error:
        assert "\n" not in str(error) and str(folder) in str(error)
