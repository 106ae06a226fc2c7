"""The Optuna study: which sequences are tried, what is measured of each, and the front they make.

A trial goes through three gates, cheapest first. Its cost is known before any training, because
flash, SRAM and latency hang on the shape of a network: what does not fit the target, or could not
reach the front even if it were somewhat better than the original, is pruned and never trained. What
has been measured under another sequence is answered from there.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from autotiny.cache import Cache, code_version, key_of
from autotiny.components import COMPONENTS, Work
from autotiny.dataset import Dataset, check_fits, load_dataset
from autotiny.errors import (
    FirmwareFault,
    InvalidModel,
    LinkError,
    TrainingDiverged,
    UnsupportedOp,
    UserError,
    unknown,
)
from autotiny.evaluate import accuracy_on, build, cost, cost_from, runtimes, write_build
from autotiny.metrics import Cost, Metrics, overshoot
from autotiny.model import Level, Model, load_model, restore, save
from autotiny.recipe import (
    Candidate,
    Dropped,
    Recipe,
    SavedRecipe,
    apply,
    component_from,
    read_recipe,
    step_data,
)
from autotiny.space import Space, answers_for, draw, load_space, suggest
from autotiny.target import Target, load_target

TRIALS = 40
"""Trials of a search unless asked otherwise: about three minutes on the built-in network."""

EPOCHS = 5
"""Upper limit of a fine-tune unless asked otherwise."""

BY_CHANCE = 10
"""Sequences drawn by chance before the sampler, which needs some to learn from."""

EXHAUSTED = 30
"""So many repetitions in a row mean that a space holds nothing else."""

POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Objective:
    """Something to make small besides the loss of accuracy.

    Attributes:
        name: as `--objective` takes it.
        figure: the column that it minimizes; None for "accuracy", which always takes part.
        meaning: in a sentence.
    """

    name: str
    figure: str | None
    meaning: str


OBJECTIVES = {
    objective.name: objective
    for objective in (
        Objective("latency", "latency_ms", "time of one inference"),
        Objective("size", "flash_bytes", "flash of the whole firmware"),
        Objective("sram", "sram_bytes", "arena, static data and stack"),
        Objective("energy", "energy_estimated_mj", "energy of one inference, an estimate"),
        Objective("accuracy", None, "accuracy on the validation split; always an objective"),
        Objective(
            "balanced",
            "balanced_ratio",
            "geometric mean of latency, flash and SRAM, relative to the original's",
        ),
    )
}


@dataclass(frozen=True)
class Point:
    """A sequence that was measured.

    Attributes:
        trial: its number in the study.
        recipe: the components that did something, in order.
        metrics: of the firmware; the test accuracy is filled in when the search ends.
        values: what the study optimized, accuracy first.
        runtimes: what can run the `.tflite`.
        within_budget: whether it loses no more accuracy on validation than allowed.
        dropped: components that were drawn and found nothing to do.
        notes: what components found of their result, e.g. sparsity.
    """

    trial: int
    recipe: Recipe
    metrics: Metrics
    values: tuple[float, ...]
    runtimes: tuple[str, ...]
    within_budget: bool
    dropped: tuple[Dropped, ...] = ()
    notes: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Shortfall:
    """The sequence that misses the target by the fewest bytes, where none fits.

    Attributes:
        trial: its number in the study.
        recipe: the sequence.
        cost: what it takes.
        excess_bytes: by how much it exceeds each resource it exceeds.
    """

    trial: int
    recipe: Recipe
    cost: Cost
    excess_bytes: Mapping[str, int]

    def __str__(self) -> str:
        excess = " and ".join(
            f"{size:,} bytes of {name}" for name, size in self.excess_bytes.items()
        )
        return f"the smallest firmware, {self.recipe}, misses by {excess}"


@dataclass(frozen=True)
class Progress:
    """Where a search stands, after each trial.

    Attributes:
        done: trials that have ended, earlier runs of the same study included and repetitions not.
        total: trials asked for.
        counts: ended trials by outcome, see `OUTCOMES`.
        cache_hits: prefixes and figures found in the cache so far.
        cache_misses: prefixes and figures that had to be made.
        front: trial number, sequence and values of each point of the front so far.
        objectives: names of the values.
        seconds_left: an estimate; None before the first trial ends.
        last: the trial that ended last.
    """

    done: int
    total: int
    counts: Mapping[str, int]
    cache_hits: int
    cache_misses: int
    front: tuple[tuple[int, str, tuple[float, ...]], ...]
    objectives: tuple[str, ...]
    seconds_left: float | None
    last: FrozenTrial | None


OUTCOMES = {
    "measured": "cost and accuracy are known",
    "repeated": "means the same work as an earlier trial, and was answered from there",
    "infeasible": "does not fit the target; not trained",
    "hopeless": "cannot reach the front even if better than the original; not trained",
    "invalid": "the sequence gives a model that cannot be built",
    "failed": "training diverged, or the firmware did not run",
    "interrupted": "was running when the search was stopped",
}


@dataclass(frozen=True)
class Result:
    """What a search found.

    Attributes:
        study: Optuna's study.
        job: model, data, target and everything else that was asked.
        front: no other sequence is better in one objective and no worse in the rest; by latency.
        baseline: the original model as float32 firmware.
        best: for each objective asked, the best point that keeps to the accuracy budget.
        shortfall: where nothing fits, the sequence that misses by the fewest bytes.
        counts: ended trials by outcome, see `OUTCOMES`.
        dropped: how often each component found nothing to do, with the reason.
        interrupted: whether the search was stopped before its end.
        seconds: how long it took.
        cache_hits: prefixes and figures found in the cache.
        cache_misses: prefixes and figures that had to be made.
    """

    study: optuna.Study
    job: Job
    front: tuple[Point, ...]
    baseline: Point | None
    best: Mapping[str, Point]
    shortfall: Shortfall | None
    counts: Mapping[str, int]
    dropped: Mapping[Dropped, int]
    interrupted: bool
    seconds: float
    cache_hits: int
    cache_misses: int

    def saved_recipe(self, point: Point) -> SavedRecipe:
        """The recipe file of a point."""
        job = self.job
        return SavedRecipe(
            recipe=point.recipe,
            target=job.target_name,
            model=job.model_name,
            model_fingerprint=job.model.fingerprint,
            data=job.data_name,
            data_fingerprint=job.data.fingerprint,
            seed=job.seed,
            epochs=job.epochs,
            figures=point.metrics.to_dict(),
            runtimes=point.runtimes,
        )

    def write_files(self, point: Point, folder: Path) -> None:
        """Write C, ELF and `.tflite` of a point; see `evaluate.write_build`."""
        candidate = self.job.candidate(point.recipe)
        comment = comment_of(self.saved_recipe(point))
        write_build(build(candidate.model, self.job.target, comment=comment), folder)


@dataclass(frozen=True)
class Job:
    """Everything that was asked of a search.

    Attributes:
        model: the original.
        data: its samples.
        target: the microcontroller.
        objectives: names from `OBJECTIVES`, without "accuracy".
        space: what may be drawn.
        seed: decides everything random.
        accuracy_drop: the accuracy a best point may lose on validation, e.g. 0.01.
        epochs: upper limit of each fine-tune.
        cache: where results are kept.
        model_name: how the model was asked for; likewise data and target.
        data_name: see above.
        target_name: see above.
    """

    model: Model
    data: Dataset
    target: Target
    objectives: tuple[str, ...]
    space: Space
    seed: int
    accuracy_drop: float
    epochs: int
    cache: Cache
    model_name: str
    data_name: str
    target_name: str

    @property
    def figures(self) -> tuple[str, ...]:
        """The columns to minimize."""
        return tuple(str(OBJECTIVES[name].figure) for name in self.objectives)

    @property
    def value_names(self) -> tuple[str, ...]:
        """The names of the study's values."""
        return ("accuracy_validation", *self.figures)

    def candidate(self, recipe: Recipe, *, rehearse: bool = False) -> Candidate:
        """What a recipe makes of the original."""
        work = Work(
            data=self.data,
            seed=self.seed,
            epochs=self.epochs,
            original=self.model if self.model.level is Level.KERAS else None,
            rehearse=rehearse,
        )
        return apply(recipe, self.model, work, self.cache)

    def facts(self) -> dict[str, Any]:
        """What a study must agree on with an earlier run to be continued."""
        return {
            "model": f"{self.model_name} {self.model.fingerprint}",
            "data": f"{self.data_name} {self.data.fingerprint}",
            "target": f"{self.target_name} {key_of(self.target)[:8]}",
            "objectives": ", ".join(self.value_names),
            "space": f"{self.space.name} {key_of(self.space)[:8]}",
            "epochs": str(self.epochs),
        }


