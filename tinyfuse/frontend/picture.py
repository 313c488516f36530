"""Pictures: grey or colour, cropped, resized and scaled, with Pillow's integer arithmetic as the definition."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from tinyfuse.core.errors import DataError
from tinyfuse.frontend.base import FrontEnd, Range

MAX_SIDE = 4096
MAX_PIXELS = 1 << 26


@dataclass(frozen=True, kw_only=True)
class Picture(FrontEnd):
    """A picture of ``size`` (height, width), [height, width, 1 or 3].

    ``colour``: "grey" is ITU-R 601 luma; transparency is ignored. ``crop`` of a picture of other proportions: "centre"
    cuts to the middle, "pad" adds black bars, "stretch" distorts. ``resize``: how pixels are made of pixels. ``scale``:
    the values that black (0) and white (255) become.
    """

    kind: ClassVar[str] = "picture"
    size: tuple[int, int]
    colour: Literal["grey", "rgb"] = "grey"
    crop: Literal["centre", "pad", "stretch"] = "centre"
    resize: Literal["nearest", "box", "bilinear", "bicubic"] = "bilinear"
    scale: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        if not 1 <= min(self.size) <= max(self.size) <= MAX_SIDE:
            raise DataError(f"{self.label}: size {list(self.size)}; give height and width of 1 to {MAX_SIDE} pixels")
        if not all(map(math.isfinite, self.scale)) or self.scale[0] >= self.scale[1]:
            raise DataError(f"{self.label}: scale {list(self.scale)}; give two finite numbers, the first below the "
                            "second")
        super().__post_init__()

    @property
    def values_shape(self) -> tuple[int, ...]:
        """Shape of the values: height, width, channels."""
        return (*self.size, 1 if self.colour == "grey" else 3)

    @property
    def axes(self) -> dict[str, tuple[int, int]]:
        """Rows, columns and, in colour, channels."""
        height, width, channels = self.values_shape
        planes = {"channels": (1, channels)} if channels > 1 else {}
        return {"rows": (width * channels, height), "columns": (channels, width), **planes}

    @property
    def natural_range(self) -> Range | None:
        """What black and white become."""
        return self.scale

    def features(self, raw: np.ndarray, *, rate: int | None = None) -> np.ndarray:
        """Compute the values of one picture, uint8 or uint16 [h, w] or [h, w, channels]; ``rate`` has no meaning."""
        from PIL import Image

        image = Image.fromarray(self._pixels(np.asarray(raw)))
        image = self._sized(image.convert("L" if self.colour == "grey" else "RGB"))
        low, high = map(np.float32, self.scale)
        pixels = np.asarray(image, np.float32).reshape(self.values_shape) / np.float32(255)
        return np.asarray(pixels * (high - low) + low, np.float32)

    def _pixels(self, raw: np.ndarray) -> np.ndarray:
        """Check one picture and bring it to uint8 [h, w] or [h, w, 3]."""
        channels = raw.shape[2] if raw.ndim == 3 else 1
        if raw.ndim not in (2, 3) or channels not in (1, 2, 3, 4) or raw.dtype not in (bool, np.uint8, np.uint16):
            raise DataError(f"{self.label}: a picture is {raw.dtype} of shape {list(raw.shape)}; give uint8 or uint16 "
                            "of shape [height, width] or [height, width, 1 to 4 channels]")
        if not 1 <= raw.size <= MAX_PIXELS:
            raise DataError(f"{self.label}: a picture has shape {list(raw.shape)}; allowed: 1 to {MAX_PIXELS} values")
        pixels = np.asarray(raw // 257 if raw.dtype == np.uint16 else raw * 255 if raw.dtype == bool else raw, np.uint8)
        if pixels.ndim == 3:
            pixels = pixels[..., :3] if channels > 2 else pixels[..., 0]
        return np.ascontiguousarray(pixels)

    def _sized(self, image: Any) -> Any:
        from PIL import Image, ImageOps

        method, (height, width) = Image.Resampling[self.resize.upper()], self.size
        if self.crop == "stretch":
            return image.resize((width, height), method)
        fit = ImageOps.fit if self.crop == "centre" else ImageOps.pad
        return fit(image, (width, height), method=method)
