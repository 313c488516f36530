"""The set that ships with the package: scikit-learn's handwritten digits and synthesised spoken digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tinyfuse.core.errors import DataError
from tinyfuse.core.files import sha256_hex
from tinyfuse.data.digits.features import COEFFICIENTS, FRAMES, SIDE
from tinyfuse.data.digits.readers import read_npz
from tinyfuse.data.digits.sources import TEST, TRAIN, Features, Source, Spoken, Written, check_labels

SPEECH_FILE = Path(__file__).with_name("embedded_speech.npz")
SPEECH_KEYS = {"code": "u", "low": "f", "step": "f", "digit": "u", "speaker": "u", "speaker_names": "U",
               "official_test": "b"}
INK_SIDE = 20
SPLIT_SEED = 0
TEST_SHARE = 0.2


def enlarge(digits: np.ndarray) -> np.ndarray:
    """scikit-learn's digits, [n, 8, 8] in 0..16, as uint8 [n, 28, 28]: 20x20 by cubic splines, margin 4 as in MNIST."""
    from scipy.ndimage import zoom

    factor = INK_SIDE / digits.shape[1]
    smooth = zoom(digits.astype(np.float64), (1, factor, factor), order=3, mode="grid-constant", grid_mode=True)
    pixels = np.clip(np.rint(smooth * (255.0 / 16.0)), 0, 255).astype(np.uint8)
    margin = (SIDE - INK_SIDE) // 2
    return np.pad(pixels, ((0, 0), (margin, margin), (margin, margin)))


def read_digits() -> Written:
    """All 1,797 handwritten digits; a fixed, stratified fifth is the test part (the set has no split of its own)."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    label = digits.target.astype(np.int64)
    part = np.full(len(label), TRAIN, np.int8)
    generator = np.random.default_rng(SPLIT_SEED)
    for digit in range(10):
        rows = generator.permutation(np.flatnonzero(label == digit))
        part[rows[: round(TEST_SHARE * len(rows))]] = TEST
    digest = sha256_hex(digits.images.astype(np.uint8).tobytes() + label.tobytes() + part.tobytes())
    return Written("embedded", enlarge(digits.images), label, part, np.full(len(label), -1, np.int32), digest)


def read_speech(path: Path = SPEECH_FILE) -> Spoken:
    """The spoken digits of ``embedded_speech.npz``: one byte per value, ``low + step * code`` per coefficient."""
    arrays = read_npz(path, SPEECH_KEYS, expected="the embedded spoken digits", max_bytes=64 << 20)
    code, low, step, names = arrays["code"], arrays["low"], arrays["step"], arrays["speaker_names"]
    count = len(code) if code.ndim else 0
    if code.shape != (count, FRAMES, COEFFICIENTS) or low.shape != (COEFFICIENTS,) or step.shape != (COEFFICIENTS,):
        raise DataError(f"{path}: 'code' has shape {code.shape}; expected uint8 [n, {FRAMES}, {COEFFICIENTS}]")
    if any(arrays[key].shape != (count,) for key in ("digit", "speaker", "official_test")) or names.ndim != 1:
        raise DataError(f"{path}: its arrays differ in length; expected {count} of each")
    label, speaker = check_labels(arrays["digit"], path), arrays["speaker"].astype(np.int32)
    if int(speaker.max()) >= len(names):
        raise DataError(f"{path}: a speaker index lies outside the {len(names)} names")
    part = np.where(arrays["official_test"], TEST, TRAIN).astype(np.int8)
    values = (low + step * code.astype(np.float32)).astype(np.float32)
    digest = sha256_hex(code.tobytes() + low.tobytes() + step.tobytes() + label.tobytes() + speaker.tobytes()
                        + part.tobytes())
    return Spoken("embedded", label, part, speaker, tuple(str(name) for name in names), digest, Features(values))


def read_embedded() -> Source:
    """Both sides of the embedded set."""
    return Source(read_digits(), read_speech())
