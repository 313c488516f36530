"""One epoch of augmented training pairs, decided by (seed, epoch) alone so that training can resume exactly."""

from __future__ import annotations

import numpy as np

from tinyfuse.core.backend import tensorflow
from tinyfuse.data import Dataset

MAX_ROTATION_DEGREES = 12.0
MAX_SHIFT_PIXELS = 2.5


def epoch_generator(seed: int, epoch: int) -> np.random.Generator:
    """Random numbers of one epoch, independent of every other epoch."""
    return np.random.default_rng([seed, epoch])


def rotate_and_shift(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rotate each float32 [n, 28, 28, 1] image by up to 12 degrees and shift it by up to 2.5 pixels, zero fill."""
    n, height, width = image.shape[:3]
    angle = np.deg2rad(rng.uniform(-MAX_ROTATION_DEGREES, MAX_ROTATION_DEGREES, n))
    shift_x, shift_y = rng.uniform(-MAX_SHIFT_PIXELS, MAX_SHIFT_PIXELS, (2, n))
    cos, sin, cx, cy = np.cos(angle), np.sin(angle), (width - 1) / 2, (height - 1) / 2
    zero = np.zeros(n)
    transforms = np.stack([cos, -sin, cx - cos * cx + sin * cy + shift_x,
                           sin, cos, cy - sin * cx - cos * cy + shift_y, zero, zero], axis=1)
    tf = tensorflow()
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=image, transforms=transforms.astype(np.float32), output_shape=np.array([height, width], np.int32),
        fill_value=np.float32(0), interpolation="BILINEAR", fill_mode="CONSTANT")
    return np.asarray(moved)


def epoch_batches(dataset: Dataset, *, seed: int, epoch: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Shuffled, augmented inputs and labels of one epoch: every training pair once.

    The spoken half of a pair is a random variant of its utterance (time shift, level, background noise).
    """
    rng = epoch_generator(seed, epoch)
    order = rng.permutation(len(dataset.train))
    image = rotate_and_shift(dataset.train.image[order], rng)
    variant = rng.integers(dataset.variants.audio.shape[1], size=len(order))
    audio = dataset.variants.audio[dataset.variants.row_of_pair[order], variant]
    return {"image": image, "audio": audio}, dataset.train.label[order]
