"""A network as a user gives it → one that the engine has kernels for, with its schedule."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import get_args

from autotiny.api.given import is_recipe
from autotiny.api.notices import Say, counted, say_all
from autotiny.cache import Cache
from autotiny.components import COMPONENTS, Component, Work, is_calibrated, is_lowering, with_grus
from autotiny.components.tflite.remove_constant_channels import NOTE, narrowed
from autotiny.dataset import Dataset, DataSource, Reading, synthetic
from autotiny.engine import Style, check_supported, schedule_for
from autotiny.errors import NotApplicable, UserError, unknown
from autotiny.model import BUILTIN, Level, Model, Program, load_model
from autotiny.recipe import Recipe, SavedRecipe, component_named, read_recipe
from autotiny.recipe import apply as apply_steps
from autotiny.signal import Asked, Stream
from autotiny.solver import Wish, solved, wish_from
from autotiny.study import load_pair, model_name, rebuilt, samples_of, sound_layer, stream_of
from autotiny.target import Target
from autotiny.tasks import check_asked

STYLES: tuple[Style, ...] = get_args(Style)
BEST = "best"
"""A schedule that is solved; bounds stand behind a colon."""

OWN = "of the recipe"
"""In place of a style, where a recipe schedules the network."""

NOISE = "noise"
"""What a network is calibrated with where there are no samples."""

REFUSED = "refused"
"""In place of it, where noise must not pass unsaid."""

STEPS_APART = (
    "the steps of a GRU have scales of their own, so each is computed by code of its own; the "
    "component fuse_recurrent gives them one scale and computes them in a loop"
)


@dataclass(frozen=True)
class Given:
    """A network as a user gives it, and what it is lowered with.

    Attributes:
        model: as `load_model` takes it, or the path of a recipe.
        lowering: the component that lowers a network that is no `.tflite` yet, by name.
        seed: of initial weights and calibration noise.
        data: samples to calibrate with, if there are some.
        reading: how their inputs are read.
        task: what the network is asked to do, if that was said.
        calibration: `NOISE` where the user accepts it, `REFUSED` where noise must not pass unsaid.
        keep_constant_channels: whether they stay.
        stream: how often an answer is asked for, if that was said.
        cache: where results are kept.
        on_stage: called now and then with what is done, in words.
        on_notice: called with lines that the user should read.
    """

    model: object
    lowering: str
    seed: int
    data: DataSource | None
    reading: Reading
    task: str | None
    calibration: str | None
    keep_constant_channels: bool
    stream: Asked | None
    cache: Cache
    on_stage: Say | None
    on_notice: Say | None

    def __post_init__(self) -> None:
        if self.calibration not in (None, NOISE, REFUSED):
            raise UserError(
                f"calibration = {self.calibration!r}; it must be {NOISE!r}, or be left out"
            )
        if self.calibration == NOISE and self.data is not None:
            raise UserError("data and calibration='noise' exclude each other; give one of them")
        check_asked(self.task, None)


@dataclass(frozen=True)
class Lowered:
    """A network that the engine has kernels for.

    Attributes:
        network: a graph, or a program where it has its schedule.
        calibration: what its ranges were found with: the name of the data, or `NOISE`; None where
            nothing was calibrated.
        data: the samples that it is for, if they were given.
        recipe: what it was made by, if it was.
    """

    network: Model
    calibration: str | None
    data: Dataset | None = None
    recipe: SavedRecipe | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, where data or recipe have them."""
        if self.recipe is not None:
            return self.recipe.labels
        return self.data.labels if self.data else ()

    def samples(self) -> Dataset | None:
        """The data that it is for: as given, or as its recipe names it, if that is found."""
        if self.recipe is None or self.data is not None:
            return self.data
        return samples_of(self.recipe)[0]

    @property
    def constant_channels(self) -> str | None:
        """How many of them are gone, in words; None where none are."""
        told = self.network.notes.get(NOTE)
        return None if told is None else str(told)


def scheduled(given: Given, schedule: str, target: Target) -> tuple[Lowered, str]:
    """A network with its schedule, and the schedule's name.

    Raises:
        UserError: there is no such schedule, or none keeps the bounds.
    """
    wanted = _wanted(schedule)
    found = lowered(given)
    if found.network.level is Level.PROGRAM:
        return found, OWN
    graph = found.network.graph
    if isinstance(wanted, Wish):
        tell = counted(given.on_stage, "measuring kernels")
        try:
            problem, found_best = solved(graph, target, given.cache, wanted, tell)
        except NotApplicable as refusal:
            raise UserError(f"schedule {schedule!r}: {refusal}") from refusal
        graph, chosen = problem.graph, found_best.schedule
    else:
        chosen = schedule_for(graph, wanted, **target.traits)
    network = replace(found.network, level=Level.PROGRAM, network=Program(graph, chosen))
    return replace(found, network=network), schedule