def search(
    model: Model,
    data: Dataset,
    target: Target,
    *,
    out: Path | str,
    objectives: Sequence[str] = ("latency",),
    space: str | Space = "default",
    trials: int = TRIALS,
    timeout: float | None = None,
    seed: int = 0,
    accuracy_drop: float = 0.01,
    epochs: int = EPOCHS,
    storage: str | None = None,
    study_name: str | None = None,
    jobs: int = 1,
    cache: Cache | None = None,
    names: tuple[str, str, str] | None = None,
    on_trial: Callable[[Progress], None] | None = None,
) -> Result:
    """Search for the sequences of components that put a model on a microcontroller best.

    A study of the same name in the same storage is continued until it holds `trials` trials, not
    counting those that repeat an earlier one.

    Args:
        model: the original, trained.
        data: samples; the search sees train and validation, the result states test.
        target: the microcontroller.
        out: folder of the study, unless `storage` says otherwise.
        objectives: names from `OBJECTIVES`; accuracy always takes part.
        space: name or path of a search space, or one that was loaded.
        trials: how many different sequences to end with.
        timeout: seconds after which no trial is begun.
        seed: decides everything random.
        accuracy_drop: the accuracy that a best point may lose on validation.
        epochs: upper limit of each fine-tune.
        storage: an Optuna storage URL, or the path of a journal file ending in `.log`.
        study_name: by default made from model, data, target and objectives.
        jobs: processes that work on the study.
        cache: where results are kept; by default the user's cache folder.
        names: how model, data and target were asked for, for recipes; by default their own names.
        on_trial: called after each trial.

    Raises:
        UserError: an unknown objective, or a study that was made for something else.
    """
    if trials < 1 or jobs < 1:
        raise UserError(f"trials = {trials}, jobs = {jobs}; both must be at least 1")
    if not 0 <= accuracy_drop <= 1:
        raise UserError(
            f"accuracy_drop is {accuracy_drop}; it must lie in 0 … 1, e.g. 0.01 for 1 %"
        )
    model_name, data_name, target_name = names or ("model", data.name, target.name)
    job = Job(
        model=model,
        data=data,
        target=target,
        objectives=wanted_objectives(objectives),
        space=space if isinstance(space, Space) else load_space(space),
        seed=seed,
        accuracy_drop=accuracy_drop,
        epochs=epochs,
        cache=cache or Cache(),
        model_name=model_name,
        data_name=data_name,
        target_name=target_name,
    )
    began = time.monotonic()
    study_name = study_name or default_study_name(model_name, data_name, target_name, objectives)
    url = storage or default_storage(out)
    with quiet_optuna():
        study = open_study(job, study_name, url, jobs)
        plan(study, job)
        watch = _Watch(study, job, trials, timeout, on_trial)
        interrupted = False
        try:
            _run(study, job, trials, timeout, jobs, url, watch)
        except KeyboardInterrupt:
            interrupted = True
        return _result(study, job, interrupted, time.monotonic() - began)


