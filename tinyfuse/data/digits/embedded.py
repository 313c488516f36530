"""The set that ships with the package: scikit-learn's handwritten digits and synthesised spoken digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tinyfuse.core.errors import DataError
from tinyfuse.core.files import sha256_hex
from tinyfuse.data.digits.corpus import TEST, TRAIN, Features, Spoken, Written, check_speakers
from tinyfuse.data.digits.features import COEFFICIENTS, FRAMES, SIDE
from tinyfuse.data.read_files import read_npz

SPEECH_FILE = Path(__file__).with_name("embedded_speech.npz")
SPEECH_KINDS = {"code": "u", "low": "f", "step": "f", "digit": "u", "speaker": "u", "speaker_names": "U",
                "official_test": "b"}
INK_SIDE = 20
SPLIT_SEED = 0
TEST_SHARE = 0.2


def enlarge(digits: np.ndarray) -> np.ndarray:
    """Enlarge digits [n, 8, 8] in 0..16 to uint8 [n, 28, 28]: 20x20 by cubic splines, margin 4 as in MNIST."""
    from scipy.ndimage import zoom

    factor = INK_SIDE / digits.shape[1]
    smooth = zoom(digits.astype(np.float64), (1, factor, factor), order=3, mode="grid-constant", grid_mode=True)
    pixels = np.clip(np.rint(smooth * (255.0 / 16.0)), 0, 255).astype(np.uint8)
    margin = (SIDE - INK_SIDE) // 2
    return np.pad(pixels, ((0, 0), (margin, margin), (margin, margin)))


def read_digits() -> Written:
    """Read scikit-learn's 1,797 digits; a fixed, stratified fifth is the test part, as the set has no split."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    label = digits.target.astype(np.int64)
    part = np.full(len(label), TRAIN, np.int8)
    generator = np.random.default_rng(SPLIT_SEED)
    for digit in range(10):
        rows = generator.permutation(np.flatnonzero(label == digit))
        part[rows[: round(TEST_SHARE * len(rows))]] = TEST
    digest = sha256_hex(digits.images.astype(np.uint8).tobytes() + label.tobytes() + part.tobytes())
    return Written("embedded", enlarge(digits.images), label, part, digest)


def read_speech(path: Path = SPEECH_FILE) -> Spoken:
    """Read the spoken digits of ``embedded_speech.npz``: one byte per value, ``low + step * code`` per coefficient."""
    arrays = read_npz(path, SPEECH_KINDS, expected="the embedded spoken digits", max_bytes=64 << 20)
    code, low, step = arrays["code"], arrays["low"], arrays["step"]
    part = np.where(arrays["official_test"], TEST, TRAIN).astype(np.int8)
    label, speaker, names = check_speakers(arrays, part, path)
    if code.shape != (len(label), FRAMES, COEFFICIENTS) or not low.shape == step.shape == (COEFFICIENTS,):
        raise DataError(f"{path}: 'code' has shape {code.shape}; expected uint8 [n, {FRAMES}, {COEFFICIENTS}]")
    values = (low + step * code.astype(np.float32)).astype(np.float32)
    digest = sha256_hex(b"".join(array.tobytes() for array in (code, low, step, label, speaker, part)))
    return Spoken("embedded", label, part, speaker, names, digest, Features(values))
