"""Find the sequences of optimizations that put a model on a microcontroller best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from autotiny import study as studies
from autotiny.api.given import TargetSource, asked_of, reading_of, target_of
from autotiny.api.notices import say_all, silent
from autotiny.cache import Cache
from autotiny.checked import arguments
from autotiny.dataset import DataSource, Reading
from autotiny.firmware.board import check_board
from autotiny.report.files import check_writable, write_study
from autotiny.space import Space, load_space
from autotiny.study import Progress, Result
from autotiny.tasks import check_asked

RESULTS = Path("results")
"""Where a search writes unless told otherwise, a folder a study."""


def search(
    model: object,
    data: DataSource,
    target: TargetSource,
    *,
    out: Path | str | None = None,
    objectives: str | Sequence[str] = "latency",
    space: str | Path | Space = "default",
    trials: int | None = None,
    timeout: float | None = None,
    seed: int = 0,
    task: str | None = None,
    metric: str | None = None,
    accuracy_drop: float | None = None,
    score_drop: str | float | None = None,
    epochs: int = studies.EPOCHS,
    stream: str | None = None,
    at_most: studies.Amounts | None = None,
    at_least: studies.Amounts | None = None,
    reserve: studies.Amounts | None = None,
    storage: str | None = None,
    jobs: int | None = 1,
    sampler: str = studies.EHVI,
    seeds: int = studies.BEST_SEEDS,
    solve: int = studies.SOLVED_POINTS,
    warm_start: Path | str | None = None,
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
        objectives: one or several of `latency`, `worst_latency`, `size`, `sram`, `energy`,
            `balanced`; the task's score always takes part.
        space: name or path of a search space, or one that was loaded.
        trials: how many different sequences to end with; by default 40, and with a warm start as
            many as take a twelfth of the earlier search's work.
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
        at_most: what a firmware may take, e.g. `{"latency": "20ms", "flash": "60K"}`, or the same
            as text: of `latency`, `worst_latency`, `flash`, `sram` and `energy`, and of a score
            that is better small. What takes more is never trained.
        at_least: the score that a best point must have on validation: `{"accuracy": 0.95}`.
        reserve: what of the target belongs to other programs: `{"flash": "64K", "sram": "12K",
            "stack": 256}`.
        storage: an Optuna storage URL, or the path of a journal file ending in `.log`.
        jobs: processes that work on the study; None for two, where this machine has cores and
            memory for them. Without a `storage` of your own two find exactly what one finds, and
            more what as many do. A script that asks for several must guard what it does by
            `if __name__ == "__main__":`, as they import it.
        sampler: what draws: "ehvi", which weighs hundreds of sequences by their costs and by what
            they should score, or Optuna's "tpe", "nsga2", "gp" or "random".
        seeds: with so many seeds the best sequences are trained when the trials have ended: one
            that keeps the budget by luck alone is not named best. 1 leaves that out.
        solve: of so many points of the front, those named best first, the schedule is solved then,
            too: the best way of computing each layer, of all there are. 0 leaves that out.
        warm_start: an earlier search for the same model, data, seed and epochs, for whatever target
            and objectives: its folder, its database or journal file, or the URL of its storage.
            What it has trained is not trained again.
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
        jobs=jobs, seeds=seeds, solve=solve,
    )  # fmt: skip
    check_asked(task, metric)
    asked = asked_of(stream)
    board = target_of(target)
    check_board(board)
    wanted = (objectives,) if isinstance(objectives, str) else tuple(objectives)
    studies.wanted_objectives(wanted)
    studies.check_sampler(sampler)
    if warm_start is not None:
        studies.check_warm_start(warm_start, sampler)
    studies.wanted_bounds(board, None, at_most, at_least, reserve)
    drawn = space if isinstance(space, Space) else load_space(str(space))
    out = None if out is None else Path(out).expanduser()
    folder = study_folder(model, data, board, wanted, out)
    check_writable(folder)
    if out not in (None, folder):
        say_all([f"{out} holds another study; this one goes to {folder}"], on_notice)
    cache = cache or Cache()
    cache.check_writable()
    tell = on_stage or silent
    names = f"{studies.model_name(model)} and {studies.data_name(data)}"
    tell(f"loading {names}; an untrained network is trained first")
    reading = reading_of(scale, resize, reading)
    network, samples = studies.load_pair(
        model, data, seed=numbers["seed"], cache=cache, reading=reading, task=task, metric=metric
    )
    say_all(samples.described(), on_notice)
    tell("searching")
    result = studies.search(
        network, samples, board,
        out=folder, objectives=wanted, space=drawn, storage=storage, cache=cache, sampler=sampler,
        score_drop=score_drop, at_most=at_most, at_least=at_least, reserve=reserve,
        stream=None if asked is None else studies.stream_of(network, asked),
        warm_start=warm_start, on_trial=on_trial, on_notice=on_notice, on_stage=tell, **numbers,
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
    names = (studies.model_name(model), studies.data_name(data), target_of(target).source)
    study = studies.default_study_name(*names, objectives)
    return RESULTS / study if out is None else studies.own_folder(Path(out).expanduser(), study)
