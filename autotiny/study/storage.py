"""Where a study lies, and which sampler draws for it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.storages import BaseStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection

from autotiny.errors import UserError
from autotiny.study.job import Job
from autotiny.study.record import SCHEMA


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
    return f"sqlite:///{(folder / 'study.db').resolve()}"


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
