"""The one place that loads TensorFlow: late (it takes seconds), quiet, and with deterministic kernels."""

from __future__ import annotations

import functools
import logging
import os
from typing import Any


@functools.cache
def tensorflow() -> Any:
    """Import TensorFlow without its start-up messages and with op determinism switched on."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    with stderr_silenced():
        import tensorflow as tf
        import tf_keras  # noqa: F401

        tf.config.list_physical_devices()
    tf.get_logger().setLevel(logging.ERROR)
    tf.config.experimental.enable_op_determinism()
    return tf


class stderr_silenced:
    """Send file descriptor 2 to nowhere: the C++ side of TensorFlow and TFLite logs past ``sys.stderr``."""

    def __enter__(self) -> None:
        self._saved = os.dup(2)
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, 2)
        os.close(sink)

    def __exit__(self, *_: object) -> None:
        os.dup2(self._saved, 2)
        os.close(self._saved)
