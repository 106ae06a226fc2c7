"""Solved schedules: their fronts against drawn and ready-made ones, and against predictions.

    python benchmarks/schedules.py [--networks cnn1,ds_cnn] [--targets stm32l4r5] [--drawn 300]

The built-in networks, an LSTM over motion, and MobileNetV2 0.35 at 96 × 96 with 2 classes (with the
1000 of ImageNet it fits two of the boards), in int8 with seeded random weights. For each network
and target the options of all layers are measured, the front is solved, and each of its points
linked and executed. Schedules are drawn from the same options, a step each at random; those that
could beat a point of the front are linked and executed, too, as are the ready-made `fastest`,
`balanced` and `smallest`. The table goes to results/schedules.md; rows that are there already and
are not asked for stay.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from engine import seeded, seeded_int8
from writing import rows_beside, write_page

from autotiny.cache import Cache
from autotiny.components import COMPONENTS, Work
from autotiny.dataset import synthetic
from autotiny.doors import keras
from autotiny.engine import Style, generate, schedule_for
from autotiny.engine.arena import lay_out
from autotiny.engine.patch_plans import spread
from autotiny.firmware import link
from autotiny.graph import Graph, fold
from autotiny.metrics import Cost
from autotiny.model import load_model
from autotiny.schedule import Schedule
from autotiny.simulator import measure, run
from autotiny.solver import Point, Wish, best, confirmed, front_of, tabled
from autotiny.solver.front import beats
from autotiny.solver.measuring import measured
from autotiny.solver.options import Chain, Option, places_of
from autotiny.solver.speeds import speeds_of
from autotiny.target import Target, load_target

RESULT = Path(__file__).parent.parent / "results" / "schedules.md"


def lowered(name: str) -> Graph:
    """A network in int8."""
    if name == "imu_lstm":
        model = load_model("task_cases:imu_lstm")
        return COMPONENTS["int8"]().apply(model, Work(synthetic(model))).graph
    if name in MOBILENET_V2:
        pixels, classes = MOBILENET_V2[name]
        build = keras().applications.MobileNetV2
        shape = (pixels, pixels, 3)
        return seeded(build(alpha=0.35, input_shape=shape, weights=None, classes=classes))
    return seeded_int8(name)


NETWORKS = (
    "cnn1", "ds_cnn", "resnet8", "mobilenet_v1", "autoencoder", "imu_lstm", "mobilenet_v2_96",
)  # fmt: skip
MOBILENET_V2 = {"mobilenet_v2_96": (96, 2), "mobilenet_v2_144": (144, 1000)}
"""Height and width of the images, and classes."""
TARGETS = ("stm32l4r5", "stm32f746", "stm32g0b1", "rp2040")
STYLES: tuple[Style, ...] = ("fastest", "balanced", "smallest")
POINTS = 24
"""That are executed."""

DOUBT = 0.85
"""Share of the cycles of its steps that a schedule takes at least: the errors below are smaller."""


@dataclass(frozen=True)
class Row:
    """A network on a target.

    Attributes:
        seconds: to measure all options, from an empty cache.
        options: of all layers.
        found: points of the front.
        points: of them, spread over the front, executed and not beaten then.
        solve_seconds: of the front, by point found.
        gap: the largest.
        cycles_errors: of the predictions, in percent.
        sram_errors: the largest, in bytes.
        fastest_cycles, solved_cycles: of `fastest`, and solved for its flash and SRAM.
        drawn: schedules that were drawn and linked.
        executed: those of them that may beat a point in flash and SRAM.
        dominating: points of the front that a drawn or ready-made one dominates, as executed.
        dominated_by: share of the cycles, at most, that such a one saves.
        cached_seconds: to look up all options, once they were measured; None in older rows.
    """

    network: str
    target: str
    seconds: float
    options: int
    found: int
    points: int
    solve_seconds: float
    gap: float
    cycles_errors: tuple[float, ...]
    sram_errors: int
    fastest_cycles: int
    solved_cycles: int
    drawn: int
    executed: int
    dominating: int
    dominated_by: float
    cached_seconds: float | None = None


def main() -> None:
    """Measure what is asked, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--targets", default=",".join(TARGETS))
    parser.add_argument("--drawn", type=int, default=300)
    asked = parser.parse_args()
    rows = {(row.network, row.target): row for row in known()}
    for name in asked.networks.split(","):
        graph = fold(lowered(name))
        for board in asked.targets.split(","):
            row = measured_row(name, graph, load_target(board), asked.drawn)
            print(row, flush=True)
            rows[name, board] = row
            every = list(rows.values())
            write_page(RESULT, table(every), every)


def known() -> list[Row]:
    """The rows of earlier runs."""
    rows = rows_beside(RESULT)
    return [Row(**{**row, "cycles_errors": tuple(row["cycles_errors"])}) for row in rows]


