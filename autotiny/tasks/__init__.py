"""What a network is asked to do: targets, loss, score, and how results are shown.

Everything else asks the task: data, training, evaluation, study and report.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from autotiny.errors import InvalidData, UserError, shown, unknown
from autotiny.graph import Array
from autotiny.tasks.anomaly import Anomaly
from autotiny.tasks.base import SPLITS, Facts, Score, Task, score_from
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
from autotiny.tasks.several import MEAN, SEPARATOR, Several
from autotiny.tasks.wanted import MOST_WEIGHT, Wanted

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

BESIDE_OTHERS = ("classification", "binary", "multilabel", "regression")
"""The tasks that one of several outputs can have."""

ACCURACY = Classification.metrics[0]
"""What most networks are scored by."""

SEVERAL = ("tasks", "names", "labels", "widths", "weights")
"""What `Several.to_dict` writes of each output."""

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
    "Several",
    "Task",
    "check_asked",
    "chosen",
    "chosen_each",
    "guessed",
    "is_own",
    "score_from",
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
    known[MEAN.name] = MEAN
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
    asked = [Wanted.of(one).kind for one in task.split(SEPARATOR)] if task is not None else []
    for name in asked:
        if name not in TASKS:
            raise unknown("task", name, TASKS, "autotiny tasks")
    kinds = [TASKS[name] for name in asked] or TASKS.values()
    names = {known.name for kind in kinds for known in kind.metrics}
    for name in metric.split(SEPARATOR) if metric is not None else ():
        if name not in names and not is_own(name):
            raise unknown("metric", name, sorted(names), "autotiny tasks")


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
    if SEPARATOR in f"{task}{metric}":
        raise UserError(
            f"{facts.name} has targets for one output, and several are asked for: "
            f"{task or metric}; name one"
        )
    kind = TASKS[task] if task is not None else _told(facts)
    made = kind.made(facts, kind.metrics[0].name)
    return made if metric is None else kind.made(facts, _metric(kind, metric))


def chosen_each(
    each: Sequence[Facts], names: Sequence[str], task: str | None = None, metric: str | None = None
) -> Several:
    """The task of some data and a network of several outputs, each with its own.

    Args:
        each: what is known of each output and its targets.
        names: of the outputs.
        task: of all outputs, separated by commas, as "classification:4*2,regression", where a
            number behind ":" is how many values the output must have, and one behind "*" how much
            it weighs; by default what targets and network tell.
        metric: likewise; by default the first of each task.

    Raises:
        InvalidData: an output's task is open, or none that stands beside others.
        UserError: there are more or fewer names than outputs, or a metric is none of its task.
    """
    asked = _an_output_each("task", task, len(each))
    metrics = _an_output_each("metric", metric, len(each))
    tasks, weights = [], []
    for facts, name, one, scored in zip(each, names, asked, metrics, strict=True):
        if scored is not None and is_own(scored):
            raise UserError(
                f"metric {scored!r} is a function of your own, which scores a network of one "
                "output; this one has several: choose metrics of autotiny, one an output"
            )
        wanted = Wanted.of(one or "")
        if wanted.values and wanted.values != str(facts.values):
            raise UserError(
                f"task {one!r} asks for {wanted.values} values of output {name}, which has "
                f"{facts.values}; leave the number out, or name the outputs' tasks in their order"
            )
        found = chosen(facts, wanted.kind or None, scored)
        if found.name not in BESIDE_OTHERS:
            raise InvalidData(
                f"output {name} would be a {found.name}; one of several outputs can be "
                f"{', '.join(BESIDE_OTHERS)}"
            )
        tasks.append(found)
        weights.append(wanted.weight)
    widths = [int(np.prod(facts.y.shape[1:])) for facts in each]
    return Several.of(tasks, names, [facts.labels for facts in each], widths, weights)


def _an_output_each(what: str, given: str | None, outputs: int) -> list[str | None]:
    """What was asked of each output."""
    if given is None:
        return [None] * outputs
    listed = given.split(SEPARATOR)
    if len(listed) != outputs:
        raise UserError(
            f"{what} = {given!r} names {len(listed)}, the model has {outputs} outputs; give one "
            "an output, separated by commas"
        )
    return [*listed]


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
    if content.get("name") == Several.name:
        return _several_from(content)
    name, metric, outputs = (content.get(key) for key in ("name", "metric", "outputs"))
    plain = isinstance(metric, str) and type(outputs) is int and 0 <= outputs < 1 << 24
    if not isinstance(name, str) or not plain or set(content) != {"name", "metric", "outputs"}:
        raise UserError(f"a task is {shown(dict(content))}; it must have name, metric and outputs")
    check_asked(name, str(metric))
    return TASKS[name](_metric(TASKS[name], str(metric)), int(str(outputs)))


def _several_from(content: Mapping[str, Any]) -> Several:
    """The task of several outputs that plain data describes."""
    lists = [one for key in SEVERAL if isinstance(one := content.get(key), (list, tuple))]
    equal = len(lists) == len(SEVERAL) and len({len(one) for one in lists}) == 1 and lists[0]
    wrong = UserError(
        f"a task of several outputs is {shown(dict(content))}; it must have as many "
        f"{', '.join(SEVERAL)}"
    )
    if not equal:
        raise wrong
    named, listed, sizes, weights = lists[1:]
    plain = all(isinstance(one, str) for one in (*named, *(text for one in listed for text in one)))
    if not plain or not all(type(size) is int and 0 < size < 1 << 24 for size in sizes):
        raise wrong
    if not all(isinstance(one, Mapping) and one.get("name") in BESIDE_OTHERS for one in lists[0]):
        raise wrong
    each = [task_from(one) for one in lists[0]]
    if not all(type(one) in (int, float) and 0 < one <= MOST_WEIGHT for one in weights):
        raise wrong
    return Several.of(each, named, [tuple(one) for one in listed], sizes, weights)
