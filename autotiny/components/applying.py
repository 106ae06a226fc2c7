"""Components that train are applied in the worker, from folder to folder."""

from __future__ import annotations

from dataclasses import asdict, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from autotiny import worker
from autotiny.cache import Cache
from autotiny.components import COMPONENTS
from autotiny.components.base import Component, Work, work_for
from autotiny.dataset import Dataset
from autotiny.model import save
from autotiny.model.crossing import (
    TRAINING,
    WAY_OUT,
    arrived_model,
    arrived_parts,
    crossed_model,
    crossed_samples,
)
from autotiny.target import target_from
from autotiny.tasks import task_from


def trains_apart(step: Component, work: Work) -> bool:
    """Whether a component is applied in the worker: one of ours, if it trains."""
    return step.trains and not work.rehearse and COMPONENTS.get(step.name) is type(step)


def apply_apart(step: Component, source: str, folder: str, work: Work) -> bool:
    """Store in a folder what a component makes of the model that another folder holds.

    False if a model has layers of the user's own: their code is in this process alone.

    Raises:
        WorkerEnded: the worker crashed, or took more than it may.
        AutotinyError: as the component raises it.
    """
    try:
        original = crossed_model(work.original) if work.original else None
    except Exception:  # of whatever a configuration is made of
        return False
    facts = {
        "step": step.name,
        "parameters": {entry.name: getattr(step, entry.name) for entry in fields(step)},  # type: ignore[arg-type]
        "data": crossed_samples(work.data, work.data.fingerprint),
        "seed": work.seed,
        "epochs": work.epochs,
        "cache": [str(work.cache.folder), work.cache.limit_bytes] if work.cache else None,
        "target": asdict(work.target) if work.target else None,
    }
    counts = worker.ask(
        apply_into, source, folder, original, facts,
        what=step.name, limits=TRAINING, way_out=WAY_OUT,
    )  # fmt: skip
    if counts and work.cache:
        work.cache.hits += int(counts[0])
        work.cache.misses += int(counts[1])
    return counts is not None


def apply_into(
    source: str, folder: str, original: str | None, facts: dict[str, Any]
) -> tuple[int, int] | None:
    """In the worker: stores the result; gives how often the cache was hit and missed meanwhile."""
    model, teacher = arrived_model(source), arrived_model(original) if original else None
    if model is None or (original and teacher is None):
        return None
    step = COMPONENTS[facts["step"]](**facts["parameters"])
    cache = None
    if facts["cache"]:
        place, limit = facts["cache"]
        cache = Cache(place, limit_bytes=limit)
    work = Work(
        data=_samples(facts["data"]),
        seed=facts["seed"],
        epochs=facts["epochs"],
        original=teacher,
        cache=cache,
        target=target_from(facts["target"]) if facts["target"] else None,
    )
    save(step.apply(model, work_for(model, work)), Path(folder))
    return (cache.hits, cache.misses) if cache else (0, 0)


@lru_cache(maxsize=1)
def _samples(folder: str) -> Dataset:
    arrays, facts = arrived_parts(folder)
    return Dataset(
        facts["name"],
        arrays["x_train"], arrays["y_train"],
        arrays["x_validation"], arrays["y_validation"],
        arrays["x_test"], arrays["y_test"],
        task=task_from(facts["task"]),
    )  # fmt: skip
