"""What a search found."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import optuna

from autotiny.codeversion import source_version
from autotiny.dataset import Dataset
from autotiny.engine import generate
from autotiny.evaluate import write_build
from autotiny.graph import Threshold
from autotiny.metrics import Cost, Metrics, missing, overshoot
from autotiny.provenance import made_with
from autotiny.recipe import Bundle, Dropped, Recipe, SavedRecipe
from autotiny.signal import Front
from autotiny.study.agreeing import Agreed, agreed
from autotiny.study.attribution import Worth, attribution
from autotiny.study.bounds import NOTHING, Bound, Reserve
from autotiny.study.bundle import write_bundle
from autotiny.study.evaluator import tested
from autotiny.study.job import Job
from autotiny.study.preflight import Findings
from autotiny.study.record import (
    TrialRecord,
    baseline,
    cache_counts,
    counts,
    ended,
)
from autotiny.study.seeds import Contender, Seeds, best_of, budget, contenders
from autotiny.target import Target
from autotiny.tasks import ACCURACY, Metric

NOT_IN_COMMENTS = re.compile(r"[^\w .,:;=<>()%+*-]")
"""What names of classes may not bring into generated C: a backslash at its end joins two lines."""


@dataclass(frozen=True)
class Point:
    """A sequence that was measured.

    Attributes:
        trial: its number in the study.
        recipe: the components that did something, in order.
        metrics: of the firmware; the score on test is filled in when the search ends.
        values: what the study optimized, the score first.
        runtimes: what can run the `.tflite`.
        within_budget: whether it loses no more of its score on validation than allowed, as it is
            and on average over seeds.
        dropped: components that were drawn and found nothing to do.
        notes: what components found of their result, e.g. sparsity.
        metric: what the score is.
        agreed: how near its outputs are to the original's; None where they cannot be compared.
        seeds: what it scores on validation with several seeds; None where it was trained once.
    """

    trial: int
    recipe: Recipe
    metrics: Metrics
    values: tuple[float, ...]
    runtimes: tuple[str, ...]
    within_budget: bool
    dropped: tuple[Dropped, ...] = ()
    notes: Mapping[str, float | str] = field(default_factory=dict)
    metric: Metric = ACCURACY
    agreed: Agreed | None = None
    seeds: Seeds | None = None

    def __str__(self) -> str:
        cost, test = self.metrics.cost, self.metrics.score_test
        figures = [f"{self.metric.text(self.metrics.score_validation)} on validation"]
        figures += [] if test is None else [f"{self.metric.text(test)} on test"]
        figures += [f"{cost.flash_bytes:,} bytes of flash", f"{cost.sram_bytes:,} bytes of SRAM"]
        return f"trial {self.trial}, {self.recipe}: {', '.join(figures)}, {cost.latency_ms:.4g} ms"


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
        excess = " and ".join(missing(self.excess_bytes))
        return f"the smallest firmware, {self.recipe}, misses by {excess}"


@dataclass(frozen=True)
class NearMiss:
    """The sequence that comes nearest to a bound, where none keeps all that is asked.

    Attributes:
        bound: what is asked.
        trial: its number in the study.
        recipe: the sequence.
        value: what it has of that, in the unit of the bound's limit.
        besides: what else it misses, in words; of several that miss nothing else the nearest.
    """

    bound: Bound
    trial: int
    recipe: Recipe
    value: float
    besides: tuple[str, ...]

    @property
    def kept(self) -> bool:
        """Whether it keeps this bound, and so misses something else."""
        return self.bound.excess(self.value) <= 0

    @property
    def by(self) -> str:
        """By how much it misses, in words; "kept" where it does not."""
        return "kept" if self.kept else self.bound.text(abs(self.value - self.bound.limit))

    def __str__(self) -> str:
        text = f"{self.bound}: trial {self.trial} has {self.bound.text(self.value)}"
        text += "" if self.kept else f", {self.bound.missed(self.value)}"
        return f"{'; but '.join((text, *self.besides))} ({self.recipe})"


@dataclass(frozen=True)
class Result:
    """What a search found.

    Attributes:
        study: Optuna's study.
        job: model, data, target and everything else that was asked.
        front: no other sequence is better in one objective and no worse in the rest; by latency.
        baseline: the original model as float32 firmware.
        best: for each objective asked, the best point that keeps to the score's budget; and under
            the metric's name, the one of the best score.
        budget: the worst score on validation that a best point may have.
        shortfall: where nothing fits, the sequence that misses by the fewest bytes.
        counts: ended trials by outcome, see `OUTCOMES`.
        dropped: how often each component found nothing to do, with the reason.
        interrupted: whether the search was stopped before its end.
        seconds: how long it took.
        cache_hits: prefixes and figures found in the cache.
        cache_misses: prefixes and figures that had to be made.
        findings: what was found out before the first trial.
        folder: where the files of the study lie; None where none were written.
        files: those of them that are listed, the report first.
        near: where nothing keeps all that is asked, what comes nearest to each bound.
    """

    study: optuna.Study
    job: Job
    front: tuple[Point, ...]
    baseline: Point | None
    best: Mapping[str, Point]
    budget: float
    shortfall: Shortfall | None
    counts: Mapping[str, int]
    dropped: Mapping[Dropped, int]
    interrupted: bool
    seconds: float
    cache_hits: int
    cache_misses: int
    findings: Findings
    folder: Path | None = None
    files: tuple[Path, ...] = ()
    near: tuple[NearMiss, ...] = ()

    @property
    def weighed(self) -> int:
        """How many sequences the trials were chosen of, a sequence once for each time."""
        return sum(record.weighed for record in ended(self.study))

    @cached_property
    def worth(self) -> tuple[Worth, ...]:
        """What each component and order was worth over the trials, the most useful first."""
        return attribution(ended(self.study), self.job)

    def saved_recipe(self, point: Point) -> SavedRecipe:
        """The recipe file of a point."""
        job = self.job
        return SavedRecipe(
            recipe=point.recipe,
            target=job.target.source,
            model=job.model.source,
            model_fingerprint=job.model.fingerprint,
            data=job.data.source,
            data_fingerprint=job.data.fingerprint,
            reading=job.data.reading,
            stream=job.stream,
            task=job.data.task,
            labels=job.data.labels,
            inputs=inputs_text(job.data, job.candidate(point.recipe).model.front),
            seed=job.seed,
            epochs=job.epochs,
            figures=point.metrics.to_dict(),
            runtimes=point.runtimes,
            made_with=made_with(),
        )

    def details(self, point: Point) -> list[tuple[str, list[tuple[str, ...]]]]:
        """More than a score says of a point on test: tables, each a heading and rows."""
        data, model = self.job.data, self.job.candidate(point.recipe).model
        truth, found = self.job.evaluator.answers(model, data, "test")
        return data.task.details(truth, found, data.labels, point.metrics.threshold)

    def write_bundle(self, point: Point, folder: Path) -> Bundle | None:
        """Keep in a folder what replays a point without training; see `bundle`."""
        return write_bundle(self.saved_recipe(point), self.job, folder)

    def write_files(self, point: Point, folder: Path) -> None:
        """Write project and `.tflite` of a point; see `evaluate.write_build`."""
        candidate = self.job.candidate(point.recipe)
        comment = comment_of(self.saved_recipe(point))
        write_build(
            candidate.model, self.job.target, point.metrics.cost, folder, samples=self.job.data,
            comment=comment, threshold=point.metrics.threshold, stream=self.job.stream,
            class_names=self.job.data.labels,
        )  # fmt: skip


def result_of(
    study: optuna.Study, job: Job, findings: Findings, interrupted: bool, seconds: float
) -> Result:
    """What a study has found; the test split is looked at here and nowhere before."""
    original = baseline(study)
    floor = budget(study, job)
    found = contenders(study, job, floor)
    front = tuple(_point(one, job, original) for one in found)
    front = tuple(sorted(front, key=lambda point: (point.metrics.cost.cycles, point.trial)))
    hits, misses = cache_counts(study)
    reasons = Counter(dropped for record in ended(study) for dropped in record.dropped)
    points = {point.trial: point for point in front}
    best = best_of(found, job)
    return Result(
        study=study,
        job=job,
        front=front,
        baseline=_point(Contender(original, None, True), job, original) if original else None,
        best={name: points[one.record.number] for name, one in best.items()},
        budget=floor,
        shortfall=None if front else shortfall(study, job.target, job.bounds.reserve),
        near=() if front else near_misses(study, job),
        counts=counts(study),
        dropped=dict(reasons),
        findings=findings,
        interrupted=interrupted,
        seconds=seconds,
        cache_hits=hits,
        cache_misses=misses,
    )


def _point(contender: Contender, job: Job, original: TrialRecord | None) -> Point:
    record = contender.record
    recipe, metrics = record.recipe, record.metrics
    assert recipe is not None and metrics is not None, "what was measured has both"
    metrics = tested(metrics, job.score(job.candidate(recipe).model, "test"), job.data)
    return Point(
        trial=record.number,
        recipe=recipe,
        metrics=metrics,
        values=record.values,
        runtimes=record.runtimes,
        within_budget=contender.within_budget,
        seeds=contender.seeds,
        dropped=record.dropped,
        notes=record.notes,
        metric=job.metric,
        agreed=agreed(job, recipe, metrics, original.metrics if original else None),
    )


def near_misses(study: optuna.Study, job: Job) -> tuple[NearMiss, ...]:
    """For each bound the sequence that comes nearest, of those that keep all else if there are."""
    tried = [record for record in ended(study) if record.outcome in ("measured", "infeasible")]
    found = []
    for bound in job.bounds.each:
        near = [one for record in tried if (one := _near_miss(record, bound, job))]
        if near:
            found.append(min(near, key=_distance))
    return tuple(found)


def _near_miss(record: TrialRecord, bound: Bound, job: Job) -> NearMiss | None:
    """What a trial has of a bound; None where that is not known."""
    if record.cost is None or record.recipe is None:
        return None
    score = record.metrics.score_validation if record.metrics else None
    value = bound.value(record.cost, job.target, score)
    if value is None:
        return None
    others = replace(job.bounds, each=tuple(one for one in job.bounds.each if one != bound))
    besides = tuple(others.missed(record.cost, job.target, score))
    return NearMiss(bound, record.number, record.recipe, value, besides)


def _distance(near: NearMiss) -> tuple[bool, float, int, int]:
    """What decides which of two is nearer."""
    excess = max(near.bound.excess(near.value), 0.0)
    return bool(near.besides), excess, len(near.besides), near.trial


def shortfall(study: optuna.Study, target: Target, reserve: Reserve = NOTHING) -> Shortfall | None:
    """The sequence that misses a target by the fewest bytes, beside what is reserved.

    None where one fits, and so misses something else.
    """
    found = []
    for record in ended(study):
        if record.outcome in ("measured", "infeasible") and record.cost and record.recipe:
            taken = reserve.beside(record.cost)
            excess = {name: size for name, size in overshoot(taken, target).items() if size > 0}
            if not excess:
                return None
            found.append(Shortfall(record.number, record.recipe, record.cost, excess))
    return min(
        found, key=lambda entry: (sum(entry.excess_bytes.values()), entry.trial), default=None
    )


def comment_of(saved: SavedRecipe) -> str:
    """The head of generated files: what they were made from, and no time, so that they compare."""
    threshold = threshold_of(saved)
    meaning = saved.task.interface(saved.labels, threshold) if saved.task else ()
    given = (f"inputs: {saved.inputs}",) if saved.inputs else ()
    heard = (f"stream: {saved.stream}",) if saved.stream else ()
    return "\n".join(
        (
            f"code {source_version(generate.__module__)[:8]}",
            f"recipe {saved.recipe.key[:8]}: {saved.recipe}",
            f"target {Path(saved.target).stem}",
            f"model {saved.model_fingerprint}, data {saved.data_fingerprint}, seed {saved.seed}",
            *(NOT_IN_COMMENTS.sub("_", line) for line in (*given, *heard, *meaning)),
        )
    )


def inputs_text(data: Dataset, front: Front | None = None) -> str:
    """What the inputs of a firmware are, in words: how they were stored, scaled and cut.

    And what it makes of them before the network, which is a part of the firmware.
    """
    asked = data.reading.to_dict()
    several = [
        f"input {place} ({port.name}) {'x'.join(map(str, port.shape))} {port.inputs}"
        for place, port in enumerate(data.ports)
    ]
    cut = [f"{name} {asked[name]}" for name in ("resize", "rate", "window", "hop") if name in asked]
    before = [f"then in the firmware {front}"] if front and front.ends else []
    if before and data.task.gives_back:
        before.append("whose features are the last output")
    single = [str(data.inputs)] if data.inputs else []
    return ", ".join([*single, *several, *cut, *before])


def threshold_of(saved: SavedRecipe) -> Threshold:
    """From which output on the answer of a recipe's firmware is yes; None where it has no such."""
    found = saved.figures.get("threshold")
    if isinstance(found, (list, tuple)):
        return tuple(one if isinstance(one, float) else None for one in found)
    return float(found) if isinstance(found, (int, float)) else None