def wanted_objectives(names: Sequence[str]) -> tuple[str, ...]:
    """The objectives asked for, each once and without "accuracy", which always takes part."""
    for name in names:
        if name not in OBJECTIVES:
            raise unknown("objective", name, OBJECTIVES, "autotiny search --help")
    return tuple(dict.fromkeys(name for name in names if OBJECTIVES[name].figure))


def default_study_name(model: str, data: str, target: str, objectives: Sequence[str]) -> str:
    """The name of a study, e.g. `cnn1-digits-stm32f746-latency`."""
    stems = (Path(name).stem.replace(":", ".") for name in (model, data, target))
    return "-".join((*stems, *dict.fromkeys(objectives)))


def default_storage(out: Path | str) -> str:
    """The URL of `study.db` in a folder."""
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {str(folder)!r}: {error.strerror}") from error
    return f"sqlite:///{(folder / 'study.db').resolve()}"


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Optuna's log lines off: the outcome of a trial is an attribute of it."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)


def open_storage(url: str) -> optuna.storages.BaseStorage:
    """The storage of a URL, or a journal file.

    Raises:
        UserError: it cannot be opened.
    """
    try:
        if url.endswith(".log"):
            backend = JournalFileBackend(url)
            return optuna.storages.JournalStorage(backend)
        if url.startswith("sqlite"):
            # Two processes that write at once wait for each other rather than fail.
            arguments = {"connect_args": {"timeout": 120}}
            return optuna.storages.RDBStorage(url, engine_kwargs=arguments)
        return optuna.storages.get_storage(url)
    except Exception as error:
        # Drivers raise errors of their own kinds, all of which mean that the URL is of no use.
        raise UserError(
            f"cannot open the storage {url!r}: {str(error).splitlines()[0]}; "
            "give an Optuna storage URL, e.g. sqlite:///study.db, or a journal file study.log"
        ) from error


def open_study(job: Job, name: str, url: str, jobs: int = 1) -> optuna.Study:
    """The study of a name: a new one, or an earlier one that was made for the same job.

    Raises:
        UserError: an earlier study of that name was made for something else.
    """
    storage = open_storage(url)
    directions = [StudyDirection.MAXIMIZE, *(StudyDirection.MINIMIZE for _ in job.figures)]
    known = {summary.study_name for summary in optuna.get_all_study_summaries(storage=storage)}
    if name in known:
        study = optuna.load_study(study_name=name, storage=storage)
        check_same_job(study, job)
    else:
        study = optuna.create_study(study_name=name, storage=storage, directions=directions)
        with warnings.catch_warnings():
            # Experimental since Optuna 3.2, and all that tells the dashboard what a value is.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names(list(job.value_names))
        for key, value in job.facts().items():
            study.set_user_attr(key, value)
    # A sampler that begins again must not draw again what it drew before.
    study.sampler = sampler(job.seed + len(study.get_trials(deepcopy=False)), parallel=jobs > 1)
    return study


def sampler(seed: int, *, parallel: bool = False) -> optuna.samplers.BaseSampler:
    """Tree-structured Parzen estimators; `results/order_encoding.md` has random draws beside it."""
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=10, constant_liar=parallel)


