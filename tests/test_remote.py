"""A store of objects behind the folder of a cache."""

import io
import random
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from test_sharing import start_job
from test_study import TOY_EVALUATOR, searching
from typer.testing import CliRunner

from autotiny import cache as caches
from autotiny import remote
from autotiny.cache import Cache, key_of
from autotiny.cli import app
from autotiny.errors import MachineFault, UserError
from autotiny.study import work
from autotiny.study.record import ASKED
from autotiny.study.sharing import share, shared

fsspec = pytest.importorskip("fsspec", reason="pip install 'autotiny[test]' brings fsspec")

KEY = key_of("a")
OBJECT = f"/cache/{KEY[:2]}/{KEY}.zip"


@pytest.fixture
def memory() -> Iterator[Any]:
    """An empty store in memory."""
    files = fsspec.filesystem("memory")
    files.store.clear()
    yield files
    files.store.clear()


def of(folder: Path, url: str = "memory://cache", **changes: Any) -> Cache:
    """The cache of one machine."""
    return Cache(folder, remote=url, on_notice=changes.pop("on_notice", pytest.fail), **changes)


def write(folder: Path) -> None:
    (folder / "value").write_text("one")
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "more").write_bytes(bytes(range(256)))


def texts(entry: Path) -> dict[str, bytes]:
    """All that lies in an entry."""
    return {
        path.relative_to(entry).as_posix(): path.read_bytes()
        for path in entry.rglob("*") if path.is_file()
    }  # fmt: skip


@pytest.mark.parametrize("protocol", ["memory", "file"])
def test_what_one_machine_made_another_one_finds(
    tmp_path: Path, memory: Any, protocol: str
) -> None:
    url = "memory://cache" if protocol == "memory" else f"file://{tmp_path}/store"
    made = of(tmp_path / "a", url).put(KEY, write)
    other = of(tmp_path / "b", url)
    assert other.get(key_of("b")) is None
    entry = other.get(KEY)
    assert entry is not None
    assert entry.is_relative_to(tmp_path / "b")
    assert texts(entry) == texts(made)
    assert (other.hits, other.misses) == (1, 1)
    assert not list((tmp_path / "b" / "drafts").iterdir())
    if protocol == "file":
        names = [path.name for path in (tmp_path / "store").rglob("*") if path.is_file()]
        assert names == [f"{KEY}.zip"], "drafts are left"


def test_a_found_entry_is_read_from_the_folder_from_then_on(tmp_path: Path, memory: Any) -> None:
    of(tmp_path / "a").put(KEY, write)
    other = of(tmp_path / "b")
    assert other.get(KEY)
    memory.store.clear()
    assert other.get(KEY)
    assert Cache(tmp_path / "b").get(KEY)


def test_an_entry_is_never_written_twice(tmp_path: Path, memory: Any) -> None:
    def other(folder: Path) -> None:
        (folder / "value").write_text("other")

    of(tmp_path / "a").put(KEY, write)
    before = memory.cat(OBJECT)
    of(tmp_path / "b").put(KEY, other)
    assert memory.cat(OBJECT) == before
    assert texts(Cache(tmp_path / "b").get(KEY) or Path())["value"] == b"other"


def zipped(*members: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", compression) as packed:
        for name, content in members:
            packed.writestr(zipfile.ZipInfo(name), content, compression)
    return archive.getvalue()


def planted(memory: Any, content: bytes) -> None:
    memory.pipe_file(OBJECT, content)


@pytest.mark.parametrize(
    "name",
    ["../value", f"{KEY}/../../value", "/value", f"{KEY}//value", f"{KEY}/./value", f"{KEY}/a\\b",
     f"{KEY}/c:x", f"{key_of('b')}/value", KEY, f"{KEY}/", f"{KEY}/deep/"],
)  # fmt: skip
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, memory: Any, name: str) -> None:
    planted(memory, zipped((f"{KEY}/first", b"1"), (name, b"2")))
    cache = of(tmp_path / "a")
    assert cache.get(KEY) is None
    assert not memory.exists(OBJECT), "what is damaged is made again"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    cache.put(KEY, write)
    assert of(tmp_path / "b").get(KEY)


