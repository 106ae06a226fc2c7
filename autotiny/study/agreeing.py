"""How near a point's outputs are to the original's, and the layer where its lowering parts."""

from __future__ import annotations

from dataclasses import dataclass

from autotiny.components import COMPONENTS, is_lowering
from autotiny.errors import AutotinyError
from autotiny.evaluate import Agreement, first_parting, growth_db, told
from autotiny.metrics import Metrics
from autotiny.model import Level
from autotiny.recipe import Recipe
from autotiny.study.job import Job
from autotiny.study.preflight import baseline_recipe

MOST_SAMPLES = 1000
"""Of the test split, the first ones: outputs of so many tell what all would."""

TELLING_DB = 6.0
"""An error that doubles in one layer is told; less than that is what rounding does anywhere."""


@dataclass(frozen=True)
class Agreed:
    """How near a point's outputs are to the original's on the same test samples.

    Attributes:
        outputs: all of them, the original's as float32 firmware.
        samples: on how many.
        parts_at: the layer at which the lowered network parts from what it was lowered from, in a
            sentence; "" where no layer stands out, or none can be compared.
    """

    outputs: Agreement
    samples: int
    parts_at: str


def agreed(job: Job, recipe: Recipe, metrics: Metrics, original: Metrics | None) -> Agreed | None:
    """How near a point is to the original; None where they cannot be compared."""
    x = job.data.x_test[:MOST_SAMPLES]
    thresholds = (original.threshold if original else None, metrics.threshold)
    try:
        before = job.candidate(baseline_recipe(job)).model
        after = job.candidate(recipe).model
        outputs = job.evaluator.agreement(before, after, x, job.cache, job.data.task, thresholds)
    except AutotinyError:  # an original that no firmware holds, or outputs of another shape
        return None
    return Agreed(outputs, len(x), parts_at(job, recipe))


def parts_at(job: Job, recipe: Recipe) -> str:
    """The layer at which a lowering's error grows most, in a sentence; "" where none stands out."""
    steps = recipe.canonical().steps
    place = next((place for place, step in enumerate(steps) if is_lowering(step)), None)
    if place is None or job.model.level not in (Level.KERAS, Level.GRAPH):
        return ""
    plain = Recipe((*steps[:place], COMPONENTS["float32"]()))
    if steps[place].name == "float32":
        return ""
    try:
        reference, lowered = (job.candidate(one).model for one in (plain, recipe))
        found = job.evaluator.parting(reference, lowered, job.data.x_validation, job.cache)
    except AutotinyError:  # what training prepared for int8 has no float32 form
        return ""
    worst = first_parting(found.layers)
    return told(worst) if worst and growth_db(worst) >= TELLING_DB else ""
