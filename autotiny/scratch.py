"""A folder for what is too large for memory: it goes with its process, however that ends.

It lies in the user's cache folder: the usual place of temporary files is memory on many systems.
Each process holds a lock on its own folder, and removes those whose lock is free.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO

import platformdirs

from autotiny.errors import MachineFault

try:
    import fcntl
except ImportError:  # Windows, where only the process itself removes its folder
    fcntl = None  # type: ignore[assignment]

OWNER = "owner"
"""The file in a folder that its process has locked."""

LEFT_FREE = 1 << 30
"""Bytes of a disk that others may need."""


def new_file(size: int, name: str) -> Path:
    """An empty file in this process's folder, on a disk that has room for so many bytes.

    Args:
        size: that it is going to have, in bytes.
        name: what messages call the data.

    Raises:
        MachineFault: the disk has no room for it, or the folder cannot be written.
    """
    try:
        folder = _folder(os.getpid())
        free = shutil.disk_usage(folder).free - LEFT_FREE
        if size > free:
            raise MachineFault(
                f"{name} takes {size:,} bytes in {folder.parent}, which has room for "
                f"{max(0, free):,}; free some, use fewer samples, or set XDG_CACHE_HOME to a "
                "larger disk"
            )
        handle, path = tempfile.mkstemp(dir=folder)
        with os.fdopen(handle, "r+b") as file:
            if hasattr(os, "posix_fallocate"):  # a map of a file with holes crashes on a full disk
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
    except OSError as error:
        raise MachineFault(
            f"{name} cannot be kept in {scratch_place()} ({error.strerror}); set XDG_CACHE_HOME to "
            "a folder that can be written, on a disk with room"
        ) from error
    return Path(path)


def scratch_place() -> Path:
    """Where the folders of all processes lie."""
    return platformdirs.user_cache_path("autotiny") / "scratch"


@cache
def _folder(process: int) -> Path:
    """The folder of a process; a fork makes one of its own."""
    place = scratch_place()
    place.mkdir(parents=True, exist_ok=True)
    remove_left(place)
    folder = Path(tempfile.mkdtemp(prefix=f"{process}-", dir=place))
    file = (folder / OWNER).open("w")
    if fcntl is not None:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
    atexit.register(_remove, folder, file, process)
    return folder


def _remove(folder: Path, file: IO[str], process: int) -> None:
    if process == os.getpid():  # a fork leaves its parent's alone
        file.close()
        shutil.rmtree(folder, ignore_errors=True)


def remove_left(place: Path) -> None:
    """Remove the folders that killed processes left behind."""
    for owner in place.glob(f"*/{OWNER}") if fcntl is not None else ():
        with suppress(OSError), owner.open("r+") as file:  # held, or gone by now
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(owner.parent, ignore_errors=True)
