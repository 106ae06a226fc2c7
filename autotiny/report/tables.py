"""Tables for the terminal; every one shows values that the Python API and `--json` give as well."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import PurePath
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from autotiny.firmware.board_report import BoardReport
from autotiny.firmware.calibration import Calibration
from autotiny.metrics import Cost, Metrics
from autotiny.target import Target
from autotiny.tasks import shown_metric

if TYPE_CHECKING:
    from autotiny.simulator.profile import FunctionProfile, Profile, StepProfile

PLAIN_WIDTH = 160
"""Columns where nobody set a width: a table in a file or a pipe is not cut at 80."""

WIDE = 120
"""Columns from which a table shows everything it knows."""

GAP = 2
"""Blanks between two columns of a table."""

AT_CHANCE = "‡"
"""Stands behind a score that guessing reaches as well; see `Task.at_chance`."""

CHANCE_TEXT = "at chance level: the best answer that knows no input does as well"

STALLS = {"dependency": "dep", "branch": "br"}
"""Column headings of the causes of stall where they are not the names."""


def console(*, stderr: bool = False) -> Console:
    """The console that tables (stdout) and progress (stderr) are printed to.

    Square brackets and colons in names are printed as they are, not read as styles and emoji.
    """
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else PLAIN_WIDTH
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


def working(text: str) -> Status:
    """What shows that work is being done, on a terminal."""
    return console(stderr=True).status(Text(text))


def kilobytes(count: int) -> str:
    """A size in KB of 1,024 bytes, as data sheets count."""
    return f"{count // 1024:,}" if count % 1024 == 0 else f"{count / 1024:,.1f}"


def milliseconds(value: float) -> str:
    """A latency, to the microsecond where that means something."""
    decimals = 0 if value >= 1000 else 1 if value >= 100 else 2 if value >= 10 else 3
    return f"{value:,.{decimals}f}" if value >= 0.01 or value == 0 else f"{value:.2g}"


def score_text(metrics: Metrics) -> str:
    """The score on validation, and whether it is at chance level."""
    metric = shown_metric(metrics.metric)
    value = metrics.score_validation
    text = f"{metric.title} {metric.text(value)}" if metric else f"{metrics.metric} {value:.4g}"
    return f"{text} (at chance level)" if metrics.at_chance else text


def clock(seconds: float) -> str:
    """A duration as 0:07, 2:35 or 1:02:35."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def table(*columns: str, left: Iterable[str] = (), wraps: Iterable[str] = ()) -> Table:
    """An empty table: numbers to the right, the columns named in `left` and `wraps` to the left."""
    made = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, GAP - 1, 0, 0),  # the box itself puts one blank between columns
        pad_edge=False,
        header_style="bold",
        show_edge=False,
    )
    for column in columns:
        folds = column in wraps
        made.add_column(
            column,
            justify="left" if folds or column in left else "right",
            no_wrap=not folds,
            overflow="fold" if folds else "ellipsis",
        )
    return made


def target_facts(target: Target) -> dict[str, object]:
    """A target as its file states it, as plain data."""
    return {name: value for name, value in asdict(target).items() if name != "file"}


def target_table(targets: Sequence[Target]) -> Table:
    """One line a microcontroller."""
    made = table(
        "target", "core", "MHz", "flash KB", "SRAM KB", "cache KB", "FPU", "DSP", "mA",
        left=("target", "core", "FPU", "DSP"),
    )  # fmt: skip
    for target in targets:
        caches = [cache for cache in (target.icache, target.dcache) if cache]
        made.add_row(
            target.name,
            target.core if target.cores == 1 else f"{target.cores}× {target.core}",
            f"{target.clock_hz / 1e6:.0f}",
            kilobytes(target.flash_bytes),
            kilobytes(target.sram_bytes),
            "+".join(f"{cache.size_bytes / 1024:g}" for cache in caches) or "–",
            {"none": "–", "fpv5-d16": "double"}.get(target.fpu, "single"),
            "yes" if target.dsp else "–",
            f"{target.active_current_ma:g}",
        )
    return made


def memory_table(target: Target) -> Table:
    """The memories of one microcontroller; "0+1" waits one cycle for the first load of a run."""
    made = table(
        "memory", "kind", "from", "KB", "wait", "clock", "bus", "line", "cached", "holds data",
        left=("memory", "kind", "cached", "holds data"),
    )  # fmt: skip
    for memory in target.memories:
        first = f"+{memory.first_load_cycles}" if memory.first_load_cycles else ""
        made.add_row(
            memory.name,
            memory.kind,
            f"{memory.origin:#010x}",
            kilobytes(memory.size_bytes),
            f"{memory.wait_states}{first}",
            f"÷{memory.clock_divider}" if memory.clock_divider > 1 else "core",
            str(memory.bus_bytes),
            str(memory.line_bytes or "–"),
            "yes" if memory.cached else "–",
            "yes" if memory.data else "–",
        )
    return made


def source_table(target: Target) -> Table:
    """Where each figure of a microcontroller comes from."""
    made = table("figure", "source", left=("figure",), wraps=("source",))
    for key, text in target.sources.items():
        made.add_row(key, text)
    return made


