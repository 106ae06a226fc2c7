"""The view of a running search: a live panel on a terminal, plain lines anywhere else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Column, Table
from rich.text import Text

from autotiny.report.tables import GAP, clock, milliseconds, table
from autotiny.study import Progress
from autotiny.target import Target
from autotiny.tasks import shown_metric

HEADINGS = {
    "latency_ms": "ms",
    "worst_latency_ms": "worst ms",
    "flash_bytes": "flash B",
    "sram_bytes": "SRAM B",
    "energy_estimated_mj": "est. mJ",
    "balanced_ratio": "ratio",
}
"""Column headings of a study's values, but for its score."""


def heading(name: str) -> str:
    """What a column of a study's values is called."""
    metric = shown_metric(name)
    return metric.name.rpartition(":")[2] if metric else HEADINGS.get(name, name)


@contextmanager
def counting(console: Console) -> Iterator[Callable[[int, int, str], None]]:
    """A bar on a terminal, plain lines anywhere else.

    Each call tells how much is done, of how much, and what comes next.
    """
    if not console.is_terminal:
        yield lambda done, total, text: console.print(f"[{done}/{total}] {text}", soft_wrap=True)
        return
    # the text takes what room the figures leave, and is cut
    rest = Column(ratio=1, no_wrap=True, overflow="ellipsis")
    columns = (
        MofNCompleteColumn(),
        BarColumn(bar_width=10),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False, table_column=rest),
    )
    with Bar(*columns, console=console, transient=True, expand=True) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda done, total, text: bar.update(
            task, completed=done, total=total, description=text
        )


class SearchView:
    """Shows where a search stands; pass it to `search` as `on_trial`, and use it as a context.

    Args:
        console: where to; a terminal gets the live panel.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._stage = "starting"
        self._progress: Progress | None = None
        self._live = (
            Live(get_renderable=self._render, console=console, refresh_per_second=4, transient=True)
            if console.is_terminal
            else None
        )

    def __enter__(self) -> SearchView:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        if self._live:
            self._live.stop()

    def stage(self, text: str) -> None:
        """Say what is being done before the first trial, or after the last."""
        self._stage = text
        if not self._live:
            self._console.print(text, soft_wrap=True)

    def notice(self, text: str) -> None:
        """Say what the user should know before the search begins; it stays on the terminal."""
        self._console.print(f"note: {text}", soft_wrap=not self._live)

    def __call__(self, progress: Progress) -> None:
        """Take note of a trial that ended."""
        self._progress = progress
        if not self._live:
            self._console.print(plain_line(progress), soft_wrap=True)

    def _render(self) -> RenderableType:
        elapsed = clock(time.monotonic() - self._began)
        if self._progress is None:
            return Text(f"{self._stage} … {elapsed}")
        return progress_panel(
            self._progress, elapsed, self._stage, self._console.width, self._console.height
        )


def progress_panel(
    progress: Progress, elapsed: str, stage: str, width: int, height: int
) -> RenderableType:
    """A bar, the counts, the last trial, and as much of the front as the window holds."""
    counts = ", ".join(f"{count} {outcome}" for outcome, count in progress.counts.items() if count)
    asked = progress.cache_hits + progress.cache_misses
    hits = f"cache: {progress.cache_hits} of {asked} answered"
    lines: list[RenderableType] = [
        _bar(progress, elapsed, width),
        Text(f"{counts or 'no trial has ended yet'}; {hits}", no_wrap=True, overflow="ellipsis"),
    ]
    if progress.last is not None:
        lines.append(Text(f"last: {last_trial(progress)}", no_wrap=True, overflow="ellipsis"))
    if stage != "searching":
        lines.append(Text(f"{stage} …"))
    lines += ["", live_front_table(progress, max(height - len(lines) - 6, 3), width)]
    return Group(*lines)


def _bar(progress: Progress, elapsed: str, width: int) -> Text:
    """How much is done, and of how much, where that is known."""
    head, gone = f"trials {_done(progress)}", f"{elapsed} gone"
    if progress.total is None:
        return Text.assemble((head, "bold"), f"  {gone}")
    left = "–" if progress.seconds_left is None else clock(progress.seconds_left)
    tail = f"{gone}, {left} left"
    room = max(width - len(head) - len(tail) - 4, 8)
    filled = min(room, room * progress.done // max(progress.total, 1))
    return Text.assemble(
        (head, "bold"), "  ", ("━" * filled, "green"), ("━" * (room - filled), "dim"), "  ", tail
    )


def _done(progress: Progress) -> str:
    """How many trials have ended, and of how many, where that is known."""
    return str(progress.done) if progress.total is None else f"{progress.done}/{progress.total}"


def live_front_table(progress: Progress, rows: int, width: int) -> Table:
    """The front so far, the best score first; sequences are cut to one line each."""
    highest = progress.directions[0] == "maximize"
    front = sorted(progress.front, key=lambda point: point[2][0], reverse=highest)
    lines = [["trial", *map(heading, progress.objectives)]]
    for number, _, values in front[:rows]:
        named = zip(progress.objectives, values, strict=True)
        lines.append(
            [str(number), *(value_text(name, value, progress.target) for name, value in named)]
        )
    # rich would narrow all columns alike: the figures must stay whole.
    taken = sum(max(map(len, column)) + GAP for column in zip(*lines, strict=True))
    room = max(width - taken, 10)
    made = table(*lines[0], "sequence", left=("sequence",))
    for cells, (_, sequence, _) in zip(lines[1:], front, strict=False):
        made.add_row(*cells, sequence if len(sequence) <= room else f"{sequence[: room - 1]}…")
    if len(front) > rows:
        made.add_row("", *("" for _ in progress.objectives), f"and {len(front) - rows} more")
    return made


def value_text(name: str, value: float, target: Target) -> str:
    """A value of a study as a table shows it."""
    if metric := shown_metric(name):
        return metric.text(value)
    if name.endswith("_bytes"):
        return f"{value:,.0f}"
    if name.endswith("_mj"):
        return f"{milliseconds(value)} {target.energy_error}"
    return milliseconds(value)


def plain_line(progress: Progress) -> str:
    """One line a trial, for logs."""
    if progress.last is None:
        return f"[{_done(progress)}] nothing left to do"
    left = "" if progress.seconds_left is None else f", {clock(progress.seconds_left)} left"
    asked = progress.cache_hits + progress.cache_misses
    return (
        f"[{_done(progress)}] {last_trial(progress)} "
        f"(front {len(progress.front)}, cache {progress.cache_hits}/{asked}{left})"
    )


def last_trial(progress: Progress) -> str:
    """The trial that ended last, in words."""
    trial = progress.last
    if trial is None:
        return "–"
    outcome = trial.outcome or "failed"
    if outcome == "measured" and trial.values:
        found = ", ".join(
            f"{heading(name)} {value_text(name, value, progress.target)}"
            for name, value in zip(progress.objectives, trial.values, strict=True)
        )
        if trial.metrics and trial.metrics.at_chance:
            found += " (at chance level)"
        found += f"; {trial.reason}" if trial.reason else ""
    else:
        found = trial.reason or outcome
        found = found if outcome in ("measured", "repeated") else f"{outcome}: {found}"
    return f"{trial.number} {trial.sequence}: {found}"
