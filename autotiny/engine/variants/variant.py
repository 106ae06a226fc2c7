"""What makes a variant of the kernels, and how steps are given one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
            the best first. Takes whether the core loads ahead, too.
        settings: all ways of it that are worth measuring for a layer, whether it can be computed
            so or not; by default the only one there is.
    """

    way: type[Way]
    package: str
    why_not: Callable[[Site], str | None]
    emit: Emit
    headers: tuple[str, ...] = ()
    roomy: Callable[[Site, bool], tuple[Way, ...]] = lambda site, loads_ahead: ()
    settings: Callable[[Site], tuple[Way, ...]] | None = None

    def ways(self, site: Site) -> Iterator[Way]:
        """The ways of it in which a layer can be computed."""
        for way in self.settings(site) if self.settings else (self.way(),):
            if self.why_not(site.by(way)) is None:
                yield way


def with_each(
    graph: Graph, schedule: Schedule, choices: tuple[Choose, ...], refusal: str
) -> Schedule:
    """Every step on int8 by the first way that is chosen for it; refused if all stay as they are.

    Steps whose weights are coded keep their kernel, as do those of a variant that says so. A sum
    that is fused is a step of its own again behind what is computed another way.
    """

    def chosen(step: Step) -> tuple[Step, ...]:
        first, *behind = parted(graph, step)
        site = Site(graph, first)
        ways = (choose(site) for choose in choices) if is_plain_int8(site) else ()
        way = next((way for way in ways if way), None)
        return (replace(first, kernel=way), *behind) if way else (step,)

    steps = tuple(one for step in schedule.steps for one in chosen(step))
    if steps == schedule.steps:
        raise NotApplicable(refusal)
    return Schedule(steps)


def parted(graph: Graph, step: Step) -> tuple[Step, ...]:
    """A step without the sum that is fused into it, if there is one, and that sum."""
    sums = tuple(index for index in step.ops[1:] if graph.ops[index].kind == "ADD")
    if not sums or graph.ops[step.ops[0]].kind != "CONV_2D":
        return (step,)
    others = tuple(index for index in step.ops if index not in sums)
    return replace(step, ops=others), Step(sums, core=step.core)


def is_plain_int8(site: Site) -> bool:
    """Whether a step is computed on int8, with weights as they are, and may be given a kernel."""
    step = site.step
    if step.kernel.stays or step.weights.coding != "plain":
        return False
    return site.arithmetic == "int8" and site.output.dtype == "int8"