def _wanted(schedule: str) -> Style | Wish:
    """A style, or what is to be solved."""
    if schedule.partition(":")[0] == BEST:
        return wish_from(schedule)
    for style in STYLES:
        if style == schedule:
            return style
    raise unknown("schedule", schedule, (*STYLES, BEST), "autotiny measure --help")


def lowered(given: Given) -> Lowered:
    """A network without a schedule, unless it is a recipe's that gives it one.

    Constant channels go unless they are to be kept: what a recipe decides, and what only noise does
    not reach, stays as it is.
    """
    lowering = _lowering_of(given.lowering)  # a misspelt name is told before TensorFlow is loaded
    found = _rebuilt(given) if is_recipe(given.model) else _converted(given, lowering)
    if found.network.level is Level.PROGRAM:
        return found
    network = _supported(found.network, given.on_notice)
    keep = given.keep_constant_channels or found.calibration == NOISE or is_recipe(given.model)
    if not keep:
        with suppress(NotApplicable):
            network = narrowed(network)
    return replace(found, network=network)


def heard_by(network: Model, given: Given) -> Stream | None:
    """What a network listens to: as asked, or else as the recipe was found for that it is of."""
    if given.stream is not None:
        return stream_of(network, given.stream)
    return read_recipe(str(given.model)).stream if is_recipe(given.model) else None


def _lowering_of(name: str) -> Component:
    kind = component_named(name)
    if not is_lowering(kind):
        known = ", ".join(name for name, other in COMPONENTS.items() if is_lowering(other))
        raise UserError(f"{name!r} is no lowering; choose one of {known}")
    return kind()


def _rebuilt(given: Given) -> Lowered:
    """The network of a recipe."""
    if given.data is not None or given.calibration == NOISE:
        raise UserError(
            f"{given.model} is a recipe, which calibrates with its own data; leave --data out"
        )
    saved = read_recipe(str(given.model))
    calibrated = any(is_calibrated(step) for step in saved.recipe.steps)
    made = rebuilt(saved, given.cache)
    return Lowered(made.model, saved.data if calibrated else None, made.data, saved)


def _converted(given: Given, lowering: Component) -> Lowered:
    """A network, lowered if need be."""
    network, own = _loaded(given)
    if network.level not in (Level.KERAS, Level.GRAPH):
        return Lowered(network, None, own)
    source = NOISE if own is None else own.source
    network, data = (network, own) if own is not None else _with_noise(network, given.seed)
    needed = is_calibrated(lowering) and not network.traits.quantization_aware
    calibration = source if needed else None
    if calibration == NOISE and given.calibration == REFUSED and not _untrained(given.model):
        raise UserError(
            f"{lowering.name} needs samples to find the ranges of {model_name(given.model)}; "
            "give --data, or --lowering float32, or accept --calibration noise: sizes and cycles "
            "hold then, accuracy does not"
        )
    work = Work(data=data, seed=given.seed)
    made = apply_steps(Recipe((lowering,)), network, work, given.cache)
    return Lowered(made.model, calibration, own)


def _loaded(given: Given) -> tuple[Model, Dataset | None]:
    """A network, and its samples if there are some."""
    if given.data is None:
        shape = given.reading.input_shape
        return load_model(given.model, seed=given.seed, input_shape=shape), None
    network, data = load_pair(
        given.model, given.data, seed=given.seed, cache=given.cache, reading=given.reading,
        task=given.task,
    )  # fmt: skip
    say_all(data.described(), given.on_notice)
    return network, data


def _with_noise(network: Model, seed: int) -> tuple[Model, Dataset]:
    """A network, and noise as it takes it."""
    data = synthetic(network, seed)
    layer = sound_layer(network, data)
    return (network, data) if layer is None else layer.heard(network, data)


def _supported(network: Model, on_notice: Say | None) -> Model:
    """A network with its GRUs as ops of their own, where no op lacks a kernel."""
    graph = with_grus(network.graph, exact=True)
    if with_grus(graph) is not graph:
        say_all([STEPS_APART], on_notice)
    check_supported(graph)
    return replace(network, network=graph)


def _untrained(model: object) -> bool:
    """Whether a network surely has no accuracy to lose; a user's function may load weights."""
    return str(model) in BUILTIN
