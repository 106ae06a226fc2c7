"""Estimated against published energy: one current a board, against runs on real boards by others.

MLPerf Tiny has an energy mode: a meter feeds the chip and sums what it takes while a network runs.
Every run of all rounds on a board that has a target here is compared. Usage:

    cd DIR; for v in 0.7 1.0 1.1 1.2; do
        git clone https://github.com/mlcommons/tiny_results_v$v; done
    python benchmarks/energy.py --submissions DIR

writes results/energy.md. It reads results/fidelity.md for the emulated latencies.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from autotiny.target import load_target

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "results" / "energy.md"
ROUNDS = ("v0.7", "v1.0", "v1.1", "v1.2")
OWN = ("v1.2", "ST")
"""The firmware whose four runs gave the currents in the target files."""

BOARDS = {
    "NUCLEO-L4R5ZI": "stm32l4r5", "NUCLEO-U575ZI": "stm32u575", "NUCLEO-H7A3ZI": "stm32h7a3",
}  # fmt: skip
SUBMITTERS = {"STMicroelectronics": "ST"}
SAME_CLOCK = 0.03
"""How far the throughputs of an energy run and a timed run of the same firmware lie apart."""


@dataclass(frozen=True)
class DataSheet:
    """What a data sheet says of a chip whose current was measured as well.

    Attributes:
        current_ma: typical, at the target's clock, code from flash, peripherals off, 25 °C.
        voltage_v: at which it holds.
        converter: whether the core hangs on a switching converter, which keeps the power where the
            voltage changes; a linear regulator keeps the current.
        source: where the figure was found.
    """

    current_ma: float
    voltage_v: float
    converter: bool
    source: str

    def power_mw(self, voltage_v: float) -> float:
        """At another supply voltage."""
        return self.current_ma * (self.voltage_v if self.converter else voltage_v)


DATA_SHEETS: Mapping[str, DataSheet] = {
    "NUCLEO-L4R5ZI": DataSheet(
        18.5, 3.0, converter=False,
        source="DS12023, run mode, ART on, linear regulator; the figure of the target file before "
               "there was a measured one, read again in no copy",
    ),
    "NUCLEO-U575ZI": DataSheet(
        7.15, 3.0, converter=True,
        source="DS13737 revision 8, table 39, range 1, switching converter; read in notes that "
               "cite it",
    ),
    "NUCLEO-H7A3ZI": DataSheet(
        34.0, 3.3, converter=True,
        source="DS13195, table 37, switching converter, \"about 34 mA\"; read in notes that cite "
               "it, which give no voltage: 3.3 V is assumed",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One published energy run.

    Attributes:
        round: of the benchmark.
        submitter: who ran it.
        firmware: which of the submitter's, "" if there is one only.
        board: as `BOARDS` names it.
        task: "AD", "IC", "KWS" or "VWW".
        voltage_v: that the meter supplied.
        energy_uj: of one inference, the median of five windows.
        per_second: inferences a second in the same windows, the median.
        per_second_timed: the same in the run that was submitted for its time.
    """

    round: str
    submitter: str
    firmware: str
    board: str
    task: str
    voltage_v: float
    energy_uj: float
    per_second: float
    per_second_timed: float

    @property
    def power_mw(self) -> float:
        """Mean power over an inference."""
        return self.energy_uj * self.per_second / 1000.0


def runs(submissions: Path) -> Iterator[Run]:
    """All energy runs on the boards known here, the oldest round first.

    Raises:
        SystemExit: a round is missing, or a file lacks a figure.
    """
    for release in ROUNDS:
        closed = submissions / f"tiny_results_{release}" / "closed"
        if not closed.is_dir():
            raise SystemExit(f"there is no {closed}; clone the rounds as --help says")
        for results in sorted(closed.glob("*/results/**/energy/results.txt")):
            submitter, _, *folders, task, _, _ = results.relative_to(closed).parts
            place = next(
                ((folder, board) for folder in folders for board in BOARDS
                 if folder.replace("_", "-").startswith(board)), None,
            )  # fmt: skip
            if place is None:
                continue
            folder, board = place
            variant = folder[len(board) :].removeprefix("_Q").removeprefix("-Q").strip("-_")
            timed = results.parents[1] / "performance" / "results.txt"
            yield Run(
                round=release,
                submitter=SUBMITTERS.get(submitter, submitter),
                firmware=" ".join([*(name for name in folders if name != folder), variant]).strip(),
                board=board,
                task=task.upper(),
                voltage_v=_figure(results.with_name("log.txt"), r"m-voltage-mv\[(\d+)\]") / 1000,
                energy_uj=_figure(results, r"Median energy cost is ([\d.]+) uJ"),
                per_second=_figure(results, r"Median throughput is\s+([\d.]+)"),
                per_second_timed=_figure(timed, r"Median throughput is\s+([\d.]+)"),
            )


