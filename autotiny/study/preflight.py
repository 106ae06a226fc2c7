"""What is found out about a model before its study starts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Set
from dataclasses import dataclass, replace

from autotiny.components import COMPONENTS, Component, is_lowering, objection
from autotiny.dataset import Dataset
from autotiny.errors import UserError
from autotiny.model import Level, Model, ends_in
from autotiny.recipe import Dropped, Recipe
from autotiny.space import Space
from autotiny.study.job import Job
from autotiny.study.trials import REFUSALS
from autotiny.tasks import Drop, Score

FEW = 30
"""Fewer samples than this decide nothing, whatever the accuracy."""

FEW_KINDS = 3
"""So many kinds of ops are named in a line."""

FINEST = 0.01
"""The standard error that is borne where no loss of score is allowed."""


@dataclass(frozen=True)
class Findings:
    """What a user should know before a search begins.

    Attributes:
        left_out: components of the space that can do nothing on this model, with the reason.
        score_at_chance: of the original on validation, with its unit, if guessing does as well.
        doubts: why scores on these samples say little, in lines.
    """

    left_out: tuple[Dropped, ...] = ()
    score_at_chance: str = ""
    doubts: tuple[str, ...] = ()

    @property
    def notices(self) -> tuple[str, ...]:
        """The same as lines to read."""
        reasons: dict[str, list[str]] = {}
        for dropped in self.left_out:
            reasons.setdefault(dropped.reason, []).append(dropped.component)
        lines = [f"not drawn: {', '.join(names)}: {reason}" for reason, names in reasons.items()]
        lines += self.doubts
        if self.score_at_chance:
            lines.append(
                f"the original has {self.score_at_chance} on validation, which is at chance level: "
                "check that the data is scaled as in training and that its targets stand as the "
                "outputs do"
            )
        return tuple(lines)


def baseline_recipe(job: Job) -> Recipe:
    """The original model, lowered and not changed otherwise."""
    if job.model.level in (Level.KERAS, Level.GRAPH):
        return Recipe((COMPONENTS["float32"](),))
    return Recipe()


def checked(job: Job) -> tuple[Job, Findings]:
    """A job whose space holds only what can do something on its model, and what was left out.

    Takes no more than measuring the original does, which the study finds in the cache.

    Raises:
        UserError: nothing is left of the space.
    """
    try:
        original = job.candidate(baseline_recipe(job)).model
        score = job.score(original, "validation")
    except tuple(REFUSALS):
        return job, Findings()  # the first trial will say why
    kinds = job.evaluator.op_kinds(original)
    left_out = tuple(idle_components(job.space, job.model.start, kinds))
    if job.data.ports or job.data.answers:
        left_out += tuple(
            Dropped(name, "it takes networks of one input and one output")
            for name in job.space.components
            if COMPONENTS[name].one_port and all(name != one.component for one in left_out)
        )
    left_out += tuple(useless_rewrites(replace(job, space=without(job.space, left_out))))
    data, metric = job.data, job.metric
    guessing = data.task.at_chance(score, data.chance)
    truth, found = job.evaluator.answers(original, data, "validation")
    doubts = (
        *data.task.doubts(truth, found, data.labels, ends_in(job.model)),
        *doubts_of(data, score, job.score_drop),
    )
    said = f"{metric.title} {metric.text(score.value)}" if guessing else ""
    findings = Findings(left_out, said, doubts)
    return replace(job, space=without(job.space, left_out)), findings


def doubts_of(data: Dataset, score: Score, drop: Drop) -> Iterable[str]:
    """Why scores on these samples say little: there are too few of them.

    Args:
        data: the samples.
        score: of the original on validation.
        drop: how much of it a best point may lose.
    """
    metric, judged = data.task.scored_by, len(data.y_validation)
    borne = drop.of(score.value) or FINEST
    if data.chance and not metric.percent:
        yield (
            f"the best answer that knows no input has {metric.title} "
            f"{metric.text(data.chance.value)} on validation"
        )
    for split in ("validation", "test"):
        samples = len(data.parts[split][1])
        error = score.error * math.sqrt(judged / samples)
        size = f"{samples} {split} samples" if samples > 1 else f"one {split} sample"
        told = f"the standard error of {metric.title} {metric.text(score.value)} is"
        if samples < FEW:
            yield (
                f"{size} decide{'s' * (samples == 1)} nothing: {told} {metric.text(error)}; give "
                "more samples"
            )
        elif split == "validation" and error > borne:
            yield (
                f"{size} decide little: {told} {metric.text(error)}, more than the "
                f"{metric.text(borne)} that a best point may lose; give more samples or a larger "
                "--score-drop"
            )


def idle_components(space: Space, start: Level, kinds: Set[str]) -> Iterable[Dropped]:
    """The components of a space that can do nothing on a model, with the reason.

    Args:
        space: what may be drawn.
        start: the level of the model.
        kinds: of the ops of the model, lowered as it is.
    """
    listed = [COMPONENTS[name] for name in space.components]
    lowerings = [kind for kind in listed if is_lowering(kind)]
    for kind in listed:
        if not _has_place(kind, start, lowerings):
            takes = " or ".join(kind.levels)
            yield Dropped(kind.name, f"it takes a model of level {takes}, and this is {start}")
        elif kind.treats and not kinds & set(kind.treats):
            few = len(kind.treats) <= FEW_KINDS
            named = " or ".join(kind.treats) if few else "op that it treats"
            yield Dropped(kind.name, f"the model has no {named}")


def useless_rewrites(job: Job) -> Iterable[Dropped]:
    """The rewrites of graphs in a job's space that change no firmware of its model.

    Each is rehearsed before the first lowering of the space, which all others convert alike, and
    behind each of them, and where training prepared for int8. What weights decide is kept.
    """
    bases = [_rehearsed(job, recipe) for recipe in _bases(job)]
    tried = [base for base in bases if base is not None]
    if not tried:
        return
    for name in job.space.components:
        kind = COMPONENTS[name]
        if kind.level not in (Level.GRAPH, Level.TFLITE) or is_lowering(kind):
            continue
        first, lowered = tried[0]
        sequences = [(Recipe((kind(), *first.steps)), lowered)]
        sequences += [(Recipe((*base.steps, kind())), plain) for base, plain in tried]
        if not any(_changes(job, recipe, plain) for recipe, plain in sequences):
            yield Dropped(name, "this model's firmware stays the same, byte for byte")


def _bases(job: Job) -> Iterable[Recipe]:
    """The sequences beside which a rewrite is tried: the shortest ones of the space."""
    if job.model.level is Level.TFLITE:
        yield Recipe()
        return
    lowerings = [name for name in job.space.components if is_lowering(COMPONENTS[name])]
    for name in lowerings:
        yield Recipe((COMPONENTS[name](),))
    if {"int8", "quantize_aware"} <= {*job.space.components}:
        yield Recipe((COMPONENTS["quantize_aware"](), COMPONENTS["int8"]()))


def _rehearsed(job: Job, recipe: Recipe) -> tuple[Recipe, Model] | None:
    """A recipe and what it makes of shapes; None if it cannot be done."""
    try:
        return recipe, job.candidate(recipe, rehearse=True).model
    except tuple(REFUSALS):
        return None


def _changes(job: Job, recipe: Recipe, plain: Model) -> bool:
    """Whether a sequence gives another firmware than the one with a rewrite less."""
    if objection([type(step) for step in recipe.steps], job.model.start) is not None:
        return False
    try:
        found = job.candidate(recipe, rehearse=True)
        if found.dropped:
            return False
        if found.model.fingerprint != plain.fingerprint:
            return job.evaluator.files(found.model) != job.evaluator.files(plain)
    except tuple(REFUSALS):
        return True
    # A rehearsed model is handed on as it is where weights decide.
    return not is_lowering(type(recipe.steps[-1]))


def _has_place(kind: type[Component], start: Level, lowerings: list[type[Component]]) -> bool:
    """Whether a component can stand in a sequence alone, or beside one of the lowerings."""
    others = [other for other in lowerings if other is not kind]
    orders = [[kind], *([kind, other] for other in others), *([other, kind] for other in others)]
    return any(objection(order, start) is None for order in orders)


def without(space: Space, left_out: Iterable[Dropped]) -> Space:
    """A space that draws some components less.

    Raises:
        UserError: nothing is left of it.
    """
    reasons = {dropped.component: dropped.reason for dropped in left_out}
    kept = {name: ranges for name, ranges in space.components.items() if name not in reasons}
    if not kept:
        told = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise UserError(
            f"the search space {space.name!r} holds nothing for this model ({told}); choose "
            "another --space: 'autotiny spaces' lists them"
        )
    return replace(space, components=kept)
