"""Logits of whole parts of data, batch by batch, in inference mode."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyfuse.data.samples import Samples

PREDICT_BATCH = 250


def predict(model: Any, samples: Samples) -> np.ndarray:
    """Compute the float32 logits [n, classes] of ``samples``, in inference mode."""
    seen = samples.only(tuple(model.input_shape))
    parts = [model.predict_on_batch(dict(seen.take(slice(start, start + PREDICT_BATCH)).inputs))
             for start in range(0, len(seen), PREDICT_BATCH)]
    return np.concatenate(parts)


def accuracy_of(model: Any, samples: Samples) -> float:
    """Share of ``samples`` whose largest logit is that of their label."""
    return float(np.mean(predict(model, samples).argmax(1) == samples.label))
