"""The IDX format of MNIST: big-endian magic, counts, then bytes; plain or gzip."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np

from tinyfuse.core.errors import DataError
from tinyfuse.core.files import sha256_hex
from tinyfuse.data.digits.readers import gunzip, read_file
from tinyfuse.data.digits.sources import SIDE, TEST, TRAIN, Written, check_labels

IMAGE_MAGIC, LABEL_MAGIC = 0x803, 0x801
MAX_IDX_BYTES = 256 << 20
PARTS = {TRAIN: "train", TEST: "t10k"}


def read_idx(path: Path, magic: int) -> np.ndarray:
    """uint8 array of an IDX file: [n, rows, columns] for images (0x803), [n] for labels (0x801)."""
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
    """Whether at least one of the four MNIST files lies in ``folder`` or ``folder/mnist``."""
    return any(_find(folder, part, kind) is not None for part in PARTS.values() for kind in ("images", "labels"))


def _find(folder: Path, part: str, kind: str) -> Path | None:
    name = f"{part}-{kind}-idx{3 if kind == 'images' else 1}-ubyte"
    variants = (name, name.replace("-idx", ".idx"))
    candidates = [place / f"{variant}{suffix}" for place in (folder / "mnist", folder)
                  for variant in variants for suffix in (".gz", "")]
    return next((path for path in candidates if path.is_file()), None)


def _require(folder: Path, part: str, kind: str) -> Path:
    path = _find(folder, part, kind)
    if path is None:
        name = f"{part}-{kind}-idx{3 if kind == 'images' else 1}-ubyte"
        raise DataError(f"{folder}: no MNIST {kind} for '{part}'; expected {name} or {name}.gz there or in mnist/")
    return path


def read_mnist(folder: Path) -> Written:
    """MNIST from ``folder`` or ``folder/mnist``: train and test files, 28x28, labels 0..9."""
    images, labels, parts = [], [], []
    for part, name in PARTS.items():
        image_path, label_path = _require(folder, name, "images"), _require(folder, name, "labels")
        image, label = read_idx(image_path, IMAGE_MAGIC), read_idx(label_path, LABEL_MAGIC)
        if image.shape[1:] != (SIDE, SIDE) or not len(image):
            raise DataError(f"{image_path}: images of shape {image.shape}; expected [n, {SIDE}, {SIDE}] with n > 0")
        if len(image) != len(label):
            raise DataError(f"{label_path}: {len(label)} labels for {len(image)} images in {image_path.name}")
        images.append(image)
        labels.append(check_labels(label, label_path))
        parts.append(np.full(len(label), part, np.int8))
    all_images, all_labels = np.concatenate(images), np.concatenate(labels)
    digest = sha256_hex(all_images.tobytes() + all_labels.tobytes())
    unknown = np.full(len(all_labels), -1, np.int32)
    return Written("mnist", all_images, all_labels, np.concatenate(parts), unknown, digest)
