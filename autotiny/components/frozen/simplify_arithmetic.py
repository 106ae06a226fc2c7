"""Simplify arithmetic on the frozen graph: factors are hoisted, inverse ops cancelled.

Through Grappler's arithmetic optimizer; Larsen and Shpeisman, "TensorFlow Graph Optimizations",
2019.
"""

from __future__ import annotations

from dataclasses import dataclass

from autotiny.components.base import Component, Work
from autotiny.components.frozen._grappler import optimized
from autotiny.model import Level, Model


@dataclass(frozen=True)
class SimplifyArithmetic(Component):
    """Rewrites expressions into cheaper ones of the same value."""

    name = "simplify_arithmetic"
    level = Level.GRAPH
    levels = (Level.KERAS, Level.GRAPH)

    def apply(self, model: Model, work: Work) -> Model:
        """The model with simplified arithmetic."""
        return optimized(model, ("arithmetic", "constfold", "arithmetic"), self.name)
