"""What a user has in memory as plain arrays: numpy, lists, tensors, columns of a data frame, a ``tf.data`` pipeline.

Nothing is imported for it: things are known by what they can do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tinyfuse.core.errors import DataError


def as_array(values: Any, name: str) -> np.ndarray:
    """Turn ``values`` into one array of numbers or texts, [n, ...]; ``name`` says in errors whose they are.

    Memory-mapped arrays stay on disk. A column of arrays is stacked, objects that are all texts become texts.
    """
    if isinstance(values, np.ndarray) and not values.dtype.hasobject:
        return values
    try:
        plain = values.numpy() if hasattr(values, "numpy") else values
        array = np.asarray(plain.to_numpy() if hasattr(plain, "to_numpy") else plain)
        return _without_objects(array) if array.dtype.hasobject else array
    except (ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:160]
        wanted = "one class for each sample" if name == "label" else "equal shapes for all samples"
        raise DataError(f"'{name}' cannot be made one array ({reason}); give {wanted}") from None


def _without_objects(array: np.ndarray) -> np.ndarray:
    items = array.ravel().tolist()
    if items and all(isinstance(item, (str, bytes)) for item in items):  # TensorFlow's texts are bytes
        texts = [item.decode("utf-8") if isinstance(item, bytes) else item for item in items]
        return np.asarray(texts, dtype=str).reshape(array.shape)
    for row, item in enumerate(items):
        if _is_missing(item):  # stacked with texts, NaN would become the text "nan"
            raise ValueError(f"it holds {item} in row {row}")
    stacked = np.stack([np.asarray(item) for item in items])
    if stacked.dtype.hasobject:
        raise ValueError("it holds objects that are neither numbers nor texts")
    return stacked


def _is_missing(item: Any) -> bool:
    """Tell whether ``item`` stands for no value in a column of objects: None, NaN, or what pandas has for it."""
    return item is None or (isinstance(item, float) and item != item) or type(item).__name__ in ("NAType", "NaTType")


def is_pipeline(values: Any) -> bool:
    """Tell whether ``values`` is a ``tf.data.Dataset`` or something with the same ways."""
    return hasattr(values, "as_numpy_iterator") and hasattr(values, "element_spec")


def arrays_of_pipeline(pipeline: Any) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Go once through a ``tf.data`` pipeline of (inputs by name, label), batched or not; inputs and labels.

    A single input that has no name is called "input".
    """
    inputs: dict[str, list[np.ndarray]] = {}
    labels: list[np.ndarray] = []
    for element in pipeline.as_numpy_iterator():
        if not isinstance(element, tuple) or len(element) != 2:
            raise DataError("the tf.data pipeline gives no pairs; give (inputs by name, label) for each sample")
        given, label = element
        batch, label = given if isinstance(given, Mapping) else {"input": given}, np.asarray(label)
        for name, values in batch.items():
            inputs.setdefault(str(name), []).append(values if label.ndim else np.asarray(values)[None])
        labels.append(label if label.ndim else label[None])
    if not labels:
        raise DataError("the tf.data pipeline is empty; give (inputs by name, label) for each sample or batch")
    return {name: _joined(parts, name) for name, parts in inputs.items()}, as_array(_joined(labels, "label"), "label")


def _joined(parts: list[np.ndarray], name: str) -> np.ndarray:
    try:
        return np.concatenate(parts)
    except ValueError as error:
        raise DataError(f"'{name}' cannot be made one array ({error}); give equal shapes for all samples") from None
