"""What is said to the user while a command works."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from autotiny.simulator import Tell
from autotiny.target import Target

Say: TypeAlias = Callable[[str], None]
"""Called with a line for the user."""


def silent(line: str) -> None:
    """In place of it, where nobody listens."""


def say_all(lines: Iterable[str], say: Say | None) -> None:
    """Say some lines, if somebody listens."""
    if say:
        for line in lines:
            say(line)


def counted(say: Say | None, what: str) -> Callable[[int, int], None]:
    """What tells a stage of which so much is done."""
    tell = say or silent
    return lambda done, of: tell(f"{what}, {done} of {of} programs")


def tell_of(target: Target, on_stage: Say | None, on_notice: Say | None) -> Tell:
    """How a measurement speaks to the user."""

    def misfit(misses: Sequence[str]) -> None:
        line = (
            f"does not fit {target.name}: misses by at least {' and '.join(misses)}; it is "
            "executed on larger memories, for its latency alone"
        )
        say_all([line], on_notice)

    return Tell(misfit, on_stage or silent)
