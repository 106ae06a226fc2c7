"""A store of objects behind the folder of a cache: S3, Google, Azure, whatever fsspec reaches.

An entry is one object, a zip file without compression, so that a reader gets all of it or nothing.
Whoever can write to the store can plant one: no name in it leads out of the folder that it is
unpacked into, and it takes no more bytes there than it may. Nothing waits for long for a store.
"""

from __future__ import annotations

import re
import shutil
import struct
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from autotiny.errors import LONGEST, MachineFault, UserError

T = TypeVar("T")

PROTOCOLS = ("s3", "gs", "az", "abfs", "file", "memory")
"""What the URL of a store may begin with."""

OPTIONS: dict[str, dict[str, Any]] = {
    "s3": {
        "use_listings_cache": False,
        "config_kwargs": {
            "connect_timeout": 5, "read_timeout": 15, "retries": {"max_attempts": 1},
        },
    },
    "file": {"auto_mkdir": True},
}  # fmt: skip

TIMEOUT_SECONDS = 20.0
SLOWEST_BYTES_A_SECOND = 1e6
"""A store is given so long for an answer, and the time that its bytes take at that rate."""

MOST_FILES = 10_000
"""An entry has fewer."""

DAMAGE = (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, struct.error)
"""What comes of reading bytes that are no zip file."""


@dataclass(frozen=True)
class Store:
    """Where objects lie.

    Attributes:
        files: fsspec's file system.
        folder: in it, without the protocol.
        url: as it was given.
    """

    files: Any
    folder: str
    url: str

    def place(self, key: str) -> str:
        """Of the object of an entry."""
        return f"{self.folder}/{key[:2]}/{key}.zip"


def check_url(url: str) -> None:
    """Refuse what is no place for a cache, or holds what must not be printed.

    Raises:
        UserError: that is so.
    """
    protocol, _, place = url.partition("://")
    if protocol not in PROTOCOLS:
        raise UserError(
            f"a cache cannot lie at {protocol}://…; give a folder, or a URL that begins with "
            f"{', '.join(PROTOCOLS[:-1])}"
        )
    if re.search(r"[?#]|::|://|^[^/]*:[^/]*@", place):
        raise UserError(
            f"the URL of a cache on {protocol} is {protocol}://BUCKET/PREFIX and nothing more; "
            "credentials stand where its library looks for them, in the environment or a file"
        )


def opened(url: str) -> Store:
    """The store of a URL.

    Raises:
        UserError: the package that reaches it is not installed.
        MachineFault: it cannot be reached.
    """
    try:
        from fsspec.core import url_to_fs

        with _answering(url):
            options = OPTIONS.get(url.partition("://")[0], {})
            files, folder = _within(0, lambda: url_to_fs(url, **options))
    except ImportError as error:
        raise UserError(
            f"the cache {url} needs a package that is not installed ({error}); pip install "
            "'autotiny[scale]' brings that of s3, gcsfs that of gs, adlfs that of az and abfs"
        ) from error
    return Store(files, folder.rstrip("/"), url)


def check_store(store: Store) -> None:
    """Refuse a store that takes nothing.

    Raises:
        MachineFault: that is so.
    """
    place = f"{store.folder}/probe-{uuid4().hex}"
    with _answering(store.url):
        _within(0, lambda: store.files.pipe_file(place, b"1"))
        _within(0, lambda: store.files.rm_file(place))


def fetch(store: Store, key: str, folder: Path, limit_bytes: int) -> bool:
    """Unpack an entry into an empty folder; False if the store has none, or one that is too large.

    Of an object that is damaged, or is not what it should be, only a part is there, or nothing.

    Raises:
        MachineFault: the store does not answer.
        OSError: the folder cannot be written.
    """
    place, archive = store.place(key), folder.with_name(f"{folder.name}.zip")
    try:
        with _answering(store.url):
            try:
                size = int(_within(0, lambda: store.files.info(place))["size"])
                if size > limit_bytes:
                    return False
                _within(size, lambda: store.files.get_file(place, str(archive)))
            except FileNotFoundError:
                return False
        with suppress(*DAMAGE):
            _unpack(archive, key, folder, limit_bytes)
    finally:
        archive.unlink(missing_ok=True)
    return True


