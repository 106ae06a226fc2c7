"""What the components of level program share: every one of them takes a schedule to another."""

from __future__ import annotations

from typing import ClassVar

from autotiny.components.base import Component, Work
from autotiny.engine import plain_schedule
from autotiny.errors import NotApplicable
from autotiny.graph import Graph
from autotiny.model import Level, Model, Program, successor
from autotiny.schedule import Schedule
from autotiny.target import Target


class Scheduling(Component):
    """A component that changes how ops are computed, never what they compute."""

    level: ClassVar[Level] = Level.PROGRAM
    levels: ClassVar[tuple[Level, ...]] = (Level.TFLITE, Level.PROGRAM)

    def apply(self, model: Model, work: Work) -> Model:
        """The program with another schedule; a graph of level tflite starts from the plain one."""
        program = as_program(model).program
        try:
            graph, schedule = self.changed(program.graph, program.schedule, work.target)
        except NotApplicable as refusal:
            # The engine names its function; who reads the reason knows the component.
            _, _, reason = str(refusal).partition(": ")
            raise NotApplicable(f"{self.name}: {reason or refusal}") from refusal
        return successor(model, Program(graph, schedule))

    def changed(
        self, graph: Graph, schedule: Schedule, target: Target | None
    ) -> tuple[Graph, Schedule]:
        """The new program; most components leave the graph as it is, on whatever target."""
        return graph, self.rescheduled(graph, schedule)

    def rescheduled(self, graph: Graph, schedule: Schedule) -> Schedule:
        """The new schedule.

        Raises:
            NotApplicable: no step of the schedule would change.
        """
        raise NotImplementedError


def as_program(model: Model) -> Model:
    """A model of level tflite with the plain schedule; a program stays as it is."""
    if model.level is Level.PROGRAM:
        return model
    return successor(model, Program(model.graph, plain_schedule(model.graph)))
