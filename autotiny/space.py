"""A search space says what may be drawn; `suggest` draws a recipe from it for an Optuna trial.

Ranges live in `search_spaces/*.toml`, validity in the components. The lowering is drawn first, then
for each component whether it takes part, then its parameters, then the order. The order is drawn
as pairwise precedence: one yes or no for each pair that nothing decides yet. What levels and
preconditions force is not asked, nor what follows from earlier answers, nor the order of pairs that
commute. So every draw is legal, and no two answers contradict each other.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from random import Random
from typing import Annotated, Any, Protocol

from autotiny.checked import Within, bare, filled, hints_of
from autotiny.components import (
    COMPONENTS,
    LEVELS,
    Component,
    commute,
    is_lowering,
    objection,
)
from autotiny.datafile import DataFiles
from autotiny.errors import UserError, shown
from autotiny.model import Level
from autotiny.ranges import KEYS, Choice, Fixed, Range, range_from
from autotiny.recipe import (
    Recipe,
    check_legal,
    component_from,
    component_named,
    component_with,
    parameters,
)

LOWERING = "lowering"
"""The parameter that names the lowering; every other component has a parameter of its own name."""

EXPECTED = 1.5
"""Components of each level in a recipe drawn by chance, on average and at most."""


class Draws(Protocol):
    """What `suggest` asks of a trial; `optuna.Trial` and `optuna.trial.FixedTrial` answer it."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of the choices."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """A number of a range."""

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """A whole number of a range."""


@dataclass(frozen=True)
class Space:
    """Which components may be drawn, and the ranges of their parameters.

    Attributes:
        name: of the file, without its ending.
        title: what the space is for, in a sentence.
        components: the ranges by component and parameter, in the order of the file.
        first: recipes to try before any is drawn.
        trains_at_most: components that train in one sequence; each takes time, and each loses some
            accuracy, so that longer sequences are rarely worth it.
    """

    name: str
    title: str
    components: Mapping[str, Mapping[str, Range]]
    first: tuple[Recipe, ...] = ()
    trains_at_most: int | None = None

    def __post_init__(self) -> None:
        """Refuses ranges of which a component could not be made: they are never drawn from."""
        for name, ranges in self.components.items():
            kind = component_named(name)
            corners = {parameter: entry.corners for parameter, entry in ranges.items()}
            usual = {parameter: values[0] for parameter, values in corners.items()}
            component_with(kind, usual)
            for parameter, values in corners.items():
                for value in values:
                    component_with(kind, usual | {parameter: value})

    def for_cores(self, cores: int) -> Space:
        """The space without the components that a target with so few cores cannot use."""
        usable = {
            name: ranges
            for name, ranges in self.components.items()
            if COMPONENTS[name].cores <= cores
        }
        return replace(self, components=usable)

    def for_start(self, start: Level) -> Space:
        """The space without the components of recordings where the samples are none."""
        if start is Level.SIGNAL:
            return self
        usable = {
            name: ranges
            for name, ranges in self.components.items()
            if COMPONENTS[name].level is not Level.SIGNAL
        }
        first = tuple(one for one in self.first if usable.keys() >= {*one.names})
        return replace(self, components=usable, first=first)


SPACES = DataFiles("search_spaces", "search space", "autotiny spaces")


def space_names() -> list[str]:
    """The names of all search spaces that come with autotiny."""
    return SPACES.names()


def load_space(name_or_path: str) -> Space:
    """Read a search space by its name, or a user's own file by its path.

    Raises:
        UserError: there is no such space, or its file breaks a rule.
    """
    path, table = SPACES.read(name_or_path)
    try:
        return _space(path.stem, table)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


@dataclass(frozen=True)
class _File:
    """A search space file."""

    components: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""
    first: tuple[tuple[Any, ...], ...] = ()
    trains_at_most: (
        Annotated[int, Within(ge=0, description="a whole number of components")] | None
    ) = None


def _space(name: str, table: Mapping[str, Any]) -> Space:
    file = filled(_File, table, "", KEYS)
    if not file.components:
        raise UserError("names no component; give each one a table, e.g. [components.int8]")
    components = {}
    for component, entries in file.components.items():
        kind = component_named(component)
        if not isinstance(entries, dict):
            raise UserError(
                f"components.{component} is {shown(entries)}; it must be a table of ranges"
            )
        components[component] = _ranges(kind, entries)
    if not any(is_lowering(COMPONENTS[component]) for component in components):
        lowerings = ", ".join(sorted(key for key, kind in COMPONENTS.items() if is_lowering(kind)))
        raise UserError(f"no component lowers the model to the target; add one of {lowerings}")
    space = Space(
        name=name,
        title=file.title,
        components=components,
        first=tuple(Recipe(tuple(component_from(step) for step in steps)) for steps in file.first),
        trains_at_most=file.trains_at_most,
    )
    for number, recipe in enumerate(space.first):
        why = _objection(recipe, space)
        if why:
            raise UserError(f"first[{number}]: {why}")
    return space


