"""Test vectors: input codes that say something about exactness, and the output codes that TFLite Micro gives."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tinyfuse.core.errors import DataError
from tinyfuse.integer.executors import open_executor
from tinyfuse.integer.executors.installed import oracle_or_twin
from tinyfuse.integer.model import IntegerModel, Port

SATURATED = 4
"""Vectors whose codes are lowest and highest at random, beside those that are so throughout."""


@dataclass(frozen=True, eq=False)
class Vectors:
    """``codes`` [n, ...] by input name in the model's order, ``outputs`` [n, k]; the first ``extreme`` saturate.

    Several outputs stand one behind the other, as :func:`joined` makes of them.
    """

    codes: Mapping[str, np.ndarray]
    outputs: np.ndarray
    extreme: int

    def __len__(self) -> int:
        return len(self.outputs)

    def stream(self, rows: list[int] | None = None) -> bytes:
        """Write what the harness reads: a 32-bit count, then vector by vector all inputs, little-endian."""
        chosen = range(len(self)) if rows is None else rows
        parts = [np.ascontiguousarray(value[row]).astype(value.dtype.newbyteorder("<")).tobytes()
                 for row in chosen for value in self.codes.values()]
        return struct.pack("<I", len(chosen)) + b"".join(parts)

    def output_stream(self, rows: list[int] | None = None) -> bytes:
        """Write the output codes of all vectors or of ``rows``, little-endian."""
        chosen = self.outputs if rows is None else self.outputs[rows]
        return chosen.astype(chosen.dtype.newbyteorder("<")).tobytes()


def make_vectors(model: IntegerModel, codes: Mapping[str, np.ndarray]) -> Vectors:
    """Join extreme vectors and ``codes`` [n, ...], with TFLite Micro's outputs."""
    extreme = _extremes(model)
    together = {port.name: np.concatenate([extreme[port.name], codes[port.name].astype(port.dtype)])
                for port in model.inputs}
    return Vectors(together, tflm_outputs(model, together), len(next(iter(extreme.values()))))


def tflm_outputs(model: IntegerModel, codes: Mapping[str, np.ndarray]) -> np.ndarray:
    """Run ``codes`` [n, ...] through TFLite Micro; return the :func:`joined` codes of all outputs [n, k]."""
    executor = open_executor(model, oracle_or_twin())
    if len(model.outputs) == 1:
        return executor.run(codes)
    tensors = executor.tensors(codes)
    return joined([tensors[index].reshape(len(tensors[index]), -1) for index in model.graph.outputs])


def joined(outputs: Sequence[np.ndarray]) -> np.ndarray:
    """Put codes [n, k] of several outputs one behind the other; as bytes (little-endian) where their types differ."""
    if len({one.dtype for one in outputs}) > 1:
        outputs = [np.ascontiguousarray(one.astype(one.dtype.newbyteorder("<"))).view(np.uint8) for one in outputs]
    return np.concatenate(outputs, axis=1)


def separated(outputs: np.ndarray, ports: Sequence[Port]) -> dict[str, np.ndarray]:
    """Take :func:`joined` codes of ``ports`` apart, by name."""
    rows = np.ascontiguousarray(outputs.astype(outputs.dtype.newbyteorder("<"))).view(np.uint8)
    found, start = {}, 0
    for port in ports:
        size = int(np.prod(port.shape)) * np.dtype(port.dtype).itemsize
        part = np.ascontiguousarray(rows[:, start:start + size]).view(np.dtype(port.dtype).newbyteorder("<"))
        found[port.name] = part.astype(port.dtype)
        start += size
    return found


def _extremes(model: IntegerModel) -> dict[str, np.ndarray]:
    """All inputs lowest; all highest; one highest while the others are lowest; random ends."""
    rng, grids, count = np.random.default_rng(0), model.grids, len(model.inputs)
    alone = range(count) if count > 1 else ()
    found = {}
    for place, port in enumerate(model.inputs):
        shape, (low, high) = port.shape[1:], (grids[port.name].low, grids[port.name].high)
        levels = [low, high, *(high if place == one else low for one in alone)]
        rows = [np.full(shape, level) for level in levels]
        rows += [rng.choice([low, high], shape) for _ in range(SATURATED)]
        found[port.name] = np.stack(rows).astype(port.dtype)
    return found


def read_vectors(model: IntegerModel, stream: bytes, extreme: int) -> Vectors:
    """Read vectors that :meth:`Vectors.stream` wrote, with outputs computed anew by TFLite Micro.

    Raises DataError unless the bytes are as many as ``model`` needs for the count that the stream begins with.
    """
    sizes = [int(np.prod(port.shape)) * np.dtype(port.dtype).itemsize for port in model.inputs]
    count = struct.unpack("<I", stream[:4])[0] if len(stream) >= 4 else 0
    if not count or len(stream) != 4 + count * sum(sizes) or not 0 <= extreme <= count:
        raise DataError(f"test vectors: {len(stream)} bytes do not hold {count} vectors of {sum(sizes)} bytes; export "
                        "the package again")
    rows = np.frombuffer(stream, np.uint8, offset=4).reshape(count, sum(sizes))
    codes, start = {}, 0
    for port, size in zip(model.inputs, sizes, strict=True):
        part = np.ascontiguousarray(rows[:, start:start + size])
        codes[port.name] = part.view(np.dtype(port.dtype).newbyteorder("<")).astype(port.dtype).reshape(
            count, *port.shape[1:])
        start += size
    return Vectors(codes, tflm_outputs(model, codes), extreme)


def crc32(data: bytes) -> str:
    """Compute the CRC-32 (IEEE 802.3, as in zlib) of ``data``: eight hexadecimal digits."""
    return f"{zlib.crc32(data):08x}"
