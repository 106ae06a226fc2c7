"""Measure a pair of components both ways round."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from autotiny.api.given import TargetSource, reading_of, target_of
from autotiny.cache import Cache
from autotiny.checked import arguments
from autotiny.components import Component
from autotiny.dataset import DataSource, Reading
from autotiny.errors import UserError, shown
from autotiny.recipe import steps_from_text
from autotiny.study import EPOCHS, SEEDS, Comparison, Originals, compare_orders
from autotiny.tasks import check_asked

Steps: TypeAlias = str | Sequence[Component]
"""Components, or the text that a recipe prints of them."""


def order(
    first: str | Component,
    second: str | Component,
    target: TargetSource,
    *,
    model: object = "cnn1",
    data: DataSource = "digits",
    before: Steps | None = None,
    behind: Steps | None = None,
    seeds: int = SEEDS,
    epochs: int = EPOCHS,
    task: str | None = None,
    metric: str | None = None,
    scale: str | float | None = None,
    resize: str | tuple[int, int] | None = None,
    reading: Reading | None = None,
    cache: Cache | None = None,
    on_stage: Callable[[int, int, str], None] | None = None,
) -> Comparison:
    """Measure a pair of components both ways round, under several seeds.

    Args:
        first: a component, or as a recipe prints it, e.g. "prune_channels(ratio=0.5)".
        second: another.
        target: the microcontroller: a name, the path of a `.toml` file, or one that was loaded.
        model: as `load_model` takes it; a network that comes untrained is trained for each seed.
        data: as `load_dataset` takes it; each seed splits it anew.
        before: what stands before the pair; by default the usual lowering where it is needed.
        behind: what stands behind the pair; by default the usual lowering and schedule.
        seeds: how many repetitions; their seeds are 0, 1, …
        epochs: upper limit of each fine-tune.
        task: what the network is asked to do, one of `autotiny.tasks.TASKS`; by default what it and
            the targets tell, which is said.
        metric: what that is scored by: one of the task's, or `package.module:function`.
        scale: what stored inputs are multiplied by: "none", a number, a fraction as "1/255"; by
            default bytes are divided by 255, floats are taken as they are, and what else could
            mean two things is refused.
        resize: height and width that a folder of images is brought to, as (96, 96) or "96x96".
        reading: in place of both, with columns, windows and rates of tables and sounds.
        cache: where results are kept; by default the user's cache folder.
        on_stage: called before each piece of work with the runs that are done, how many there
            will be, and what comes next in words.

    Raises:
        UserError: neither order is legal, or something that was given does not exist.
    """
    arguments(seeds=seeds, epochs=epochs)
    check_asked(task, metric)
    board = target_of(target)
    pair = [_steps(given) for given in (first, second)]
    if any(len(steps) != 1 for steps in pair):
        raise UserError(f"A is {first!r} and B is {second!r}; each must be one component")
    around = [given if given is None else _steps(given) for given in (before, behind)]
    reading = reading_of(scale, resize, reading)
    return compare_orders(
        pair[0][0], pair[1][0], board, Originals.named(model, data, reading, task, metric),
        before=around[0], behind=around[1],
        seeds=seeds, epochs=epochs, cache=cache, on_stage=on_stage,
    )  # fmt: skip


def _steps(given: str | Component | Sequence[Component]) -> tuple[Component, ...]:
    if isinstance(given, Component):
        return (given,)
    if isinstance(given, str):
        return steps_from_text(given)
    steps = tuple(given) if isinstance(given, Iterable) else (given,)
    for step in steps:
        if not isinstance(step, Component):
            raise UserError(f"{shown(step)} is no component; give text, or autotiny.Component's")
    return steps