def check_same_job(study: optuna.Study, job: Job) -> None:
    """Refuse to continue a study that was made for something else."""
    for key, value in job.facts().items():
        earlier = study.user_attrs.get(key)
        if earlier != value:
            raise UserError(
                f"the study {study.study_name!r} was made with {key} = {earlier}, not {value}; "
                "choose another --out or --storage"
            )
    if len(study.directions) != len(job.value_names):
        raise UserError(
            f"the study {study.study_name!r} has other objectives; choose another --out"
        )


def baseline_recipe(job: Job) -> Recipe:
    """The original model, lowered and not changed otherwise."""
    if job.model.level in (Level.KERAS, Level.GRAPH):
        return Recipe((COMPONENTS["float32"](),))
    return Recipe()


def plan(study: optuna.Study, job: Job) -> None:
    """Queue what is tried first: the original, then known good sequences."""
    if study.get_trials(deepcopy=False):
        return
    planned: dict[str, Recipe] = {}
    for recipe in (baseline_recipe(job), *job.space.first, *tutorial_recipes()):
        planned.setdefault(recipe.key, recipe)
    for number, recipe in enumerate(planned.values()):
        answers = answers_for(recipe, job.space, job.model.level)
        if number == 0:
            # The baseline is measured even where the space cannot draw it.
            study.enqueue_trial(answers or {}, user_attrs={"planned": steps_data(recipe)})
        elif answers is not None:
            study.enqueue_trial(answers, user_attrs={"known_good": True})


def enqueue_by_chance(study: optuna.Study, job: Job, number: int) -> None:
    """Queue a sequence drawn by chance; `number` tells draws under one seed apart."""
    seed = int(key_of(job.seed, number)[:8], 16)
    recipe = draw(job.space, job.model.level, seed)
    study.enqueue_trial(answers_for(recipe, job.space, job.model.level) or {})


def tutorial_recipes() -> tuple[Recipe, ...]:
    """The sequences that did best in the tutorial."""
    return load_space("seed_tutorial").first


def steps_data(recipe: Recipe) -> list[dict[str, Any]]:
    """A recipe as plain data, for a trial's attributes."""
    return [step_data(step) for step in recipe.steps]


def recipe_of(steps: list[dict[str, Any]]) -> Recipe:
    """The recipe that `steps_data` wrote."""
    return Recipe(tuple(component_from(step) for step in steps))


REFUSALS = {
    UnsupportedOp: "invalid",
    InvalidModel: "invalid",
    TrainingDiverged: "failed",
    FirmwareFault: "failed",
    LinkError: "failed",
}
"""What ends one trial and not the search; everything else is a bug or the user's to mend."""


def _run(
    study: optuna.Study, job: Job, trials: int, timeout: float | None, jobs: int, url: str,
    watch: _Watch,
) -> None:  # fmt: skip
    if enough(study, trials):
        watch.report(None)
        return
    if jobs == 1:
        _optimize(study, job, trials, timeout, watch)
        return
    # The original goes first and alone: what is worth training hangs on its accuracy.
    _optimize(study, job, 1, None, watch)
    _optimize_in_processes(study, job, trials, timeout, jobs, url, watch)


def _optimize(
    study: optuna.Study, job: Job, trials: int, timeout: float | None, watch: _Watch | None
) -> None:
    """Run trials until there are enough of them."""

    def objective(trial: Trial) -> tuple[float, ...]:
        return try_sequence(trial, job)

    def after(study: optuna.Study, trial: FrozenTrial) -> None:
        if watch:
            watch.report(trial)
        if enough(study, trials):
            study.stop()
        elif stuck(study, trial):
            enqueue_by_chance(study, job, trial.number)

    if enough(study, trials):
        return
    study.optimize(objective, None, timeout, catch=tuple(REFUSALS), callbacks=[after])


def stuck(study: optuna.Study, last: FrozenTrial) -> bool:
    """Whether chance should draw the next sequence rather than the sampler.

    It has to before the sampler has something to learn from, and after a repetition: from that the
    sampler learns nothing, and would go on to draw it.
    """
    if study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        return False
    planned = ("planned", "known_good")
    drawn = [trial for trial in ended(study) if not any(key in trial.user_attrs for key in planned)]
    return len(drawn) < BY_CHANCE or last.user_attrs.get("outcome") == "repeated"


def enough(study: optuna.Study, trials: int) -> bool:
    """Whether so many different sequences were tried, or the space seems to hold no others."""
    outcomes = [trial.user_attrs["outcome"] for trial in ended(study)]
    last = outcomes[-EXHAUSTED:]
    exhausted = len(last) == EXHAUSTED and set(last) == {"repeated"}
    return exhausted or len(outcomes) - outcomes.count("repeated") >= trials


