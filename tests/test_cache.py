import errno
import multiprocessing
import os
import time
from pathlib import Path

import pytest

from autotiny.cache import Cache, key_of
from autotiny.errors import UserError

KEY = key_of("a")


def store(text: str):  # type: ignore[no-untyped-def]
    return lambda folder: (folder / "value").write_text(text)


def test_what_was_put_is_found_and_counted(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    assert cache.get(KEY) is None
    entry = cache.put(KEY, store("one"))
    assert cache.get(KEY) == entry
    assert (entry / "value").read_text() == "one"
    assert (cache.hits, cache.misses) == (1, 1)
    assert not list((tmp_path / "drafts").iterdir())


def test_a_value_is_made_once(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    made = []

    def make() -> str:
        made.append(1)
        return "v"

    for _ in range(3):
        value = cache.through(
            KEY,
            lambda folder: (folder / "value").read_text(),
            make,
            lambda text, folder: store(text)(folder),
        )
        assert value == "v"
    assert made == [1]


@pytest.mark.parametrize("damage", ["truncate", "delete", "extra", "manifest"])
def test_a_damaged_entry_is_dropped(tmp_path: Path, damage: str) -> None:
    cache = Cache(tmp_path)
    entry = cache.put(KEY, store("one"))
    if damage == "truncate":
        (entry / "value").write_text("")
    elif damage == "delete":
        (entry / "value").unlink()
    elif damage == "extra":
        (entry / "other").write_text("x")
    else:
        (entry / "manifest.json").write_text("{")
    assert cache.get(KEY) is None
    assert not entry.exists()
    assert (cache.put(KEY, store("two")) / "value").read_text() == "two"


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_write_leaves_nothing(tmp_path: Path, stop: type[BaseException]) -> None:
    cache = Cache(tmp_path)

    def write(folder: Path) -> None:
        (folder / "half").write_text("…")
        raise stop

    with pytest.raises(stop):
        cache.put(KEY, write)
    assert cache.get(KEY) is None
    assert not list((tmp_path / "drafts").iterdir())


def test_a_full_disk_is_said_in_one_sentence(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(UserError, match="No space left on device; free some space"):
        Cache(tmp_path).put(KEY, write)
    assert not list((tmp_path / "drafts").iterdir())


def test_the_entries_used_longest_ago_go_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit_bytes=350)
    keys = [key_of(number) for number in range(3)]
    for age, key in enumerate(keys):
        entry = cache.put(key, store("x" * 100))
        os.utime(entry, (1000 + age, 1000 + age))
    assert cache.get(keys[0]) is not None
    cache.put(key_of("new"), store("x" * 100))
    assert [cache.get(key) is not None for key in keys] == [True, False, True]


def used(cache: Cache, ages: int) -> list[str]:
    """Entries of a hundred bytes, the first used longest ago."""
    keys = [key_of(number) for number in range(ages)]
    for age, key in enumerate(keys):
        os.utime(cache.put(key, store("x" * 100)), (1000 + age, 1000 + age))
    return keys


@pytest.mark.parametrize(("limit", "left"), [(1000, 10), (999, 8), (900, 8), (889, 8), (888, 7)])
def test_beyond_the_limit_a_tenth_more_goes(tmp_path: Path, limit: int, left: int) -> None:
    keys = used(Cache(tmp_path), 10)
    cache = Cache(tmp_path, limit_bytes=limit)
    assert cache.trim() == 100 * left
    assert [cache.get(key) is not None for key in keys] == [False] * (10 - left) + [True] * left
    assert (cache.hits, cache.misses) == (left, 10 - left)


def test_what_is_written_counts_against_the_limit(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit_bytes=500)
    keys = used(cache, 5)
    assert all(cache.get(key) for key in keys)
    os.utime(cache.put(key_of("more"), store("x" * 100)), (2000, 2000))
    assert len(list(tmp_path.glob("??/*"))) == 4


@pytest.mark.parametrize(("hours", "left"), [(23.9, 2), (24.1, 0)])
def test_what_a_killed_process_left_is_kept_for_a_day(
    tmp_path: Path, hours: float, left: int
) -> None:
    for path in (tmp_path / "drafts" / "half", tmp_path / "locks" / "key"):
        path.mkdir(parents=True)
        then = time.time() - 3600 * hours
        os.utime(path, (then, then))
    Cache(tmp_path).trim()
    assert len(list(tmp_path.glob("*/*"))) == left


def race(folder: str) -> None:
    cache = Cache(folder)
    for number in range(20):
        entry = cache.put(key_of(number), store(str(number)))
        assert (entry / "value").read_text() == str(number)


def test_several_processes_may_write_the_same_keys(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=race, args=(str(tmp_path),)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    cache = Cache(tmp_path)
    assert all(cache.get(key_of(number)) for number in range(20))
    assert not list((tmp_path / "drafts").iterdir())


def slowly(folder: str, made: str) -> None:
    def make() -> str:
        with Path(made).open("a") as file:
            file.write("x")
        time.sleep(0.5)
        return "v"

    value = Cache(folder).through(
        KEY,
        lambda entry: (entry / "value").read_text(),
        make,
        lambda text, entry: store(text)(entry),
    )
    assert value == "v"


def test_what_takes_long_is_made_by_one_of_several_processes(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    made = tmp_path / "made"
    workers = [
        context.Process(target=slowly, args=(str(tmp_path / "cache"), str(made))) for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert made.read_text() == "x"


def test_locks_and_drafts_left_behind_are_swept(tmp_path: Path) -> None:
    for name in ("drafts/old", "locks/old", "locks/new"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.mkdir() if name.startswith("drafts") else path.touch()
        if path.name == "old":
            os.utime(path, (1000, 1000))
    Cache(tmp_path).trim()
    assert [path.name for path in tmp_path.glob("*/*")] == ["new"]


def test_a_folder_that_takes_nothing_is_told_with_how_to_move_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = Cache(tmp_path / "file" / "autotiny")
    assert cache.get(KEY) is None
    with pytest.raises(UserError) as refusal:
        cache.put(KEY, store("one"))
    assert "cannot write to the cache" in str(refusal.value)
    assert "XDG_CACHE_HOME" in str(refusal.value)
    assert "autotiny.Cache(" in str(refusal.value)
    assert "free some space" not in str(refusal.value)
    with pytest.raises(UserError, match="XDG_CACHE_HOME"):
        cache.check_writable()
    good = Cache(tmp_path / "new" / "cache")
    good.check_writable()
    assert not [path for path in good.folder.rglob("*") if path.is_file()]


def test_a_full_disk_is_told_as_such(tmp_path: Path) -> None:
    def full(folder: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(UserError, match=r"No space left.*free some space, or set XDG_CACHE_HOME"):
        Cache(tmp_path).put(KEY, full)