def measured_row(name: str, graph: Graph, target: Target, drawn: int) -> Row:
    """A network on a target."""
    with TemporaryDirectory() as folder:
        begun = time.monotonic()
        problem = tabled(graph, target, Cache(folder))
        seconds = time.monotonic() - begun
        begun = time.monotonic()
        tabled(graph, target, Cache(folder))
        cached_seconds = time.monotonic() - begun
        draws = some(graph, target, Cache(folder), drawn)
    begun = time.monotonic()
    front = front_of(problem)
    solving = (time.monotonic() - begun) / len(front)
    points = confirmed(problem, target, spread(front, POINTS))
    styles = [cost(graph, target, schedule_for(graph, one, **target.traits)) for one in STYLES]
    fastest = styles[0]
    wish = Wish(flash_bytes=fastest.flash_bytes, sram_bytes=fastest.sram_bytes)
    solved = cost(graph, target, best(problem, target, wish).schedule)
    with ThreadPoolExecutor(2) as pool:
        rivals = list(pool.map(lambda one: rival(graph, target, one, points), draws))
    executed = [one for one in rivals if one]
    others = [*styles, *executed]
    beaten = [(point, one) for point in points for one in others if beats(one, point.cost)]
    return Row(
        network=name,
        target=target.name,
        seconds=round(seconds, 1),
        options=len(problem.items),
        found=len(front),
        points=len(points),
        solve_seconds=round(solving, 2),
        gap=max(point.predicted.gap for point in points),
        cycles_errors=tuple(round(100 * point.cycles_error, 2) for point in points),
        sram_errors=max(abs(p.predicted.sram_bytes - p.cost.sram_bytes) for p in points),
        fastest_cycles=fastest.cycles,
        solved_cycles=solved.cycles,
        drawn=drawn,
        executed=len(executed),
        dominating=len({point for point, _ in beaten}),
        dominated_by=max((1 - one.cycles / point.cost.cycles for point, one in beaten), default=0),
        cached_seconds=round(cached_seconds, 1),
    )


@dataclass(frozen=True)
class Drawn:
    """A schedule that was drawn.

    Attributes:
        options: its steps.
        cycles: of them, as each was measured.
    """

    options: tuple[Option, ...]
    cycles: int


def some(graph: Graph, target: Target, cache: Cache, count: int) -> list[Drawn]:
    """Schedules that are drawn, a step of each place at random."""
    dice = np.random.default_rng(0)
    segments = places_of(graph, dsp=target.dsp)
    speeds = speeds_of(graph, segments, target)
    layout = speeds.layout(target) if speeds else None
    facts = measured(graph, segments, target, cache, layout=layout)

    def drawn(chains: Sequence[Chain]) -> list[Option]:
        chain = chains[int(dice.integers(len(chains)))]
        return [place[int(dice.integers(len(place)))] for place in chain]

    options = [tuple(one for chains in segments for one in drawn(chains)) for _ in range(count)]
    return [Drawn(some, sum(facts[one.key].cycles for one in some)) for some in options]


def cost(graph: Graph, target: Target, schedule: Schedule) -> Cost:
    """What its firmware takes."""
    return measure(generate(graph, schedule), target)


def rival(graph: Graph, target: Target, drawn: Drawn, points: Sequence[Point]) -> Cost | None:
    """What its firmware takes; None if it beats no point for sure.

    That is so where it takes more flash, or more SRAM without its stack, or more cycles than each
    of the points: many more as its steps were measured, or more even without those that memory
    takes.
    """
    arena = lay_out(graph, [option.kernel for option in drawn.options]).bytes
    near = [
        point.cost
        for point in points
        if arena <= point.cost.sram_bytes and DOUBT * drawn.cycles <= point.cost.cycles
    ]
    if not near:
        return None
    sources = generate(graph, Schedule(tuple(option.step for option in drawn.options)))
    firmware = link(sources, target)
    static = firmware.arena_bytes + firmware.static_bytes
    near = [c for c in near if firmware.flash_bytes <= c.flash_bytes and static <= c.sram_bytes]
    if not near:
        return None
    least = run(firmware, target, repeats=1, simulate_memory=False).cycles
    return measure(sources, target) if any(least <= c.cycles for c in near) else None


INTRODUCTION = """\
# Solved schedules

    python benchmarks/schedules.py

Int8, seeded random weights. Options: those that could be part of a best schedule. Table: seconds to
measure all options from an empty cache, and where it is known, to look them up in a full one, on
two cores that other work shared. Points: found, and in brackets those of at most 24 of them that
were executed and are not beaten. Predicted are cycles, as the sum of what was measured of each
step, and SRAM, from the plan of the arena and the measured stacks; flash is that of the linked
firmware. Errors are those against the executed firmware, over the executed points. `fastest` →
solved: cycles of the ready-made schedule, and solved for no more flash and no more SRAM than that
takes, which the errors of the predictions may make a little worse. Drawn: so many schedules, a step
of each layer at random; in brackets, those that were executed, since they take no more flash and
SRAM than some point, and their steps, as each was measured, not more than 1.18 times its cycles.
Dominated: points of the front, as executed, that one of the drawn schedules or `fastest`,
`balanced`, `smallest` beats in cycles, flash and SRAM, and in brackets by how many cycles at most.

"""
COLUMNS = (
    "network", "target", "options", "table, s", "points", "s a point", "gap", "cycles: mean error",
    "worst", "SRAM: worst", "`fastest` → solved, cycles", "drawn", "dominated",
)  # fmt: skip


def table(rows: Sequence[Row]) -> str:
    """The page."""
    lines = [" | ".join(COLUMNS), "|".join(["---"] * len(COLUMNS))]
    for row in rows:
        errors = [abs(one) for one in row.cycles_errors]
        saved = 100 * (row.solved_cycles / row.fastest_cycles - 1)
        cells = (
            row.network, row.target, row.options,
            f"{row.seconds} ({row.cached_seconds})" if row.cached_seconds else row.seconds,
            f"{row.found} ({row.points})", row.solve_seconds,
            f"{row.gap:.2g}", f"{statistics.mean(errors):.2f} %", f"{max(errors):.2f} %",
            f"{row.sram_errors} B",
            f"{row.fastest_cycles:,} → {row.solved_cycles:,} ({saved:+.1f} %)",
            f"{row.drawn} ({row.executed})",
            f"{row.dominating} (by {100 * row.dominated_by:.2g} %)" if row.dominating else "0",
        )  # fmt: skip
        lines.append(" | ".join(map(str, cells)))
    return INTRODUCTION + "".join(f"| {line} |\n" for line in lines)


if __name__ == "__main__":
    main()