def _figure(path: Path, pattern: str) -> float:
    found = re.search(pattern, path.read_text(errors="replace"))
    if found is None:
        raise SystemExit(f"{path} has nothing like {pattern!r}")
    return float(found[1])


def emulated_ms(page: str) -> dict[tuple[str, str], float]:
    """The predicted latencies of ST's firmware in results/fidelity.md, by board and task."""
    rows = (line.split("|") for line in page.splitlines() if line.startswith("| ST |"))
    cells = ([cell.strip() for cell in row] for row in rows)
    return {(row[2], row[3]): float(row[6]) for row in cells if len(row) > 8}


@dataclass(frozen=True)
class Comparison:
    """A run beside what is estimated for it.

    Attributes:
        run: as published.
        target_mw: with the current of the board's target file.
        sheet_mw: with that of its data sheet alone.
        scaled_mw: with that × what was measured ÷ what the data sheet says on the other boards.
        emulated_ms: the predicted latency of its firmware; None where it was not executed.
    """

    run: Run
    target_mw: float
    sheet_mw: float
    scaled_mw: float
    emulated_ms: float | None

    @property
    def own(self) -> bool:
        """Whether the current of the target file is the mean of this firmware's runs."""
        return (self.run.round, self.run.submitter) == OWN

    @property
    def executed_uj(self) -> float | None:
        """The estimate with the emulated latency."""
        return None if self.emulated_ms is None else self.target_mw * self.emulated_ms

    def error(self, power_mw: float) -> float:
        """Of an estimate, relative to what was published."""
        return power_mw / self.run.power_mw - 1

    def off(self, power_mw: float) -> float:
        """Of an estimate, relative to itself: what an error shown beside it must cover."""
        return self.run.power_mw / power_mw - 1


def compared(known: Sequence[Run], emulated: Mapping[tuple[str, str], float]) -> list[Comparison]:
    """All runs, board by board."""
    found = []
    for board, name in BOARDS.items():
        target, sheet = load_target(name), DATA_SHEETS[board]
        ratio = mean(measured_ratio(known, other) for other in BOARDS if other != board)
        for run in (run for run in known if run.board == board):
            sheet_mw = sheet.power_mw(run.voltage_v)
            latency = emulated.get((board, run.task))
            found.append(
                Comparison(
                    run=run,
                    target_mw=target.active_current_ma * run.voltage_v,
                    sheet_mw=sheet_mw,
                    scaled_mw=sheet_mw * ratio,
                    emulated_ms=latency if (run.round, run.submitter) == OWN else None,
                )
            )
    return found


def measured_ratio(known: Sequence[Run], board: str) -> float:
    """Measured ÷ data sheet, the mean of a board's runs."""
    sheet = DATA_SHEETS[board]
    return mean(r.power_mw / sheet.power_mw(r.voltage_v) for r in known if r.board == board)


def shown_error(offs: Iterable[float]) -> int:
    """The percent that stands beside an estimate: its worst case, rounded up."""
    return math.ceil(100 * max(abs(one) for one in offs))


def _percent(value: float) -> str:
    return f"{value * 100:+.1f} %".replace("-0.0 %", "0.0 %").replace("+0.0 %", "0.0 %")


def _summary(errors: Sequence[float]) -> str:
    sizes = [abs(error) * 100 for error in errors]
    return f"mean {mean(sizes):.1f} %, worst {max(sizes):.1f} %" if sizes else "–"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _errors(found: Sequence[Comparison]) -> list[str]:
    """The errors of some runs, summed up for each way to know the current."""
    return [
        _summary([one.error(one.target_mw) for one in found if one.own]),
        _summary([one.error(one.target_mw) for one in found if not one.own]),
        _summary([one.error(one.sheet_mw) for one in found]),
        _summary([one.error(one.scaled_mw) for one in found]),
    ]


def _row(one: Comparison) -> list[str]:
    run, executed = one.run, one.executed_uj
    return [
        run.board,
        run.round,
        f"{run.submitter} {run.firmware}".strip(),
        run.task,
        f"{run.voltage_v:.1f}",
        f"{1000 / run.per_second:.3f}",
        f"{run.power_mw:.1f}",
        f"{run.energy_uj:.1f}",
        f"{one.target_mw * 1000 / run.per_second:.1f}",
        _percent(one.error(one.target_mw)),
        "–" if executed is None else f"{executed:.1f}",
        "–" if executed is None else _percent(executed / run.energy_uj - 1),
        _percent(one.error(one.sheet_mw)),
    ]


