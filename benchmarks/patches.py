"""Regions in stripes, solved: how little SRAM they take beside whole layers, and at what price.

    python benchmarks/patches.py [--networks mobilenet_v1] [--targets stm32l4r5]

For each network and target: the ready-made `fastest`; the least SRAM of whole layers, and that of
regions in stripes, each at no more than `PRICE` times the cycles of `fastest`; of a few plans of
regions, the one with the least. All are linked and executed. The table goes to results/patches.md;
rows that are there already and are not asked for stay.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from schedules import cost, lowered
from writing import rows_beside, write_page

from autotiny.cache import Cache
from autotiny.engine import schedule_for
from autotiny.engine.patch_plans import spread
from autotiny.graph import Graph, fold
from autotiny.metrics import Cost
from autotiny.solver import tabled
from autotiny.solver.patched import plans_within
from autotiny.solver.problem import Bounded, solve
from autotiny.target import Target, load_target

RESULT = Path(__file__).parent.parent / "results" / "patches.md"
NETWORKS = ("mobilenet_v1", "mobilenet_v2_144")
TARGETS = ("stm32l4r5", "stm32f746")
PRICE = 1.25
"""Times the cycles of `fastest`."""
PLANS = 4
"""Of regions that are tried, from that with the least work to that with the least SRAM."""


@dataclass(frozen=True)
class Row:
    """A network on a target; each pair is bytes of SRAM and cycles.

    Attributes:
        input_bytes: of the network, which every schedule holds.
        fastest: ready-made.
        whole: solved for the least SRAM, layer by layer.
        striped: likewise, with regions in stripes.
        regions: how many.
        ops: of the network with its stripes.
    """

    network: str
    target: str
    input_bytes: int
    fastest: tuple[int, int]
    whole: tuple[int, int]
    striped: tuple[int, int]
    regions: int
    ops: int


def main() -> None:
    """Measure what is asked, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--targets", default=",".join(TARGETS))
    asked = parser.parse_args()
    rows = {(row.network, row.target): row for row in known()}
    for name in asked.networks.split(","):
        graph = fold(lowered(name))
        for board in asked.targets.split(","):
            rows[name, board] = measured_row(name, graph, load_target(board), Cache())
            print(rows[name, board], flush=True)
            every = list(rows.values())
            write_page(RESULT, table(every), every)


def known() -> list[Row]:
    """The rows of earlier runs."""
    return [Row(**row) for row in rows_beside(RESULT)]


def measured_row(name: str, graph: Graph, target: Target, cache: Cache) -> Row:
    """A network on a target."""
    fastest = cost(graph, target, schedule_for(graph, "fastest", **target.traits))
    priced = Bounded(cycles=PRICE * fastest.cycles, flash=target.flash_bytes)
    whole = tabled(graph, target, cache)
    leanest = solve(whole, "sram", priced)
    assert leanest is not None  # with the steps of `fastest`, if nothing else
    striped = []
    for plan in spread(plans_within(graph, leanest.arena_bytes - 1), PLANS):
        problem = tabled(graph, target, cache, regions=plan.regions)
        found = solve(problem, "sram", priced)
        if found is not None:
            print(name, target.name, plan.arena_bytes, found.sram_bytes, found.cycles, flush=True)
            striped.append((found.sram_bytes, problem, found))
    if not striped:
        raise SystemExit(f"{name} on {target.name}: no stripes at {PRICE} times the cycles")
    _, problem, found = min(striped, key=lambda one: one[0])
    return Row(
        network=name,
        target=target.name,
        input_bytes=sum(graph.tensors[tensor].bytes for tensor in graph.inputs),
        fastest=taken(fastest),
        whole=taken(cost(graph, target, leanest.schedule)),
        striped=taken(cost(problem.graph, target, found.schedule)),
        regions=problem.regions,
        ops=len(problem.graph.ops),
    )


def taken(cost: Cost) -> tuple[int, int]:
    """Bytes of SRAM, and cycles."""
    return cost.sram_bytes, cost.cycles


INTRODUCTION = """\
# Regions in stripes

    python benchmarks/patches.py

Int8, seeded random weights; SRAM is arena, static and stack of the linked and executed firmware,
its input among it. `fastest` is ready-made, layer by layer. Whole layers and regions in stripes are
solved for the least SRAM at no more than 1.25 times its cycles as predicted, and of those with the
least the fastest is taken; of plans of regions four are tried. In brackets what it is of `fastest`.

msf-CNN (Huang and Baccelli, NeurIPS 2025; `result.json` of their repository) publishes for
MobileNetV2 0.35 at 144 × 144 8,560 bytes at 1.68 times the multiplications of whole layers, and
21,400 at 1.30 times, counted without the input, which is 62,208 bytes here. The input is there in
any case, so the last column has what is taken beyond it, layer by layer → in stripes.

"""
COLUMNS = (
    "network", "target", "input, B", "`fastest`, B", "cycles", "whole layers, B", "cycles",
    "in stripes, B", "cycles", "regions", "ops", "beyond the input, B",
)  # fmt: skip


def table(rows: Sequence[Row]) -> str:
    """The page."""
    lines = [" | ".join(COLUMNS), "|".join(["---"] * len(COLUMNS))]
    for row in rows:
        sram, cycles = row.fastest
        cells = (
            row.network, row.target, f"{row.input_bytes:,}", f"{sram:,}", f"{cycles:,}",
            *shares(row.whole, row.fastest), *shares(row.striped, row.fastest), row.regions,
            row.ops, beyond(row),
        )  # fmt: skip
        lines.append(" | ".join(map(str, cells)))
    return INTRODUCTION + "".join(f"| {line} |\n" for line in lines)


def beyond(row: Row) -> str:
    """Bytes of SRAM beside the input, of `fastest` and in stripes."""
    before, after = (taken - row.input_bytes for taken, _ in (row.fastest, row.striped))
    return f"{before:,} → {after:,} ({100 * after / before:.0f} %)"


def shares(one: tuple[int, int], of: tuple[int, int]) -> tuple[str, str]:
    """Bytes and cycles, beside what they are of others."""
    (less, slower), (sram, cycles) = one, of
    return (
        f"{less:,} ({100 * less / sram:.0f} %)",
        f"{slower:,} ({100 * (slower / cycles - 1):+.1f} %)",
    )


if __name__ == "__main__":
    main()
