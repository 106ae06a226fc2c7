"""All figures of a lowered model together."""

from __future__ import annotations

from autotiny.cache import Cache
from autotiny.dataset import Dataset
from autotiny.evaluate.accuracy import accuracy_on, at_chance
from autotiny.evaluate.cost import cost
from autotiny.metrics import Metrics
from autotiny.model import Model
from autotiny.target import Target


def evaluate(
    model: Model, target: Target, data: Dataset, cache: Cache, *, test: bool = False
) -> Metrics:
    """Cost and accuracy of a lowered model; the test split is looked at for a report only."""
    accuracy = accuracy_on(model, data, "validation", cache)
    return Metrics(
        cost=cost(model, target, cache),
        accuracy_validation=accuracy,
        accuracy_test=accuracy_on(model, data, "test", cache) if test else None,
        at_chance=at_chance(accuracy, data),
    )