def try_sequence(trial: Trial, job: Job) -> tuple[float, ...]:
    """The objective: draw a sequence, measure what it costs, train only if it may pay."""
    hits, misses = job.cache.hits, job.cache.misses
    try:
        return _values(trial, job)
    except optuna.TrialPruned:
        raise
    except tuple(REFUSALS) as refusal:
        _end(trial, REFUSALS[type(refusal)], str(refusal))
        raise
    except KeyboardInterrupt:
        _end(trial, "interrupted", "the search was stopped")
        raise
    finally:
        trial.set_user_attr("cache_hits", job.cache.hits - hits)
        trial.set_user_attr("cache_misses", job.cache.misses - misses)


def _values(trial: Trial, job: Job) -> tuple[float, ...]:
    planned = trial.user_attrs.get("planned")
    recipe = suggest_or(planned, trial, job).canonical()
    trial.set_user_attr("sequence", str(recipe))
    trial.set_user_attr("recipe", steps_data(recipe))
    trial.set_user_attr("key", recipe.key)
    earlier = _same(trial, "key", recipe.key)
    if earlier is not None:
        return _repeat(trial, earlier)

    if any(step.trains for step in recipe.steps):
        rehearsed = cost(job.candidate(recipe, rehearse=True).model, job.target, job.cache)
        _prune_misfit(trial, job, rehearsed)
        if "known_good" not in trial.user_attrs:
            _prune_hopeless(trial, job, rehearsed)
    candidate = job.candidate(recipe)
    _note(trial, recipe, candidate)
    earlier = _same(trial, "result", candidate.key)
    if earlier is not None:
        return _repeat(trial, earlier)
    taken = cost(candidate.model, job.target, job.cache)
    if planned is None:
        _prune_misfit(trial, job, taken)
    set_constraints(trial, overshoot(taken, job.target))
    metrics = Metrics(taken, accuracy_on(candidate.model, job.data, "validation", job.cache))
    figures = figures_of(metrics, _baseline_cost(trial.study, taken))
    trial.set_user_attr("figures", figures)
    trial.set_user_attr("runtimes", list(runtimes(candidate.model)))
    _end(trial, "measured", "")
    return (metrics.accuracy_validation, *(float(figures[name]) for name in job.figures))


def suggest_or(planned: list[dict[str, Any]] | None, trial: Trial, job: Job) -> Recipe:
    """The recipe planned for a trial, or one drawn from the space."""
    if planned is None:
        return suggest(trial, job.space, job.model.level)
    recipe = recipe_of(planned)
    if answers_for(recipe, job.space, job.model.level) is not None:
        suggest(trial, job.space, job.model.level)  # so that the sampler learns from it too
    return recipe


def _note(trial: Trial, recipe: Recipe, candidate: Candidate) -> None:
    """Record what became of a sequence."""
    idle = {dropped.component for dropped in candidate.dropped}
    effective = Recipe(tuple(step for step in recipe.steps if step.name not in idle))
    trial.set_user_attr("result", candidate.key)
    if candidate.dropped:
        trial.set_user_attr("drawn", str(recipe))
        trial.set_user_attr("sequence", str(effective))
        trial.set_user_attr("recipe", steps_data(effective))
        reasons = {dropped.component: dropped.reason for dropped in candidate.dropped}
        trial.set_user_attr("not_applicable", reasons)
    if candidate.model.notes:
        trial.set_user_attr("notes", dict(candidate.model.notes))


def figures_of(metrics: Metrics, original: Cost) -> dict[str, Any]:
    """The figures of a trial: the metrics, and the ratio that "balanced" minimizes."""
    taken = metrics.cost
    ratios = (
        taken.latency_ms / original.latency_ms,
        taken.flash_bytes / original.flash_bytes,
        taken.sram_bytes / original.sram_bytes,
    )
    return {**metrics.to_dict(), "balanced_ratio": math.prod(ratios) ** (1 / len(ratios))}


def _prune_misfit(trial: Trial, job: Job, taken: Cost) -> None:
    """Prune what does not fit the target."""
    excess = overshoot(taken, job.target)
    misses = [f"{size:,} bytes of {name}" for name, size in excess.items() if size > 0]
    if misses:
        set_constraints(trial, excess)
        trial.set_user_attr("cost", taken.to_dict())
        _end(trial, "infeasible", f"misses {job.target.name} by {' and '.join(misses)}")
        raise optuna.TrialPruned(trial.user_attrs["reason"])


def _prune_hopeless(trial: Trial, job: Job, taken: Cost) -> None:
    """Prune what could not reach the front even if it were more accurate than the original.

    By one standard error of an accuracy measured on the validation split, that is: so much may be
    chance, or a fine-tune may win where the original was not trained to its end.
    """
    original = _baseline(trial.study)
    if original is None or not job.figures:
        return
    fitting = [trial for trial in measured(trial.study) if fits(trial)]
    accuracy, samples = original.values[0], max(len(job.data.y_validation), 1)
    hoped = accuracy + math.sqrt(accuracy * (1 - accuracy) / samples)
    figures = figures_of(Metrics(taken, hoped), _baseline_cost(trial.study, taken))
    costs = [float(figures[name]) for name in job.figures]
    better = f"{100 * (hoped - accuracy):.1f} % more accurate than the original, or better"
    for other in fitting:
        cheap = all(theirs <= ours for theirs, ours in zip(other.values[1:], costs, strict=True))
        if cheap and other.values[0] >= hoped:
            set_constraints(trial, overshoot(taken, job.target))
            trial.set_user_attr("cost", taken.to_dict())
            _end(trial, "hopeless", f"trial {other.number} costs no more and is {better}")
            raise optuna.TrialPruned(trial.user_attrs["reason"])