def publish(store: Store, key: str, entry: Path, archive: Path) -> None:
    """Store an entry as one object, unless there is one.

    Args:
        store: that gets it.
        key: of the entry.
        entry: its folder.
        archive: a file to make meanwhile.

    Raises:
        MachineFault: the store does not answer, or takes no more.
        OSError: the entry cannot be read, or the file not be written.
    """
    place = store.place(key)
    with _answering(store.url), suppress(FileNotFoundError):
        _within(0, lambda: store.files.info(place))
        return
    _pack(entry, key, archive)
    # A folder shows a file while it is written; the others show an object when it is whole.
    draft = f"{place}.{uuid4().hex}" if store.url.startswith("file:") else place
    with _answering(store.url):
        _within(archive.stat().st_size, lambda: store.files.put_file(str(archive), draft))
        if draft != place:
            _within(0, lambda: store.files.mv(draft, place))


def drop(store: Store, key: str) -> None:
    """Forget an object that is damaged.

    Raises:
        MachineFault: the store does not answer, or does not allow it.
    """
    with _answering(store.url), suppress(FileNotFoundError):
        _within(0, lambda: store.files.rm_file(store.place(key)))


def _pack(entry: Path, key: str, archive: Path) -> None:
    files = sorted(path for path in entry.rglob("*") if path.is_file())
    with zipfile.ZipFile(archive, "w") as packed:
        for path in files:
            member = zipfile.ZipInfo(f"{key}/{path.relative_to(entry).as_posix()}")
            member.file_size = path.stat().st_size
            with path.open("rb") as source, packed.open(member, "w") as file:
                shutil.copyfileobj(source, file, 1 << 20)


def _unpack(archive: Path, key: str, folder: Path, limit_bytes: int) -> None:
    """Write the files of an entry.

    Raises:
        ValueError: it is none, or another's; the other kinds in `DAMAGE`, too.
        OSError: the folder cannot be written.
    """
    with zipfile.ZipFile(archive) as packed:
        members = packed.infolist()
        names = [member.filename for member in members]
        if len(set(names)) != len(names) or len(names) > MOST_FILES:
            raise ValueError("not so many files, and each once")
        if sum(member.file_size for member in members) > limit_bytes:
            raise ValueError("larger than the cache")
        if not all(_is_inside(name, key) for name in names):
            raise ValueError("a name that leads out of the folder, or another entry")
        if any(member.compress_type or member.flag_bits & 1 for member in members):
            raise ValueError("compressed or encrypted")
        for member in members:
            path = folder / member.filename.removeprefix(f"{key}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            with packed.open(member) as source, path.open("xb") as file:
                shutil.copyfileobj(source, file, 1 << 20)


def _is_inside(name: str, key: str) -> bool:
    """Whether a file of an archive lies below the folder named as the key, whatever the system."""
    first, *parts = name.split("/")
    plain = all(part not in ("", ".", "..") and not set(part) & set("\\:\0") for part in parts)
    return first == key and bool(parts) and plain


def _within(size: int, ask: Callable[[], T]) -> T:
    """What a store answers in the time that it has for so many bytes.

    Libraries try again for minutes on their own. What takes longer goes on where nobody waits.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(ask())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future.result(TIMEOUT_SECONDS + size / SLOWEST_BYTES_A_SECOND)


@contextmanager
def _answering(url: str) -> Iterator[None]:
    """Say in a line that a store does not answer; nothing secret is in it.

    Raises:
        MachineFault: that is so.
    """
    try:
        yield
    except ImportError:
        raise
    except Late as error:
        raise MachineFault(f"the cache {url} does not answer in {TIMEOUT_SECONDS:.0f} s") from error
    except Exception as error:  # of the kinds of whichever library
        said = re.sub(r"\?\S+|//[^/\s]*@", "…", " ".join(str(error).split()))[:LONGEST]
        raise MachineFault(
            f"the cache {url} does not answer: {type(error).__name__} {said}".rstrip()
        ) from error
