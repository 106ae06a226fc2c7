"""One search, many processes: a server that restarts, workers that are killed at any moment."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from test_study import TOY_EVALUATOR, searching
from toys import toy_components

from autotiny.cache import Cache
from autotiny.study import TrialRecord, quiet_optuna, work
from autotiny.study.record import ASKED, HOLDER
from autotiny.study.storage import open_storage

HERE = Path(__file__).parent
PASSWORD = "not-to-be-printed"

PROCESS = """
import sys, time
from dataclasses import replace
from pathlib import Path
from unittest import mock
from test_study import TOY_EVALUATOR, searching, toy_accuracy, toy_cost
from toys import scored
from autotiny.cache import Cache
from autotiny.study import server, work

what, folder, url, seconds, trials = sys.argv[1:]
own = Path(folder) / sys.argv[0] / what
own.mkdir(parents=True)
cache = Cache(Path(folder) / "cache")

def slow(model, data, split, cache):
    time.sleep(float(seconds))
    return toy_accuracy(model, data, split, cache)

def tell(text):
    print(text, flush=True)

evaluator = replace(TOY_EVALUATOR, score=scored(slow))
with (
    searching(own) as start,
    mock.patch.object(server, "BEAT_SECONDS", 1),
    mock.patch.object(server, "GRACE_SECONDS", 4),
):
    if what == "search":
        result = start(
            storage=url, study_name="s", cache=cache, trials=int(trials), evaluator=evaluator,
            on_notice=tell, on_trial=lambda progress: tell(f"done {progress.done}"),
        )
        tell(f"front {len(result.front)}")
    else:
        worked = work("s", url, cache=cache, evaluator=evaluator, on_stage=tell,
                      on_trial=lambda record: tell(f"ended {record.number}"))
        tell(f"enough {worked.enough}")
