"""The plain route: the ``.tflite`` as an array, and the operators that TensorFlow Lite Micro has to register."""

from __future__ import annotations

from tinyfuse.firmware.c_text import table
from tinyfuse.tflite.graph import Graph

METHODS = {"CONV_2D": "Conv2D", "DEPTHWISE_CONV_2D": "DepthwiseConv2D", "FULLY_CONNECTED": "FullyConnected",
            "AVERAGE_POOL_2D": "AveragePool2D", "MAX_POOL_2D": "MaxPool2D", "PADV2": "PadV2", "RELU": "Relu",
            "RELU6": "Relu6", "LEAKY_RELU": "LeakyRelu", "STRIDED_SLICE": "StridedSlice"}
"""Methods of TFLM's MicroMutableOpResolver whose names are not the operator's in camel case."""


def resolver(graph: Graph) -> list[str]:
    """What to add to TFLM's resolver, in alphabetical order: ``Conv2D`` for ``AddConv2D()``."""
    return sorted({METHODS.get(one.name, one.name.title().replace("_", "")) for one in graph.operators})


def byte_table(data: bytes) -> str:
    """``data`` as lines of C."""
    return table([f"0x{byte:02x}" for byte in data])
