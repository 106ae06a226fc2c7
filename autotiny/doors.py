"""The two doors through which TensorFlow is imported.

They stand apart from the levels: what only knows a graph does not hang on TensorFlow's version.
"""

from __future__ import annotations

import logging
import os
from functools import cache
from typing import Any

THREADS = 2
"""TensorFlow's threads. Fixed: the order of float sums, and so every weight, depends on them."""


@cache
def tensorflow() -> Any:
    """The tensorflow module: quiet, on legacy Keras, deterministic, on `THREADS` threads."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # XLA and oneDNN announce themselves on stderr before Python's logging is asked.
    os.environ.setdefault("GLOG_minloglevel", "3")
    with _silent_stderr():
        import tensorflow as tf

        try:
            tf.config.threading.set_intra_op_parallelism_threads(THREADS)
            tf.config.threading.set_inter_op_parallelism_threads(THREADS)
        except RuntimeError:
            # The caller's process has already run an op: its own thread counts stay.
            logging.getLogger(__name__).debug("TensorFlow was already running")
        tf.config.experimental.enable_op_determinism()
    tf.get_logger().setLevel("ERROR")
    logging.getLogger("absl").setLevel("ERROR")
    return tf


@cache
def keras() -> Any:
    """The tf_keras module: Keras 2, which TensorFlow's model optimization toolkit needs."""
    tensorflow()
    import tf_keras

    return tf_keras


class _silent_stderr:  # noqa: N801 - reads as a statement
    """Sends file descriptor 2 to nowhere: native libraries write there before they read levels."""

    def __enter__(self) -> None:
        self._saved = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)

    def __exit__(self, *_: object) -> None:
        os.dup2(self._saved, 2)
        os.close(self._saved)


silent_stderr = _silent_stderr
