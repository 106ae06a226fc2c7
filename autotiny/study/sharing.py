"""A job as plain files in the cache, by which every process that reads that folder takes part.

Arrays are `.npy`, models as `model.storing` writes them, and all else is JSON that names
dataclasses of a list: nothing is pickled, and nothing that is read is executed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from autotiny.cache import Cache, key_of
from autotiny.codeversion import code_version
from autotiny.components import Component
from autotiny.dataset import Dataset, Inputs, Reading
from autotiny.dataset.ports import Answer, InputPort
from autotiny.engine.variants import WAYS
from autotiny.errors import MachineFault, UserError
from autotiny.graph import Array
from autotiny.mapped import is_large
from autotiny.model import Model, restore, save
from autotiny.ranges import Choice, Fixed, Span
from autotiny.recipe import Recipe, component_from, step_data
from autotiny.signal import Front, Stream, front_from
from autotiny.space import Space
from autotiny.study.bounds import Bound, Bounds, Reserve
from autotiny.study.evaluator import Evaluator
from autotiny.study.job import Job
from autotiny.target import Accelerator, AppImage, Correction, Memory, Target
from autotiny.target import Cache as TargetCache
from autotiny.tasks import Drop, Task, task_from

KINDS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        Accelerator, Answer, AppImage, Bound, Bounds, Choice, Correction, Dataset, Drop, Fixed,
        InputPort, Inputs, Memory, Reading, Recipe, Reserve, Space, Span, Stream, Target,
        TargetCache,
    )
}  # fmt: skip
"""The dataclasses that a job is made of and that are their fields."""

READERS: dict[str, Callable[[Any], Any]] = {
    "component": component_from, "front": front_from, "task": task_from,
}  # fmt: skip
"""What has a form of its own as plain data."""

NOT_SHARED = ("model", "data", "cache", "evaluator")
"""The fields of a job that have entries of their own, or are each process's."""


def share(job: Job) -> str:
    """Put a job into its cache; gives its key there.

    Raises:
        UserError: no file can hold its model, or the cache is too small for its samples.
        MachineFault: the disk is full or the folder cannot be written.
    """
    data = replace(job.data, stored={})  # only another task would read those
    size = sum(x.nbytes + y.nbytes for x, y in data.parts.values())
    if size > job.cache.limit_bytes // 2:
        raise UserError(
            f"{data.name}: {size / 1e9:.1f} GB of samples, which processes share by the cache; "
            f"half of its limit is {job.cache.limit_bytes / 2e9:.1f} GB; search with jobs = 1, or "
            "in Python give cache=autotiny.Cache(limit_bytes=…)"
        )
    arrays: list[Array] = []
    samples = {"data": _written(data, arrays)}
    content = {
        "model": _put(job, "model", (job.model.level.value, job.model.fingerprint, job.model.front),
                      lambda folder: _save(job.model, folder)),
        "source": job.model.source,
        "samples": _put(job, "samples", (data.fingerprint, json.dumps(samples)),
                        lambda folder: _save_samples(samples, arrays, folder)),
        "own_evaluator": job.evaluator != Evaluator(),
        "job": {
            entry.name: _written(getattr(job, entry.name), [])
            for entry in fields(job) if entry.name not in NOT_SHARED
        },
    }  # fmt: skip
    text = json.dumps(content)
    return _put(job, "job", (text,), lambda folder: _write(folder / "job.json", text))


def shared(cache: Cache, key: str, evaluator: Evaluator | None = None) -> Job:
    """The job under a key.

    Args:
        cache: where `share` put it.
        key: what that gave.
        evaluator: what judges candidates here; by default their firmware.

    Raises:
        UserError: it is not there, or damaged, or judged by what this process has not.
    """
    try:
        content = json.loads((_entry(cache, key) / "job.json").read_text(encoding="utf-8"))
        if content["own_evaluator"] and evaluator is None:
            raise UserError(
                "the study is judged by an evaluator of a Python program of its own, which only "
                "its processes have; give that program more jobs"
            )
        model = restore(_entry(cache, content["model"]), WAYS)
        return Job(
            model=replace(model, source=content["source"]),
            data=_samples_in(_entry(cache, content["samples"])),
            cache=cache,
            evaluator=evaluator or Evaluator(),
            **{name: _read(value, None) for name, value in content["job"].items()},
        )
    except (KeyError, TypeError, ValueError, OSError) as damage:
        raise UserError(
            f"{key} in the cache {str(cache.folder)!r} is no job that can be read: "
            f"{type(damage).__name__} {damage}; run the search once more, which writes it again"
        ) from damage


