"""What a user may rely on, from errors against published times: for the pages and for `measure`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from writing import row

from autotiny.simulator import silicon
from autotiny.simulator.silicon import Arithmetic, Compared


def reliance(errors: Iterable[tuple[str, Arithmetic, str, float]]) -> list[Compared]:
    """Errors by core and arithmetic, to a tenth of a per cent.

    Args:
        errors: core, arithmetic, vendor, and how far off the emulation was, in per cent.
    """
    groups: dict[tuple[str, Arithmetic], list[tuple[str, float]]] = {}
    for core, arithmetic, vendor, error in errors:
        groups.setdefault((core, arithmetic), []).append((vendor, abs(error)))
    return [
        Compared(
            *key,
            cases=len(mine),
            vendors=tuple(sorted({vendor for vendor, _ in mine})),
            mean_percent=round(sum(size for _, size in mine) / len(mine), 1),
            worst_percent=round(max(size for _, size in mine), 1),
        )
        for key, mine in sorted(groups.items())
    ]


def reliance_table(rows: Iterable[Compared]) -> str:
    """The rows as a table of Markdown."""
    lines = [
        row("core", "arithmetic", "cases", "vendors", "mean %", "worst %"),
        "|---|---|---|---|---|---|",
        *(
            row(
                one.core, one.arithmetic, one.cases, ", ".join(one.vendors), one.mean_percent,
                one.worst_percent,
            )
            for one in rows
        ),
    ]  # fmt: skip
    return "\n".join(lines)


def write_down(page: str, rows: Sequence[Compared]) -> None:
    """Keeps for `measure` what a page of results/ says, in place of what it said before."""
    pages = json.loads(silicon.SILICON.read_text(encoding="utf-8"))
    pages[page] = [asdict(one) for one in rows]
    silicon.SILICON.write_text(json.dumps(pages, indent=2) + "\n", encoding="utf-8")
