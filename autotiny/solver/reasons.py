"""Which layer is computed how, and what the next best way would cost instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from autotiny.engine.arena import lay_out
from autotiny.engine.kernel import Site
from autotiny.schedule import Step
from autotiny.solver.items import Item
from autotiny.solver.problem import Problem, Solution, chosen, most_sram


@dataclass(frozen=True)
class Change:
    """What another way to compute a layer would add, everything else as it is.

    Attributes:
        way: in words.
        cycles, flash_bytes, sram_bytes: more than now; less where negative.
    """

    way: str
    cycles: int
    flash_bytes: int
    sram_bytes: int


@dataclass(frozen=True)
class Reason:
    """How a layer is computed.

    Attributes:
        layer: op and shape of its result.
        way: in words.
        cycles: that it takes.
        options: how many ways were measured.
        next: the way that would cost least cycles instead; None where there is no other that the
            fastest memory has room for.
    """

    layer: str
    way: str
    cycles: int
    options: int
    next: Change | None

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data, for JSON."""
        return asdict(self)


def reasons_of(problem: Problem, solution: Solution) -> tuple[Reason, ...]:
    """The layers of a schedule in the order of execution, without what only names memory."""
    return tuple(
        _reason(problem, solution, k, item)
        for k, item in enumerate(solution.items)
        if item.option.kernel.body
    )


def _reason(problem: Problem, solution: Solution, at: int, item: Item) -> Reason:
    others = [one for one in problem.items if one.at == item.at and one is not item]
    changes = [_change(problem, solution, at, other) for other in others]
    possible = [change for change in changes if change is not None]
    return Reason(
        layer=layer_words(problem, item),
        way=step_words(item.option.step),
        cycles=item.cycles,
        options=len(others) + 1,
        next=min(possible, key=lambda one: (one.cycles, one.flash_bytes), default=None),
    )


def _change(problem: Problem, solution: Solution, at: int, other: Item) -> Change | None:
    now = _planned(problem, solution.items)
    then = _planned(problem, [*solution.items[:at], other, *solution.items[at + 1 :]])
    if then.sram_bytes > most_sram(problem, then):
        return None
    return Change(
        step_words(other.option.step),
        then.cycles - now.cycles,
        then.flash_bytes - now.flash_bytes,
        then.sram_bytes - now.sram_bytes,
    )


def _planned(problem: Problem, items: Sequence[Item]) -> Solution:
    """A choice with a plan of its arena, quickly made."""
    kernels = [item.option.kernel for item in items]
    arena = lay_out(problem.graph, kernels, exchanges=0).bytes
    return replace(chosen(problem, items), arena_bytes=arena)


def layer_words(problem: Problem, item: Item) -> str:
    """The ops of a step and the shape of its result."""
    site = Site(problem.graph, item.option.step)
    kinds = "+".join(op.kind.lower() for op in (site.op, *site.fused))
    return f"{kinds} {'×'.join(map(str, site.output.shape[1:] or (1,)))}"


def step_words(step: Step) -> str:
    """A kernel and the form of its weights, e.g. "strip 32, weights in SRAM"."""
    sizes, flags = [], []
    for name, value in vars(step.kernel).items():
        if isinstance(value, bool):
            flags += [name] if value else []
        else:
            sizes.append(str(value))
    kernel = type(step.kernel).__name__.lower()
    parts = [" ".join([kernel, *filter(None, ["×".join(sizes)])]), *flags]
    if step.weights.coding != "plain":
        parts.append(f"weights {step.weights.coding}, decoded by {step.weights.decode}")
    if step.weights.memory != "flash":
        slower = "slower " if step.weights.memory == "slow_sram" else ""
        parts.append(f"weights in {slower}SRAM")
    if step.in_place:
        parts.append("in place")
    if step.code in ("own", "fixed"):
        parts.append("code of its own")
    return ", ".join(parts)