def fits(trial: FrozenTrial) -> bool:
    """Whether a trial violates no constraint."""
    return all(excess <= 0 for excess in trial.constraints.values())


def _end(trial: Trial, outcome: str, reason: str) -> None:
    """Record how a trial ended; one word of `OUTCOMES` and a sentence."""
    trial.set_user_attr("outcome", outcome)
    if reason:
        trial.set_user_attr("reason", reason)


def set_constraints(trial: Trial, excess: Mapping[str, float]) -> None:
    """Set what must not be above zero.

    optuna-dashboard 0.21 knows only the attribute that `set_constraint` replaced, and would show
    an infeasible trial as feasible: it is written too, which takes a private name of Optuna.
    """
    for name, value in excess.items():
        trial.set_constraint(name, float(value))
    old = [float(value) for value in excess.values()]
    trial.storage.set_trial_system_attr(trial._trial_id, "constraints", old)


def trial_constraints(trial: Trial) -> dict[str, Any]:
    """The constraints that a running trial has set."""
    attributes = trial.storage.get_trial_system_attrs(trial._trial_id)
    return {key: value for key, value in attributes.items() if key.startswith("constraints")}


def _same(trial: Trial, attribute: str, value: str) -> FrozenTrial | None:
    """An earlier trial whose attribute has the same value and whose outcome stands for both."""
    for other in trial.study.get_trials(deepcopy=False):
        outcome = other.user_attrs.get("outcome")
        settled = outcome in ("measured", "infeasible", "hopeless", "invalid")
        if settled and other.number != trial.number and other.user_attrs.get(attribute) == value:
            return other
    return None


COPIED = ("figures", "cost", "runtimes", "notes", "not_applicable", "drawn", "sequence", "recipe")


def _repeat(trial: Trial, earlier: FrozenTrial) -> tuple[float, ...]:
    """Answer a trial with what an earlier one found."""
    for name in COPIED:
        if name in earlier.user_attrs:
            trial.set_user_attr(name, earlier.user_attrs[name])
    excess = {name: value for name, value in earlier.constraints.items() if not name.isdigit()}
    if excess and not trial_constraints(trial):
        set_constraints(trial, excess)
    trial.set_user_attr("repeats", earlier.number)
    _end(trial, "repeated", f"means the same work as trial {earlier.number}")
    if earlier.state is not TrialState.COMPLETE:
        raise optuna.TrialPruned(f"as trial {earlier.number}")
    return tuple(earlier.values)


