"""A content-addressed folder store that several processes may share; it knows no component.

An entry is a folder of files under a hexadecimal key. It is written beside its place and moved
there in one rename, so that a reader sees all of it or nothing, whoever is interrupted. A manifest
holds the digest of each file: what does not match it is dropped and made again. Behind the folder
there may be a store that many machines share: what one of them has made, the others get from there.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import platformdirs

from autotiny import remote as remotes
from autotiny.errors import MachineFault

try:
    import fcntl
except ImportError:  # Windows: two processes may make the same, and one result is kept
    fcntl = None  # type: ignore[assignment]

T = TypeVar("T")

MANIFEST = "manifest.json"
LIMIT_BYTES = 4 << 30
MOVE = (
    "set XDG_CACHE_HOME to a folder that can be written, or in Python give cache=autotiny.Cache(…)"
)
"""How a user moves the cache."""

STALE_SECONDS = 24 * 3600
"""A half-written entry older than this was left behind by a killed process."""

RESTS_SECONDS = (60, 120, 240, 480, 900)
"""So long a store that does not answer is left alone, again and again."""


def key_of(*parts: object) -> str:
    """The key of everything a result depends on; parts are told apart by position and `repr`."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


class Cache:
    """A folder of results under keys.

    Attributes:
        folder: where the entries lie; by default the user's cache folder.
        limit_bytes: the entries used longest ago are dropped when more bytes than this are stored.
        remote: URL of a store behind the folder, e.g. `s3://bucket/prefix`, or None. What is not in
            the folder is looked for there, and what is made is put there. It may be given in the
            place of the folder.
        on_notice: called with a line where the store is gone, and where it is back.
        hits: how often an entry was found.
        misses: how often it had to be made.
    """

    def __init__(
        self, folder: Path | str | None = None, *, limit_bytes: int = LIMIT_BYTES,
        remote: str | None = None, on_notice: Callable[[str], object] = warnings.warn,
    ) -> None:  # fmt: skip
        if isinstance(folder, str) and "://" in folder:
            folder, remote = None, folder
        if remote is not None:
            remotes.check_url(remote)
        self.folder = Path(folder or platformdirs.user_cache_path("autotiny"))
        self.limit_bytes = limit_bytes
        self.remote = remote
        self.on_notice = on_notice
        self.hits = 0
        self.misses = 0
        self._written_bytes: int | None = None
        self._store: remotes.Store | None = None
        self._failures, self._rests_until = 0, 0.0
        self._unsent: dict[str, None] = {}

    def get(self, key: str) -> Path | None:
        """The folder stored under a key, or None; a damaged one is dropped."""
        entry = self._entry(key)
        # A folder that cannot be looked into is none.
        there = os.path.isdir(entry)  # noqa: PTH112
        if there and not intact(entry):
            self.drop(key)
            there = False
        if not there and not self._fetched(key):
            self.misses += 1
            return None
        self.hits += 1
        self.keep(key)
        return entry

    def keep(self, key: str) -> None:
        """Take an entry for used just now, so that it is not the next to be dropped."""
        with suppress(OSError):  # it is gone, or can only be read
            os.utime(self._entry(key))

    def put(self, key: str, write: Callable[[Path], None]) -> Path:
        """Store what `write` puts into the folder it is given.

        Raises:
            MachineFault: the disk is full or the folder cannot be written.
        """
        entry = self._entry(key)
        try:
            with self._draft() as draft:
                write(draft)
                manifest = {name: digest(draft / name) for name in files_of(draft)}
                (draft / MANIFEST).write_text(json.dumps(manifest))
                size = sum((draft / name).stat().st_size for name in manifest)
                entry.parent.mkdir(exist_ok=True)
                try:
                    draft.rename(entry)
                except OSError:
                    # Another process was first with the same content, or left a damaged one.
                    if not intact(entry):
                        self.drop(key)
                        draft.rename(entry)
        except OSError as error:
            raise self._unwritable(error) from error
        self._grow(size)
        self.publish(key)
        return entry

    def publish(self, key: str) -> None:
        """Put an entry into the store behind the folder; later, where that does not answer."""
        if self.remote is None:
            return
        self._unsent[key] = None
        while self._unsent and self._asked(self._sent):
            continue

    def check_writable(self) -> None:
        """Refuse a folder or a store that takes nothing, before hours of work are lost for it.

        Raises:
            MachineFault: the disk is full, the folder cannot be written, or the store is out of
                reach.
        """
        try:
            drafts = self.folder / "drafts"
            drafts.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=drafts) as probe:
                probe.write(b"1")
        except OSError as error:
            raise self._unwritable(error) from error
        if self.remote is not None:
            self._store = self._store or remotes.opened(self.remote)
            remotes.check_store(self._store)

    def _unwritable(self, error: OSError) -> MachineFault:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return MachineFault(
            f"cannot write to the cache {str(self.folder)!r}: {error.strerror or error}; "
            f"{'free some space, or ' * full}{MOVE}"
        )

    def through(
        self,
        key: str,
        read: Callable[[Path], T],
        make: Callable[[], T],
        write: Callable[[T, Path], None],
    ) -> T:
        """The value under a key: read if it is stored, else made and stored.

        One process makes it; others that want it meanwhile wait for that.
        """
        with self.alone(key):
            entry = self.get(key)
            if entry is not None:
                try:
                    return read(entry)
                except FileNotFoundError:
                    # Another process trimmed it between the look and the reading.
                    self.hits -= 1
                    self.misses += 1
            value = make()
            self.put(key, lambda folder: write(value, folder))
            return value

    def drop(self, key: str) -> None:
        """Forget an entry; others that read it keep what they have opened."""
        entry = self._entry(key)
        drafts = self.folder / "drafts"
        with suppress(OSError):  # another process dropped it first, or it can only be read
            drafts.mkdir(parents=True, exist_ok=True)
            grave = Path(tempfile.mkdtemp(dir=drafts))
            try:
                entry.rename(grave / "entry")
            finally:
                shutil.rmtree(grave, ignore_errors=True)

    def trim(self) -> int:
        """Drop the entries used longest ago until the limit holds; return the bytes stored."""
        self._sweep()
        entries = []
        for entry in self.folder.glob("??/*"):
            try:
                used = entry.stat().st_mtime
                size = sum((entry / name).stat().st_size for name in files_of(entry))
            except FileNotFoundError:
                continue
            entries.append((used, size, entry.name))
        stored = sum(size for _, size, _ in entries)
        # Down to nine tenths, so that not every further entry trims again.
        goal = self.limit_bytes if stored <= self.limit_bytes else self.limit_bytes * 9 // 10
        for _, size, key in sorted(entries):
            if stored <= goal:
                break
            self.drop(key)
            stored -= size
        return stored

    @contextmanager
    def alone(self, key: str) -> Iterator[None]:
        """Keep other processes from making the same; the system ends that if this one dies."""
        locks = self.folder / "locks"
        with ExitStack() as held:
            with suppress(OSError):  # a cache that can only be read still answers
                locks.mkdir(parents=True, exist_ok=True)
                file = held.enter_context((locks / key).open("w"))
                if fcntl is not None:
                    fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _fetched(self, key: str) -> bool:
        """Whether the store had an entry, which lies in the folder now."""
        return self.remote is not None and self._asked(lambda store: self._taken(store, key))

    def _taken(self, store: remotes.Store, key: str) -> bool:
        entry = self._entry(key)
        with suppress(OSError), self._draft() as draft:  # a folder that takes nothing has none
            if not remotes.fetch(store, key, draft, self.limit_bytes):
                return False
            if not intact(draft):
                remotes.drop(store, key)
                return False
            size = sum(path.stat().st_size for path in draft.rglob("*"))
            entry.parent.mkdir(exist_ok=True)
            draft.rename(entry)
            self._grow(size)
        return intact(entry)

    def _sent(self, store: remotes.Store) -> bool:
        """Send the entry that has waited longest; one that is gone by now is not."""
        key = next(iter(self._unsent))
        with suppress(OSError), self._draft() as draft:
            if intact(self._entry(key)):
                remotes.publish(store, key, self._entry(key), draft / f"{key}.zip")
        del self._unsent[key]
        return True

    def _asked(self, ask: Callable[[remotes.Store], bool]) -> bool:
        """What the store answers; False while it does not, which is said once."""
        if self.remote is None or time.monotonic() < self._rests_until:
            return False
        try:
            self._store = self._store or remotes.opened(self.remote)
            answer = ask(self._store)
        except MachineFault as fault:
            rest = RESTS_SECONDS[min(self._failures, len(RESTS_SECONDS) - 1)]
            self._rests_until = time.monotonic() + rest
            self._failures += 1
            if self._failures == 1:
                self.on_notice(f"{fault}; the folder {str(self.folder)!r} stands in for it")
            return False
        if self._failures:
            self.on_notice(f"the cache {self.remote} answers again")
        self._failures = 0
        return answer

    @contextmanager
    def _draft(self) -> Iterator[Path]:
        """A folder to write in, beside the entries."""
        drafts = self.folder / "drafts"
        drafts.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=drafts))
        try:
            yield draft
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _grow(self, size: int) -> None:
        if self._written_bytes is None:
            self._written_bytes = self.trim()
        else:
            self._written_bytes += size
            if self._written_bytes > self.limit_bytes:
                self._written_bytes = self.trim()

    def _sweep(self) -> None:
        """Remove drafts and locks that nobody holds any more."""
        for left in (*self.folder.glob("drafts/*"), *self.folder.glob("locks/*")):
            with suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime > STALE_SECONDS:
                    shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink()

    def _entry(self, key: str) -> Path:
        return self.folder / key[:2] / key


def remembered(cache: Cache, key: str, make: Callable[[], T]) -> T:
    """A value of plain data, made once."""

    def read(folder: Path) -> T:
        return json.loads((folder / "value.json").read_text())  # type: ignore[no-any-return]

    def write(value: T, folder: Path) -> None:
        (folder / "value.json").write_text(json.dumps(value))

    return cache.through(key, read, make, write)


def recalled(cache: Cache, key: str) -> Any | None:
    """What `remembered` stored under a key; None if nothing is there."""
    folder = cache.get(key)
    return None if folder is None else json.loads((folder / "value.json").read_text())


def files_of(folder: Path) -> list[str]:
    """The files below a folder, relative, without the manifest."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.name != MANIFEST
    )


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()


def intact(entry: Path) -> bool:
    """Whether an entry holds exactly what its manifest says."""
    try:
        manifest = json.loads((entry / MANIFEST).read_text())
        return bool(manifest == {name: digest(entry / name) for name in files_of(entry)})
    except (OSError, ValueError):
        return False
