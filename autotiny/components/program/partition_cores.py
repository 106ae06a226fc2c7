"""Compute each layer on both cores of a part, one half of its rows on each.

Garofalo et al., "PULP-NN", Philosophical Transactions A, 2020, spread rows over eight cores so.
Rows share nothing but the weights. Both halves are executed; latency counts the longer one, and
what it costs to send the work over, and the flash serves one core at a time. Other conflicts on the
bus are not modelled.
"""

from __future__ import annotations

from dataclasses import dataclass

from autotiny.components.program._scheduling import Scheduling
from autotiny.engine.stripes import with_two_cores
from autotiny.graph import Graph
from autotiny.schedule import Schedule
from autotiny.target import Target


@dataclass(frozen=True)
class PartitionCores(Scheduling):
    """Computes layers on two cores; a target with fewer misses a core, which is a constraint."""

    name = "partition_cores"
    cores = 2

    def changed(
        self, graph: Graph, schedule: Schedule, target: Target | None
    ) -> tuple[Graph, Schedule]:
        """The program with layers in halves."""
        return with_two_cores(graph, schedule)