def _ranges(kind: type[Component], entries: Mapping[str, Any]) -> dict[str, Range]:
    hints = hints_of(kind)
    return {
        name: range_from(f"{kind.name}.{name}", entry, bare(hints.get(name)))
        for name, entry in entries.items()
    }


def _objection(recipe: Recipe, space: Space) -> str:
    """Why a sequence cannot be what a search begins with: illegal, or not drawn; "" if it can."""
    try:
        check_legal(recipe)
    except UserError as error:
        return str(error)
    if any(answers_for(recipe, space, level) is not None for level in LEVELS):
        return ""
    return f"the space cannot draw {recipe}: {_left_out(recipe, space)}; change one of the two"


def _left_out(recipe: Recipe, space: Space) -> str:
    """What of a recipe a space does not draw."""
    for step in recipe.steps:
        if step.name not in space.components:
            return f"it holds no {step.name}"
        ranges = space.components[step.name]
        usual = component_with(type(step), {name: one.corners[0] for name, one in ranges.items()})
        for name, value in parameters(step).items():
            if not ranges.get(name, Fixed(getattr(usual, name))).holds(value):
                return f"{step.name}.{name} = {shown(value)} lies outside of it"
    return f"at most {space.trains_at_most} components train in it"


def suggest(trial: Draws, space: Space, start: Level = Level.KERAS) -> Recipe:
    """Draw a legal recipe for a model of level `start`."""
    chosen = [COMPONENTS[name] for name in _draw_components(trial, space, start)]
    drawn = {kind.name: _draw_parameters(trial, kind, space) for kind in chosen}
    return Recipe(tuple(drawn[kind.name] for kind in _draw_order(trial, chosen)))


def _draw_components(trial: Draws, space: Space, start: Level) -> list[str]:
    kinds = [COMPONENTS[name] for name in space.components]
    chosen: list[type[Component]] = []
    if start in (Level.SIGNAL, Level.KERAS, Level.GRAPH):
        lowerings = [kind.name for kind in kinds if is_lowering(kind) and kind.takes(start)]
        chosen.append(COMPONENTS[trial.suggest_categorical(LOWERING, lowerings)])
    most = len(kinds) if space.trains_at_most is None else space.trains_at_most
    for kind in kinds:
        full = kind.trains and sum(other.trains for other in chosen) >= most
        if full or is_lowering(kind) or not _possible((*chosen, kind), start):
            continue
        if trial.suggest_categorical(kind.name, (False, True)):
            chosen.append(kind)
    return [kind.name for kind in chosen]


def _draw_parameters(trial: Draws, kind: type[Component], space: Space) -> Component:
    values = {
        name: _draw(trial, f"{kind.name}.{name}", entry)
        for name, entry in space.components[kind.name].items()
    }
    return component_with(kind, values)


def _draw(trial: Draws, name: str, entry: Range) -> Any:
    if isinstance(entry, Fixed):
        return entry.value
    if isinstance(entry, Choice):
        labels = [_label(value) for value in entry.values]
        return entry.values[labels.index(trial.suggest_categorical(name, labels))]
    if entry.whole:
        step = int(entry.step or 1)
        return trial.suggest_int(name, int(entry.low), int(entry.high), step=step, log=entry.log)
    value = trial.suggest_float(name, entry.low, entry.high, step=entry.step, log=entry.log)
    return entry.rounded(value)


def _label(value: Any) -> Any:
    """Optuna takes plain values only: a list is drawn by its JSON text."""
    return json.dumps(value) if isinstance(value, (list, tuple, dict)) else value


@dataclass
class _Precedence:
    """Which component stands before which, as far as it is decided; closed under transitivity."""

    kinds: list[type[Component]]
    before: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    behind: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def decide(self, first: str, second: str) -> bool:
        """Put one component before another; whether that contradicts nothing."""
        left = {first, *self.before[first]}
        right = {second, *self.behind[second]}
        for name in left:
            self.behind[name] |= right
        for name in right:
            self.before[name] |= left
        return not left & right

    def decided(self, first: str, second: str) -> bool:
        """Whether the order of two components is known."""
        return second in self.before[first] or first in self.before[second]

    def order(self) -> list[type[Component]]:
        """The components in order; what is undecided commutes, and stays as it was given."""
        left = list(self.kinds)
        ordered = []
        while left:
            free = next(
                kind
                for kind in left
                if not any(other.name in self.before[kind.name] for other in left)
            )
            left.remove(free)
            ordered.append(free)
        return ordered


