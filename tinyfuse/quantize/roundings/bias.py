"""Method "bias": biases take back what rounded weights add to each channel's mean output."""

from __future__ import annotations

from dataclasses import replace

from tinyfuse.quantize.weight_codes import RoundedLayer


def refine(layer: RoundedLayer) -> RoundedLayer:
    """Correct the bias: b - (W_q - W) E[x] (Nagel et al. 2019, section 4.2, with E[x] measured instead of derived)."""
    shift = (layer.codes.real - layer.kernel).reshape(len(layer.kernel), -1) @ layer.mean
    return replace(layer, bias=layer.bias - shift)
