"""What this machine has."""

from __future__ import annotations

import os

USUAL_BYTES = 8 << 30
"""Taken for the memory where the system does not tell it."""


def memory_bytes() -> int:
    """The memory of this machine."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return USUAL_BYTES
