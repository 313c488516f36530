"""ReLUs that hand on nothing but 0 on all calibration samples: TensorFlow's converter gives them a range of +-1e-6.

That range stands for no value that could occur, and LiteRT's fast kernels refuse a sum of it with another tensor.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyfuse.quantize.tensor_units import MOVING, sources
from tinyfuse.tflite import flatbuffer
from tinyfuse.tflite.editing import set_scale
from tinyfuse.tflite.flatbuffer import operator_name

NO_RANGE = 1e-8
"""A scale at or below this is that of a range of +-1e-6."""


def with_ranges(data: bytes) -> bytes:
    """Give each such ReLU of the int8 graph ``data`` the coarsest scale of what it is made of; else the same bytes.

    One whose codes are handed on as they are, by a reshape for one, stays.
    """
    model = flatbuffer.read(data, "the int8 graph")
    graph = model.subgraphs[0]
    moved = {index for operator in graph.operators if operator_name(model, operator) in MOVING
             for index in sources(model, operator)}
    changed = False
    for operator in graph.operators:
        target = int(operator.outputs[0])
        rectified = getattr(operator.builtinOptions, "fusedActivationFunction", 0) != 0
        if rectified and target not in moved and _scale(graph, target) <= NO_RANGE:
            coarsest = max(_scale(graph, index) for index in sources(model, operator))
            set_scale(graph.tensors[target], np.array([coarsest]), np.array([-128]))
            changed = True
    return flatbuffer.write(model) if changed else data


def _scale(graph: Any, index: int) -> float:
    return float(graph.tensors[index].quantization.scale[0])