def ended(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that have ended; one that was interrupted is not."""
    states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    trials = study.get_trials(deepcopy=False, states=states)
    return [
        trial for trial in trials if trial.user_attrs.get("outcome") not in (None, "interrupted")
    ]


def measured(study: optuna.Study) -> list[FrozenTrial]:
    """The trials whose cost and accuracy were measured, without repetitions."""
    return [trial for trial in ended(study) if trial.user_attrs["outcome"] == "measured"]


def _baseline(study: optuna.Study) -> FrozenTrial | None:
    return next((trial for trial in measured(study) if "planned" in trial.user_attrs), None)


def _baseline_cost(study: optuna.Study, otherwise: Cost) -> Cost:
    """The cost of the original; while that is what is being measured, its own."""
    baseline = _baseline(study)
    return otherwise if baseline is None else _metrics(baseline).cost


def front_of(study: optuna.Study) -> list[FrozenTrial]:
    """Optuna's best trials without repetitions; of equal ones the first."""
    if not measured(study):
        return []
    first: dict[tuple[float, ...], FrozenTrial] = {}
    for trial in study.best_trials:
        if trial.user_attrs.get("outcome") == "measured":
            first.setdefault(tuple(trial.values), trial)
    return list(first.values())


def _metrics(trial: FrozenTrial) -> Metrics:
    figures = dict(trial.user_attrs["figures"])
    figures.pop("balanced_ratio")
    validation, test = figures.pop("accuracy_validation"), figures.pop("accuracy_test")
    return Metrics(cost_from(figures), validation, test)


def _point(trial: FrozenTrial, job: Job, floor: float) -> Point:
    recipe = recipe_of(trial.user_attrs["recipe"])
    metrics = _metrics(trial)
    model = job.candidate(recipe).model
    tested = replace(metrics, accuracy_test=accuracy_on(model, job.data, "test", job.cache))
    reasons = trial.user_attrs.get("not_applicable", {})
    return Point(
        trial=trial.number,
        recipe=recipe,
        metrics=tested,
        values=tuple(trial.values),
        runtimes=tuple(trial.user_attrs["runtimes"]),
        within_budget=metrics.accuracy_validation >= floor,
        dropped=tuple(Dropped(name, reason) for name, reason in reasons.items()),
        notes=trial.user_attrs.get("notes", {}),
    )


def _result(study: optuna.Study, job: Job, interrupted: bool, seconds: float) -> Result:
    original = _baseline(study)
    # A rounding error must not put a model that loses exactly the budget over it.
    floor = original.values[0] - job.accuracy_drop - 1e-9 if original else 0.0
    front = tuple(_point(trial, job, floor) for trial in front_of(study))
    front = tuple(sorted(front, key=lambda point: (point.metrics.cost.cycles, point.trial)))
    hits, misses = _cache_counts(study)
    reasons = Counter(
        Dropped(name, reason)
        for trial in ended(study)
        for name, reason in trial.user_attrs.get("not_applicable", {}).items()
    )
    return Result(
        study=study,
        job=job,
        front=front,
        baseline=_point(original, job, floor) if original else None,
        best=best_points(front, job),
        shortfall=None if front else shortfall(study, job.target),
        counts=_counts(study),
        dropped=dict(reasons),
        interrupted=interrupted,
        seconds=seconds,
        cache_hits=hits,
        cache_misses=misses,
    )


def best_points(front: Sequence[Point], job: Job) -> dict[str, Point]:
    """For each objective the best point within the accuracy budget, else the most accurate one."""
    if not front:
        return {}
    accurate = max(front, key=lambda point: point.values[0])
    allowed = [point for point in front if point.within_budget] or [accurate]
    best = {
        name: min(allowed, key=lambda point: point.values[1 + index])
        for index, name in enumerate(job.objectives)
    }
    return {**best, "accuracy": accurate}


def shortfall(study: optuna.Study, target: Target) -> Shortfall | None:
    """The sequence that misses a target by the fewest bytes."""
    missing = []
    for trial in ended(study):
        facts = trial.user_attrs.get("cost") or trial.user_attrs.get("figures")
        if facts and trial.user_attrs["outcome"] in ("measured", "infeasible"):
            names = Cost.__dataclass_fields__
            taken = cost_from({name: value for name, value in facts.items() if name in names})
            excess = {name: size for name, size in overshoot(taken, target).items() if size > 0}
            if excess:
                missing.append((sum(excess.values()), trial.number, trial, taken, excess))
    if not missing:
        return None
    _, number, trial, taken, excess = min(missing, key=lambda entry: entry[:2])
    return Shortfall(number, recipe_of(trial.user_attrs["recipe"]), taken, excess)


def _counts(study: optuna.Study) -> dict[str, int]:
    """How many trials ended in each way."""
    states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    trials = study.get_trials(deepcopy=False, states=states)
    found = Counter(trial.user_attrs.get("outcome", "failed") for trial in trials)
    return {outcome: found[outcome] for outcome in OUTCOMES}


def _cache_counts(study: optuna.Study) -> tuple[int, int]:
    trials = ended(study)
    hits = sum(trial.user_attrs.get("cache_hits", 0) for trial in trials)
    return hits, sum(trial.user_attrs.get("cache_misses", 0) for trial in trials)


class _Watch:
    """Tells the caller where the search stands."""

    def __init__(
        self, study: optuna.Study, job: Job, trials: int, timeout: float | None,
        on_trial: Callable[[Progress], None] | None,
    ) -> None:  # fmt: skip
        self._study, self._job, self._trials = study, job, trials
        self._timeout, self._on_trial = timeout, on_trial
        self._began = time.monotonic()
        self._done_before = self._done()

    def _done(self) -> int:
        trials = ended(self._study)
        return sum(trial.user_attrs["outcome"] != "repeated" for trial in trials)

    def report(self, last: FrozenTrial | None) -> None:
        if self._on_trial is None:
            return
        done = self._done()
        elapsed = time.monotonic() - self._began
        fresh = done - self._done_before
        left = elapsed / fresh * max(self._trials - done, 0) if fresh else None
        if left is not None and self._timeout is not None:
            left = min(left, self._timeout - elapsed)
        hits, misses = _cache_counts(self._study)
        front = tuple(
            (trial.number, trial.user_attrs["sequence"], tuple(trial.values))
            for trial in front_of(self._study)
        )
        self._on_trial(
            Progress(
                done=done,
                total=self._trials,
                counts=_counts(self._study),
                cache_hits=hits,
                cache_misses=misses,
                front=front,
                objectives=self._job.value_names,
                seconds_left=None if left is None else max(left, 0.0),
                last=last,
            )
        )


def _optimize_in_processes(
    study: optuna.Study, job: Job, trials: int, timeout: float | None, jobs: int, url: str,
    watch: _Watch,
) -> None:  # fmt: skip
    """Let several processes work on the study; each has a TensorFlow and a sampler of its own."""
    # A network crosses to another process as files: Keras models do not pickle.
    key = key_of("original", job.model.level.value, job.model.fingerprint)
    entry = job.cache.get(key) or job.cache.put(key, lambda folder: save(job.model, folder))
    facts = {name: getattr(job, name) for name in Job.__dataclass_fields__}
    del facts["model"], facts["cache"]
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(
            target=_work,
            args=(facts, entry, job.cache.folder, study.study_name, url, trials, timeout, number),
        )
        for number in range(jobs)
    ]
    for worker in workers:
        worker.start()
    seen = {trial.number for trial in ended(study)}
    try:
        while any(worker.is_alive() for worker in workers):
            workers[0].join(POLL_SECONDS)
            time.sleep(0 if workers[0].is_alive() else POLL_SECONDS)
            for trial in ended(study):
                if trial.number not in seen:
                    seen.add(trial.number)
                    watch.report(trial)
    finally:
        for worker in workers:
            worker.join()
    broken = [worker.exitcode for worker in workers if worker.exitcode]
    if broken:
        raise UserError(
            f"{len(broken)} of {len(workers)} processes ended with code {broken[0]}; "
            "their finished trials are kept: run the command again to continue"
        )


