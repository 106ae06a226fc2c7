"""Sequences that may be worth a trial: neighbours of the good ones, and some drawn by chance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from autotiny.components import COMPONENTS, Component, is_lowering, objection
from autotiny.model import Level
from autotiny.recipe import Recipe
from autotiny.space import Space, draw, drawn_component

NEIGHBOURS, BY_CHANCE = 400, 40
"""Attempts at each; those that are illegal or known already fall out."""

MOST_MOVES = 3
"""Changes between a sequence and its neighbour."""

Move = Callable[["Neighbours", Recipe], list[Component]]


@dataclass(frozen=True)
class Neighbours:
    """Draws neighbours of sequences; the same seed draws the same.

    Attributes:
        space: what may be drawn.
        start: the level of the model.
        parents: sequences of the space that did well.
        random: what decides.
    """

    space: Space
    start: Level
    parents: Sequence[Recipe]
    random: Random

    def draw(self) -> Recipe | None:
        """A neighbour of one of the parents; None where the attempt is illegal."""
        recipe = self.random.choice(self.parents)
        for _ in range(self.random.randint(1, MOST_MOVES)):
            move = self.random.choice(MOVES) if recipe.steps else _added
            recipe = Recipe(tuple(move(self, recipe)))
            if not self._legal(recipe):
                return None
        return recipe.canonical()

    def _legal(self, recipe: Recipe) -> bool:
        most = self.space.trains_at_most
        trained = sum(step.trains for step in recipe.steps)
        names = recipe.names
        return (
            (most is None or trained <= most)
            and len({*names}) == len(names)
            and objection([type(step) for step in recipe.steps], self.start) is None
        )

    def component(self, name: str) -> Component:
        """A component of the space, its parameters drawn."""
        return drawn_component(COMPONENTS[name], self.space, self.random)

    def name(self, *, lowers: bool) -> str:
        """The name of a component of the space that lowers, or of one that does not."""
        every = list(self.space.components)
        names = [name for name in every if is_lowering(COMPONENTS[name]) == lowers]
        return self.random.choice(names or every)


def _added(around: Neighbours, recipe: Recipe) -> list[Component]:
    """One component more."""
    component = around.component(around.name(lowers=False))
    return _inserted(around, list(recipe.steps), component)


def _inserted(around: Neighbours, steps: list[Component], component: Component) -> list[Component]:
    """With a component somewhere, where it is legal if that is anywhere."""
    places = [k for k in range(len(steps) + 1) if _fits(around, steps, component, k)]
    at = around.random.choice(places or [0])
    return [*steps[:at], component, *steps[at:]]


def _fits(around: Neighbours, steps: list[Component], component: Component, at: int) -> bool:
    kinds = [type(step) for step in (*steps[:at], component, *steps[at:])]
    return objection(kinds, around.start) is None


def _removed(around: Neighbours, recipe: Recipe) -> list[Component]:
    """One component less; the lowering stays."""
    free = [step for step in recipe.steps if not is_lowering(step)]
    gone = around.random.choice(free) if free else None
    return [step for step in recipe.steps if step is not gone]


def _redrawn(around: Neighbours, recipe: Recipe) -> list[Component]:
    """The parameters of one component drawn anew, or another lowering."""
    chosen = around.random.choice(recipe.steps)
    name = around.name(lowers=True) if is_lowering(chosen) else chosen.name
    component = around.component(name)
    return [component if step is chosen else step for step in recipe.steps]


def _moved(around: Neighbours, recipe: Recipe) -> list[Component]:
    """One component at another place."""
    steps = list(recipe.steps)
    chosen = steps.pop(around.random.randrange(len(steps)))
    return _inserted(around, steps, chosen)


def _crossed(around: Neighbours, recipe: Recipe) -> list[Component]:
    """What trains of one, and the rest of another."""
    other = around.random.choice(around.parents)
    return [*before_lowering(recipe), *other.steps[len(before_lowering(other)) :]]


MOVES: tuple[Move, ...] = (_added, _removed, _redrawn, _redrawn, _moved, _crossed)


def before_lowering(recipe: Recipe) -> tuple[Component, ...]:
    """The part of a sequence before its lowering."""
    at = next((k for k, step in enumerate(recipe.steps) if is_lowering(step)), 0)
    return recipe.steps[:at]


def pool(
    space: Space, start: Level, parents: Sequence[Recipe], known: frozenset[str], seed: int
) -> list[Recipe]:
    """Sequences that were not tried yet, each once; the same seed gives the same.

    Args:
        space: what may be drawn.
        start: the level of the model.
        parents: sequences of the space that did well.
        known: keys of the sequences that were tried.
        seed: decides everything random.
    """
    random = Random(seed)
    around = Neighbours(space, start, parents, random)
    drawn = [around.draw() for _ in range(NEIGHBOURS)] if parents else []
    drawn += [draw(space, start, random.getrandbits(32)) for _ in range(BY_CHANCE)]
    found = {recipe.key: recipe for recipe in drawn if recipe is not None}
    return [recipe for key, recipe in found.items() if key not in known]
