"""Logits of whole parts of data, batch by batch, in inference mode."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tinyfuse.core.backend import tensorflow
from tinyfuse.data.samples import Samples

PREDICT_BATCH = 250


def predict(model: Any, samples: Samples) -> np.ndarray:
    """Compute the float32 logits [n, classes] of ``samples``, in inference mode."""
    return np.asarray(in_batches(model.predict_on_batch, samples.only(tuple(model.input_shape)).inputs))


def in_batches(compute: Callable[[dict[str, np.ndarray]], Any], inputs: Mapping[str, Any]) -> Any:
    """Join what ``compute`` returns for batches of ``inputs`` [n, ...]: arrays [n, ...] in the structure of that."""
    count = len(next(iter(inputs.values())))
    parts = [compute({name: np.asarray(values[start:start + PREDICT_BATCH]) for name, values in inputs.items()})
             for start in range(0, count, PREDICT_BATCH)]
    return tensorflow().nest.map_structure(lambda *values: np.concatenate([np.asarray(one) for one in values]), *parts)


def accuracy_of(model: Any, samples: Samples) -> float:
    """Share of ``samples`` whose largest logit is that of their label."""
    return float(np.mean(predict(model, samples).argmax(1) == samples.label))