def keep_shared(cache: Cache, key: str) -> None:
    """Keep a job for workers that come later, while those at work have long read it."""
    with suppress(OSError, ValueError, KeyError):  # it is gone: who comes later is told so
        entry = cache.folder / key[:2] / key
        content = json.loads((entry / "job.json").read_text(encoding="utf-8"))
        for one in (key, content["model"], content["samples"]):
            cache.keep(one)


def _put(job: Job, what: str, parts: tuple[object, ...], write: Callable[[Path], None]) -> str:
    key = key_of(what, *parts, code_version(__name__))
    if job.cache.get(key) is None:
        job.cache.put(key, write)
    else:
        job.cache.publish(key)  # where another store, or none, was behind the folder by then
    return key


def _entry(cache: Cache, key: str) -> Path:
    entry = cache.get(key)
    if entry is None:
        raise UserError(
            f"the cache {str(cache.folder)!r} has no {key}, which the study names; give the folder "
            "that the search uses, or run the search once more if it has been emptied since"
        )
    return entry


def _save(model: Model, folder: Path) -> None:
    try:
        save(model, folder)
    except (OSError, MachineFault):
        raise
    except Exception as error:  # of whatever a configuration is made of
        raise UserError(
            f"model {model.source!r} cannot be given to other processes, as no file holds its "
            f"layers ({type(error).__name__}); search with jobs = 1"
        ) from error


def _save_samples(samples: Any, arrays: list[Array], folder: Path) -> None:
    for number, array in enumerate(arrays):
        np.save(folder / f"{number}.npy", array, allow_pickle=False)
    _write(folder / "samples.json", json.dumps(samples))


def _samples_in(folder: Path) -> Dataset:
    samples = json.loads((folder / "samples.json").read_text(encoding="utf-8"))
    data = _read(samples["data"], folder)
    if not isinstance(data, Dataset):
        raise TypeError(f"samples are {type(data).__name__}")
    return data


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _written(value: Any, arrays: list[Array]) -> Any:
    """A value as JSON has it; arrays go to a list, and their numbers there stand for them."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, tuple):
        return [_written(one, arrays) for one in value]
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return {"kind": "array", "fields": len(arrays) - 1}
    if isinstance(value, Mapping):
        return {"kind": "mapping", "fields": _each(value, arrays)}
    if isinstance(value, Component):
        return {"kind": "component", "fields": step_data(value)}
    if isinstance(value, Front):
        return {"kind": "front", "fields": value.to_dict()}
    if isinstance(value, Task):
        return {"kind": "task", "fields": value.to_dict()}
    name = type(value).__name__
    if KINDS.get(name) is not type(value):
        raise TypeError(f"a {name} is none of what a job is made of")
    return {"kind": name, "fields": _each(_fields(value), arrays)}


def _fields(value: Any) -> dict[str, Any]:
    return {entry.name: getattr(value, entry.name) for entry in fields(value)}


def _each(values: Mapping[str, Any], arrays: list[Array]) -> dict[str, Any]:
    return {name: _written(value, arrays) for name, value in values.items()}


def _read(content: Any, folder: Path | None) -> Any:
    """What `_written` wrote; its arrays lie in a folder."""
    if isinstance(content, list):
        return tuple(_read(one, folder) for one in content)
    if not isinstance(content, dict):
        return content
    kind, inner = content["kind"], content["fields"]
    if kind == "array":
        if folder is None:
            raise ValueError("an array stands where none can be")
        return _array(folder / f"{int(inner)}.npy")
    if kind in READERS:
        return READERS[kind](inner)
    values = {name: _read(value, folder) for name, value in inner.items()}
    return values if kind == "mapping" else KINDS[kind](**values)


def _array(file: Path) -> Array:
    """An array, in memory or, if it is large, in its file."""
    large = is_large(file.stat().st_size)
    return np.asarray(np.load(file, mmap_mode="r" if large else None, allow_pickle=False))
