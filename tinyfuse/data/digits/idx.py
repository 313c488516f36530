"""The IDX format of MNIST: big-endian magic, counts, then bytes; plain or gzip."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np

from tinyfuse.core.errors import DataError
from tinyfuse.core.files import sha256_hex
from tinyfuse.data.digits.corpus import TEST, TRAIN, Written, check_labels
from tinyfuse.data.digits.features import SIDE
from tinyfuse.data.read_files import gunzip, read_file

IMAGE_MAGIC, LABEL_MAGIC = 0x803, 0x801
IMAGES, LABELS = "images-idx3-ubyte", "labels-idx1-ubyte"
MAX_IDX_BYTES = 256 << 20
PARTS = {TRAIN: "train", TEST: "t10k"}


def read_idx(path: Path, magic: int) -> np.ndarray:
    """Read the uint8 array of an IDX file: [n, rows, columns] for images (0x803), [n] for labels (0x801)."""
    expected = f"an IDX file with magic 0x{magic:08x}"
    data = read_file(path, expected=expected, max_bytes=MAX_IDX_BYTES)
    if data[:2] == b"\x1f\x8b":
        data = gunzip(path, data, expected=expected, max_bytes=MAX_IDX_BYTES)
    dimensions = magic & 0xFF
    header_bytes = 4 + 4 * dimensions
    if len(data) < header_bytes:
        raise DataError(f"{path}: {len(data)} bytes are too few; expected {expected}")
    found, *shape = struct.unpack(f">{1 + dimensions}I", data[:header_bytes])
    if found != magic:
        raise DataError(f"{path}: magic number 0x{found:08x}; expected {expected}")
    if math.prod(shape) != len(data) - header_bytes:
        raise DataError(f"{path}: its header announces {math.prod(shape)} values, it holds {len(data) - header_bytes}; "
                        f"expected {expected}")
    return np.frombuffer(data, np.uint8, offset=header_bytes).reshape(shape)


def has_mnist(folder: Path) -> bool:
    """Tell whether at least one of the four MNIST files lies in ``folder`` or ``folder/mnist``."""
    return any(_find(folder, f"{part}-{kind}") for part in PARTS.values() for kind in (IMAGES, LABELS))


def _find(folder: Path, name: str) -> Path | None:
    candidates = (place / f"{variant}{suffix}" for place in (folder / "mnist", folder)
                  for variant in (name, name.replace("-idx", ".idx")) for suffix in (".gz", ""))
    return next((path for path in candidates if path.is_file()), None)


def _read(folder: Path, name: str, magic: int) -> tuple[Path, np.ndarray]:
    path = _find(folder, name)
    if path is None:
        raise DataError(f"{folder}: no MNIST file {name}; expected it or {name}.gz there or in mnist/")
    return path, read_idx(path, magic)


def read_mnist(folder: Path) -> Written:
    """Read MNIST from ``folder`` or ``folder/mnist``: train and test files, 28x28, labels 0..9."""
    images, labels = [], []
    for name in PARTS.values():
        image_path, image = _read(folder, f"{name}-{IMAGES}", IMAGE_MAGIC)
        label_path, label = _read(folder, f"{name}-{LABELS}", LABEL_MAGIC)
        if image.shape[1:] != (SIDE, SIDE) or not len(image):
            raise DataError(f"{image_path}: images of shape {image.shape}; expected [n, {SIDE}, {SIDE}] with n > 0")
        if len(image) != len(label):
            raise DataError(f"{label_path}: {len(label)} labels for {len(image)} images in {image_path.name}")
        images.append(image)
        labels.append(check_labels(label, label_path))
    all_images, all_labels = np.concatenate(images), np.concatenate(labels)
    part = np.repeat(np.array(list(PARTS), np.int8), [len(label) for label in labels])
    return Written("mnist", all_images, all_labels, part, sha256_hex(all_images.tobytes() + all_labels.tobytes()))
