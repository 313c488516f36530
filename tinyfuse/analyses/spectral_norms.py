"""Upper bounds of the L2 operator norm of linear layers that hold for every input: proofs, not power iterations.

A convolution with zero padding is a crop of a circular one on a torus that is large enough: embed, convolve, crop, of
which the first and the last have norm 1. On a torus the discrete Fourier transform makes it block diagonal, one block
[outputs, inputs] for each frequency, so its norm is the largest singular value of any block (Sedghi et al. 2019). With
stride s, on a torus whose side is a multiple of s, the s * s frequencies that alias share a block, the concatenation of
theirs along the inputs, divided by s. Power iteration would converge to the norm from below: no proof.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

ROUNDING = 1 + 1e-9
"""More than the rounding errors of float64 here could take away from a bound."""
_BLOCK_VALUES = 1 << 22


def dense_norm(kernel: np.ndarray) -> float:
    """Compute the largest singular value of ``kernel`` [inputs, outputs]."""
    return float(np.linalg.norm(np.asarray(kernel, np.float64), 2)) * ROUNDING


def convolution_norm(kernel: np.ndarray, size: tuple[int, int], strides: tuple[int, int] = (1, 1),
                     dilation: tuple[int, int] = (1, 1)) -> float:
    """Bound the norm of a convolution with ``kernel`` [kh, kw, inputs, outputs] on a map of ``size``, any padding."""
    kernel = _dilated(np.asarray(kernel, np.float64), dilation)
    sides = [_torus(n + k - 1, s) for n, k, s in zip(size, kernel.shape[:2], strides, strict=True)]
    largest = max(float(np.linalg.eigvalsh(_gram(block)).max()) for block in _blocks(kernel, sides, strides))
    return float(np.sqrt(max(largest, 0.0) / (strides[0] * strides[1]))) * ROUNDING


def depthwise_norm(kernel: np.ndarray, size: tuple[int, int], strides: tuple[int, int] = (1, 1),
                   dilation: tuple[int, int] = (1, 1)) -> float:
    """Bound the same of a depthwise ``kernel`` [kh, kw, channels, multiplier]: the largest norm of a channel."""
    return max(convolution_norm(kernel[:, :, channel:channel + 1], size, strides, dilation)
               for channel in range(kernel.shape[2]))


def pooling_norm(size: tuple[int, int], pool: tuple[int, int], strides: tuple[int, int], *, same: bool) -> float:
    """Compute the norm of average pooling: the product of the norms along both axes, which it treats one by one."""
    norms = [np.linalg.norm(_averages(*axis, same=same), 2) for axis in zip(size, pool, strides, strict=True)]
    return float(np.prod(norms)) * ROUNDING


def overlaps(pool: tuple[int, int], strides: tuple[int, int]) -> int:
    """Count the most windows that one value can be in."""
    return int(np.prod([-(-k // s) for k, s in zip(pool, strides, strict=True)]))


def _torus(least: int, stride: int) -> int:
    return -(-least // stride) * stride


def _dilated(kernel: np.ndarray, dilation: tuple[int, int]) -> np.ndarray:
    """Put zeros between the values of ``kernel``."""
    (height, width), (down, across) = kernel.shape[:2], dilation
    found = np.zeros(((height - 1) * down + 1, (width - 1) * across + 1, *kernel.shape[2:]))
    found[::down, ::across] = kernel
    return found


def _blocks(kernel: np.ndarray, sides: list[int], strides: tuple[int, int]) -> Iterator[np.ndarray]:
    """Yield blocks complex [some frequencies, outputs, inputs * aliases]."""
    symbols = np.fft.fft2(kernel, s=sides, axes=(0, 1))
    (high, wide), (down, across) = sides, strides
    inputs, outputs = kernel.shape[2:]
    aliased = symbols.reshape(down, high // down, across, wide // across, inputs, outputs)
    blocks = aliased.transpose(1, 3, 5, 0, 2, 4).reshape(-1, outputs, down * across * inputs)
    step = max(1, _BLOCK_VALUES // blocks[0].size)
    for start in range(0, len(blocks), step):
        yield blocks[start:start + step]


def _gram(blocks: np.ndarray) -> np.ndarray:
    """Multiply each block by its adjoint, on the side that gives the smaller product."""
    adjoint = blocks.conj().transpose(0, 2, 1)
    return np.asarray(blocks @ adjoint if blocks.shape[1] <= blocks.shape[2] else adjoint @ blocks)


def _averages(size: int, pool: int, stride: int, *, same: bool) -> np.ndarray:
    """Write average pooling along one axis as a matrix [outputs, size]; TensorFlow leaves padding out of an average."""
    outputs = -(-size // stride) if same else (size - pool) // stride + 1
    before = max((outputs - 1) * stride + pool - size, 0) // 2 if same else 0
    places = np.arange(size) - np.arange(outputs)[:, None] * stride + before
    inside = (places >= 0) & (places < pool)
    return np.asarray(inside / inside.sum(axis=1, keepdims=True))