@pytest.mark.parametrize(
    "content",
    [b"", b"no zip file", zipped((f"{KEY}/value", b"no manifest"))],
)
def test_what_is_no_entry_is_dropped(tmp_path: Path, memory: Any, content: bytes) -> None:
    planted(memory, content)
    assert of(tmp_path).get(KEY) is None
    assert not memory.exists(OBJECT)


def test_what_is_compressed_is_no_entry_of_ours(tmp_path: Path, memory: Any) -> None:
    made = texts(of(tmp_path / "a").put(KEY, write))
    files = [(f"{KEY}/{name}", content) for name, content in made.items()]
    planted(memory, zipped(*files))
    assert of(tmp_path / "b").get(KEY)
    planted(memory, zipped(*files, compression=zipfile.ZIP_DEFLATED))
    assert of(tmp_path / "c").get(KEY) is None


def test_what_unpacks_to_more_than_the_cache_holds_is_not_unpacked(tmp_path: Path) -> None:
    archive, folder = tmp_path / "a.zip", tmp_path / "entry"
    archive.write_bytes(zipped(*((f"{KEY}/{n}", bytes(400)) for n in range(3))))
    remote._unpack(archive, KEY, folder, 1200)
    assert len(list(folder.iterdir())) == 3
    with pytest.raises(ValueError, match="larger than the cache"):
        remote._unpack(archive, KEY, tmp_path / "none", 1199)
    assert not (tmp_path / "none").exists()


def test_in_a_folder_nobody_meets_half_an_object(tmp_path: Path) -> None:
    from fsspec.implementations.local import LocalFileSystem

    places: list[str] = []
    put_file = LocalFileSystem.put_file

    def put(self: Any, source: str, place: str, **options: Any) -> None:
        places.append(place)
        put_file(self, source, place, **options)

    with mock.patch.object(LocalFileSystem, "put_file", put):
        of(tmp_path / "a", f"file://{tmp_path}/store").put(KEY, write)
    (draft,) = places
    assert not draft.endswith(".zip")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_stands_in_an_archive_once(tmp_path: Path, memory: Any) -> None:
    planted(memory, zipped((f"{KEY}/value", b"1"), (f"{KEY}/value", b"2")))
    assert of(tmp_path).get(KEY) is None
    assert not memory.exists(OBJECT)


def test_links_are_files_as_others(tmp_path: Path, memory: Any) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        link = zipfile.ZipInfo(f"{KEY}/link")
        link.external_attr = 0o120777 << 16
        packed.writestr(link, "/etc/passwd")
    planted(memory, archive.getvalue())
    draft = tmp_path / "draft"
    draft.mkdir()
    assert remote.fetch(remote.opened("memory://cache"), KEY, draft, 1000)
    assert not (draft / "link").is_symlink()
    assert (draft / "link").read_text() == "/etc/passwd"


def test_what_is_larger_than_the_cache_is_not_fetched(tmp_path: Path, memory: Any) -> None:
    def large(folder: Path) -> None:
        (folder / "value").write_bytes(bytes(5000))

    of(tmp_path / "a").put(KEY, large)
    assert of(tmp_path / "b", limit_bytes=5000).get(KEY) is None
    bomb = bytearray(memory.cat(OBJECT))
    claimed = (5000).to_bytes(4, "little")
    assert bomb.count(claimed) == 4
    bomb = bomb.replace(claimed, (1 << 31).to_bytes(4, "little"))  # as the archive claims
    planted(memory, bytes(bomb))
    assert of(tmp_path / "c").get(KEY) is None


def test_damage_anywhere_is_noticed(tmp_path: Path, memory: Any) -> None:
    of(tmp_path / "a").put(KEY, write)
    whole, chance = memory.cat(OBJECT), random.Random(0)
    good = texts(tmp_path / "a" / KEY[:2] / KEY)
    found = 0
    for number in range(150):
        changed = bytearray(whole)
        if number % 2:
            at = chance.randrange(len(changed))
            changed[at] ^= 1 << chance.randrange(8)
        else:
            del changed[chance.randrange(len(changed)) :]
        planted(memory, bytes(changed))
        entry = of(tmp_path / f"b{number}").get(KEY)
        found += entry is not None
        assert entry is None or texts(entry) == good
    assert found < 40, "what is read is not what was checked"
    assert {path.name for path in tmp_path.iterdir()} <= {"a", *(f"b{n}" for n in range(150))}


