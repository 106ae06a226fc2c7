"""Where a study lies, and which sampler draws for it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import optuna
from optuna.storages import BaseStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from autotiny.cache import key_of
from autotiny.errors import UserError
from autotiny.study.job import Job
from autotiny.study.record import SCHEMA

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


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


@contextmanager
def searched_alone(place: str | BaseStorage, name: str) -> Iterator[None]:
    """Keeps a second process from the same study; where the first dies, the system lets go.

    Two that plan one study would queue its first sequences twice, and each would take what the
    other is working on for left behind.

    Raises:
        UserError: another process searches already.
    """
    file = lock_file(place, name)
    held = None if file is None or fcntl is None else _held(file, name)
    try:
        yield
    finally:
        if held is not None:
            with suppress(OSError):
                Path(held.name).unlink()
            held.close()


def lock_file(place: str | BaseStorage, name: str) -> Path | None:
    """The file that stands for a study while a process searches; None for a database server."""
    if not isinstance(place, str):
        return None
    if place.endswith(".log"):
        path = Path(place)
    else:
        try:
            url = make_url(place)
        except ArgumentError:  # `open_storage` tells what is wrong with it
            return None
        if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
            return None
        path = Path(str(url.database))
    return path.with_name(f".{path.name}-{key_of(name)[:8]}.lock")


def _held(file: Path, name: str) -> IO[str] | None:
    """A lock file, locked; None where the folder takes none, which the storage tells better."""
    while True:
        try:
            opened = file.open("w")
        except OSError:
            return None
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            opened.close()
            raise UserError(
                f"another process searches for the study {name!r} in {str(file.parent)!r}; wait "
                "for its end, or choose another --out; with --jobs several work on one study"
            ) from None
        except OSError:  # a file system without locks
            return opened
        # Its last holder may have removed it between the opening and the locking.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(opened.fileno()), file.stat()):
                return opened
        opened.close()


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
            backend = JournalFileBackend(url)
            return optuna.storages.JournalStorage(backend)
        if url.startswith("sqlite"):
            # Two processes that write at once wait for each other rather than fail.
            arguments = {"connect_args": {"timeout": 120}}
            return optuna.storages.RDBStorage(url, engine_kwargs=arguments)
        return optuna.storages.get_storage(url)
    except Exception as error:
        # Drivers raise errors of their own kinds, all of which mean that the URL is of no use.
        raise UserError(
            f"cannot open the storage {url!r}: {str(error).splitlines()[0]}; "
            "give an Optuna storage URL, e.g. sqlite:///study.db, or a journal file study.log"
        ) from error


def open_study(job: Job, name: str, place: str | BaseStorage, jobs: int = 1) -> optuna.Study:
    """The study of a name: a new one, or an earlier one that was made for the same job.

    Raises:
        UserError: an earlier study of that name was made for something else.
    """
    storage = open_storage(place) if isinstance(place, str) else place
    directions = [StudyDirection.MAXIMIZE, *(StudyDirection.MINIMIZE for _ in job.figures)]
    known = {summary.study_name for summary in optuna.get_all_study_summaries(storage=storage)}
    if name in known:
        study = optuna.load_study(study_name=name, storage=storage)
        check_same_job(study, job)
    else:
        study = optuna.create_study(study_name=name, storage=storage, directions=directions)
        with warnings.catch_warnings():
            # Experimental since Optuna 3.2, and all that tells the dashboard what a value is.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names(list(job.value_names))
        study.set_user_attr("schema", SCHEMA)
        for key, value in job.facts().items():
            study.set_user_attr(key, value)
    # A sampler that begins again must not draw again what it drew before.
    study.sampler = sampler(job.seed + len(study.get_trials(deepcopy=False)), parallel=jobs > 1)
    return study


def sampler(seed: int, *, parallel: bool = False) -> optuna.samplers.BaseSampler:
    """Tree-structured Parzen estimators; `results/order_encoding.md` has random draws beside it."""
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=10, constant_liar=parallel)


def check_same_job(study: optuna.Study, job: Job) -> None:
    """Refuse to continue a study that another autotiny wrote, or that is for something else."""
    schema = study.user_attrs.get("schema", 1)
    if schema != SCHEMA:
        writer = "an early autotiny 0.1.0" if schema == 1 else "a later autotiny"
        raise UserError(
            f"the study {study.study_name!r} has schema {schema}, not {SCHEMA}: {writer} wrote it; "
            "choose another --out or --storage"
        )
    for key, value in job.facts().items():
        earlier = study.user_attrs.get(key)
        if earlier != value:
            raise UserError(
                f"the study {study.study_name!r} was made with {key} = {earlier}, not {value}; "
                "choose another --out or --storage"
            )
    if len(study.directions) != len(job.value_names):
        raise UserError(
            f"the study {study.study_name!r} has other objectives; choose another --out"
        )
