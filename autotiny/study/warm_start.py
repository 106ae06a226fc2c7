"""Where a study begins with what earlier studies of the same network found."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

import optuna
from optuna.trial import TrialState

from autotiny.errors import UserError, nearest
from autotiny.study.holding import SEARCH, file_of, is_held, locks_of
from autotiny.study.job import EHVI, Job
from autotiny.study.observed import Earlier, earlier, observed_in, set_earlier
from autotiny.study.record import SCHEMA, holder_of
from autotiny.study.server import server_of
from autotiny.study.storage import facts_of, open_storage, shown_place, sqlite_url

DATABASE = "study.db"
"""Where a search keeps its study in `--out`, unless it was given another storage."""

SAME = ("schema", "model", "data", "task", "seed", "epochs", "objectives", "scoring")
"""The facts of a study that its scores hang on."""


def check_warm_start(given: Path | str, sampler: str) -> str:
    """The storage where earlier studies lie: that of a folder, a file or a URL.

    Args:
        given: the `--out` of a search, its database or journal file, or the URL of its storage.
        sampler: of the search that is to begin with them.

    Raises:
        UserError: nothing lies there, or the sampler does not look at scores of other studies.
    """
    if sampler != EHVI:
        raise UserError(
            f"sampler = {sampler!r} learns nothing from other studies; a warm start needs {EHVI!r}"
        )
    url = str(given)
    file = file_of(url) if "://" in url else _file_in(Path(given).expanduser())
    if file is None:  # a database server
        return url
    if not file.is_file():
        raise _nowhere(given, file)
    if file.suffix == ".log":
        return str(file)
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as database:
            database.execute("SELECT study_name FROM studies")
    except sqlite3.Error as error:
        raise UserError(
            f"warm start: {str(file)!r} is no study's database ({error}); give the folder of an "
            f"earlier search, which holds its {DATABASE}"
        ) from error
    return sqlite_url(file)


def _file_in(path: Path) -> Path:
    return path / DATABASE if path.is_dir() else path


def _nowhere(given: Path | str, file: Path) -> UserError:
    """The error for a place where no study lies, with one that was probably meant."""
    folder = file.parent
    if file.name == DATABASE and folder.is_dir():
        with suppress(OSError, ValueError):
            if "study" in json.loads((folder / "pareto.json").read_text(encoding="utf-8")):
                return UserError(
                    f"warm start: the study of {str(given)!r} lies in the storage that its search "
                    "was given; give that"
                )
        within = sorted(str(one.parent) for one in folder.glob(f"*/{DATABASE}"))
        there = f"there are {', '.join(map(repr, within[:3]))}" if within else "it holds no study"
        return UserError(
            f"warm start: {str(given)!r} has no {DATABASE}, {there}; give the folder of an earlier "
            "search, its journal file, or the URL of its storage"
        )
    beside = {
        one.name: str(one)
        for one in (folder.iterdir() if folder.is_dir() else ())
        if (one / DATABASE).is_file() or one.suffix in (".db", ".log")
    }
    near = nearest(file.name, beside)
    hint = f"did you mean {beside[near]!r}? Give" if near else "give"
    return UserError(
        f"warm start: there is no {str(given)!r}; {hint} the folder of an earlier search, its "
        "journal file, or the URL of its storage"
    )


def begin_with(study: optuna.Study, job: Job, given: Path | str | None) -> tuple[Earlier, ...]:
    """Give a new study what earlier ones found; one that has begun keeps what it was given.

    Args:
        study: that is to begin.
        job: what it searches for.
        given: as `check_warm_start` takes it; None for no warm start.

    Raises:
        UserError: no study there has scores of this job, or those that have are searched just now;
            or the study has begun with others.
    """
    kept = earlier(study)
    if given is None:
        return kept
    place = check_warm_start(given, job.sampler)
    storage = open_storage(place)
    names = sorted(optuna.get_all_study_names(storage))
    if not study.get_trials(deepcopy=False):
        there = [optuna.load_study(study_name=name, storage=storage) for name in names]
        kept = tuple(_found_in(there, place, job, study.study_name))
        set_earlier(study, kept)
    elif not kept or not {one.study for one in kept} <= {*names}:
        before = ", ".join(repr(one.study) for one in kept) or "no earlier study"
        raise UserError(
            f"the study {study.study_name!r} began with {before}, and keeps that; continue it "
            "without a warm start, or choose another --out"
        )
    return kept


def _found_in(
    studies: Sequence[optuna.Study], place: str, job: Job, name: str
) -> Iterator[Earlier]:
    """What studies of a storage found that have the scores of a job, and are at rest."""
    shown = shown_place(place)
    others = [one for one in studies if one.study_name != name or not _is_for(one, job)]
    if not others:
        holds = "no study but this search's own, which goes on without" if studies else "no study"
        raise UserError(f"warm start: {shown!r} holds {holds}; give that of an earlier search")
    differing = {one.study_name: _differing(one, job, SAME) for one in others}
    nearest_one = min(differing, key=lambda one: len(differing[one]))
    if differing[nearest_one]:
        raise UserError(
            f"warm start: the scores of {nearest_one!r} are not those of this search: "
            f"{'; '.join(differing[nearest_one])}; give the same here, or search without it"
        )
    same = [one for one in others if not differing[one.study_name]]
    at_rest = [one for one in same if not _is_searched(one, place)]
    if not at_rest:
        raise UserError(
            f"warm start: the study {same[0].study_name!r} is searched just now; wait for its end"
        )
    for one in at_rest:
        yield _taken_over(one)


def _taken_over(study: optuna.Study) -> Earlier:
    """What a study found."""
    target = Path(str(facts_of(study)["target"]).rpartition(" ")[0]).stem
    try:
        found = observed_in(study, target)
    except (UserError, KeyError, TypeError, ValueError) as damage:
        raise UserError(
            f"warm start: a trial of {study.study_name!r} cannot be read "
            f"({type(damage).__name__}: {damage}); give another study"
        ) from damage
    if found is None:
        raise UserError(
            f"warm start: the study {study.study_name!r} has not measured its original yet; let "
            "its search go on first"
        )
    return found


def _is_searched(study: optuna.Study, place: str) -> bool:
    """Whether a process works on a study just now."""
    locks, server = locks_of(place, study.study_name), server_of(study)
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    if server:
        silent = server.silent(study._study_id)
        return any(one._trial_id not in silent for one in running)
    return is_held(locks, SEARCH) or any(is_held(locks, str(holder_of(one))) for one in running)


def _is_for(study: optuna.Study, job: Job) -> bool:
    """Whether a study is for a job, and no other one."""
    there = facts_of(study)
    return all(there.get(name) == fact for name, fact in job.facts().items())


def _differing(study: optuna.Study, job: Job, names: Iterable[str]) -> list[str]:
    """What of a study's facts is not the same for a job, in words."""
    there = facts_of(study)
    if not there:
        return ["it is no study of autotiny, or one that has not begun"]
    here = {"schema": SCHEMA, **job.facts()}
    return [
        f"{name} = {there.get(name)}, not {here[name]}"
        for name in names
        if _decisive(name, there.get(name)) != _decisive(name, here[name])
    ]


def _decisive(name: str, fact: object) -> str:
    """What of a fact decides scores: not where a file lies, nor what else is made small."""
    text = str(fact)
    if name in ("model", "data"):
        return text.rpartition(" ")[2]
    return text.partition(",")[0] if name == "objectives" else text