def write(found: Sequence[Comparison]) -> str:
    """The report as Markdown."""
    own, other, alone, scaled = _errors(found)
    by_board = {board: [one for one in found if one.run.board == board] for board in BOARDS}
    held_out = shown_error(one.off(one.sheet_mw) for one in found)
    boards = [
        [board, BOARDS[board], str(len(mine)), *_errors(mine),
         f"± {shown_error(one.off(one.target_mw) for one in mine)} %",
         f"± {shown_error(one.off(one.sheet_mw) for one in mine)} %"]
        for board, mine in by_board.items()
    ]  # fmt: skip
    boards.append(["all", "", str(len(found)), own, other, alone, scaled, "", f"± {held_out} %"])
    known = [one.run for one in found]
    sheets = []
    for board, sheet in DATA_SHEETS.items():
        target = load_target(BOARDS[board])
        sheets.append(
            [
                board,
                f"{sheet.current_ma:g} mA at {sheet.voltage_v:g} V",
                f"{target.active_current_ma:g} mA at {target.supply_voltage_v:g} V",
                f"{measured_ratio(known, board):.2f}",
                sheet.source,
            ]
        )
    too_low = sum(one.sheet_mw < one.run.power_mw for one in found)
    drift = {run: run.per_second / run.per_second_timed - 1 for run in known}
    unlike = [
        f"{run.task} of {run.submitter} {run.round} on {run.board} ({_percent(change)})"
        for run, change in drift.items()
        if abs(change) > SAME_CLOCK
    ]
    executed = [one.executed_uj / one.run.energy_uj - 1 for one in found if one.executed_uj]
    return f"""# Estimated energy against measured

Written by `python benchmarks/energy.py --submissions DIR`, DIR a folder with clones of
github.com/mlcommons/tiny_results_v0.7, _v1.0, _v1.1 and _v1.2. autotiny shows active current ×
supply voltage × latency. Here the current of a target is compared with every energy run that was
submitted to MLPerf Tiny (closed division) on its board: {len(found)} runs.

- The firmware whose mean is the target's current, its four tasks: **{own}**.
- Other firmware on the same board: **{other}**.
- The board held out, its current from the data sheet alone: **{alone}**;
  too low in {too_low} of {len(found)} runs.
- The board held out, its data sheet × what the other two boards take beyond theirs:
  {scaled}.

{
        _table(
            [
                "board",
                "target",
                "runs",
                "its four tasks",
                "other firmware",
                "data sheet alone",
                "data sheet × others' ratio",
                "shown, measured",
                "shown, data sheet",
            ],
            boards,
        )
    }

Errors are estimate ÷ published − 1, as in results/fidelity.md, with the published latency: the
current alone is tested. "Shown" is what must stand beside an estimate and is relative to it: the
worst |published ÷ estimate − 1|, rounded up. It is a target's `active_current_error_percent`:

- a current that was measured: its board's own worst;
- a current from a data sheet: the worst held-out board's, **± {held_out} %**;
- a current that no document gives (rp2040, rp2350, a user's file that says nothing): none, and
  every figure is marked "unverified".

The latency's error comes on top of the current's: with the emulated latencies of
results/fidelity.md instead of the published ones, ST's {len(executed)} runs of v1.2 are off by
{_summary(executed)}.

## What was measured
- A meter (LPM01A in every log) feeds the chip through the board's current jumper: regulator, core,
  memories and pins are inside, the board's debugger is not.
- Energy is the median of five windows (of four in one run), which agree within 2 %.
- The voltage is that of the log. The clock is that of the timed run: both run as fast, within
  {SAME_CLOCK * 100:.0f} %. Exceptions: {"; ".join(unlike) or "none"}.
- The binaries of the energy mode are compiled apart and signal the meter by a pin.

## What the data sheets say
No copy of the three could be read here: each figure is second-hand, as its source says. "Ratio" is
measured ÷ data sheet, the mean of the board's runs. A linear regulator is taken to keep the
current when the voltage changes, a switching one the power.

{_table(["board", "data sheet", "target file", "ratio", "source"], sheets)}

## What this does not say
- Three parts of one vendor: no Cortex-M0+, no Cortex-M3, no RISC-V, and no part that runs from a
  serial flash, which takes current of its own.
- A data sheet states the current of a small benchmark with all peripherals off. Firmware that does
  something has a timer, a port and pins besides, some of these an operating system.
- ST's v1.2 was measured by ST, with what its newest compiler and library make of the chip.

## Runs
"Executed" takes the emulated latency; "data sheet" is the error with the data sheet's current.

{
        _table(
            [
                "board",
                "round",
                "firmware",
                "task",
                "V",
                "ms",
                "mW",
                "published µJ",
                "estimate µJ",
                "error",
                "executed µJ",
                "error",
                "data sheet",
            ],
            [_row(one) for one in found],
        )
    }
"""


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description="Compare estimated with published energy.")
    parser.add_argument(
        "--submissions", type=Path, required=True,
        help=f"folder with clones of mlcommons/tiny_results_{', _'.join(ROUNDS)}",
    )  # fmt: skip
    submissions = parser.parse_args().submissions
    emulated = emulated_ms((ROOT / "results" / "fidelity.md").read_text(encoding="utf-8"))
    found = compared(list(runs(submissions)), emulated)
    RESULT.write_text(write(found), encoding="utf-8")
    print(f"{RESULT}: {len(found)} runs")


if __name__ == "__main__":
    main()
