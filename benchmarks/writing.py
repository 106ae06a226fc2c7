"""What the pages of results/ share: sequences by name, and lines of tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from autotiny.components import Component
from autotiny.recipe import component_from


def step(component: str, **parameters: Any) -> Component:
    """A component of a sequence."""
    return component_from({"component": component, **parameters})


def row(*cells: object) -> str:
    """A line of a table."""
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def rows_beside(page: Path) -> list[dict[str, Any]]:
    """The rows that a page was written from, as plain data; none where there is no page yet."""
    file = page.with_suffix(".json")
    rows: list[dict[str, Any]] = json.loads(file.read_text("utf-8")) if file.exists() else []
    return rows


def write_page(page: Path, text: str, rows: Sequence[Any]) -> None:
    """Write a page, and beside it the dataclasses that it shows, for later runs to add to."""
    stored = json.dumps([asdict(one) for one in rows], indent=1)
    page.with_suffix(".json").write_text(stored + "\n", encoding="utf-8")
    page.write_text(text, encoding="utf-8")