def _forced(kinds: Iterable[type[Component]]) -> _Precedence | None:
    """The precedence that levels and preconditions force, or None if they contradict each other."""
    precedence = _Precedence(list(kinds))
    consistent = True
    for kind in precedence.kinds:
        highest = max(map(LEVELS.index, kind.levels))
        for other in precedence.kinds:
            # Levels only rise: what another leaves too high for this one has to come later.
            too_high = LEVELS.index(other.leaves) > highest
            if kind is not other and (too_high or other.name in kind.not_after):
                consistent = precedence.decide(kind.name, other.name) and consistent
    return precedence if consistent else None


@lru_cache(maxsize=4096)
def _possible(kinds: tuple[type[Component], ...], start: Level) -> bool:
    """Whether the components have a legal order."""
    precedence = _forced(kinds)
    return precedence is not None and objection(precedence.order(), start) is None


def _draw_order(trial: Draws, chosen: list[type[Component]]) -> list[type[Component]]:
    # By name, so that a pair is asked under one name whatever else was chosen.
    kinds = sorted(chosen, key=label)
    precedence = _forced(kinds)
    assert precedence is not None, "components are only chosen while they can be arranged"
    for index, first in enumerate(kinds):
        for second in kinds[index + 1 :]:
            if precedence.decided(first.name, second.name) or commute(first, second):
                continue
            question = f"{label(first)} before {label(second)}"
            if trial.suggest_categorical(question, (True, False)):
                precedence.decide(first.name, second.name)
            else:
                precedence.decide(second.name, first.name)
    return precedence.order()


def label(kind: type[Component]) -> str:
    """What the order's questions call a component; there is one lowering, whichever it is."""
    return LOWERING if is_lowering(kind) else kind.name


class _Chance:
    """Answers the questions of `suggest` by chance, so that few components of each level take part.

    With one half for each, most draws would train five times and keep little of the accuracy.
    """

    def __init__(self, space: Space, random: Random) -> None:
        self._random = random
        kinds = [COMPONENTS[name] for name in space.components]
        peers = Counter(kind.level for kind in kinds if not is_lowering(kind))
        self._share = {
            kind.name: min(0.5, EXPECTED / peers[kind.level])
            for kind in kinds
            if not is_lowering(kind)
        }

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        if name in self._share:
            return self._random.random() < self._share[name]
        return self._random.choice(list(choices))

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        if step is not None:
            return low + step * self._random.randint(0, int((high - low) / step + 1e-9))
        if log:
            return math.exp(self._random.uniform(math.log(low), math.log(high)))
        return self._random.uniform(low, high)

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        if log:
            return round(math.exp(self._random.uniform(math.log(low), math.log(high))))
        return low + step * self._random.randint(0, (high - low) // step)


def drawn_component(kind: type[Component], space: Space, random: Random) -> Component:
    """A component of a space, its parameters drawn by chance."""
    return _draw_parameters(_Chance(space, random), kind, space)


def draw(space: Space, start: Level, seed: int) -> Recipe:
    """Draw a short legal recipe by chance; the same seed draws the same."""
    return suggest(_Chance(space, Random(seed)), space, start)


class _Answers:
    """Answers the questions of `suggest` so that it draws a given recipe, and keeps the answers."""

    def __init__(self, recipe: Recipe) -> None:
        self._order = [label(type(step)) for step in recipe.steps]
        self._values = {
            f"{step.name}.{name}": value
            for step in recipe.steps
            for name, value in parameters(step).items()
        }
        self._lowering = next((step.name for step in recipe.steps if is_lowering(step)), None)
        self.given: dict[str, Any] = {}

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        if name == LOWERING:
            answer: Any = self._lowering
        elif " before " in name:
            first, second = name.split(" before ")
            answer = self._order.index(first) < self._order.index(second)
        elif name in self._values:
            answer = _label(self._values[name])
        else:
            answer = name in self._order
        return self._keep(name, answer, answer in choices)

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        value = float(self._values[name])
        steps = 0.0 if step is None else (value - low) / step
        fits = low <= value <= high and abs(steps - round(steps)) < 1e-6
        return float(self._keep(name, value, fits))

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        value = int(self._values[name])
        return int(self._keep(name, value, low <= value <= high and (value - low) % step == 0))

    def _keep(self, name: str, answer: Any, fits: bool) -> Any:
        if not fits:
            raise _OutsideError
        self.given[name] = answer
        return answer


class _OutsideError(Exception):
    """A recipe lies outside a space."""


def answers_for(recipe: Recipe, space: Space, start: Level = Level.KERAS) -> dict[str, Any] | None:
    """The trial parameters that make `suggest` draw a recipe; None if it lies outside the space."""
    answers = _Answers(recipe)
    try:
        drawn = suggest(answers, space, start)
    except _OutsideError:
        return None
    return answers.given if drawn.key == recipe.key else None
