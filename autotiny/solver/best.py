"""The best schedule of a network for a target, under bounds on what its firmware takes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from autotiny.cache import Cache
from autotiny.engine.generate import generate
from autotiny.errors import NotApplicable, UserError, unknown
from autotiny.firmware.linking import link
from autotiny.graph import Graph, fold
from autotiny.metrics import STACK_MARGIN_BYTES
from autotiny.solver.items import items_of
from autotiny.solver.measuring import base_of, measured
from autotiny.solver.options import places_of
from autotiny.solver.problem import (
    TIME_LIMIT_S,
    Bounded,
    Goal,
    Problem,
    Solution,
    problem_of,
    solve,
)
from autotiny.target import Target

Told = Callable[[int, int], None]
"""Takes how many programs were measured, and of how many."""

SILENT: Told = lambda done, of: None  # noqa: E731

GOALS: dict[str, Goal] = {"latency": "cycles", "flash": "flash", "sram": "sram"}
"""What can be made small, as a user says it."""

MOST_CORRECTIONS = 8
"""Of bounds, for what only linking tells."""

_FORM = "best, or e.g. best:flash=40K,sram=12K or best:minimize=flash"
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KkMm]?)[Bb]?")


@dataclass(frozen=True)
class Wish:
    """What is asked of a schedule.

    Attributes:
        minimize: "latency", "flash" or "sram".
        flash_bytes, sram_bytes: of the whole firmware, at most; None for the target's own.
    """

    minimize: str = "latency"
    flash_bytes: int | None = None
    sram_bytes: int | None = None


def wish_from(text: str) -> Wish:
    """What `--schedule` says: "best", or "best:flash=40K,sram=12K,minimize=latency".

    Raises:
        UserError: it does not say so.
    """
    wish = Wish()
    for entry in filter(None, text.partition(":")[2].split(",")):
        name, _, value = (part.strip() for part in entry.partition("="))
        if name == "minimize":
            if value not in GOALS:
                raise unknown("goal of a schedule", value, GOALS, "minimize=latency")
            wish = replace(wish, minimize=value)
        elif name == "flash":
            wish = replace(wish, flash_bytes=_bytes(entry, value))
        elif name == "sram":
            wish = replace(wish, sram_bytes=_bytes(entry, value))
        else:
            raise UserError(f"cannot read {entry!r} of the schedule {text!r}; say {_FORM}")
    return wish


def _bytes(entry: str, text: str) -> int:
    found = _SIZE.fullmatch(text)
    if found is None:
        raise UserError(f"cannot read the size in {entry!r}; say bytes, or e.g. 40K or 1.5M")
    return int(float(found[1]) * {"": 1, "k": 1 << 10, "m": 1 << 20}[found[2].lower()])


def tabled(graph: Graph, target: Target, cache: Cache, tell: Told = SILENT) -> Problem:
    """All options of a network, measured on a target.

    Args:
        graph: of a lowered network.
        target: what executes it.
        cache: keeps what was measured of each layer, for other networks with such layers, too.
        tell: called while programs are measured.
    """
    graph = fold(graph)
    segments = places_of(graph, dsp=target.dsp)
    facts = measured(graph, segments, target, cache, tell)
    base = base_of(graph, segments, target, cache)
    return problem_of(graph, items_of(graph, segments, facts, base), base)


def best(
    problem: Problem, target: Target, wish: Wish = Wish(), seconds: float = TIME_LIMIT_S
) -> Solution:
    """The best schedule under the bounds, linked, so that its flash and arena are exact.

    Args:
        problem: of `tabled`.
        target: that it was measured on.
        wish: what is asked.
        seconds: for the solver; what it has found by then has a gap.

    Raises:
        NotApplicable: no schedule keeps the bounds; says what comes nearest.
    """
    flash = min(target.flash_bytes, wish.flash_bytes or target.flash_bytes)
    most = target.sram_bytes - STACK_MARGIN_BYTES
    sram = min(most, most if wish.sram_bytes is None else wish.sram_bytes)
    bounded = Bounded(flash=flash, sram=sram)
    for _ in range(MOST_CORRECTIONS):
        found = solve(problem, GOALS[wish.minimize], bounded, seconds=seconds)
        if found is None:
            raise NotApplicable(_nearest(problem, flash, sram))
        linked = as_linked(problem, found, target)
        assert bounded.flash is not None and bounded.sram is not None
        over_flash, over_sram = linked.flash_bytes - flash, linked.sram_bytes - sram
        if over_flash <= 0 and over_sram <= 0:
            return linked
        bounded = Bounded(
            flash=bounded.flash - max(over_flash, 0), sram=bounded.sram - max(over_sram, 0)
        )
    raise NotApplicable(_nearest(problem, flash, sram))


def as_linked(problem: Problem, found: Solution, target: Target) -> Solution:
    """A solution with the flash and the variables of its firmware, which the compiler decides."""
    firmware = link(generate(problem.graph, found.schedule), target)
    return replace(found, flash_bytes=firmware.flash_bytes, static_bytes=firmware.static_bytes)


def _nearest(problem: Problem, flash: int, sram: int) -> str:
    """What the schedules come to that nearly keep the bounds, in words."""
    parts = []
    least_flash = solve(problem, "flash", Bounded(sram=sram))
    least_sram = solve(problem, "sram", Bounded(flash=flash))
    if least_flash is not None:
        over = max(least_flash.flash_bytes - flash, 0)
        parts.append(
            f"with {sram:,} bytes of SRAM the smallest takes {least_flash.flash_bytes:,} bytes of "
            f"flash, {over:,} too many"
        )
    if least_sram is not None:
        over = max(least_sram.sram_bytes - sram, 0)
        parts.append(
            f"with {flash:,} bytes of flash the smallest takes {least_sram.sram_bytes:,} bytes of "
            f"SRAM, {over:,} too many"
        )
    if not parts:
        alone = [solve(problem, "flash"), solve(problem, "sram")]
        sizes = [(one.flash_bytes, one.sram_bytes) for one in alone if one is not None]
        parts = [f"{f:,} bytes of flash and {s:,} of SRAM" for f, s in sizes]
        return (
            f"no schedule takes at most {flash:,} bytes of flash and {sram:,} of SRAM; the "
            f"smallest take {' or '.join(parts)}"
        )
    return (
        f"no schedule takes at most {flash:,} bytes of flash and {sram:,} of SRAM: "
        f"{'; '.join(parts)}"
    )