class Gone:
    """A store that answers nothing for a while, or takes long."""

    def __init__(self, memory: Any) -> None:
        self.calls, self.wait, self.memory = 0, 0.0, memory
        self.error: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        def ask(*given: Any) -> Any:
            self.calls += 1
            time.sleep(self.wait)
            if self.error is not None:
                raise self.error
            return getattr(self.memory, name)(*given)

        return ask


@pytest.fixture
def gone(memory: Any) -> Iterator[Gone]:
    one = Gone(memory)
    store = remote.Store(one, "/cache", "memory://cache")
    with mock.patch.object(remote, "opened", lambda url: store):
        yield one


@pytest.mark.parametrize("how", ["error", "late", "full"])
def test_a_store_that_is_gone_is_told_once_and_asked_later(
    tmp_path: Path, gone: Gone, memory: Any, how: str
) -> None:
    said: list[str] = []
    now = [1000.0]
    cache = of(tmp_path / "a", on_notice=said.append)
    if how == "late":
        gone.wait = 0.5
    else:
        gone.error = OSError(28, "quota exceeded") if how == "full" else ConnectionError("refused")
    with (
        mock.patch.object(remote, "TIMEOUT_SECONDS", 0.1),
        mock.patch.object(time, "monotonic", lambda: now[0]),
    ):
        for part in "abc":
            assert cache.get(key_of(part)) is None
            cache.put(key_of(part), write)
        assert gone.calls == 1, "it is asked again and again"
        (line,) = said
        assert line.startswith("the cache memory://cache does not answer")
        assert line.endswith(f"; the folder '{tmp_path}/a' stands in for it")
        now[0] += caches.RESTS_SECONDS[0] + 1
        cache.put(key_of("d"), write)
        assert len(said) == 1
        gone.error, gone.wait = None, 0.0
        now[0] += caches.RESTS_SECONDS[0] + 1
        assert cache.get(key_of("e")) is None, "it rests for longer the second time"
        assert not memory.find("/cache")
        now[0] += caches.RESTS_SECONDS[1]
        cache.put(key_of("e"), write)
    assert len(memory.find("/cache")) == 5, "what could not be sent is sent when it is back"
    assert said[1:] == ["the cache memory://cache answers again"]
    assert all(of(tmp_path / "b").get(key_of(part)) for part in "abcde")


def test_what_was_dropped_meanwhile_is_not_sent(tmp_path: Path, gone: Gone, memory: Any) -> None:
    cache = of(tmp_path / "a", on_notice=lambda text: None)
    gone.error = ConnectionError("refused")
    cache.put(KEY, write)
    cache.drop(KEY)
    gone.error, cache._rests_until = None, 0.0
    cache.put(key_of("b"), write)
    assert len(memory.find("/cache")) == 1


def test_a_store_that_takes_nothing_is_refused_at_the_beginning(tmp_path: Path, gone: Gone) -> None:
    cache = of(tmp_path / "a")
    cache.check_writable()
    gone.error = PermissionError("Forbidden https://h/p?sig=s3cret and https://me:s3cret@h/p")
    with pytest.raises(MachineFault, match=r"memory://cache .*: PermissionError Forb") as told:
        cache.check_writable()
    assert "s3cret" not in str(told.value)


@pytest.mark.parametrize(
    ("url", "told"),
    [("http://h/p", "cannot lie at http://…; give a folder, or a URL that begins with s3, gs, az"),
     ("simplecache::s3://b/p", "cannot lie at simplecache::s3://…"),
     ("s3://me:s3cret@b/p", "credentials stand where its library looks for them"),
     ("abfs://c@a.dfs.core.windows.net/p?sig=s3cret", "credentials stand where"),
     ("s3://b/p::file:///etc", "nothing more"), ("s3://b/p::file", "nothing more")],
)  # fmt: skip
def test_a_url_that_is_no_place_for_a_cache_is_refused(url: str, told: str) -> None:
    with pytest.raises(UserError, match=told) as refusal:
        Cache(url)
    assert "s3cret" not in str(refusal.value)
    result = CliRunner().invoke(app, ["worker", "s", "--storage", "s.log", "--cache", url])
    assert result.exit_code == 2
    assert "s3cret" not in result.output


