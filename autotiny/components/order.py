"""Which orders of components are legal, and which are the same work.

Both follow from what the components state of themselves: the levels they take and leave,
`not_after`, `once`, and `commutes_with`.
"""

from __future__ import annotations

from collections.abc import Iterable

from autotiny.components.base import Component
from autotiny.model import Level

LEVELS = tuple(Level)


def is_lowering(component: type[Component] | Component) -> bool:
    """Whether a component turns a trainable model or its graph into a `.tflite` graph."""
    return component.level in (Level.KERAS, Level.GRAPH) and component.leaves is Level.TFLITE


def is_calibrated(component: Component) -> bool:
    """Whether a component finds ranges with samples."""
    return is_lowering(component) and getattr(component, "calibration", 0) > 0


def commute(first: type[Component] | Component, second: type[Component] | Component) -> bool:
    """Whether two components may change places without changing the result, byte for byte."""
    return second.name in first.commutes_with or first.name in second.commutes_with


def objection(steps: Iterable[type[Component]], start: Level = Level.KERAS) -> str | None:
    """Why a sequence is illegal on a model of level `start`, or None if it is legal."""
    level = start
    seen: list[type[Component]] = []
    for step in steps:
        lowering = next((other for other in seen if is_lowering(other)), None)
        if lowering is not None and is_lowering(step):
            return f"{step.name} is a second lowering, behind {lowering.name}; one is enough"
        if not step.takes(level):
            takes = " or ".join(step.levels)
            return f"{step.name} takes a model of level {takes}, and stands where it is {level}"
        for other in seen:
            if other.name in step.not_after:
                return f"{step.name} after {other.name}: {step.not_after[other.name]}"
            if other is step and step.once:
                return f"a second {step.name} finds nothing to do"
        level = step.gives(level)
        seen.append(step)
    if level not in (Level.TFLITE, Level.PROGRAM):
        return f"nothing lowers the model: it is left at level {level}"
    return None


def misplaced(steps: Iterable[type[Component]]) -> str | None:
    """Why a sequence is illegal on every model, whatever its level; None if some model takes it."""
    kinds = list(steps)
    if any(objection(kinds, level) is None for level in LEVELS):
        return None
    start = next((level for level in LEVELS if level in kinds[0].levels), Level.KERAS)
    return objection(kinds, start)
