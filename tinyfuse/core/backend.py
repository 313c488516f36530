"""The one place that loads TensorFlow: late (it takes seconds), quiet, and with deterministic kernels."""

from __future__ import annotations

import functools
import logging
import os
import threading
import warnings
from collections.abc import Callable
from typing import Any


@functools.cache
def tensorflow() -> Any:
    """Import TensorFlow without its start-up messages and with op determinism switched on.

    ``tf.keras`` is then ``tf_keras``, which is used here anyway; Keras 3 beside it would take half as long again.
    Convolutions are oneDNN's on every processor (alone TensorFlow takes them only where it has VNNI), and memory is
    kept for the next step instead of being given back, to be cleared again by the kernel: see
    ``benchmarks/training_speed.py``. Whoever has set one of these variables knows better.
    """
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "true")
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    with stderr_silenced():
        import tensorflow as tf
        import tf_keras  # noqa: F401

        tf.config.list_physical_devices()
    tf.get_logger().setLevel(logging.ERROR)
    tf.config.experimental.enable_op_determinism()
    return tf


def compiled(function: Callable[..., Any], **options: Any) -> Any:
    """Return ``function`` as a ``tf.function`` without AutoGraph, so that branches on values need ``tf.cond``.

    AutoGraph would rewrite the source of ``function`` and of every layer that it calls, which takes as long as tracing.
    """
    return tensorflow().function(function, autograph=False, **options)


@functools.cache
def model_optimization() -> Any:
    """Import tensorflow-model-optimization, which compares versions with a class that setuptools calls deprecated."""
    tensorflow()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import tensorflow_model_optimization as tfmot
    return tfmot


@functools.cache
def saved_model_class() -> Any:
    """Return the protobuf class of ``saved_model.pb``, by which a SavedModel can be looked at before it is loaded."""
    tensorflow()
    from tensorflow.core.protobuf import saved_model_pb2

    return saved_model_pb2.SavedModel


class stderr_silenced:
    """Send file descriptor 2 to nowhere: the C++ side of TensorFlow and TFLite logs past ``sys.stderr``.

    The descriptor belongs to the whole process: of several threads the first one sends it away and the last one brings
    it back.
    """

    _lock = threading.Lock()
    _inside = 0
    _saved = -1

    def __enter__(self) -> None:
        kind = type(self)
        with self._lock:
            kind._inside += 1
            if kind._inside == 1:
                try:
                    kind._saved = os.dup(2)
                except OSError:  # closed: nothing to silence
                    kind._saved = -1
                    return
                sink = os.open(os.devnull, os.O_WRONLY)
                os.dup2(sink, 2)
                os.close(sink)

    def __exit__(self, *_: object) -> None:
        kind = type(self)
        with self._lock:
            kind._inside -= 1
            if kind._inside == 0 and kind._saved >= 0:
                os.dup2(kind._saved, 2)
                os.close(kind._saved)
