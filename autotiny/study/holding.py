"""Which process works on what: locks that the system lets go when a process dies, however it dies.

A process that runs trials of a study holds a lock of its own and writes its name on each trial.
Whoever finds that lock free knows that the trials of that name have been left behind.
"""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from autotiny.cache import key_of
from autotiny.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

GATE, SEARCH = "gate", "search"
"""Locks that are no process's own: of taking a trial, and of the whole search."""


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
    if isinstance(place, RDBStorage):
        place = place.url
    file = file_of(place) if isinstance(place, str) else None
    if file is not None:
        return file.with_name(f".{file.name}-{key_of(study_name)[:8]}.locks")
    # What lies in this process's memory has no business with another's of the same name.
    own = study_name if isinstance(place, str) else f"{study_name}-{os.getpid()}"
    return Path(tempfile.gettempdir()) / f"autotiny-locks-{key_of(own)[:8]}"


def file_of(url: str) -> Path | None:
    """The file of a storage; None for a database server, or where the URL is none."""
    if url.endswith(".log"):
        return Path(url)
    with suppress(ArgumentError):
        parts = make_url(url)
        if parts.get_backend_name() == "sqlite" and parts.database not in (None, "", ":memory:"):
            return Path(str(parts.database))
    return None


@contextmanager
def searched_alone(folder: Path, study_name: str) -> Iterator[None]:
    """Keep a second search out of a study; where this one dies, the system lets go.

    Raises:
        UserError: another process searches already.
    """
    file = _locked(folder / SEARCH, wait=False)
    if file is None:
        raise UserError(
            f"another process searches for the study {study_name!r} in {str(folder.parent)!r}; "
            "wait for its end, or choose another --out; with --jobs several work on one study"
        )
    try:
        yield
    finally:
        file.close()
        _tidy(folder)


@contextmanager
def holding(folder: Path) -> Iterator[Hold]:
    """Hold a lock of this process's own in a folder, as long as it works on the study."""
    name = f"{platform.node()}-{uuid4().hex[:12]}"
    file = _locked(folder / name)
    try:
        yield Hold(folder, name)
    finally:
        with suppress(OSError):  # others may have tidied up
            (folder / name).unlink()
        if file is not None:
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
def alone(folder: Path) -> Iterator[None]:
    """Keep the other processes of a study out meanwhile."""
    file = _locked(folder / GATE)
    try:
        yield
    finally:
        if file is not None:
            file.close()


def lock(file: IO[Any]) -> None:
    """Wait for a file, and keep it until it is closed."""
    if fcntl is not None:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)


def _locked(path: Path, *, wait: bool = True) -> IO[str] | None:
    """A lock file, locked; None if another process holds it and is not waited for.

    Raises:
        UserError: the folder cannot be written.
    """
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("w")
        except FileNotFoundError:  # the last process to leave has just removed the folder
            continue
        except OSError as error:
            raise UserError(f"cannot write to {str(path.parent)!r}: {error.strerror}") from error
        if fcntl is None:
            return file
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            file.close()
            return None
        except OSError:  # a file system without locks
            return file
        # Its last holder may have removed it between the opening and the locking.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()


def _tidy(folder: Path) -> None:
    """Remove the folder if no process works in it."""
    with suppress(OSError):
        names = {path.name for path in folder.iterdir()} - {GATE}
        if not any(is_held(folder, name) for name in names):
            (folder / GATE).unlink(missing_ok=True)
            folder.rmdir()
