"""What each width of each unit takes: packed bytes, multiply-accumulates, instructions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tinyfuse.firmware.program import program_of
from tinyfuse.integer.interpreters import IntegerModel
from tinyfuse.quantize.convert import Conversion
from tinyfuse.quantize.layer_size import BIAS_BYTES, REQUANTIZE_BYTES
from tinyfuse.search.groups import Part, Unit


def packed_bytes(part: Part, bits: int) -> int:
    """Packed bytes of one part at a width; the sum over parts is at most one byte for each slice above what
    :func:`tinyfuse.quantize.layer_size.layer_size` counts for the whole layer.
    """
    channels = len(part.layer.bias)
    constants = channels * (BIAS_BYTES + REQUANTIZE_BYTES) if part.start == 0 else 0
    strides = channels if len(part.layer.parts) > 1 else 0
    return -(-part.weights * bits // 8) + constants + strides


def sizes(units: Sequence[Unit], widths: Sequence[int], reference: Conversion,
          instructions: Mapping[int, int] | None = None) -> dict[str, np.ndarray]:
    """By resource float [u, w] for ``units`` and ``widths``; sums over units are what a whole network takes.

    ``reference``: any conversion of the network without 9 bits, which tells how often each kernel is applied.
    ``instructions``: of the whole network by uniform width, measured; each unit takes its share by
    multiply-accumulates.
    """
    pixels = {layer.name: layer.macs // layer.weights for layer in reference.layers}
    macs = np.array([sum(part.weights * pixels[part.layer.name] for part in unit.parts) for unit in units])
    # One slice of 9 bits doubles the whole layer; with two of them this counts too much rather than too little.
    doubled = np.array([sum(part.layer.kernel.size * pixels[part.layer.name] for part in unit.parts) for unit in units])
    found = {"flash": np.array([[sum(packed_bytes(part, bits) for part in unit.parts) for bits in widths]
                                for unit in units], float),
             "macs": np.stack([macs + doubled * (bits == 9) for bits in widths], axis=1).astype(float)}
    if instructions is not None:
        found["instructions"] = np.outer(macs / macs.sum(), [float(instructions[bits]) for bits in widths])
    return found


def needs(conversion: Conversion) -> dict[str, int]:
    """What a converted network takes, exactly: flash and multiply-accumulates."""
    return {"flash": sum(layer.packed_bytes for layer in conversion.layers),
            "macs": sum(layer.macs for layer in conversion.layers)}


def arena_bytes(model: IntegerModel) -> int:
    """Bytes of the arena that the firmware of ``model`` plans."""
    return program_of(model, "net").plan.arena_bytes
