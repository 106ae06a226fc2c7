"""What this machine has, and how it fails."""

from __future__ import annotations

import errno
import os

USUAL_BYTES = 8 << 30
"""Taken for the memory where the system does not tell it."""

KILLED = frozenset(("SIGKILL", "SIGTERM", "SIGHUP", "SIGXCPU"))
"""Signals by which others end a process; by any further one it ends through its own fault."""

WHY_KILLED = ", as systems do when memory runs out"
MORE_MEMORY = "close other programs, use fewer --jobs, or a machine with more memory"


def memory_bytes() -> int:
    """The memory of this machine."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return USUAL_BYTES


def cores() -> int:
    """The cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        return os.cpu_count() or 1


def disk_is_full(error: BaseException | None) -> bool:
    """Whether an error comes from a full disk, however deep a library has wrapped it."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if "disk is full" in str(error):  # SQLite's words; its errors carry no number
            return True
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return False
