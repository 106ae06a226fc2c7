"""Which process works on what: locks that the system lets go when a process dies, however it dies.

A process that runs trials of a study holds a lock of its own and writes its name on each trial.
Whoever finds that lock free knows that the trials of that name have been left behind.
"""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from uuid import uuid4

from optuna.storages import BaseStorage
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

GATE, JOURNAL = "gate", "journal"
"""Locks that are no process's own: of taking a trial, and of writing a journal file."""


@dataclass(frozen=True)
class Hold:
    """The mark of a process on what it works on.

    Attributes:
        folder: of the locks of a study.
        name: of this process among them.
    """

    folder: Path
    name: str


def locks_of(place: str | BaseStorage, study_name: str) -> Path:
    """The folder of a study's locks: beside the file that it lies in, else this machine's own."""
    file = _file_of(place)
    if file is not None:
        return file.with_name(f".{file.name}.locks")
    return Path(tempfile.gettempdir()) / f"autotiny-locks-{study_name}"


def _file_of(place: str | BaseStorage) -> Path | None:
    if not isinstance(place, str):
        return None
    if place.endswith(".log"):
        return Path(place)
    with suppress(ArgumentError):
        url = make_url(place)
        if url.get_backend_name() == "sqlite" and url.database:
            return Path(url.database)
    return None


@contextmanager
def holding(folder: Path) -> Iterator[Hold]:
    """Hold a lock of this process's own in a folder, as long as it works on the study."""
    name = f"{platform.node()}-{uuid4().hex[:12]}"
    file = _opened(folder / name)
    try:
        _lock(file)
        yield Hold(folder, name)
    finally:
        with suppress(OSError):  # others may have tidied up
            (folder / name).unlink()
        file.close()
        _tidy(folder)


def is_held(folder: Path, name: str) -> bool:
    """Whether the process of that name is alive and works on the study."""
    if fcntl is None:
        return False
    try:
        with (folder / name).open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            (folder / name).unlink()
    except BlockingIOError:
        return True
    except OSError:  # there is no such file
        return False
    return False


def is_here(name: str) -> bool:
    """Whether a process of that name would be one of this machine."""
    return name.rpartition("-")[0] == platform.node()


@contextmanager
def alone(folder: Path, lock: str = GATE) -> Iterator[None]:
    """Keep the other processes of a study out meanwhile."""
    file = _opened(folder / lock)
    try:
        _lock(file)
        yield
    finally:
        file.close()


def _opened(path: Path) -> IO[str]:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # the last process to leave has just removed the folder
            return path.open("w")


def _lock(file: IO[str]) -> None:
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX)


def _tidy(folder: Path) -> None:
    """Remove the folder if no other process is in it."""
    with suppress(OSError):
        names = {path.name for path in folder.iterdir()} - {GATE, JOURNAL}
        if not any(is_held(folder, name) for name in names):
            for lock in (GATE, JOURNAL):
                (folder / lock).unlink(missing_ok=True)
            folder.rmdir()