"""


class Process:
    """A search or a worker, and what it has said so far."""

    def __init__(self, what: str, folder: Path, url: str, seconds: float, trials: int) -> None:
        self.said = folder / f"{what}.txt"
        code = PROCESS.replace("sys.argv[0]", "'own'")
        with self.said.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code, what, str(folder), url, str(seconds), str(trials)],
                stdout=file, stderr=subprocess.STDOUT,
                env=os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])},
            )  # fmt: skip

    def until(self, text: str, seconds: float = 300) -> None:
        def said() -> bool:
            found = self.said.read_text()
            assert text in found or self.process.poll() is None, found
            return text in found

        wait(said, seconds, f"{text!r} in {self.said.name}")

    def end(self, seconds: float = 240) -> str:
        assert self.process.wait(seconds) == 0, self.said.read_text()
        return self.said.read_text()


def wait(until: Callable[[], bool], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.1)


class Postgres:
    """A server of its own in a folder."""

    def __init__(self, tools: Path, folder: Path, options: Sequence[str] = ()) -> None:
        self.tools, self.folder, self.options = tools, folder, options
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"postgresql+psycopg://tiny:{PASSWORD}@127.0.0.1:{self.port}/postgres"
        (folder / "password").write_text(PASSWORD)
        if os.geteuid() == 0:
            shutil.chown(folder, "nobody")
            shutil.chown(folder / "password", "nobody")
        self.run("initdb", "-U", "tiny", "-A", "scram-sha-256", "--pwfile", f"{folder}/password")

    def run(self, tool: str, *options: str) -> None:
        """One of its tools; PostgreSQL refuses to be root's."""
        user = "nobody" if os.geteuid() == 0 else None
        with (self.folder / "said").open("ab") as said:
            subprocess.run(
                [self.tools / tool, "-D", self.folder / "data", *options],
                check=True, user=user, cwd=self.folder, stdout=said, stderr=said,
            )  # fmt: skip

    def start(self) -> None:
        place = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1"
        options = " ".join([place, *(f"-c {one}" for one in ("fsync=off", *self.options))])
        self.run("pg_ctl", "-w", "-l", f"{self.folder}/log", "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        self.run("pg_ctl", "-w", "-m", mode, "stop")


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    tools = postgres_tools()
    if tools is None or importlib.util.find_spec("psycopg") is None:
        pytest.skip("needs PostgreSQL and psycopg")
    with postgres_running(tools) as server:
        yield server


def postgres_tools() -> Path | None:
    found = shutil.which("initdb")
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return Path(found).parent if found else places[-1] if places else None


@contextmanager
def postgres_running(tools: Path, *options: str) -> Iterator[Postgres]:
    folder = Path(tempfile.mkdtemp(prefix="autotiny-postgres-"))
    server = Postgres(tools, folder, options)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def trials_in(url: str) -> list[tuple[optuna.trial.FrozenTrial, TrialRecord]]:
    """The trials of the study."""
    with quiet_optuna(), toy_components():
        study = optuna.load_study(study_name="s", storage=open_storage(url))
        return [(trial, TrialRecord.load(trial)) for trial in study.get_trials()]


def measured_once(url: str, least: int) -> list[TrialRecord]:
    """The trials of a study in which nothing was left, lost or done twice."""
    found = trials_in(url)
    states = Counter(trial.state.name for trial, _ in found)
    assert not states["RUNNING"], states
    records = [record for _, record in found]
    keys = Counter(record.recipe_key for record in records if record.outcome == "measured")
    assert max(keys.values()) == 1, keys
    assert sum(one.outcome not in ("", "repeated", "faulted") for one in records) >= least
    assert Counter(record.queued for record in records)["baseline"] == 1
    return records


@pytest.mark.slow
def test_workers_are_killed_and_the_server_restarts_and_nothing_is_lost(
    postgres: Postgres, tmp_path: Path
) -> None:
    begun = [Process(f"worker{n}", tmp_path, postgres.url, 1.0, 0) for n in range(3)]
    begun[0].until("waiting for the study 's'")
    search = Process("search", tmp_path, postgres.url, 1.0, 30)
    for worker in begun:
        worker.until("ended")
    victim = begun.pop()
    victim.process.send_signal(signal.SIGKILL)
    victim.process.wait()
    before = {trial.number: record for trial, record in trials_in(postgres.url)
              if trial.state.is_finished()}  # fmt: skip
    held = {trial.user_attrs.get(HOLDER): trial.number for trial, _ in trials_in(postgres.url)
            if trial.state.name == "RUNNING"}  # fmt: skip
    assert held
    postgres.stop()
    time.sleep(6)  # longer than the grace: none of the living is taken for dead when it is back
    postgres.start()
    assert "front" in search.end()
    for worker in begun:
        assert "enough True" in worker.end()
    records = measured_once(postgres.url, 30)
    for number, record in before.items():
        assert replace(records[number], number=number) == record
    said = "".join(one.said.read_text() for one in (search, *begun, victim))
    assert PASSWORD not in said
    assert "Traceback" not in said
    assert "Warning" not in said


def in_dask(folder: str, place: str) -> bool:
    """What a Dask worker runs; it finds this module by PYTHONPATH."""
    with toy_components():
        return work("s", place, cache=Cache(Path(folder)), evaluator=TOY_EVALUATOR).enough


@pytest.mark.slow
def test_dask_starts_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dask = pytest.importorskip("distributed", reason="pip install distributed")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), *sys.path]))
    place = str(tmp_path / "study.log")
    with searching(tmp_path) as start:
        study = start(storage=place, study_name="s", trials=2).study
        study.set_user_attr(ASKED, 10)
        with (
            dask.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
            dask.Client(cluster) as client,
        ):
            given = (str(tmp_path / "cache"), place)
            tasks = [client.submit(in_dask, *given, pure=False) for _ in range(2)]
            assert client.gather(tasks) == [True, True]
    measured_once(place, 10)
