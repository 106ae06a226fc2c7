"""The best schedule of a network for a target, under bounds on what its firmware takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, repeat

from autotiny.cache import Cache
from autotiny.engine.generate import generate
from autotiny.engine.regions import Region, with_regions
from autotiny.engine.schedules import plain_schedule
from autotiny.errors import NotApplicable, UserError, unknown
from autotiny.firmware.linking import link
from autotiny.firmware.pieces import compiled, pieces_of
from autotiny.graph import Graph, fold
from autotiny.metrics import STACK_MARGIN_BYTES
from autotiny.schedule import Step
from autotiny.solver.items import Item, items_of
from autotiny.solver.measuring import base_of, measured
from autotiny.solver.options import places_of, with_slow_sram
from autotiny.solver.problem import (
    FLASH_SLACK_BYTES,
    SRAM_SLACK_BYTES,
    TIME_LIMIT_S,
    Bounded,
    Problem,
    Solution,
    chosen,
    figure,
    most_sram,
    slack,
    solve,
)
from autotiny.solver.program import Goal
from autotiny.solver.speeds import speeds_of
from autotiny.target import Target
from autotiny.units import size_bytes

Told = Callable[[int, int], None]
"""Takes how many programs were measured, and of how many."""

SILENT: Told = lambda done, of: None  # noqa: E731

GOALS: dict[str, Goal] = {
    "latency": "cycles", "energy": "cycles", "flash": "flash", "sram": "sram",
}  # fmt: skip
"""What can be made small, as a user says it; energy is time at the power that a target states."""

MEMORIES = {"flash": "flash", "sram": "SRAM"}

MOST_CORRECTIONS = 24
"""Of bounds, for what only linking tells."""

_FORM = "best, or e.g. best:flash=40K,sram=12K or best:minimize=flash"


@dataclass(frozen=True)
class Wish:
    """What is asked of a schedule.

    Attributes:
        minimize: one of `GOALS`.
        flash_bytes, sram_bytes: of the whole firmware, at most; None for the target's own.
    """

    minimize: str = "latency"
    flash_bytes: int | None = None
    sram_bytes: int | None = None


ANYTHING = Wish()
"""What is fastest in all that the target has."""


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
            wish = replace(wish, flash_bytes=size_bytes(entry, value))
        elif name == "sram":
            wish = replace(wish, sram_bytes=size_bytes(entry, value))
        else:
            raise UserError(f"cannot read {entry!r} of the schedule {text!r}; say {_FORM}")
    return wish


def tabled(
    graph: Graph,
    target: Target,
    cache: Cache,
    tell: Told = SILENT,
    regions: Sequence[Region] = (),
) -> Problem:
    """All options of a network, measured on a target.

    Args:
        graph: of a lowered network.
        target: what executes it.
        cache: keeps what was measured of each layer, for other networks with such layers, too.
        tell: called while programs are measured.
        regions: of `plain_schedule`, computed stripe by stripe.
    """
    graph, given = fold(graph), None
    if regions:
        graph, given = with_regions(graph, plain_schedule(graph), regions)
    segments = places_of(graph, dsp=target.dsp, given=given)
    speeds = speeds_of(graph, segments, target)
    layout = speeds.layout(target) if speeds else None
    facts = measured(graph, segments, target, cache, tell, layout)
    if speeds and speeds.is_scarce:
        segments = with_slow_sram(graph, segments, lambda option: facts[option.key].cycles)
        facts = measured(graph, segments, target, cache, tell, layout, known=facts)
    base = base_of(graph, segments, target, cache)
    items = items_of(graph, segments, facts, base)
    return Problem(graph, items, base, speeds, regions=len(regions))


def bounds_of(target: Target, wish: Wish) -> Bounded:
    """The most that a firmware may take: what is asked, and what the target has."""
    flash, sram = target.flash_bytes, target.sram_bytes - STACK_MARGIN_BYTES
    return Bounded(
        flash=flash if wish.flash_bytes is None else min(flash, wish.flash_bytes),
        sram=sram if wish.sram_bytes is None else min(sram, wish.sram_bytes),
    )


def best(
    problem: Problem, target: Target, wish: Wish = ANYTHING, seconds: float = TIME_LIMIT_S
) -> Solution:
    """The best schedule under the bounds.

    Args:
        problem: of `tabled`.
        target: that it was measured on.
        wish: what is asked.
        seconds: for the solver; what it has found by then has a gap.

    Raises:
        NotApplicable: no schedule keeps the bounds; says what comes nearest.
    """
    asked, goal = bounds_of(target, wish), GOALS[wish.minimize]
    bounded = slack(asked, asked.flash, asked.sram)
    found = solve(problem, goal, bounded, seconds=seconds)
    if found is None:
        return _tightest(problem, target, asked)
    exact = linked(problem, found, target)
    fitting = [exact] if _fits(exact, asked) else []
    # what is said too high of one is so of others, too, and they may have room
    wide = Bounded(
        flash=max(bounded.flash, asked.flash + found.flash_bytes - exact.flash_bytes),
        sram=max(bounded.sram, asked.sram + found.sram_bytes - exact.sram_bytes),
    )
    if wide != bounded or not fitting:
        fitting += _corrected(problem, target, goal, asked, wide, seconds)
    if not fitting:
        return _tightest(problem, target, asked)
    least = min(fitting, key=lambda one: figure(one, goal))
    return _smaller(problem, least, target, asked) if goal == "flash" else least


def _corrected(
    problem: Problem, target: Target, goal: Goal, asked: Bounded, bounded: Bounded, seconds: float
) -> list[Solution]:
    """What keeps the bounds once it is linked; none if there is none, or nothing was found soon."""
    for _ in range(MOST_CORRECTIONS):
        found = solve(problem, goal, bounded, seconds=seconds)
        if found is None:
            return []
        exact = linked(problem, found, target)
        if _fits(exact, asked):
            return [exact]
        excess = _excess(exact, asked)
        if excess["flash"] <= FLASH_SLACK_BYTES and excess["sram"] <= SRAM_SLACK_BYTES:
            plain = linked(problem, _ready_made(problem, found), target)
            if _fits(plain, asked):
                return [plain]
        worst = max(excess, key=lambda name: excess[name])
        # by part of it: what is next to it may be a few bytes less, where this is a few more
        taken = {"flash": found.flash_bytes, "sram": found.sram_bytes}[worst]
        bounded = replace(bounded, **{worst: taken - (excess[worst] + 3) // 4})
    return []


def _ready_made(problem: Problem, found: Solution) -> Solution:
    """With functions as ready-made schedules have them.

    Those that are chosen instead are smaller as a rule, and a few bytes larger as an exception.
    """

    def usual(item: Item) -> Item:
        step = replace(item.option.step, code="auto")
        return replace(item, option=replace(item.option, step=step))

    return replace(chosen(problem, [usual(item) for item in found.items]), gap=found.gap)


def _excess(exact: Solution, asked: Bounded) -> dict[str, float]:
    return {
        "flash": exact.flash_bytes - asked.flash,
        "sram": exact.sram_bytes - asked.sram,
    }


def _fits(exact: Solution, asked: Bounded) -> bool:
    return all(more <= 0 for more in _excess(exact, asked).values())


def _smaller(problem: Problem, found: Solution, target: Target, asked: Bounded) -> Solution:
    """With functions and places of weights that make the linked firmware smaller.

    What a call takes hangs on all the others, as the compiler keeps addresses in registers.
    """
    steps = range(len(found.items))
    tried, left = 0, MOST_CORRECTIONS
    for k in chain.from_iterable(repeat(steps)):
        item = found.items[k]
        for other in problem.items:
            if other.at == item.at and other is not item and _form(other) == _form(item):
                items = (*found.items[:k], other, *found.items[k + 1 :])
                exact = linked(problem, replace(chosen(problem, items), gap=found.gap), target)
                left -= 1
                sram = min(asked.sram, most_sram(problem, exact))
                if exact.flash_bytes < found.flash_bytes and exact.sram_bytes <= sram:
                    found, tried = exact, 0
        tried += 1
        if tried > len(steps) or left <= 0:
            return found
    return found


def _form(item: Item) -> Step:
    """A step but for whose function it calls and where its weights lie."""
    step = item.option.step
    return replace(step, code="auto", weights=replace(step.weights, memory="flash"))


def _tightest(problem: Problem, target: Target, asked: Bounded) -> Solution:
    """The faster one of those that keep the bounds with least flash, and with least SRAM."""
    slackened = slack(asked, asked.flash, asked.sram)
    solved = (
        solve(problem, "flash", Bounded(sram=slackened.sram)),
        solve(problem, "sram", Bounded(flash=slackened.flash)),
    )
    found = [linked(problem, one, target) for one in solved if one is not None]
    fitting = [one for one in found if _fits(one, asked)]
    if fitting:
        return min(fitting, key=lambda one: one.cycles)
    if len(found) < len(solved):
        raise NotApplicable(nearest(problem, asked))
    near = min(found, key=lambda one: sum(max(0, more) for more in _excess(one, asked).values()))
    missed = " and ".join(
        f"{more:,.0f} bytes of {MEMORIES[name]} too many"
        for name, more in _excess(near, asked).items()
        if more > 0
    )
    raise NotApplicable(
        f"{_why(asked)}: the nearest takes {near.flash_bytes:,} and {near.sram_bytes:,}, {missed}"
    )


def linked(problem: Problem, found: Solution, target: Target) -> Solution:
    """A solution with the bytes that only the linked firmware tells.

    Calls of the steps and code that is made for addresses are the compiler's to decide, and borders
    that arrays lie on are the linker's. The stack is that of the deepest step as it was measured,
    with the frames of this program; nothing is executed.
    """
    sources = generate(problem.graph, found.schedule)
    program = compiled(sources, target)
    firmware = link(sources, target, program=program)
    pieces = pieces_of(program)
    steps = [item for item in found.items if item.option.kernel.body]
    deepest = max(
        item.stack_bytes - item.facts.frame_bytes + pieces[name].frame_bytes
        for item, name in zip(steps, sources.functions, strict=True)
    )
    return replace(
        found,
        flash_bytes=firmware.flash_bytes,
        arena_bytes=firmware.arena_bytes,
        static_bytes=firmware.static_bytes,
        stack_bytes=(
            problem.base.stack_bytes + pieces[f"{sources.name}_run"].frame_bytes + deepest
        ),
    )


def nearest(problem: Problem, asked: Bounded) -> str:
    """Why no schedule keeps the bounds, and what those take that nearly do."""
    smallest = solve(problem, "flash", Bounded(sram=asked.sram))
    leanest = solve(problem, "sram", Bounded(flash=asked.flash))
    near = []
    if smallest is not None:
        more = smallest.flash_bytes - asked.flash
        near.append(
            f"with that SRAM the smallest takes {smallest.flash_bytes:,} bytes of flash, "
            f"{more:,} too many"
        )
    if leanest is not None:
        more = leanest.sram_bytes - asked.sram
        near.append(
            f"with that flash the smallest takes {leanest.sram_bytes:,} bytes of SRAM, "
            f"{more:,} too many"
        )
    if not near:
        smallest, leanest = solve(problem, "flash"), solve(problem, "sram")
        assert smallest is not None and leanest is not None  # without bounds there always is one
        near.append(
            f"the least there is takes {smallest.flash_bytes:,} bytes of flash, "
            f"{smallest.flash_bytes - asked.flash:,} too many, and another one "
            f"{leanest.sram_bytes:,} of SRAM, {leanest.sram_bytes - asked.sram:,} too many"
        )
    return f"{_why(asked)}: {'; '.join(near)}"


def _why(asked: Bounded) -> str:
    return f"no schedule takes at most {asked.flash:,} bytes of flash and {asked.sram:,} of SRAM"
