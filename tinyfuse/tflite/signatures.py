"""How many inputs each operator takes and which options it must have; operators that are not listed pass unchecked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tinyfuse.core.errors import ModelError
from tinyfuse.tflite import flatbuffer

Option = int | float | bool | str
MAX_EXTENT = 4096  # of a window, a stride, a dilation or a depth multiplier
_EXTENTS = ("stride_h", "stride_w", "dilation_h_factor", "dilation_w_factor", "filter_height", "filter_width",
            "depth_multiplier")
_ENUMS = {"padding": "Padding", "fused_activation_function": "ActivationFunctionType",
          "quantized_bias_type": "TensorType", "weights_format": "FullyConnectedOptionsWeightsFormat"}
_MANY = 1 << 10


@dataclass(frozen=True)
class Signature:
    """From ``least`` to ``most`` inputs; the schema's class of ``options``, empty where none are needed."""

    least: int
    most: int
    options: str = ""


SIGNATURES = {
    "CONV_2D": Signature(2, 3, "Conv2DOptions"),
    "DEPTHWISE_CONV_2D": Signature(2, 3, "DepthwiseConv2DOptions"),
    "FULLY_CONNECTED": Signature(2, 3, "FullyConnectedOptions"),
    "AVERAGE_POOL_2D": Signature(1, 1, "Pool2DOptions"),
    "MAX_POOL_2D": Signature(1, 1, "Pool2DOptions"),
    "MEAN": Signature(2, 2, "ReducerOptions"),
    "ADD": Signature(2, 2, "AddOptions"),
    "SUB": Signature(2, 2, "SubOptions"),
    "MUL": Signature(2, 2, "MulOptions"),
    "MINIMUM": Signature(2, 2),
    "MAXIMUM": Signature(2, 2),
    "CONCATENATION": Signature(1, _MANY, "ConcatenationOptions"),
    "PAD": Signature(2, 2),
    "PADV2": Signature(3, 3),
    "RESHAPE": Signature(1, 2),
    "STRIDED_SLICE": Signature(4, 4, "StridedSliceOptions"),
    "TRANSPOSE": Signature(2, 2),
    "QUANTIZE": Signature(1, 1),
    "DEQUANTIZE": Signature(1, 1),
    "RELU": Signature(1, 1),
    "RELU6": Signature(1, 1),
    "LEAKY_RELU": Signature(1, 1, "LeakyReluOptions"),
    "LOGISTIC": Signature(1, 1),
    "TANH": Signature(1, 1),
    "SOFTMAX": Signature(1, 1, "SoftmaxOptions"),
}
_ANY = Signature(1, _MANY)


def check_inputs(operator: str, inputs: tuple[int, ...]) -> None:
    """Refuse a wrong number of inputs; only the third and later ones, such as a bias, may be absent (-1)."""
    signature = SIGNATURES.get(operator, _ANY)
    if not signature.least <= len(inputs) <= signature.most:
        number = f"{signature.least}" if signature.least == signature.most else f"{signature.least} to {signature.most}"
        raise ModelError(f"{len(inputs)} inputs, but it takes {number}")
    if -1 in inputs[:2] or (operator == "CONCATENATION" and -1 in inputs):
        raise ModelError(f"its input {inputs.index(-1)} is missing")


def scalar_options(operator: str, given: Any) -> Mapping[str, Option]:
    """The scalars of ``given`` (an options object of the schema, or None) in snake case, enums by name."""
    wanted = SIGNATURES.get(operator, _ANY).options
    if wanted and type(given).__name__ != f"{wanted}T":
        found = "no options" if given is None else type(given).__name__[:-1]
        raise ModelError(f"{found}, but it needs {wanted}; convert the model again")
    options = {} if given is None else vars(given)
    return {key: _checked(key, value) for key, value in ((_snake(name), value) for name, value in options.items())
            if isinstance(value, (int, float, bool))}


def _checked(key: str, value: Option) -> Option:
    if key in _ENUMS:
        name = flatbuffer.value_name(_ENUMS[key], int(value))
        if name is None:
            raise ModelError(f"option {key} is {value}, which the schema does not know; convert the model again")
        if name.startswith("SHUFFLED"):
            raise ModelError(f"option {key} is {name}, which no microcontroller reads; convert the model for those")
        return name
    if key in _EXTENTS and not 1 <= int(value) <= MAX_EXTENT:
        raise ModelError(f"option {key} is {value}; 1 to {MAX_EXTENT} is allowed")
    return value


def _snake(name: str) -> str:
    """``strideH`` -> ``stride_h``."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
