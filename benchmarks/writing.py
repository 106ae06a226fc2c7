"""What the pages of results/ share: sequences by name, and lines of tables."""

from __future__ import annotations

from typing import Any

from autotiny.components import Component
from autotiny.recipe import component_from


def step(component: str, **parameters: Any) -> Component:
    """A component of a sequence."""
    return component_from({"component": component, **parameters})


def row(*cells: object) -> str:
    """A line of a table."""
    return f"| {' | '.join(str(cell) for cell in cells)} |"
