"""Drop control dependencies that others imply, and nodes that exist for ordering alone.

Aho, Garey and Ullman, "The Transitive Reduction of a Directed Graph", 1972, through Grappler's
dependency optimizer.

Alone it changes no firmware, for lowering drops all control edges.
"""

from __future__ import annotations

from dataclasses import dataclass

from autotiny.components.base import Component, Work
from autotiny.components.frozen._grappler import optimized
from autotiny.model import Level, Model


@dataclass(frozen=True)
class ReduceControlEdges(Component):
    """Replaces the control edges of the graph by the fewest that order it the same."""

    name = "reduce_control_edges"
    level = Level.GRAPH
    levels = (Level.KERAS, Level.GRAPH)

    def apply(self, model: Model, work: Work) -> Model:
        """The model with fewer control edges."""
        return optimized(model, ("dependency",), self.name)
