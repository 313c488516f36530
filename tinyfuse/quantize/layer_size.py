"""What a recipe costs: weights as n-bit fields, and the multiplications of the stock-kernel form."""

from __future__ import annotations

from dataclasses import dataclass

from tinyfuse.quantize.weight_codes import Codes

BIAS_BYTES = 4         # int32
REQUANTIZE_BYTES = 5   # int32 multiplier and int8 shift for each output channel


@dataclass(frozen=True)
class LayerSize:
    """One layer of a converted model.

    ``weight_bits`` are the bits of all its weights together, ``packed_bytes`` these in whole bytes plus bias,
    requantisation and slice strides; ``macs`` counts the doubled channels of 9-bit weights twice.
    """

    name: str
    branches: dict[str, int]
    weights: int
    weight_bits: int
    packed_bytes: int
    macs: int


def layer_size(name: str, codes: Codes, output_pixels: int) -> LayerSize:
    """Sizes of layer ``name`` from its ``codes`` and the number of positions its kernel is applied at."""
    channels = len(codes.scale)
    per_input = codes.values[..., 0].size
    bits = sum((part.stop - part.start) * per_input * part.bits for part in codes.slices)
    strides = codes.stride.size if len(codes.slices) > 1 else 0
    packed = -(-bits // 8) + channels * (BIAS_BYTES + REQUANTIZE_BYTES) + strides
    macs = codes.values.size * output_pixels * (2 if codes.doubled else 1)
    return LayerSize(name, {part.branch: part.bits for part in codes.slices}, codes.values.size, bits, packed, macs)
