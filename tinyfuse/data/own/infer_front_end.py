"""A front end for files of which nothing is said, chosen by a look at some of the training files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tinyfuse.core.errors import DataError
from tinyfuse.data.own.media import decode, read_bytes
from tinyfuse.frontend.array import Array
from tinyfuse.frontend.base import FrontEnd
from tinyfuse.frontend.picture import Picture
from tinyfuse.frontend.spectrum import Mfcc

LOOKED_AT = 64
LARGEST_SIDE = 128
COMMON_SIDE = 96
KEYWORDS = Mfcc(rate=16000, length=16000, window=512, hop=320, bands=40, coefficients=10)
"""One second at 16 kHz in 49 frames of 10 coefficients, the size of MLPerf Tiny's keyword spotting."""


def infer_front_end(kind: str, paths: Sequence[Path]) -> tuple[FrontEnd, str]:
    """Choose a front end for files of ``kind`` (picture, sound or sequence), and say in words which."""
    some = [paths[place] for place in np.unique(np.linspace(0, len(paths) - 1, LOOKED_AT).astype(int))]
    raw = [decode(path, read_bytes(path)) for path in some]
    if kind == "sound":
        return _for_sounds([len(samples) / float(rate or 1) for samples, rate in raw])
    arrays = [array for array, _ in raw]
    return _for_pictures(arrays) if kind == "picture" else _for_sequences(arrays, some)


def _for_sounds(seconds: Sequence[float]) -> tuple[FrontEnd, str]:
    return KEYWORDS, (f"recordings of {min(seconds):.2f} to {max(seconds):.2f} s become 49 frames of 10 MFCC of their "
                      'first second at 16 kHz (kind = "mfcc" in dataset.toml for others)')


def _for_pictures(arrays: Sequence[np.ndarray]) -> tuple[FrontEnd, str]:
    sizes = Counter(array.shape[:2] for array in arrays)
    first = sizes.most_common(1)[0][0]
    own = len(sizes) == 1 and max(first) <= LARGEST_SIDE
    size = (int(first[0]), int(first[1])) if own else (COMMON_SIDE, COMMON_SIDE)
    colour = any(array.ndim == 3 for array in arrays)
    found = Picture(size=size, colour="rgb" if colour else "grey")
    others = f" and {len(sizes) - 1} other sizes" if len(sizes) > 1 else ""
    said = "their size" if own else f"cut and resized from {'x'.join(map(str, first))}{others}"
    return found, f"pictures in {'colour' if colour else 'grey'} become {size[0]}x{size[1]} ({said}), black 0, white 1"


def _for_sequences(arrays: Sequence[np.ndarray], paths: Sequence[Path]) -> tuple[FrontEnd, str]:
    shapes = Counter(array.shape for array in arrays)
    (first, _), *others = shapes.most_common()
    if not first:
        raise DataError(f"{paths[0]}: one number alone; expected a sequence [steps, channels]")
    other = next((shape for shape, _ in others if shape[1:] != first[1:]), None)
    if other is not None:
        raise DataError(f"{paths[[array.shape for array in arrays].index(other)]}: shape {list(other)}, but others "
                        f"have {list(first)}; expected the same number of columns in all")
    size = max(shapes)
    said = "" if not others else f", shorter ones (from {min(shapes)[0]}) with zeros at their end"
    return (Array(size=tuple(map(int, size)), placement="start"),
            f"sequences become {'x'.join(map(str, size))}{said}, standardised")
