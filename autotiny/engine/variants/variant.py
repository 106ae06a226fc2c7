"""What makes a variant of the kernels, and how steps are given one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from autotiny.engine.kernel import Emit, Site
from autotiny.errors import NotApplicable
from autotiny.graph import Graph
from autotiny.schedule import Schedule, Step, Way

Choose = Callable[[Site], Way | None]
"""A way to compute a step that is better than its own; None leaves it."""


@dataclass(frozen=True)
class Variant:
    """A way to compute layers on int8.

    Attributes:
        way: the dataclass that a step names it by.
        package: the dotted name of its folder.
        why_not: why a layer cannot be computed so; None if it can. Takes ops of any kind.
        emit: its C, for a step whose kernel is such a `way`; refuses what `why_not` names.
        headers: the files of C in its folder.
        roomy: for a step that is computed well already, ways that are faster but take more SRAM,
            the best first.
    """

    way: type[Way]
    package: str
    why_not: Callable[[Site], str | None]
    emit: Emit
    headers: tuple[str, ...] = ()
    roomy: Callable[[Site], tuple[Way, ...]] = lambda site: ()


def with_each(
    graph: Graph, schedule: Schedule, choices: tuple[Choose, ...], refusal: str
) -> Schedule:
    """Every step on int8 by the first way that is chosen for it; refused if all stay as they are.

    Steps whose weights are coded keep their kernel, as do those of a variant that says so.
    """

    def chosen(step: Step) -> Step:
        site = Site(graph, step)
        if not is_plain_int8(site):
            return step
        ways = (choose(site) for choose in choices)
        return replace(step, kernel=next((way for way in ways if way), step.kernel))

    steps = tuple(map(chosen, schedule.steps))
    if steps == schedule.steps:
        raise NotApplicable(refusal)
    return Schedule(steps)


def is_plain_int8(site: Site) -> bool:
    """Whether a step is computed on int8, with weights as they are, and may be given a kernel."""
    step = site.step
    if step.kernel.stays or step.weights.coding != "plain":
        return False
    return site.arithmetic == "int8" and site.output.dtype == "int8"
