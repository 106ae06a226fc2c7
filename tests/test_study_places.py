"""Where a study lies: odd paths, and processes that want the same one."""

import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import optuna
import pytest
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from test_study import searching
from toys import toy_components

from autotiny.errors import UserError
from autotiny.report.dashboard import storage_url
from autotiny.study import TrialRecord, open_storage
from autotiny.study.holding import locks_of, searched_alone
from autotiny.study.storage import own_folder, sqlite_url

HERE = Path(__file__).parent

RACER = """
import sys, time
from pathlib import Path
from test_study import searching
from autotiny.errors import UserError

folder = Path(sys.argv[1])

def pause(progress):
    print("a trial", flush=True)
    time.sleep(float(sys.argv[2]))

with searching(folder, on_disk=True) as run:
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        run(out=folder / "out", trials=6, on_trial=pause)
    except UserError as refusal:
        print(refusal)
        raise SystemExit(2)
"""


def racer(folder: Path, name: str, pause: float) -> "subprocess.Popen[str]":
    """A process that is about to search, with files of its own but for the study."""
    own = folder / name
    own.mkdir()
    (own / "out").symlink_to(folder / "out")
    found = subprocess.Popen(
        [sys.executable, "-c", RACER, str(own), str(pause)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])},
    )  # fmt: skip
    assert found.stdout is not None
    assert found.stdout.readline() == "ready\n"
    return found


def told(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def records_in(folder: Path) -> list[TrialRecord]:
    """What a study of toys holds; nothing before it is there."""
    if not (folder / "study.db").exists():
        return []
    storage = open_storage(storage_url(str(folder)))
    trials = [
        trial for name in optuna.get_all_study_names(storage)
        for trial in optuna.load_study(study_name=name, storage=storage).trials
    ]  # fmt: skip
    with toy_components():
        return [TrialRecord.load(trial) for trial in trials]


@pytest.mark.slow
def test_of_processes_that_begin_at_once_one_searches(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    racers = [racer(tmp_path, f"racer{number}", 0.3) for number in range(2)]
    for process in racers:
        told(process)
    ends: Counter[int] = Counter()
    for process in racers:
        said, _ = process.communicate(timeout=60)
        ends[process.returncode] += 1
        if process.returncode:
            assert "another process searches for the study" in said
            assert "choose another --out" in said
    assert ends == {0: 1, 2: 1}
    found = records_in(tmp_path / "out")
    assert Counter(record.queued for record in found)["baseline"] == 1
    assert len({record.recipe_key for record in found if record.outcome == "measured"}) == 6
    assert [record.outcome for record in found].count("measured") == 6
    assert not list((tmp_path / "out").glob(".*")), "the lock is gone with the search"


def test_a_killed_search_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    first = racer(tmp_path, "first", 60)
    told(first)
    assert first.stdout is not None
    assert first.stdout.readline() == "a trial\n"
    with searching(tmp_path, on_disk=True) as run:
        with pytest.raises(UserError, match="another process searches for the study"):
            run(trials=6)
        first.kill()
        first.wait(10)
        result = run(trials=6)
    assert len(result.study.trials) == 6


def test_studies_that_share_a_database_do_not_hold_each_other_up(tmp_path: Path) -> None:
    place = sqlite_url(tmp_path / "study.db")
    with (
        searched_alone(locks_of(place, "one"), "one"),
        searched_alone(locks_of(place, "other"), "other"),
        pytest.raises(UserError, match="for the study 'one'"),
        searched_alone(locks_of(place, "one"), "one"),
    ):
        pytest.fail("it was held")
    with searched_alone(locks_of(place, "one"), "one"):
        pass
    assert not list(tmp_path.iterdir())


def test_locks_lie_beside_the_study_or_on_this_machine(tmp_path: Path) -> None:
    place = sqlite_url(tmp_path / "study.db")
    beside: list[str | BaseStorage] = [place, str(tmp_path / "study.log"), RDBStorage(place)]
    assert {locks_of(one, "a").parent for one in beside} == {tmp_path}
    here: list[str | BaseStorage] = ["mysql://host/base", "sqlite://", "no url", InMemoryStorage()]
    assert {locks_of(one, "a").parent for one in here} == {Path(tempfile.gettempdir())}


ODD = ["a?b=c", "50%", "a%20b", "a#b", "two words", "c:d", "größe", "it's", "a&b;c", "$(x)", "*[0]"]


@pytest.mark.parametrize("name", ODD)
@pytest.mark.everyday(3)
def test_a_study_lies_where_it_was_asked_for(tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    with searching(tmp_path, on_disk=True) as run:
        run(out=out, trials=2)
        assert [path.name for path in out.iterdir()] == ["study.db"]
        made = {path.name for path in tmp_path.iterdir()}
        assert made == {"cache", "toys.toml", name}
        run(out=f"{out}/", trials=3)
    assert len(records_in(out)) == 3


def test_a_second_study_in_a_folder_gets_one_of_its_own(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert own_folder(out, "first") == out
    with searching(tmp_path, on_disk=True) as run:
        run(out=out, trials=2, study_name="first")
    assert own_folder(out, "first") == out
    assert own_folder(out, "second") == out / "second"
    (out / "study.db").unlink()
    (out / "pareto.json").write_text('{"study": "first"}')  # its trials lie in another storage
    assert own_folder(out, "second") == out / "second"
    (out / "pareto.json").write_text("[")  # no results of ours
    assert own_folder(out, "second") == out
    (out / "pareto.json").unlink()
    assert own_folder(out, "second") == out
