"""Where a study lies, and which sampler draws for it."""

from __future__ import annotations

import json
import os
import random
import re
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import optuna
from optuna.storages import BaseStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from autotiny.errors import MachineFault, UserError
from autotiny.study.holding import lock
from autotiny.study.job import Job
from autotiny.study.record import SCHEMA, set_at_once
from autotiny.study.sampling import sampler_for
from autotiny.study.server import ATTEMPTS, LOST, PROXY, SERVERS, Proxied, Server


def default_study_name(model: str, data: str, target: str, objectives: Sequence[str]) -> str:
    """The name of a study, e.g. `cnn1-digits-stm32f746-latency`."""
    stems = (Path(name).stem.replace(":", ".") for name in (model, data, target))
    return "-".join((*stems, *dict.fromkeys(objectives)))


def default_storage(out: Path | str) -> str:
    """The URL of `study.db` in a folder."""
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {str(folder)!r}: {error.strerror}") from error
    return sqlite_url(folder / "study.db")


def sqlite_url(path: Path) -> str:
    """The URL of a database file, whatever characters its path has.

    Raises:
        UserError: the installed SQLAlchemy cannot name that path.
    """
    file = str(path.resolve())
    url = URL.create("sqlite", database=file).render_as_string(hide_password=False)
    if make_url(url).database != file:
        raise UserError(
            f"a study cannot lie at {file!r}: SQLAlchemy's URLs do not take all its characters; "
            "choose another --out, or update SQLAlchemy"
        )
    return url


def shown_place(place: str | BaseStorage) -> str:
    """A storage as messages name it: the password of a URL stays out of them."""
    if not isinstance(place, str):
        return "the storage given"
    with suppress(ArgumentError, ValueError):  # a journal file's path, or no URL at all
        return make_url(place).render_as_string(hide_password=True)
    return re.sub(r"(://[^/@]*?:).*@", r"\1***@", place)


def own_folder(folder: Path, name: str) -> Path:
    """Where a study lies: the folder asked for, or one in it if another study lies there."""
    there = set(_studies_in(folder))
    return folder / name if there and name not in there else folder


def _studies_in(folder: Path) -> list[str]:
    """The names of studies that keep their trials or have left their results in a folder."""
    names = []
    with suppress(OSError, ValueError, TypeError, KeyError):
        written = json.loads((folder / "pareto.json").read_text(encoding="utf-8"))
        names.append(str(written["study"]))
    if (folder / "study.db").is_file():
        storage = open_storage(default_storage(folder))
        names += [one.study_name for one in optuna.get_all_study_summaries(storage=storage)]
    return names


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Optuna's log lines off: the outcome of a trial is an attribute of it."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)


def open_storage(url: str) -> BaseStorage:
    """The storage of a URL, or a journal file.

    Raises:
        UserError: it cannot be opened.
    """
    try:
        if url.endswith(".log"):
            return optuna.storages.JournalStorage(_Journal(url))
        if url.startswith("sqlite"):
            # Two processes that write at once wait for each other rather than fail.
            arguments = {"connect_args": {"timeout": 120}}
            return _made(lambda: optuna.storages.RDBStorage(url, engine_kwargs=arguments))
        if url.startswith(SERVERS):
            return _made(lambda: Server(url))
        if url.startswith(PROXY):
            return Proxied(url)
        return optuna.storages.get_storage(url)
    except ImportError as error:
        raise UserError(
            f"cannot open the storage {shown_place(url)!r}: {error.__cause__ or error}; "
            "pip install 'autotiny[scale]' brings the driver of postgresql+psycopg://"
        ) from error
    except Exception as error:
        # Drivers raise errors of their own kinds, all of which mean that the URL is of no use.
        said = _without_password(str(error.__cause__ or error).splitlines()[0], url)
        raise UserError(
            f"cannot open the storage {shown_place(url)!r}: {said}; "
            "give an Optuna storage URL, e.g. sqlite:///study.db, or a journal file study.log"
        ) from error


def _made(make: Callable[[], BaseStorage]) -> BaseStorage:
    """A database; tried again where another process made its tables at the same moment."""
    for _ in range(ATTEMPTS - 1):
        try:
            return make()
        except SQLAlchemyError as error:
            if "already exists" not in str(error):
                raise
        time.sleep(random.random())
    return make()


