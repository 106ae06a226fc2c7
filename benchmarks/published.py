"""Predicted against published cycles: programs of others, built by hand, timed by others.

    python benchmarks/published.py TABLE.csv

writes results/published.md. A row of the table is one call of a function of an ELF: `elf`, `target`
(a name, or a file), `wait_states` (of its flash, where the figure has others), `function`, `repeat`
(the call that counts), `published_cycles`, `arithmetic` ("integer" or "int8"), `vendor` (whose
program), and what was built: `source` (of the figure), `commit`, `compiler`, `flags`.
Paths are relative to the table. Neither the programs nor how they are built is part of autotiny.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from relying import reliance, reliance_table, write_down
from writing import row

from autotiny.simulator import measure_elf
from autotiny.simulator.silicon import Arithmetic, Compared
from autotiny.target import load_target, with_wait_states

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "results" / "published.md"
BUILD = ("source", "commit", "compiler", "flags")


@dataclass(frozen=True)
class Call:
    """One call of a function of a program.

    Attributes:
        program: the ELF's name without its ending.
        function: that was called.
        target: that it was emulated on, with its wait states where they are not the target's own.
        core: of the target.
        arithmetic: "integer" or "int8".
        vendor: whose program it is.
        build: what was built and where its figure was published, in the order of BUILD.
        published_cycles: by the source.
        cycles: by the emulator.
    """

    program: str
    function: str
    target: str
    core: str
    arithmetic: Arithmetic
    vendor: str
    build: tuple[str, ...]
    published_cycles: float
    cycles: int

    @property
    def error_percent(self) -> float:
        """Relative to what was published."""
        return 100 * (self.cycles / self.published_cycles - 1)


def measured(entry: dict[str, str], folder: Path) -> Call:
    """A row of the table, executed."""
    beside = folder / entry["target"]
    target = load_target(str(beside) if beside.is_file() else entry["target"])
    name = target.name
    if entry["wait_states"]:
        target = with_wait_states(target, int(entry["wait_states"]))
        name += f", {entry['wait_states']} wait states"
    arithmetic: Arithmetic = "int8" if entry["arithmetic"] == "int8" else "integer"
    elf = folder / entry["elf"]
    function, repeat = entry["function"], int(entry["repeat"])
    found = measure_elf(elf, target, function=function, repeat=repeat)
    return Call(
        elf.stem, function, name, target.core, arithmetic, entry["vendor"],
        tuple(entry[name] for name in BUILD), float(entry["published_cycles"]), found.cycles,
    )  # fmt: skip


def relied(calls: Sequence[Call]) -> list[Compared]:
    """What a user may rely on, by core and arithmetic."""
    return reliance((call.core, call.arithmetic, call.vendor, call.error_percent) for call in calls)


def summary(calls: Sequence[Call]) -> tuple[str, str, str]:
    """How many calls, and the mean and the largest size of their errors."""
    sizes = [abs(call.error_percent) for call in calls]
    return str(len(sizes)), f"{sum(sizes) / len(sizes):.2f} %", f"{max(sizes):.1f} %"


def page(calls: Sequence[Call]) -> str:
    """The report as Markdown."""
    builds: dict[tuple[str, ...], list[Call]] = {}
    for call in calls:
        builds.setdefault((call.target, call.core, call.arithmetic, *call.build), []).append(call)
    lines = [
        "# Programs of others against their published cycles",
        "",
        "Written by `python benchmarks/published.py TABLE.csv`. The programs were built by hand, "
        "as close to the published builds as their authors' words allow, and are no part of "
        "autotiny; compilers differ where the table says so. No constant of the cycle model was "
        "fitted on them, but for what a load takes on RV32, and that the first load of a run "
        "takes a cycle more in SRAM2 and SRAM3 of the STM32L4R5, where pqm4 has its stack.",
        "",
        "## What to rely on",
        "By core and arithmetic; `autotiny measure` says the worst.",
        "",
        reliance_table(relied(calls)),
        "",
        "## By what was built",
        row("target", "core", "arithmetic", "source of the figure", "calls", "mean", "worst"),
        "|---|---|---|---|---|---|---|",
        *(row(*key[:4], *summary(mine)) for key, mine in builds.items()),
        row("all", "", "", "", *summary(calls)),
        "",
        "## What was built",
        row("source of the figure", "commit", "compiler", "flags"),
        "|---|---|---|---|",
        *(row(*build) for build in dict.fromkeys(call.build for call in calls)),
        "",
        "## Each call",
        row("program", "function", "published cycles", "emulated", "error"),
        "|---|---|---|---|---|",
        *(
            row(
                call.program, call.function, f"{call.published_cycles:,.0f}", f"{call.cycles:,}",
                f"{call.error_percent:+.1f} %",
            )
            for call in calls
        ),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def main() -> None:
    """Runs the table and writes the report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("table", type=Path)
    options = parser.parse_args()
    with options.table.open(encoding="utf-8", newline="") as file:
        entries = list(csv.DictReader(file))
    calls = []
    for entry in entries:
        calls.append(measured(entry, options.table.parent))
        last = calls[-1]
        print(f"{last.program} {last.function}: {last.error_percent:+.1f} %", flush=True)
    RESULT.write_text(page(calls), encoding="utf-8")
    write_down(RESULT.name, relied(calls))
    print(f"written to {RESULT}")


if __name__ == "__main__":
    main()
