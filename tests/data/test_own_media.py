"""One file as an array: every kind of picture, recording and sequence that is read, exactly; damage is one line."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tinyfuse.core.errors import DataError
from tinyfuse.data.own.media import decode, read_bytes
from tinyfuse.data.read_sound import read_wav

RNG = np.random.default_rng(2)
SOUND = np.rint(RNG.uniform(-100, 100, (500, 2))).clip(-100, 100) / 128


def media(path: Path) -> tuple[np.ndarray, int | None]:
    return decode(path, read_bytes(path))


@pytest.mark.parametrize(("name", "subtype", "channels", "rate"), [
    ("a.wav", "PCM_U8", 1, 8000), ("a.wav", "PCM_16", 2, 44100), ("A.WAV", "PCM_24", 2, 22050),
    ("a.wav", "PCM_32", 1, 48000), ("a.wav", "FLOAT", 2, 16000), ("a.wav", "DOUBLE", 1, 11025),
    ("a.flac", "PCM_16", 1, 16000), ("a.flac", "PCM_24", 2, 48000)])
def test_recordings_are_read_exactly(name: str, subtype: str, channels: int, rate: int, tmp_path: Path) -> None:
    expected = SOUND[:, :channels].squeeze()
    soundfile.write(tmp_path / name, expected, rate, subtype)
    samples, found = media(tmp_path / name)
    assert found == rate and samples.dtype == np.float32 and np.array_equal(samples, expected.astype(np.float32))


def test_ogg_is_read_nearly(tmp_path: Path) -> None:
    tone = 0.5 * np.sin(np.arange(16000) / 20)
    soundfile.write(tmp_path / "a.ogg", tone, 16000)
    samples, rate = media(tmp_path / "a.ogg")
    assert rate == 16000 and samples.shape == (16000,) and np.abs(samples - tone).max() < 0.05


def extensible(samples: np.ndarray, rate: int) -> bytes:
    """A WAV file with WAVE_FORMAT_EXTENSIBLE, which Python's own reader refuses before 3.12."""
    guid = b"\x01\x00\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"
    layout = struct.pack("<HHIIHHHHI", 0xFFFE, 1, rate, 2 * rate, 2, 16, 22, 16, 4) + guid
    data = samples.astype("<i2").tobytes()
    body = b"WAVEfmt " + struct.pack("<I", len(layout)) + layout + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def test_the_extensible_header_is_read_exactly(tmp_path: Path) -> None:
    samples = RNG.integers(-32768, 32768, 300).astype(np.int16)
    path = tmp_path / "a.wav"
    path.write_bytes(extensible(samples, 8000))
    assert np.array_equal(read_wav(path, rate_hz=8000), samples)
    assert np.array_equal(media(path)[0], samples.astype(np.float32) / 32768)
    path.write_bytes(extensible(samples, 8000)[:-2])
    for read in (lambda: read_wav(path, rate_hz=8000), lambda: media(path)):
        with pytest.raises(DataError, match="announces 600 bytes of samples, it holds 598"):
            read()


@pytest.mark.parametrize(("name", "mode"), [("a.png", "L"), ("a.png", "RGB"), ("a.pgm", "L"), ("a.ppm", "RGB"),
                                            ("a.png", "I;16"), ("a.png", "1")])
def test_pictures_are_read_exactly(name: str, mode: str, tmp_path: Path) -> None:
    shape = (6, 7, 3) if mode == "RGB" else (6, 7)
    deep = mode == "I;16"
    pixels = RNG.integers(0, 65536 if deep else 256, shape).astype(np.uint16 if deep else np.uint8)
    pixels = 255 * (pixels > 99).astype(np.uint8) if mode == "1" else pixels
    Image.fromarray(pixels).convert(mode).save(tmp_path / name)
    found, rate = media(tmp_path / name)
    assert rate is None and found.dtype == pixels.dtype and np.array_equal(found, pixels)


def test_pictures_with_a_palette_or_transparency_are_colour(tmp_path: Path) -> None:
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[..., 0], pixels[..., 3] = 200, 128
    Image.fromarray(pixels).save(tmp_path / "alpha.png")
    Image.fromarray(pixels[..., :3]).convert("P").save(tmp_path / "palette.png")
    Image.fromarray(pixels[..., :3]).save(tmp_path / "a.jpg", quality=95)
    assert np.array_equal(media(tmp_path / "alpha.png")[0], pixels[..., :3])
    assert np.abs(media(tmp_path / "palette.png")[0].astype(int) - pixels[..., :3]).max() <= 26
    assert np.abs(media(tmp_path / "a.jpg")[0].astype(int) - pixels[..., :3]).max() < 8


@pytest.mark.parametrize("text", ["1,2\n3,4\n", "x,y\n1,2\n3,4", "\ufeff1;2\r\n3;4\r\n", "a\tb\n1\t2\n3\t4\n",
                                  "1 2\n\n3 4"])
def test_sequences_of_text_are_read(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    assert media(tmp_path / "a.csv")[0].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(("text", "told"), [("", "no numbers"), ("x,y\n", "no numbers"), ("1,2\n3\n", "columns"),
                                            ("1,nan\n", "NaN"), ("1,2\n3,b\n", "could not convert")])
def test_sequences_that_are_none_are_explained(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=rf"a\.csv: damaged .*{told}.*expected a sequence") as caught:
        media(tmp_path / "a.csv")
    assert "\n" not in str(caught.value)


def test_a_picture_of_absurd_size_costs_no_memory(tmp_path: Path) -> None:
    (tmp_path / "a.pgm").write_bytes(b"P5 90000 90000 255\n" + bytes(100))
    with pytest.raises(DataError, match=r"a\.pgm: damaged"):
        media(tmp_path / "a.pgm")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("media")
    for name in ("a.wav", "a.flac", "a.ogg"):
        soundfile.write(folder / name, SOUND, 8000)
    for name in ("a.png", "a.jpg", "a.pgm"):
        Image.fromarray(RNG.integers(0, 256, (9, 8)).astype(np.uint8)).save(folder / name)
    np.save(folder / "a.npy", SOUND)
    (folder / "a.csv").write_text("1,2\n3,4\n")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.png", "a.jpg", "a.pgm", "a.npy", "a.csv"])
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_damage_gives_one_data_error_or_nothing(name: str, whole: dict[str, bytes], data: st.DataObject) -> None:
    damaged = bytearray(whole[name])
    for position in data.draw(st.lists(st.integers(0, min(120, len(damaged) - 1)), max_size=4)):
        damaged[position] ^= data.draw(st.integers(1, 255))
    end = data.draw(st.just(len(damaged)) | st.integers(0, len(damaged)))
    try:
        array, _ = decode(Path(name), bytes(damaged[:end]))
        assert np.isfinite(array).all()
    except DataError as error:
        assert str(error).startswith(f"{name}: ") and "\n" not in str(error)
