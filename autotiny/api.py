"""What a user does with autotiny, each a function; the command line parses, calls one and prints.

Models and data are taken as names, paths, or objects: see `load_model` and `load_dataset`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias, get_args

from autotiny import simulator
from autotiny import study as studies
from autotiny.cache import Cache
from autotiny.checked import arguments
from autotiny.components import (
    COMPONENTS,
    Component,
    Work,
    is_calibrated,
    is_lowering,
    with_grus,
)
from autotiny.components.tflite.remove_constant_channels import NOTE, narrowed
from autotiny.dataset import DataSource, Reading, synthetic
from autotiny.engine import Style, check_supported, schedule_for
from autotiny.errors import NotApplicable, UserError, shown, unknown
from autotiny.evaluate import cost, sources_of
from autotiny.firmware import export_project
from autotiny.metrics import Cost, missing, overshoot
from autotiny.model import BUILTIN, Level, Model, Program, load_model
from autotiny.recipe import Recipe, component_named, read_recipe, steps_from_text
from autotiny.recipe import apply as apply_steps
from autotiny.report.files import check_writable, write_study
from autotiny.signal import Asked, Stream, asked_stream
from autotiny.simulator import FIRMWARE_ENDINGS, SILENT, Profile, Tell
from autotiny.simulator.silicon import expected_error
from autotiny.solver import (
    Point,
    Reason,
    best,
    bounds_of,
    confirmed,
    front_of,
    nearest,
    reasons_of,
    tabled,
    wish_from,
)
from autotiny.space import Space, load_space
from autotiny.study import Applied, Comparison, Originals, Progress, Result
from autotiny.target import Target, load_target, with_wait_states
from autotiny.tasks import check_asked

STYLES: tuple[Style, ...] = get_args(Style)
BEST = "best"
"""A schedule that is solved; bounds stand behind a colon."""

OWN = "of the recipe"
"""In place of a style, where a recipe schedules the network."""

NOISE = "noise"
"""What a network is calibrated with where there are no samples."""

REFUSED = "refused"

NOISE_COMMENT = "Calibrated with noise: sizes and cycles hold, accuracy does not."

STEPS_APART = (
    "the steps of a GRU have scales of their own, so each is computed by code of its own; the "
    "component fuse_recurrent gives them one scale and computes them in a loop"
)

RESULTS = Path("results")
"""Where a search writes unless told otherwise, a folder a study."""

TargetSource: TypeAlias = Target | str | Path
Steps: TypeAlias = str | Sequence[Component]
"""Components, or the text that a recipe prints of them."""


@dataclass(frozen=True)
class Taken:
    """What a network takes of a target.

    Attributes:
        model: how it was asked for.
        target: the microcontroller.
        schedule: what kernels and memory plan were chosen for; `OWN` where a recipe decided them.
        cost: flash, SRAM, cycles, latency, and what each layer takes of them.
        calibration: what the ranges of an integer network were found with: the name of the data,
            or `NOISE`; None where nothing was calibrated.
        constant_channels: how many of them were removed, in words; None where none were.
    """

    model: str
    target: Target
    schedule: str
    cost: Cost
    calibration: str | None
    constant_channels: str | None

    @property
    def misses(self) -> tuple[str, ...]:
        """What the target lacks, in words; empty where the firmware fits."""
        return tuple(missing(overshoot(self.cost, self.target)))

    def to_dict(self) -> dict[str, object]:
        """The same as plain data, for JSON."""
        asked = {
            "model": self.model, "target": self.target.name,
            "flash_wait_states": self.target.flash.wait_states, "schedule": self.schedule,
            "calibration": self.calibration, "constant_channels": self.constant_channels,
        }  # fmt: skip
        error = {
            "latency_error": expected_error(self.target.core),
            "active_current_error_percent": self.target.active_current_error_percent,
        }
        return {**asked, **self._more(), **self.cost.to_dict(), **error}

    def _more(self) -> dict[str, object]:
        return {}


@dataclass(frozen=True)
class Measurement(Taken):
    """What a network takes of a target, measured.

    Attributes:
        profile: where the cycles went, if that was asked for.
    """

    profile: Profile | None = None

    def _more(self) -> dict[str, object]:
        return {"profile": self.profile.to_dict()} if self.profile else {}


@dataclass(frozen=True)
class Compiled(Taken):
    """The C of a network, and what it takes of a target.

    Attributes:
        folder: where the files lie.
        files: their paths inside the folder, sorted.
    """

    folder: Path
    files: tuple[str, ...]

    def _more(self) -> dict[str, object]:
        return {"out": str(self.folder), "files": list(self.files)}


def search(
    model: object,
    data: DataSource,
    target: TargetSource,
    *,
    out: Path | str | None = None,
    objectives: str | Sequence[str] = "latency",
    space: str | Path | Space = "default",
    trials: int = studies.TRIALS,
    timeout: float | None = None,
    seed: int = 0,
    task: str | None = None,
    metric: str | None = None,
    accuracy_drop: float | None = None,
    score_drop: str | float | None = None,
    epochs: int = studies.EPOCHS,
    stream: str | None = None,
    storage: str | None = None,
    jobs: int = 1,
    scale: str | float | None = None,
    resize: str | tuple[int, int] | None = None,
    reading: Reading | None = None,
    cache: Cache | None = None,
    on_stage: Callable[[str], None] | None = None,
    on_trial: Callable[[Progress], None] | None = None,
    on_notice: Callable[[str], None] | None = None,
) -> Result:
    """Find the sequences of optimizations that put a model on a microcontroller best.

    The files of the study are written too: report, front, plot, recipes, and the C, ELF and
    `.tflite` of the best point. The same call again continues a study that was interrupted.

    Args:
        model: as `load_model` takes it; a network that comes untrained is trained first.
        data: as `load_dataset` takes it.
        target: the microcontroller: a name, the path of a `.toml` file, or one that was loaded.
        out: folder of the study; by default see `study_folder`.
        objectives: one or several of `latency`, `size`, `sram`, `energy`, `balanced`; the task's
            score always takes part.
        space: name or path of a search space, or one that was loaded.
        trials: how many different sequences to end with.
        timeout: seconds after which no trial is begun; the original is measured whatever it is.
        seed: decides everything random, the split of the data too.
        task: what the network is asked to do, one of `autotiny.tasks.TASKS`; by default what it and
            the targets tell, which is said.
        metric: what that is scored by: one of the task's, or `package.module:function`.
        accuracy_drop: the accuracy that a best point may lose on validation; by default 0.01.
        score_drop: the same for any score: an amount in its unit, or text such as "5%", of an error
            a share of the original's; by default a hundredth of a score in percent, and a twentieth
            of an error.
        epochs: upper limit of each fine-tune.
        stream: search for what listens without end, as `measure` takes it: costs are those of a
            hop, and what does not keep up is infeasible. Scores are those of whole windows.
        storage: an Optuna storage URL, or the path of a journal file ending in `.log`.
        jobs: processes that work on the study.
        scale: what stored inputs are multiplied by: "none", a number, a fraction as "1/255"; by
            default bytes are divided by 255, floats are taken as they are, and what else could
            mean two things is refused.
        resize: height and width that a folder of images is brought to, as (96, 96) or "96x96".
        reading: in place of both, with columns, windows and rates of tables and sounds.
        cache: where results are kept; by default the user's cache folder.
        on_stage: called with what is done next, in words.
        on_trial: called after each trial.
        on_notice: called with each line that the user should read before the search begins.

    Raises:
        UserError: something that was given does not exist, is damaged, or does not fit the rest.
    """
    numbers = arguments(
        trials=trials, timeout=timeout, seed=seed, accuracy_drop=accuracy_drop, epochs=epochs,
        jobs=jobs,
    )  # fmt: skip
    check_asked(task, metric)
    asked = None if stream is None else asked_stream(stream)
    board = _target(target)
    wanted = (objectives,) if isinstance(objectives, str) else tuple(objectives)
    studies.wanted_objectives(wanted)
    drawn = space if isinstance(space, Space) else load_space(str(space))
    out = None if out is None else Path(out).expanduser()
    folder = study_folder(model, data, board, wanted, out)
    check_writable(folder)
    if out not in (None, folder):
        _tell_all([f"{out} holds another study; this one goes to {folder}"], on_notice)
    cache = cache or Cache()
    cache.check_writable()
    tell = on_stage or (lambda text: None)
    names = f"{studies.model_name(model)} and {studies.data_name(data)}"
    tell(f"loading {names}; an untrained network is trained first")
    reading = _reading(scale, resize, reading)
    network, samples = studies.load_pair(
        model, data, seed=numbers["seed"], cache=cache, reading=reading, task=task, metric=metric
    )
    _tell_all(samples.described(), on_notice)
    tell("searching")
    result = studies.search(
        network, samples, board,
        out=folder, objectives=wanted, space=drawn, storage=storage, cache=cache,
        score_drop=score_drop, stream=None if asked is None else studies.stream_of(network, asked),
        on_trial=on_trial, on_notice=on_notice, **numbers,
    )  # fmt: skip
    tell("writing results")
    return replace(result, folder=folder, files=tuple(write_study(result, folder)))


def study_folder(
    model: object,
    data: DataSource,
    target: TargetSource,
    objectives: Sequence[str] = ("latency",),
    out: Path | str | None = None,
) -> Path:
    """Where a search writes.

    By default that is e.g. `results/cnn1-digits-stm32f746-latency`; a folder that is asked for and
    holds another study already gets one of that name in it.
    """
    names = (studies.model_name(model), studies.data_name(data), _target(target).source)
    study = studies.default_study_name(*names, objectives)
    return RESULTS / study if out is None else studies.own_folder(Path(out).expanduser(), study)


def apply(
    recipe: Path | str,
    out: Path | str | None = None,
    *,
    model: object = None,
    data: DataSource | None = None,
    retrain: bool = False,
    metric: str | None = None,
    cache: Cache | None = None,
) -> Applied:
    """Replay a recipe from its bundle, byte for byte, and measure it.

    Without a bundle, or with `retrain`, all is done again from model and data: the same bytes where
    processor and versions are the same.

    Args:
        recipe: path of a recipe file that a search wrote.
        out: folder for its C, ELF and `.tflite`; by default beside the file.
        model: what the recipe was found with, where that was an object in memory or lies elsewhere
            now; a replay takes none.
        data: likewise; accuracy is measured on it.
        retrain: train again, where there is a bundle to replay as well.
        metric: the recipe's own, where that is a function of yours: a recipe alone calls no code.
        cache: where results are kept; by default the user's cache folder.

    Raises:
        UserError: the file is no recipe, its model or data are not those it was found with, or a
            part of its bundle is missing or is not what the recipe names.
    """
    path = Path(recipe)
    folder = path.with_suffix("") if out is None else Path(out).expanduser()
    return studies.apply_recipe(
        path, folder, model=model, data=data, retrain=retrain, metric=metric, cache=cache
    )


def order(
    first: str | Component,
    second: str | Component,
    target: TargetSource,
    *,
    model: object = "cnn1",
    data: DataSource = "digits",
    before: Steps | None = None,
    behind: Steps | None = None,
    seeds: int = studies.SEEDS,
    epochs: int = studies.EPOCHS,
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
    board = _target(target)
    pair = [_steps(given) for given in (first, second)]
    if any(len(steps) != 1 for steps in pair):
        raise UserError(f"A is {first!r} and B is {second!r}; each must be one component")
    around = [given if given is None else _steps(given) for given in (before, behind)]
    reading = _reading(scale, resize, reading)
    return studies.compare_orders(
        pair[0][0], pair[1][0], board, Originals.named(model, data, reading, task, metric),
        before=around[0], behind=around[1],
        seeds=seeds, epochs=epochs, cache=cache, on_stage=on_stage,
    )  # fmt: skip


def measure(
    model: object,
    target: TargetSource,
    *,
    schedule: str = "fastest",
    lowering: str = "int8",
    seed: int = 0,
    data: DataSource | None = None,
    task: str | None = None,
    scale: str | float | None = None,
    resize: str | tuple[int, int] | None = None,
    reading: Reading | None = None,
    calibration: str | None = None,
    keep_constant_channels: bool = False,
    stream: str | None = None,
    profile: bool = False,
    wait_states: int | None = None,
    cache: Cache | None = None,
    on_stage: Callable[[str], None] | None = None,
    on_notice: Callable[[str], None] | None = None,
) -> Measurement:
    """Link a network, execute it, and tell what it takes.

    Without data, a network that is no `.tflite` yet is lowered with seeded noise for calibration:
    good for its flash, SRAM and cycles, which hardly depend on the weights.

    Args:
        model: as `load_model` takes it, or the path of a recipe (`.json`).
        target: the microcontroller: a name, the path of a `.toml` file, or one that was loaded.
        schedule: what kernels and memory plan are chosen for: "fastest", "smallest", "balanced"; or
            "best", for the target's memory or under bounds: "best:flash=40K,sram=12K".
        lowering: the component that lowers a network that is no `.tflite` yet.
        seed: of initial weights and calibration noise.
        data: samples that an integer lowering calibrates with, as `load_dataset` takes them; an
            untrained network is trained on them.
        task: what the network is asked to do, one of `autotiny.tasks.TASKS`; by default what it and
            the targets tell, which is said.
        scale: what stored inputs are multiplied by: "none", a number, a fraction as "1/255"; by
            default bytes are divided by 255, floats are taken as they are, and what else could
            mean two things is refused.
        resize: height and width that a folder of images is brought to, as (96, 96) or "96x96".
        reading: in place of both, with columns, windows and rates of tables and sounds.
        calibration: "noise" calibrates with seeded noise: sizes and cycles hold, accuracy does not.
        keep_constant_channels: leave out `remove_constant_channels`, which changes no output; a
            recipe says by itself whether it is part of it, and with noise it would remove what only
            noise does not reach.
        stream: listen without end, and tell what a hop takes: "hop=320" in samples, "hop=20ms", or
            "hop=20ms, rate=50" where the data do not tell the rate.
        profile: also tell where the cycles went.
        wait_states: of the target's flash, in place of those that its file states.
        cache: where results are kept; by default the user's cache folder.
        on_stage: called now and then with what is executed, in words.
        on_notice: called with what the user should read before the firmware is executed.

    Raises:
        UserError: there is no such model or target, or an op that the engine lacks.
        FirmwareFault: the firmware faults or does not end.
    """
    if is_firmware(model):
        raise UserError(f"{str(model)!r} is a firmware; autotiny.measure_elf measures it")
    seed = arguments(seed=seed)["seed"]
    board, cache = _target(target, wait_states), cache or Cache()
    asked = None if stream is None else asked_stream(stream)
    samples = _Samples(data, _reading(scale, resize, reading), calibration, on_notice, task)
    network, style, calibrated = _lowered(
        model, lowering, schedule, board, seed, samples, cache, on_stage,
        keep=keep_constant_channels,
    )  # fmt: skip
    heard = _heard(network, asked, model)
    taken = cost(network, board, cache, _tell(board, on_stage, on_notice), heard)
    found = None
    if profile:
        sources = sources_of(network, stream=heard)
        firmware = simulator.measured_firmware(sources, board, taken)
        found = simulator.profile(firmware, board)
    removed = _removed(network)
    return Measurement(
        studies.model_name(model), board, style, taken, calibrated, removed, profile=found
    )


@dataclass(frozen=True)
class Schedules:
    """The front of schedules of a network on a target.

    Attributes:
        model: how it was asked for.
        target: the microcontroller.
        points: the fastest first, each linked and executed.
        reasons: of each point, how its layers are computed.
        calibration, constant_channels: as `Taken` has them.
    """

    model: str
    target: Target
    points: tuple[Point, ...]
    reasons: tuple[tuple[Reason, ...], ...]
    calibration: str | None
    constant_channels: str | None

    def to_dict(self) -> dict[str, object]:
        """The same as plain data, for JSON."""
        points = zip(self.points, self.reasons, strict=True)
        return {
            "model": self.model,
            "target": self.target.name,
            "calibration": self.calibration,
            "constant_channels": self.constant_channels,
            "points": [
                {**point.to_dict(), "layers": [reason.to_dict() for reason in reasons]}
                for point, reasons in points
            ],
        }


def schedule(
    model: object,
    target: TargetSource,
    *,
    bounds: str = BEST,
    points: int = 64,
    lowering: str = "int8",
    seed: int = 0,
    data: DataSource | None = None,
    task: str | None = None,
    reading: Reading | None = None,
    calibration: str | None = None,
    keep_constant_channels: bool = False,
    cache: Cache | None = None,
    on_stage: Callable[[str], None] | None = None,
    on_notice: Callable[[str], None] | None = None,
) -> Schedules:
    """Solve which kernel computes each layer: the front of latency, flash and SRAM of a network.

    Every option of every layer is measured on the target first, which takes a minute or two for a
    network of 30 layers; the cache keeps it for other networks with such layers.

    Args:
        model: as `load_model` takes it, or the path of a recipe (`.json`) that schedules nothing.
        target: the microcontroller: a name, the path of a `.toml` file, or one that was loaded.
        bounds: "best" for the target's memory, or e.g. "best:flash=40K,sram=12K".
        points: of the front, at most.
        lowering: as `measure` takes it, and so on.
        seed: likewise.
        data: likewise.
        task: likewise.
        reading: likewise.
        calibration: likewise.
        keep_constant_channels: likewise.
        cache: where results are kept; by default the user's cache folder.
        on_stage: called now and then with what is done, in words.
        on_notice: called with what the user should read before it begins.

    Raises:
        UserError: there is no such model or target, or no schedule keeps the bounds.
    """
    given = arguments(seed=seed, points=points)
    board, cache = _target(target, None), cache or Cache()
    wish = wish_from(bounds)
    samples = _Samples(data, _reading(None, None, reading), calibration, on_notice, task)
    network, calibrated = _unscheduled(
        model, lowering, given["seed"], samples, cache, keep=keep_constant_channels
    )
    if network.level is Level.PROGRAM:
        raise UserError(f"{model} is a recipe that schedules its network itself; nothing to solve")
    problem = tabled(network.graph, board, cache, _counted(on_stage, "measuring kernels"))
    bounded = bounds_of(board, wish)
    solved = front_of(problem, bounded, given["points"])
    if not solved:
        raise UserError(f"{studies.model_name(model)}: {nearest(problem, bounded)}")
    executed = confirmed(problem, board, solved, _counted(on_stage, "executing the front"))
    reasons = tuple(reasons_of(problem, point.predicted) for point in executed)
    return Schedules(
        studies.model_name(model), board, executed, reasons, calibrated, _removed(network)
    )


def _reading(
    scale: str | float | None, resize: str | tuple[int, int] | None, reading: Reading | None
) -> Reading:
    """How data is read, however that was said."""
    if reading is None:
        return Reading.of(scale, resize)
    if scale is not None or resize is not None:
        raise UserError("reading has scale and resize itself; give them there, or no reading")
    return reading


def is_firmware(model: object) -> bool:
    """Whether a name is that of a firmware, which `measure_elf` takes, rather than of a network."""
    return isinstance(model, (str, Path)) and str(model).lower().endswith(FIRMWARE_ENDINGS)


def measure_elf(
    path: Path | str,
    target: TargetSource,
    *,
    function: str | int | None = None,
    between: tuple[str | int, str | int] | None = None,
    origin: str | int | None = None,
    repeat: int | None = None,
    wait_states: int | None = None,
) -> Profile:
    """Execute any firmware, and tell where its cycles go.

    What is measured is given by the name of a symbol, or by an address: a number, or text such as
    "0x0800_1234". A `.bin` or `.hex` file has no symbols; its functions are named by their address.

    Args:
        path: of the ELF, or of an image of it (`.bin`, `.hex`).
        target: the microcontroller: a name, the path of a `.toml` file, or one that was loaded.
        function: measure one call of this.
        between: measure from the first of these two places to the second; by default, and
            without a `function`, between the marks that autotiny's firmware has.
        origin: the address of a `.bin` file's first byte, by default that of the target's flash.
        repeat: which call or pass is measured; the ones before it fill the caches. By default the
            first one, or the second one of autotiny's own firmware.
        wait_states: of the target's flash, in place of those that its file states.

    Raises:
        UserError: the file is no firmware for this core, has no such symbol, or waits for hardware.
        FirmwareFault: the firmware faults or does not end.
    """
    start, stop = between or (None, None)
    return simulator.measure_elf(
        path, _target(target, wait_states),
        start=start, stop=stop, function=function, origin=origin, repeat=repeat,
    )  # fmt: skip


def compile(  # noqa: A001 - the command's name
    model: object,
    target: TargetSource,
    out: Path | str,
    *,
    schedule: str = "fastest",
    lowering: str = "int8",
    seed: int = 0,
    data: DataSource | None = None,
    task: str | None = None,
    scale: str | float | None = None,
    resize: str | tuple[int, int] | None = None,
    reading: Reading | None = None,
    calibration: str | None = None,
    keep_constant_channels: bool = False,
    project: bool = False,
    stream: str | None = None,
    cache: Cache | None = None,
    on_stage: Callable[[str], None] | None = None,
    on_notice: Callable[[str], None] | None = None,
) -> Compiled:
    """Write a network as C, and measure it.

    Args:
        model: as `load_model` takes it, or the path of a recipe (`.json`).
        target: the microcontroller: a name, the path of a `.toml` file, or one that was loaded.
        out: folder that the C goes into.
        schedule: what kernels and memory plan are chosen for: "fastest", "smallest", "balanced"; or
            "best", for the target's memory or under bounds: "best:flash=40K,sram=12K".
        lowering: the component that lowers a network that is no `.tflite` yet.
        seed: of initial weights and calibration noise.
        data: samples that an integer lowering calibrates with, as `load_dataset` takes them; an
            untrained network is trained on them.
        task: what the network is asked to do, one of `autotiny.tasks.TASKS`; by default what it and
            the targets tell, which is said.
        scale: what stored inputs are multiplied by: "none", a number, a fraction as "1/255"; by
            default bytes are divided by 255, floats are taken as they are, and what else could
            mean two things is refused.
        resize: height and width that a folder of images is brought to, as (96, 96) or "96x96".
        reading: in place of both, with columns, windows and rates of tables and sounds.
        calibration: "noise" calibrates with seeded noise: sizes and cycles hold, accuracy does not.
        keep_constant_channels: leave out `remove_constant_channels`, which changes no output; a
            recipe says by itself whether it is part of it, and with noise it would remove what only
            noise does not reach.
        project: also write start-up code, linker script, Makefile and ELF: ready to flash.
        stream: C that listens without end, as `measure` takes it.
        cache: where results are kept; by default the user's cache folder.
        on_stage: called now and then with what is executed, in words.
        on_notice: called with what the user should read before the firmware is executed.

    Raises:
        UserError: there is no such model or target, an op that the engine lacks, a folder that
            cannot be written, or nothing to calibrate with.
        FirmwareFault: the firmware faults or does not end.
    """
    seed = arguments(seed=seed)["seed"]
    board, folder, cache = _target(target), Path(out).expanduser(), cache or Cache()
    check_writable(folder)
    asked = None if stream is None else asked_stream(stream)
    samples = _Samples(
        data, _reading(scale, resize, reading), calibration or REFUSED, on_notice, task
    )
    network, style, calibrated = _lowered(
        model, lowering, schedule, board, seed, samples, cache, on_stage,
        keep=keep_constant_channels,
    )  # fmt: skip
    comment = NOISE_COMMENT if calibrated == NOISE else ""
    heard = _heard(network, asked, model)
    sources = sources_of(network, comment=comment, stream=heard)

    def refuse(misses: Sequence[str]) -> None:
        if misses and project:
            raise UserError(
                f"the firmware does not fit {board.name}: misses by {' and '.join(misses)}; "
                "choose a smaller network or sequence, or leave --project out for the C alone"
            )

    tell = _tell(board, on_stage, on_notice)
    tell = replace(tell, misfit=refuse) if project else tell
    taken = cost(network, board, cache, tell, heard)
    refuse(missing(overshoot(taken, board)))
    folder.mkdir(parents=True, exist_ok=True)
    files = sorted(sources.files)
    if project:
        firmware = simulator.measured_firmware(sources, board, taken)
        written = export_project(sources, firmware, board, folder, cost=taken)
        files = sorted(str(path.relative_to(folder)) for path in written)
    else:
        for name, text in sources.files.items():
            (folder / name).write_text(text, encoding="utf-8")
    name = studies.model_name(model)
    removed = _removed(network)
    return Compiled(name, board, style, taken, calibrated, removed, folder, tuple(files))


@dataclass(frozen=True)
class _Samples:
    """What a lowering may calibrate with.

    Attributes:
        data: what was given.
        reading: how its inputs are read.
        calibration: `NOISE` where the user accepts it, `REFUSED` where noise must not pass unsaid.
        on_notice: called with lines that the user should read.
        task: what the network is asked to do, if that was said.
    """

    data: DataSource | None
    reading: Reading
    calibration: str | None
    on_notice: Callable[[str], None] | None
    task: str | None

    def __post_init__(self) -> None:
        if self.calibration not in (None, NOISE, REFUSED):
            raise UserError(
                f"calibration = {self.calibration!r}; it must be {NOISE!r}, or be left out"
            )
        if self.calibration == NOISE and self.data is not None:
            raise UserError("data and calibration='noise' exclude each other; give one of them")
        check_asked(self.task, None)


def _lowered(
    model: object,
    lowering: str,
    schedule: str,
    target: Target,
    seed: int,
    samples: _Samples,
    cache: Cache,
    on_stage: Callable[[str], None] | None,
    *,
    keep: bool,
) -> tuple[Model, str, str | None]:
    """A network with its schedule, the schedule's name, and what its ranges were found with.

    Constant channels go unless they are to be kept: what a recipe decides, and what only noise does
    not reach, stays as it is.

    Raises:
        UserError: there is no such schedule, or none keeps the bounds.
    """
    wish = None
    if schedule.partition(":")[0] == BEST:
        wish = wish_from(schedule)
    style = next((one for one in STYLES if one == schedule), None)
    if wish is None and style is None:
        raise unknown("schedule", schedule, (*STYLES, BEST), "autotiny measure --help")
    network, calibrated = _unscheduled(model, lowering, seed, samples, cache, keep=keep)
    if network.level is Level.PROGRAM:
        return network, OWN, calibrated
    graph = network.graph
    if style is not None:
        found = schedule_for(graph, style, **target.traits)
    else:
        assert wish is not None
        problem = tabled(graph, target, cache, _counted(on_stage, "measuring kernels"))
        try:
            found = best(problem, target, wish).schedule
        except NotApplicable as refusal:
            raise UserError(f"schedule {schedule!r}: {refusal}") from refusal
    network = replace(network, level=Level.PROGRAM, network=Program(graph, found))
    return network, schedule, calibrated


def _counted(on_stage: Callable[[str], None] | None, what: str) -> Callable[[int, int], None]:
    """What tells a stage of which so much is done."""
    if on_stage is None:
        return lambda done, of: None
    return lambda done, of: on_stage(f"{what}, {done} of {of} programs")


def _unscheduled(
    model: object, lowering: str, seed: int, samples: _Samples, cache: Cache, *, keep: bool
) -> tuple[Model, str | None]:
    """A lowered network that the engine has kernels for, and what its ranges were found with."""
    kind = component_named(lowering)  # a misspelt name is told before TensorFlow is loaded
    if not is_lowering(kind):
        known = ", ".join(name for name, other in COMPONENTS.items() if is_lowering(other))
        raise UserError(f"{lowering!r} is no lowering; choose one of {known}")
    calibrated: str | None = None
    if _is_recipe(model):
        if samples.data is not None or samples.calibration == NOISE:
            raise UserError(
                f"{model} is a recipe, which calibrates with its own data; leave --data out"
            )
        saved, keep = read_recipe(str(model)), True
        network = studies.rebuilt(saved, cache).model
        calibrated = saved.data if any(is_calibrated(step) for step in saved.recipe.steps) else None
    else:
        network, calibrated = _read(model, kind(), seed, samples, cache)
        keep = keep or calibrated == NOISE
    if network.level is Level.PROGRAM:
        return network, calibrated
    graph = with_grus(network.graph, exact=True)
    if with_grus(graph) is not graph:
        _tell_all([STEPS_APART], samples.on_notice)
    check_supported(graph)
    network = replace(network, network=graph)
    if not keep:
        with suppress(NotApplicable):
            network = narrowed(network)
    return network, calibrated


def _heard(network: Model, asked: Asked | None, model: object) -> Stream | None:
    """What a network listens to: as asked, or else as the recipe was found for that it is of."""
    if asked is not None:
        return studies.stream_of(network, asked)
    return read_recipe(str(model)).stream if _is_recipe(model) else None


def _is_recipe(model: object) -> bool:
    return isinstance(model, (str, Path)) and str(model).endswith(".json")


def _read(
    model: object, lowering: Component, seed: int, samples: _Samples, cache: Cache
) -> tuple[Model, str | None]:
    """A network, lowered if need be, and what it was calibrated with."""
    if samples.data is not None:
        network, data = studies.load_pair(
            model, samples.data, seed=seed, cache=cache, reading=samples.reading, task=samples.task
        )
        _tell_all(data.described(), samples.on_notice)
        name: str | None = data.source
    else:
        network = load_model(model, seed=seed)
        if network.level not in (Level.KERAS, Level.GRAPH):
            return network, None
        data, name = synthetic(network, seed), NOISE
        layer = studies.sound_layer(network, data)
        if layer is not None:
            network, data = layer.heard(network, data)
    if network.level not in (Level.KERAS, Level.GRAPH):
        return network, None
    if network.traits.quantization_aware or not is_calibrated(lowering):
        name = None
    if name == NOISE and samples.calibration == REFUSED and not _untrained(model):
        raise UserError(
            f"{lowering.name} needs samples to find the ranges of {studies.model_name(model)}; "
            "give --data, or --lowering float32, or accept --calibration noise: sizes and cycles "
            "hold then, accuracy does not"
        )
    work = Work(data=data, seed=seed)
    return apply_steps(Recipe((lowering,)), network, work, cache).model, name


def _removed(network: Model) -> str | None:
    """How many constant channels are gone, in words."""
    told = network.notes.get(NOTE)
    return None if told is None else str(told)


def _untrained(model: object) -> bool:
    """Whether a network surely has no accuracy to lose; a user's function may load weights."""
    return str(model) in BUILTIN


def _tell_all(lines: Sequence[str], on_notice: Callable[[str], None] | None) -> None:
    if on_notice:
        for line in lines:
            on_notice(line)


def _tell(
    target: Target,
    on_stage: Callable[[str], None] | None,
    on_notice: Callable[[str], None] | None,
) -> Tell:
    """How a measurement speaks to the user."""

    def misfit(misses: Sequence[str]) -> None:
        if on_notice:
            on_notice(
                f"does not fit {target.name}: misses by at least {' and '.join(misses)}; it is "
                "executed on larger memories, for its latency alone"
            )

    return Tell(misfit, on_stage or SILENT.stage)


def _target(given: TargetSource, wait_states: int | None = None) -> Target:
    """A target, with other wait states of its flash where some are given."""
    target = given if isinstance(given, Target) else load_target(str(given))
    wait_states = arguments(wait_states=wait_states)["wait_states"]
    return target if wait_states is None else with_wait_states(target, wait_states)


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
