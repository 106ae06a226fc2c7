"""What may be drawn: components and search spaces, as plain data and as tables."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable
from dataclasses import MISSING, fields
from typing import Literal, TypedDict, get_args, get_origin

from rich.table import Table

from autotiny.checked import bare, bounds_text, hints_of, range_of
from autotiny.components import Component
from autotiny.ranges import Choice, Fixed, Range
from autotiny.report.tables import WIDE, table
from autotiny.space import Space
from autotiny.tasks import TASKS, Task


class _Values(TypedDict, total=False):
    default: object
    low: float
    high: float
    multiple_of: float
    range: str
    choices: list[str]


class ParameterFacts(_Values):
    """A parameter of a component; its default and its range stand there if it has them."""

    type: str
    meaning: str


class ComponentFacts(TypedDict):
    """What there is to say about a component."""

    name: str
    level: str
    takes: list[str]
    leaves: str
    trains: bool
    parameters: dict[str, ParameterFacts]
    treats: list[str]
    not_after: dict[str, str]
    summary: str
    details: list[str]


def component_facts(kind: type[Component]) -> ComponentFacts:
    """What there is to say about a component, as plain data."""
    meanings = attribute_texts(kind.__doc__ or "")
    parameters: dict[str, ParameterFacts] = {}
    for entry in fields(kind):  # type: ignore[arg-type]
        hint = hints_of(kind)[entry.name]
        default: _Values = {} if entry.default is MISSING else {"default": entry.default}
        parameters[entry.name] = {
            "type": str(entry.type) if range_of(hint) is None else str(bare(hint).__name__),
            **default,
            **_range_facts(hint),
            "meaning": meanings.get(entry.name, ""),
        }
    # The file's docstring says what the component does and cites the source.
    text = sys.modules[kind.__module__].__doc__ or kind.__doc__ or ""
    paragraphs = [" ".join(part.split()) for part in text.strip().split("\n\n")]
    return {
        "name": kind.name,
        "level": kind.level.value,
        "takes": [level.value for level in kind.levels],
        "leaves": kind.leaves.value,
        "trains": kind.trains,
        "parameters": parameters,
        "treats": list(kind.treats),
        "not_after": dict(kind.not_after),
        "summary": paragraphs[0],
        "details": paragraphs[1:],
    }


def _range_facts(hint: object) -> _Values:
    """What values a parameter may have: numbers of a range, or words."""
    bounds = range_of(hint)
    if bounds is None:
        return {"choices": list(get_args(hint))} if get_origin(hint) is Literal else {}
    facts: _Values = {"range": bounds_text(hint)}
    low = bounds.gt if bounds.ge is None else bounds.ge
    high = bounds.lt if bounds.le is None else bounds.le
    if low is not None:
        facts["low"] = low
    if high is not None:
        facts["high"] = high
    if bounds.multiple_of is not None:
        facts["multiple_of"] = bounds.multiple_of
    return facts


def attribute_texts(docstring: str) -> dict[str, str]:
    """What the section "Attributes" of a docstring says, by name."""
    texts: dict[str, str] = {}
    _, _, section = inspect.cleandoc(docstring).partition("Attributes:\n")
    for line in section.splitlines():
        indent = len(line) - len(line.lstrip())
        name, colon, text = line.strip().partition(": ")
        if indent == 4 and colon:
            texts[name] = text
        elif indent > 4 and texts:
            texts[list(texts)[-1]] += f" {line.strip()}"
        elif line and not indent:
            break
    return texts


def component_table(found: Iterable[ComponentFacts], *, width: int) -> Table:
    """One line a component; where there is little room, parameters stand in the last column."""
    wide = width >= WIDE
    columns = ["component", "level", "trains", *(["parameters"] if wide else []), "what it does"]
    made = table(
        *columns, left=("component", "level", "trains"), wraps=("parameters", "what it does")
    )
    for facts in found:
        parameters = ", ".join(facts["parameters"])
        text = facts["summary"]
        made.add_row(
            facts["name"],
            " → ".join(dict.fromkeys((facts["level"], facts["leaves"]))),
            "yes" if facts["trains"] else "–",
            *([parameters or "–"] if wide else []),
            text if wide or not parameters else f"{text} ({parameters})",
        )
    return made


def parameter_table(facts: ComponentFacts) -> Table:
    """The parameters of one component."""
    made = table(
        "parameter", "default", "range", "what it is",
        left=("parameter", "default", "range"), wraps=("range", "what it is"),
    )  # fmt: skip
    for name, entry in facts["parameters"].items():
        range_ = entry.get("range") or ", ".join(entry.get("choices", ()))
        made.add_row(name, str(entry.get("default", "–")), range_ or "–", entry["meaning"])
    return made


def component_notes(facts: ComponentFacts) -> list[str]:
    """What a component may not follow, and the rest of what its file says."""
    rules = [f"never after {other}: {reason}" for other, reason in facts["not_after"].items()]
    needs = [f"needs one of {', '.join(facts['treats'])}"] if facts["treats"] else []
    return [*needs, *rules, *facts["details"]]


def space_facts(space: Space) -> dict[str, object]:
    """A search space as plain data."""
    return {
        "name": space.name,
        "title": space.title,
        "components": {
            component: {name: range_text(entry) for name, entry in ranges.items()}
            for component, ranges in space.components.items()
        },
        "first": [str(recipe) for recipe in space.first],
    }


def space_table(spaces: Iterable[Space]) -> Table:
    """One line a search space."""
    made = table(
        "space", "components", "tried first", "what it is for",
        left=("space",), wraps=("what it is for",),
    )  # fmt: skip
    for space in spaces:
        made.add_row(space.name, str(len(space.components)), str(len(space.first)), space.title)
    return made


def range_table(space: Space) -> Table:
    """The parameters that a space draws."""
    made = table("component", "parameter", "drawn from", left=("component", "parameter"),
                 wraps=("drawn from",))  # fmt: skip
    for component, ranges in space.components.items():
        for name, entry in ranges.items() or {"–": Fixed("–")}.items():
            made.add_row(component, name, range_text(entry))
    return made


def first_table(space: Space) -> Table:
    """The sequences that are tried before any is drawn."""
    made = table("tried first", wraps=("tried first",))
    for recipe in space.first:
        made.add_row(str(recipe))
    return made


def range_text(entry: Range) -> str:
    """A range in words."""
    if isinstance(entry, Fixed):
        return str(entry.value)
    if isinstance(entry, Choice):
        return ", ".join(map(str, entry.values))
    step = f" in steps of {entry.step:g}" if entry.step else ""
    return f"{entry.low:g} to {entry.high:g}{step}{' (logarithmic)' if entry.log else ''}"


METRICS_TEXT = (
    "The first metric is the usual one; --metric package.module:function names one of your own: of "
    "targets and outputs as arrays, (N, …) each, it returns a number, the higher the better unless "
    "the function has the attribute lower_is_better = True. Several outputs have a task and metric "
    "each, separated by commas: --task classification,regression --metric accuracy,r2. Where all "
    "metrics are shares the score is their mean, else that of the first output."
)
"""What stands below the table of tasks."""


def task_table() -> Table:
    """One line a task."""
    made = table(
        "task", "targets and outputs", "metrics",
        left=("task",), wraps=("targets and outputs", "metrics"),
    )  # fmt: skip
    for name, kind in TASKS.items():
        metrics = ", ".join(f"{one.name} ({one.title})" for one in kind.metrics)
        made.add_row(name, _first_line(kind), metrics)
    return made


def task_facts() -> list[dict[str, object]]:
    """The same as plain data."""
    return [
        {
            "name": name,
            "meaning": _first_line(kind),
            "metrics": [
                {
                    "name": one.name,
                    "title": one.title,
                    "better": "higher" if one.higher else "lower",
                }
                for one in kind.metrics
            ],
        }
        for name, kind in TASKS.items()
    ]


def _first_line(kind: type[Task]) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0].rstrip(".")
