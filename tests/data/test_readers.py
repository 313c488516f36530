"""Damaged files either load or raise one DataError; nothing else, and no memory for absurd headers."""

from __future__ import annotations

import gzip
import io
import pickle
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyfuse.core.errors import DataError
from tinyfuse.data.digits.idx import IMAGE_MAGIC, read_idx
from tinyfuse.data.digits.speech import read_packed_fsdd
from tinyfuse.data.read_files import gunzip, read_file, read_npy, read_npz
from tinyfuse.data.read_sound import read_wav


def npy_bytes(array: np.ndarray, **options: bool) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


@pytest.fixture(scope="module")
def samples(corpora: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("samples")
    image = np.random.default_rng(0).integers(0, 256, (5, 28, 28))
    (folder / "images.gz").write_bytes(gzip.compress(corpora.idx_bytes(image, 0x803)))
    (folder / "images").write_bytes(corpora.idx_bytes(image[:1], 0x803))
    np.save(folder / "array.npy", np.random.default_rng(1).random((4, 13)).astype(np.float32))
    arrays = {key: value for key, value in corpora.fsdd_arrays().items() if key != "repetition"}
    cut = int(arrays["offsets"][12])
    small = {"audio": arrays["audio"][:cut], "offsets": arrays["offsets"][:13], "sample_rate": arrays["sample_rate"],
             "speaker_names": arrays["speaker_names"],
             **{key: arrays[key][:12] for key in ("digit", "speaker", "official_test")}}
    np.savez(folder / "fsdd.npz", **small)
    np.savez_compressed(folder / "packed.npz", **small)
    corpora.write_wav(folder / "clip.wav", corpora.tone(1, digit=1, rate_hz=8000), rate_hz=8000)
    return {path.name: path for path in folder.iterdir()}


READERS: dict[str, Callable[[Path], object]] = {
    "images.gz": lambda path: read_idx(path, IMAGE_MAGIC),
    "images": lambda path: read_idx(path, IMAGE_MAGIC),
    "array.npy": lambda path: read_npy(path, "fiub", expected="an array"),
    "fsdd.npz": read_packed_fsdd,
    "packed.npz": read_packed_fsdd,
    "clip.wav": lambda path: read_wav(path, rate_hz=8000),
}


@pytest.mark.parametrize("name", READERS)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_damage_gives_one_data_error_or_nothing(name: str, samples: dict[str, Path], data: st.DataObject) -> None:
    whole = bytearray(samples[name].read_bytes())
    # Headers are short, so half of the flips aim at them and at the zip directory at the end.
    near = st.integers(0, 200) | st.integers(len(whole) - 400, len(whole) - 1) | st.integers(0, len(whole) - 1)
    for position in data.draw(st.lists(near, max_size=4)):
        whole[min(max(position, 0), len(whole) - 1)] ^= data.draw(st.integers(1, 255))
    end = data.draw(st.just(len(whole)) | st.integers(0, len(whole)))
    damaged = samples[name].with_name(f"damaged-{name}")
    damaged.write_bytes(bytes(whole[:end]))
    try:
        READERS[name](damaged)
    except DataError as error:
        assert str(damaged) in str(error) and "\n" not in str(error)


@pytest.mark.parametrize("name", READERS)
def test_every_truncation_is_noticed(name: str, samples: dict[str, Path]) -> None:
    whole = samples[name].read_bytes()
    damaged = samples[name].with_name(f"short-{name}")
    for end in np.linspace(0, len(whole) - 1, 25).astype(int):
        damaged.write_bytes(whole[:end])
        with pytest.raises(DataError):
            READERS[name](damaged)


@pytest.mark.parametrize("name", READERS)
def test_the_undamaged_files_load(name: str, samples: dict[str, Path]) -> None:
    assert READERS[name](samples[name]) is not None


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    objects = tmp_path / "objects.npy"
    objects.write_bytes(npy_bytes(np.array([Trap()], dtype=object), allow_pickle=True))
    bare = tmp_path / "bare.npy"
    bare.write_bytes(pickle.dumps(Trap()))
    packed = tmp_path / "objects.npz"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(objects, "audio.npy")
    for action in (lambda: read_npy(objects, "f", expected="x"), lambda: read_npy(bare, "f", expected="x"),
                   lambda: read_npz(packed, {"audio": "iO"}, expected="x")):
        with pytest.raises(DataError):
            action()
    assert not (tmp_path / "sprung").exists()
    with pytest.raises(DataError, match="a pickle"):
        read_npy(objects, "f", expected="x")


@pytest.mark.parametrize("shape", ["(4000000000000,)", "(-1,)", "(0, 9)", "(2, 3"])
def test_absurd_headers_cost_no_memory(tmp_path: Path, shape: str) -> None:
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    path = tmp_path / "absurd.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(24))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"absurd\.npy"):
            read_npy(path, "fiubU", expected="an array")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("magic", [0x803, 0x801])
def test_absurd_idx_counts_cost_no_memory(tmp_path: Path, magic: int) -> None:
    path = tmp_path / "images"
    path.write_bytes(magic.to_bytes(4, "big") + b"\xff" * 12)
    with pytest.raises(DataError, match="announces"):
        read_idx(path, magic)


def test_decompression_bombs_stop_at_the_limit(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(64 << 20))
    with pytest.raises(DataError, match="more than 1000 bytes"):
        gunzip(tmp_path / "bomb.gz", bomb, expected="x", max_bytes=1000)
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("audio.npy", bytes(64 << 20))
    with pytest.raises(DataError, match="more than 1000000 bytes"):
        read_npz(path, {"audio": "i"}, expected="x", max_bytes=1_000_000)


def test_large_files_and_folders_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "big.npy"
    path.write_bytes(bytes(100))
    with pytest.raises(DataError, match="more than the 50 allowed"):
        read_file(path, expected="x", max_bytes=50)
    with pytest.raises(DataError, match="cannot be read"):
        read_file(tmp_path, expected="x")


def test_nan_in_an_npz_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "nan.npz"
    np.savez(path, values=np.array([1.0, np.nan]))
    with pytest.raises(DataError, match="NaN"):
        read_npz(path, {"values": "f"}, expected="x")


@given(rows=st.integers(0, 5), columns=st.integers(0, 5), kind=st.sampled_from(["<f4", ">f8", "u1", "<i8", "<U3", "?"]),
       fortran=st.booleans())
@settings(max_examples=60, deadline=None)
def test_arrays_survive_unchanged(tmp_path_factory: pytest.TempPathFactory, rows: int, columns: int, kind: str,
                                  fortran: bool) -> None:
    array = np.arange(rows * columns).reshape(rows, columns).astype(kind)
    path = tmp_path_factory.mktemp("npy") / "array.npy"
    np.save(path, np.asfortranarray(array) if fortran else array)
    found = read_npy(path, "fiubU", expected="an array")
    assert found.dtype == array.dtype and np.array_equal(found, array)


@pytest.mark.parametrize(("options", "told"), [
    ({"rate_hz": 16000}, "16000 Hz"), ({"rate_hz": 8000, "channels": 2}, "2 channel"),
    ({"rate_hz": 8000, "width": 1}, "8 bit")])
def test_other_kinds_of_wav_are_named(tmp_path: Path, corpora: SimpleNamespace, options: dict[str, int],
                                      told: str) -> None:
    path = tmp_path / "clip.wav"
    corpora.write_wav(path, np.zeros(800, np.int16), **options)
    with pytest.raises(DataError, match=told):
        read_wav(path, rate_hz=8000)