def _work(
    facts: dict[str, Any], entry: Path, folder: Path, study_name: str, url: str, trials: int,
    timeout: float | None, number: int,
) -> None:  # fmt: skip
    """What one process does."""
    job = Job(model=restore(entry), cache=Cache(folder), **facts)
    with quiet_optuna():
        study = optuna.load_study(study_name=study_name, storage=open_storage(url))
        study.sampler = sampler(job.seed + 1000 * (number + 1), parallel=True)
        try:
            _optimize(study, job, trials, timeout, None)
        except KeyboardInterrupt:
            return


def comment_of(saved: SavedRecipe) -> str:
    """The head of generated files: what they were made from, and no time, so that they compare."""
    return "\n".join(
        (
            f"code {code_version('engine')[:8]}",
            f"recipe {saved.recipe.key[:8]}: {saved.recipe}",
            f"target {Path(saved.target).stem}",
            f"model {saved.model_fingerprint}, data {saved.data_fingerprint}, seed {saved.seed}",
        )
    )


@dataclass(frozen=True)
class Applied:
    """What a recipe file gave when it was applied again.

    Attributes:
        saved: the file.
        metrics: what was measured now.
        differences: figures that differ from the recorded ones, as (recorded, now).
        runtimes: what can run the `.tflite`.
    """

    saved: SavedRecipe
    metrics: Metrics
    differences: Mapping[str, tuple[Any, Any]]
    runtimes: tuple[str, ...]


def load_pair(model_name: str, data_name: str, *, seed: int, cache: Cache) -> tuple[Model, Dataset]:
    """A model and data that fit each other, as a search and a recipe name them.

    Raises:
        UserError: there is no such model or data.
        InvalidData: shape or number of classes differ.
    """
    data = load_dataset(data_name, seed)
    # Whether they fit is found out before an untrained network is trained.
    data = check_fits(load_model(model_name, seed=seed), data)
    return load_model(model_name, data, seed=seed, cache=cache), data


def rebuilt(saved: SavedRecipe, cache: Cache) -> tuple[Model, Dataset]:
    """What a recipe makes of the model that it was found with, and the data it was found on.

    Raises:
        UserError: model or data are not those it was found with.
    """
    model, data = load_pair(saved.model, saved.data, seed=saved.seed, cache=cache)
    _check_fingerprint("data", saved.data, saved.data_fingerprint, data.fingerprint)
    _check_fingerprint("model", saved.model, saved.model_fingerprint, model.fingerprint)
    work = Work(
        data=data,
        seed=saved.seed,
        epochs=saved.epochs,
        original=model if model.level is Level.KERAS else None,
    )
    return apply(saved.recipe, model, work, cache).model, data


def apply_recipe(path: Path | str, out: Path | str, *, cache: Cache | None = None) -> Applied:
    """Do a recipe file again: write its C, ELF and `.tflite` to `out` and measure them.

    Raises:
        UserError: the file is no recipe, or its model or data are not those it was found with.
    """
    saved = read_recipe(path)
    cache = cache or Cache()
    result, data = rebuilt(saved, cache)
    target = load_target(saved.target)
    write_build(build(result, target, comment=comment_of(saved)), Path(out))
    metrics = Metrics(
        cost(result, target, cache),
        accuracy_on(result, data, "validation", cache),
        accuracy_on(result, data, "test", cache),
    )
    now = json.loads(json.dumps(metrics.to_dict()))
    differences = {
        name: (recorded, now.get(name))
        for name, recorded in saved.figures.items()
        if now.get(name) != recorded
    }
    return Applied(saved, metrics, differences, runtimes(result))


def _check_fingerprint(what: str, name: str, recorded: str, found: str) -> None:
    if recorded != found:
        raise UserError(
            f"{what} {name!r} is not what the recipe was found with: its fingerprint is {found}, "
            f"the recipe's {recorded}; restore the {what} or search again"
        )
