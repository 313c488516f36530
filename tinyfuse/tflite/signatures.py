"""How many inputs each operator takes and which options it must have; operators that are not listed pass unchecked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tinyfuse.core.errors import ModelError
from tinyfuse.tflite.flatbuffer import schema, value_name
from tinyfuse.tflite.graph import Option

MAX_EXTENT = 4096  # of a window, a stride, a dilation or a depth multiplier
_EXTENTS = ("stride_h", "stride_w", "dilation_h_factor", "dilation_w_factor", "filter_height", "filter_width",
            "depth_multiplier")
_ENUMS = {"padding": "Padding", "fused_activation_function": "ActivationFunctionType",
          "quantized_bias_type": "TensorType", "in_data_type": "TensorType", "out_data_type": "TensorType",
          "weights_format": "FullyConnectedOptionsWeightsFormat"}
_MANY = 1 << 10
_LISTS = {"squeeze_dims"}
"""Options that are lists of integers, kept as words."""


@dataclass(frozen=True)
class Signature:
    """From ``least`` to ``most`` inputs; the schema's class of ``options``, empty where none are needed."""

    least: int
    most: int
    options: str = ""


SIGNATURES = {
    **dict.fromkeys(("ABS", "RSQRT", "QUANTIZE", "DEQUANTIZE", "RELU", "RELU6", "LOGISTIC", "TANH"), Signature(1, 1)),
    **dict.fromkeys(("ELU", "HARD_SWISH", "LOG_SOFTMAX"), Signature(1, 1)),
    **dict.fromkeys(("MINIMUM", "MAXIMUM", "PAD", "PRELU", "SQUARED_DIFFERENCE", "TRANSPOSE"), Signature(2, 2)),
    **dict.fromkeys(("MEAN", "SUM", "REDUCE_ALL", "REDUCE_MAX", "REDUCE_MIN"), Signature(2, 2, "ReducerOptions")),
    **dict.fromkeys(("SHAPE", "RANK", "SQUEEZE", "CAST", "ZEROS_LIKE"), Signature(1, 1)),
    **dict.fromkeys(("ARG_MAX", "ARG_MIN", "EXPAND_DIMS", "FILL", "SPLIT"), Signature(2, 2)),
    **dict.fromkeys(("SLICE", "SPLIT_V"), Signature(3, 3)),
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D"), Signature(1, 1, "Pool2DOptions")),
    **dict.fromkeys(("EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"), Signature(2, 2)),
    **dict.fromkeys(("LOGICAL_AND", "LOGICAL_OR", "REVERSE_V2", "BROADCAST_TO"), Signature(2, 2)),
    "ADD": Signature(2, 2, "AddOptions"),
    "ADD_N": Signature(2, _MANY),
    "CUMSUM": Signature(2, 2, "CumsumOptions"),
    "BATCH_MATMUL": Signature(2, 2, "BatchMatMulOptions"),
    "CONCATENATION": Signature(1, _MANY, "ConcatenationOptions"),
    "CONV_2D": Signature(2, 3, "Conv2DOptions"),
    "DEPTHWISE_CONV_2D": Signature(2, 3, "DepthwiseConv2DOptions"),
    "DIV": Signature(2, 2, "DivOptions"),
    "GATHER": Signature(2, 2, "GatherOptions"),
    "GATHER_ND": Signature(2, 2),
    "DEPTH_TO_SPACE": Signature(1, 1, "DepthToSpaceOptions"),
    "SPACE_TO_DEPTH": Signature(1, 1, "SpaceToDepthOptions"),
    "FULLY_CONNECTED": Signature(2, 3, "FullyConnectedOptions"),
    "L2_NORMALIZATION": Signature(1, 1, "L2NormOptions"),
    "LOGICAL_NOT": Signature(1, 1),
    "MIRROR_PAD": Signature(2, 2, "MirrorPadOptions"),
    "SELECT_V2": Signature(3, 3),
    "LEAKY_RELU": Signature(1, 1, "LeakyReluOptions"),
    "MUL": Signature(2, 2, "MulOptions"),
    "PACK": Signature(1, _MANY, "PackOptions"),
    "PADV2": Signature(3, 3),
    "RESHAPE": Signature(1, 2),
    "RESIZE_BILINEAR": Signature(2, 2, "ResizeBilinearOptions"),
    "RESIZE_NEAREST_NEIGHBOR": Signature(2, 2, "ResizeNearestNeighborOptions"),
    "SOFTMAX": Signature(1, 1, "SoftmaxOptions"),
    "STRIDED_SLICE": Signature(4, 4, "StridedSliceOptions"),
    "SUB": Signature(2, 2, "SubOptions"),
    "SVDF": Signature(5, 5, "SVDFOptions"),
    "TRANSPOSE_CONV": Signature(3, 4, "TransposeConvOptions"),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": Signature(24, 24, "UnidirectionalSequenceLSTMOptions"),
    "UNPACK": Signature(1, 1, "UnpackOptions"),
}
_ANY = Signature(1, _MANY)
_WHOLE = ("ADD_N", "CONCATENATION", "PACK", "SELECT_V2")
"""Operators that need all their inputs."""


def check_inputs(operator: str, inputs: tuple[int, ...]) -> None:
    """Refuse a wrong number of inputs; only the third and later ones, such as a bias, may be absent (-1)."""
    signature = SIGNATURES.get(operator, _ANY)
    if not signature.least <= len(inputs) <= signature.most:
        number = f"{signature.least}" if signature.least == signature.most else f"{signature.least} to {signature.most}"
        raise ModelError(f"{len(inputs)} inputs, but it takes {number}")
    needed = len(inputs) if operator in _WHOLE else {"TRANSPOSE_CONV": 3}.get(operator, 2)
    if -1 in inputs[:needed]:
        raise ModelError(f"its input {inputs.index(-1)} is missing")


def scalar_options(operator: str, given: Any) -> Mapping[str, Option]:
    """Read the scalars of ``given`` (an options object of the schema, or None) in snake case, enums by name.

    The list ``squeeze_dims`` is read as words. Where a file has no options, interpreters take 0 for each.
    """
    wanted = SIGNATURES.get(operator, _ANY).options
    if wanted and given is None:
        given = getattr(schema(), f"{wanted}T")()
        vars(given).update(dict.fromkeys(vars(given), 0))
    if wanted and type(given).__name__ != f"{wanted}T":
        raise ModelError(f"{type(given).__name__[:-1]}, but it needs {wanted}; convert the model again")
    options = {re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", name): value
               for name, value in ({} if given is None else vars(given)).items()}
    read: dict[str, Option] = {key: _checked(key, value) for key, value in options.items()
                               if isinstance(value, (int, float, bool))}
    for key in _LISTS & options.keys():
        read[key] = " ".join(str(int(one)) for one in (() if options[key] is None else options[key]))
    return read


def _checked(key: str, value: Option) -> Option:
    if key in _ENUMS:
        name = value_name(_ENUMS[key], int(value))
        if name is None:
            raise ModelError(f"option {key} is {value}, which the schema does not know; convert the model again")
        if name.startswith("SHUFFLED"):
            raise ModelError(f"option {key} is {name}, which no microcontroller reads; convert the model for those")
        return name
    if key in _EXTENTS and not 1 <= int(value) <= MAX_EXTENT:
        raise ModelError(f"option {key} is {value}; 1 to {MAX_EXTENT} is allowed")
    return value
