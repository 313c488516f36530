"""What a written ``.tflite`` really holds: its weight codes, read back from the bytes."""

from __future__ import annotations

import numpy as np

from tinyfuse.errors import ConversionError
from tinyfuse.quantize import flatbuffer
from tinyfuse.quantize.codes import check
from tinyfuse.quantize.convert import WEIGHTED, Conversion


def written_codes(data: bytes, name: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Weight codes (int16 [o, ..., i], doubled channels added up) and float32 scales [o] by layer name."""
    model = flatbuffer.read(data, name)
    graph = model.subgraphs[0]
    doubled = {int(operator.outputs[0]) for operator in graph.operators
               if flatbuffer.operator_name(model, operator) == "CONCATENATION"
               and len(set(operator.inputs)) == 1}
    found = {}
    for operator in graph.operators:
        if flatbuffer.operator_name(model, operator) in WEIGHTED:
            tensor = graph.tensors[operator.inputs[1]]
            values = flatbuffer.constant(model, tensor, np.int8).astype(np.int16)
            if int(operator.inputs[0]) in doubled:
                half = values.shape[-1] // 2
                values = values[..., :half] + values[..., half:]
            found[tensor.name.decode().removesuffix("/weights")] = (values, np.asarray(tensor.quantization.scale))
    return found


def check_written(conversion: Conversion) -> None:
    """Raise :class:`ConversionError` unless the file holds exactly the n-bit codes that its recipe declares."""
    found = written_codes(conversion.data, conversion.model)
    if set(found) != set(conversion.codes):
        raise ConversionError(f"'{conversion.model}': the file holds layers {', '.join(found)}; "
                              f"expected {', '.join(conversion.codes)}")
    for layer, codes in conversion.codes.items():
        check(codes, layer)
        values, scale = found[layer]
        if not (np.array_equal(values, codes.values) and np.array_equal(scale, codes.scale)):
            raise ConversionError(f"layer '{layer}': the codes in the file are not the codes of "
                                  f"recipe '{conversion.precision.name}'")