def cost_table(cost: Cost, target: Target) -> Table:
    """The figures of one firmware against what the target has."""
    made = table("figure", "value", "unit", "of target", left=("figure", "unit"))
    rows: list[tuple[str, str, str, str]] = [
        ("flash", f"{cost.flash_bytes:,}", "bytes", _share(cost.flash_bytes, target.flash_bytes)),
        ("  weights", f"{cost.weights_bytes:,}", "bytes", ""),
        ("  code", f"{cost.code_bytes:,}", "bytes", ""),
        ("SRAM", f"{cost.sram_bytes:,}", "bytes", _share(cost.sram_bytes, target.sram_bytes)),
        ("  arena", f"{cost.arena_bytes:,}", "bytes", ""),
        ("  static", f"{cost.static_bytes:,}", "bytes", ""),
        ("  stack", f"{cost.stack_bytes:,}", "bytes", ""),
        ("instructions", f"{cost.instructions:,}", "", ""),
        ("cycles", f"{cost.cycles:,}", corrected_by(target), ""),
        ("  cold caches", f"{cost.cold_cycles:,}", "", ""),
        ("latency", milliseconds(cost.latency_ms), "ms", ""),
        ("energy (estimated)", f"{cost.energy_estimated_mj:.4g}", f"mJ {target.energy_error}", ""),
    ]
    for row in (*rows, *_stream_rows(cost, target)):
        made.add_row(*row)
    return made


def corrected_by(target: Target) -> str:
    """What stands beside predicted cycles: the factor that is in them, where there is one."""
    return f"corrected × {target.cycles_factor:.4g}" if target.correction else ""


def verified_table(found: BoardReport) -> Table:
    """What a board counted, beside what was predicted."""
    made = table("figure", "predicted", "counted", "unit", "off %", left=("figure", "unit"))
    off, first = found.off_percent, found.predicted_first_cycles
    made.add_row("cycles", f"{found.predicted_cycles:,}", f"{found.cycles:,}", "", f"{off:+.1f}")
    made.add_row("  of the first", f"{first:,}", f"{found.first_cycles:,}", "", "")
    stack = (f"{found.predicted_stack_bytes:,}", f"{found.stack_bytes:,}")
    made.add_row("stack", *stack, "bytes, with the selftest's", "")
    return made


def calibrated_table(found: Calibration) -> Table:
    """Each model's cycles as predicted and counted, and how far the others' factor would be off."""
    made = table(
        "model", "log", "predicted", "counted", "ratio", "off %", "corrected", left=("model", "log")
    )
    for one in found.counted:
        held_out, report = one.held_out_percent, one.report
        made.add_row(
            report.model,
            PurePath(one.log).name,
            f"{report.predicted_cycles:,}",
            f"{report.cycles:,}",
            f"{one.ratio:.4f}",
            f"{report.off_percent:+.1f}",
            "–" if held_out is None else f"{held_out:+.1f}",
        )
    return made


def _stream_rows(cost: Cost, target: Target) -> list[tuple[str, str, str, str]]:
    """What listening without end takes; an answer takes the latency above."""
    stream = cost.stream
    if stream is None:
        return []
    rows = [("hop", f"{stream.hop:,}", f"samples of a window of {stream.window:,}", "")]
    if stream.hop_ms is None or stream.duty_cycle is None:
        return rows
    energy = stream.energy_estimated_mj_per_second
    return [
        *rows,
        ("time between answers", milliseconds(stream.hop_ms), "ms", ""),
        ("duty cycle", duty(stream.duty_cycle), "% of the time", ""),
        ("energy (estimated)", f"{energy:.4g}", f"mJ a second {target.energy_error}", ""),
    ]


def duty(share: float) -> str:
    """A share of the time in percent; more than all of it in whole ones."""
    return f"{100 * share:.3g}" if share < 1 else f"{100 * share:,.0f}"


def layer_table(cost: Cost) -> Table:
    """One line a step of the firmware, in the order of execution."""
    made = table(
        "layer", "instructions", "cycles", "ms", "share", "weights B", left=("layer",)
    )  # fmt: skip
    for layer in cost.layers:
        made.add_row(
            layer.name,
            f"{layer.instructions:,}",
            f"{layer.cycles:,}",
            milliseconds(layer.latency_ms),
            _share(layer.cycles, cost.cycles),
            f"{layer.weights_bytes:,}",
        )
    return made


def profile_table(found: Profile, target: Target) -> Table:
    """The figures of a firmware that is not autotiny's."""
    made = table("figure", "value", "unit", left=("figure", "unit"))
    for row in (
        ("flash", f"{found.flash_bytes:,}", "bytes"),
        ("static SRAM", *_bytes_or_unknown(found.static_bytes)),
        ("instructions", f"{found.instructions:,}", ""),
        ("cycles", f"{found.cycles:,}", corrected_by(target)),
        ("latency", milliseconds(found.latency_ms), "ms"),
        ("energy (estimated)", f"{found.energy_estimated_mj:.4g}", f"mJ {target.energy_error}"),
    ):
        made.add_row(*row)
    return made


def _bytes_or_unknown(size: int | None) -> tuple[str, str]:
    return ("unknown", "") if size is None else (f"{size:,}", "bytes")


def stall_table(parts: Sequence[StepProfile | FunctionProfile], heading: str) -> Table:
    """Where the cycles went: a line a step or function, and what it lost to each cause, in %.

    A cause below zero won cycles back: two instructions went in one.
    """
    causes = list(parts[0].stalls) if parts else []
    made = table(
        heading, "instructions", "cycles", *(STALLS.get(cause, cause) for cause in causes),
        wraps=(heading,),
    )  # fmt: skip
    made.caption = "dep to data: stalls, in % of a line's cycles; below zero, two went in one cycle"
    made.caption_justify = "left"
    for part in parts:
        lost = (100 * part.stalls[cause] / max(part.cycles, 1) for cause in causes)
        shares = [f"{percent:.0f}" if round(percent) else "–" for percent in lost]
        made.add_row(part.name, f"{part.instructions:,}", f"{part.cycles:,}", *shares)
    return made


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"