@contextmanager
def told_if_lost(place: str | BaseStorage) -> Iterator[None]:
    """Say in a line that a storage does not answer any more.

    Raises:
        MachineFault: that is so.
    """
    try:
        yield
    except LOST as error:
        said = str(error.__cause__ or error).strip().splitlines()[0]
        raise MachineFault(
            f"the study in {shown_place(place)} cannot be written: "
            f"{_without_password(said, str(place))}; what has finished "
            "is kept: mend that, and run the command again"
        ) from error


def _without_password(text: str, url: str) -> str:
    """What a driver says, without the password of a URL."""
    text = text.replace(url, shown_place(url))
    with suppress(ArgumentError, ValueError):  # it is no URL
        password = make_url(url).password
        return text.replace(str(password), "***") if password else text
    return text


def open_study(
    job: Job, name: str, place: str | BaseStorage, jobs: int = 1, at_once: int | None = None
) -> optuna.Study:
    """The study of a name: a new one, or an earlier one that was made for the same job.

    Args:
        job: what is searched for.
        name: of the study.
        place: its storage, or the URL of that.
        jobs: processes that work on it.
        at_once: so many trials of a new study may run at once, and it is the same however many do;
            None where each is drawn from all that has ended by then.

    Raises:
        UserError: an earlier study of that name was made for something else.
    """
    storage = open_storage(place) if isinstance(place, str) else place
    directions = list(job.directions)
    known = {summary.study_name for summary in optuna.get_all_study_summaries(storage=storage)}
    if name in known:
        study = optuna.load_study(study_name=name, storage=storage)
    else:
        study = optuna.create_study(study_name=name, storage=storage, directions=directions)
    if study.get_trials(deepcopy=False):
        check_same_job(study, job)
    else:  # it is new, or whoever made it died before it was complete
        check_same_values(study, job)
        _describe(study, job)
        if at_once is not None:
            set_at_once(study, at_once)
    study.sampler = sampler_for(job, parallel=jobs > 1 or isinstance(storage, (Server, Proxied)))
    return study


def _describe(study: optuna.Study, job: Job) -> None:
    with warnings.catch_warnings():
        # Experimental since Optuna 3.2, and all that tells the dashboard what a value is.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names(list(job.value_names))
    for key, value in {"schema": SCHEMA, **job.facts()}.items():
        study.set_user_attr(key, value)


def facts_of(study: optuna.Study) -> dict[str, Any]:
    """What a study was made with; empty until that is known."""
    facts: dict[str, Any] = study.user_attrs
    return facts if "autotiny" in facts else {}


def check_same_values(study: optuna.Study, job: Job) -> None:
    """Refuse a study that optimizes another number of values."""
    if len(study.directions) != len(job.value_names):
        raise UserError(
            f"the study {study.study_name!r} has other objectives; choose another --out"
        )


def check_same_job(study: optuna.Study, job: Job) -> None:
    """Refuse to continue a study that another autotiny wrote, or that is for something else."""
    schema = study.user_attrs.get("schema", 1)
    if schema != SCHEMA:
        earlier = isinstance(schema, int) and schema < SCHEMA
        writer = "an early autotiny 0.1.0" if earlier else "a later autotiny"
        raise UserError(
            f"the study {study.study_name!r} has schema {schema}, not {SCHEMA}: {writer} wrote it; "
            "choose another --out or --storage"
        )
    check_same_values(study, job)
    differing = [
        f"{key} = {study.user_attrs.get(key)}, not {value}"
        for key, value in job.facts().items()
        if study.user_attrs.get(key) != value
    ]
    if differing:
        raise UserError(
            f"the study {study.study_name!r} was made with {'; with '.join(differing)}; "
            "give the same again to continue it, or choose another --out or --storage"
        )


class _Journal(JournalFileBackend):
    """A journal file of which a process that died while it wrote leaves no half a line."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._path = Path(path)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append lines, behind the last whole one."""
        with self._path.open("r+b") as file:
            lock(file)
            whole = _end_of_lines(file)
            file.truncate(whole)
            try:
                super().append_logs(logs)
            except OSError:
                file.truncate(whole)
                raise


def _end_of_lines(file: IO[bytes]) -> int:
    """The bytes of a file up to the end of its last whole line."""
    end = file.seek(0, os.SEEK_END)
    while end:
        file.seek(end - 1)
        if file.read(1) == b"\n":
            break
        end -= 1
    return end
