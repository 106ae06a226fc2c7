"""HiGHS prints lines of its own to stdout now and then, which is for what a user asked for."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def silent_stdout() -> Iterator[None]:
    """What C code prints meanwhile goes nowhere."""
    sys.stdout.flush()
    try:
        kept = os.dup(1)
    except OSError:  # a process without a stdout has nothing to keep clean
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        with suppress(OSError, AttributeError):  # what C still holds in its buffer
            ctypes.CDLL(None).fflush(None)
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