def test_azures_container_may_name_its_account() -> None:
    remote.check_url("abfs://container@account.dfs.core.windows.net/prefix")


def test_a_package_that_is_missing_is_named(tmp_path: Path) -> None:
    with (
        mock.patch.dict("sys.modules", {"fsspec.core": None}),
        pytest.raises(UserError, match=r"needs a package .*; pip install 'autotiny\[scale\]'"),
    ):
        of(tmp_path).get(KEY)


def test_a_job_that_lies_in_the_folder_alone_is_sent(tmp_path: Path, memory: Any) -> None:
    with searching(tmp_path):
        job = start_job(tmp_path)
        share(job)
        key = share(replace(job, cache=of(job.cache.folder)))
        found = shared(of(tmp_path / "b"), key)
    assert found.facts() == job.facts()


def test_a_worker_of_another_machine_has_all_from_the_store(tmp_path: Path, memory: Any) -> None:
    place = str(tmp_path / "study.log")
    with searching(tmp_path) as start:
        result = start(storage=place, study_name="s", trials=3, cache=of(tmp_path / "a"))
        result.study.set_user_attr(ASKED, 6)
        before = set(memory.find("/cache"))
        assert work("s", place, cache=of(tmp_path / "b"), evaluator=TOY_EVALUATOR).enough
    assert before < set(memory.find("/cache"))


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A server that speaks S3, with a bucket."""
    pytest.importorskip("s3fs", reason="pip install 'autotiny[scale]' brings s3fs")
    server = pytest.importorskip("moto.server", reason="pip install 'moto[server,s3]'")
    boto3 = pytest.importorskip("boto3", reason="pip install 'moto[server,s3]'")
    one = server.ThreadedMotoServer(port=0, verbose=False)
    one.start()
    url = "http://{}:{}".format(*one.get_host_and_port())
    for name, value in {
        "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "s3cret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="tiny")
    yield client
    one.stop()


@pytest.mark.slow
def test_s3_holds_what_machines_share(tmp_path: Path, bucket: Any) -> None:
    made = of(tmp_path / "a", "s3://tiny/some/prefix")
    made.check_writable()
    entry = made.put(KEY, write)

    def objects() -> list[str]:
        return [one["Key"] for one in bucket.list_objects_v2(Bucket="tiny").get("Contents", [])]

    (name,) = objects()
    assert name == f"some/prefix/{KEY[:2]}/{KEY}.zip"
    other = of(tmp_path / "b", "s3://tiny/some/prefix")
    found = other.get(KEY)
    assert found is not None
    assert texts(found) == texts(entry)
    assert other.get(key_of("b")) is None
    whole = bucket.get_object(Bucket="tiny", Key=name)["Body"].read()
    bucket.put_object(Bucket="tiny", Key=name, Body=whole[:-30])
    assert of(tmp_path / "c", "s3://tiny/some/prefix").get(KEY) is None
    assert not objects()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["bucket", "server"])
def test_s3_that_is_not_there_is_told(tmp_path: Path, bucket: Any, how: str) -> None:
    if how == "server":
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
            refused(tmp_path, "tiny")
    else:
        refused(tmp_path, "nowhere")


def refused(tmp_path: Path, bucket: str) -> None:
    """Begin with a store that is out of reach, and meet it in the middle of the work."""
    began, said = time.monotonic(), list[str]()
    cache = of(tmp_path, f"s3://{bucket}/prefix", on_notice=said.append)
    with pytest.raises(MachineFault, match=f"the cache s3://{bucket}/prefix does not answer"):
        cache.check_writable()
    assert cache.get(KEY) is None
    assert cache.put(KEY, write).is_dir()
    assert len(said) == 1
    assert "s3cret" not in said[0]
    assert time.monotonic() - began < 3 * remote.TIMEOUT_SECONDS
