"""What a network is asked to do: targets, loss, score, and how results are shown.

Everything else asks the task: data, training, evaluation, study and report.
"""

from collections.abc import Mapping
from typing import Any

from autotiny.errors import InvalidData, UserError, shown, unknown
from autotiny.graph import Array
from autotiny.tasks.anomaly import Anomaly
from autotiny.tasks.base import SPLITS, Facts, Score, Task
from autotiny.tasks.binary import Binary
from autotiny.tasks.classification import Classification
from autotiny.tasks.detection import Detection
from autotiny.tasks.drop import Drop, wanted_drop
from autotiny.tasks.metrics import Direction, Metric, is_own
from autotiny.tasks.multilabel import Multilabel
from autotiny.tasks.names import shape_text
from autotiny.tasks.reconstruction import Reconstruction
from autotiny.tasks.regression import Regression
from autotiny.tasks.segmentation import Segmentation

TASKS: dict[str, type[Task]] = {
    kind.name: kind
    for kind in (
        Classification,
        Binary,
        Multilabel,
        Regression,
        Anomaly,
        Reconstruction,
        Segmentation,
        Detection,
    )
}

ACCURACY = Classification.metrics[0]
"""What most networks are scored by."""

__all__ = [
    "ACCURACY",
    "SPLITS",
    "TASKS",
    "Anomaly",
    "Binary",
    "Classification",
    "Direction",
    "Drop",
    "Facts",
    "Metric",
    "Multilabel",
    "Reconstruction",
    "Regression",
    "Score",
    "Segmentation",
    "Task",
    "check_asked",
    "chosen",
    "guessed",
    "is_own",
    "shape_text",
    "shown_metric",
    "task_from",
    "wanted_drop",
]


def shown_metric(figure: str) -> Metric | None:
    """How to show a figure that is a score, by its name or its metric's; None for other figures.

    The user's own function is not imported for that.
    """
    name = figure.removesuffix("_validation").removesuffix("_test")
    known = {metric.name: metric for kind in reversed(TASKS.values()) for metric in kind.metrics}
    if is_own(name):
        return Metric(name, name.rpartition(":")[2], _not_called, percent=False)
    return known.get(name)


def _not_called(truth: Array, found: Array) -> float:
    raise NotImplementedError("a metric to show with is not to score with")


def check_asked(task: str | None, metric: str | None) -> None:
    """Refuse a name of a task or metric that there is not, before anything is loaded.

    Raises:
        UserError: with the nearest name.
    """
    if task is not None and task not in TASKS:
        raise unknown("task", task, TASKS, "autotiny tasks")
    if metric is None or is_own(metric):
        return
    kinds = TASKS.values() if task is None else (TASKS[task],)
    names = {known.name for kind in kinds for known in kind.metrics}
    if metric not in names:
        raise unknown("metric", metric, sorted(names), "autotiny tasks")


def chosen(facts: Facts, task: str | None = None, metric: str | None = None) -> Task:
    """The task of some data and a network: the one asked for, else the only one that they tell.

    Raises:
        InvalidData: they could mean two tasks, or none, or not the one asked for.
        UserError: the task is not scored by that metric.
    """
    if not facts.labelled and facts.output is not None and not facts.gives_back:
        raise InvalidData(
            f"{facts.name} has no targets (y), and the model gives {shape_text(facts.output)} for "
            f"inputs of {shape_text(facts.sample)}; only a network that gives its input back "
            "learns without targets"
        )
    kind = TASKS[task] if task is not None else _told(facts)
    made = kind.made(facts, kind.metrics[0].name)
    return made if metric is None else kind.made(facts, _metric(kind, metric))


def guessed(facts: Facts) -> Task:
    """The task that targets alone tell, before a network is known."""
    try:
        return chosen(facts)
    except InvalidData:
        return Regression.made(facts, Regression.metrics[0].name)


def _told(facts: Facts) -> type[Task]:
    claiming = [kind for kind in TASKS.values() if kind.claims(facts)]
    if len(claiming) > 1:
        names = " or ".join(kind.name for kind in claiming)
        raise InvalidData(
            f"{facts.name}: {_what(facts)} could mean {names}; give --task {claiming[0].name} or "
            f"--task {claiming[1].name}"
        )
    if claiming:
        return claiming[0]
    return Classification if facts.whole and facts.y.ndim == 1 else Regression


def _what(facts: Facts) -> str:
    """Targets and output, in words."""
    kind = "whole numbers" if facts.whole else "fractions"
    values = "0 and 1" if facts.truths else kind
    stored = f"{facts.y.dtype}, {values}, {shape_text(facts.y.shape[1:])} a sample"
    if facts.output is None:
        return f"targets ({stored})"
    ends = f", ending in a {facts.ends}" if facts.ends else ""
    return f"targets ({stored}) with a model that gives {shape_text(facts.output)}{ends}"


def _metric(kind: type[Task], metric: str) -> str:
    known = [entry.name for entry in kind.metrics]
    if metric not in known and not is_own(metric):
        raise UserError(
            f"{kind.name} is not scored by {metric!r}; its metrics are {', '.join(known)}, and "
            "package.module:function names one of your own"
        )
    return metric


def task_from(content: Mapping[str, Any]) -> Task:
    """The task that plain data describes; see `Task.to_dict`.

    Raises:
        UserError: it is none.
    """
    name, metric, outputs = (content.get(key) for key in ("name", "metric", "outputs"))
    plain = isinstance(metric, str) and type(outputs) is int and 0 <= outputs < 1 << 24
    if not isinstance(name, str) or not plain or set(content) != {"name", "metric", "outputs"}:
        raise UserError(f"a task is {shown(dict(content))}; it must have name, metric and outputs")
    check_asked(name, str(metric))
    return TASKS[name](_metric(TASKS[name], str(metric)), int(str(outputs)))
