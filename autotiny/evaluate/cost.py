"""What a lowered model costs on a target: linked, executed, and read off."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from autotiny.cache import Cache, key_of, remembered
from autotiny.codeversion import code_version
from autotiny.evaluate.program import program_key, sources_of
from autotiny.metrics import Cost, LayerCost, missing, overshoot
from autotiny.model import Model
from autotiny.simulator import SILENT, Tell, measure
from autotiny.target import Target, target_key


def cost(model: Model, target: Target, cache: Cache, tell: Tell = SILENT) -> Cost:
    """Flash, SRAM, cycles and latency of the linked and executed firmware.

    What does not fit is told, before it is executed or where the figures come from the cache.
    """
    told: list[tuple[str, ...]] = []

    def misfit(misses: tuple[str, ...]) -> None:
        told.append(misses)
        tell.misfit(misses)

    def measured() -> dict[str, Any]:
        return measure(sources_of(model), target, tell=replace(tell, misfit=misfit)).to_dict()

    found = cost_from(remembered(cache, cost_key(model, target), measured))
    lacking = missing(overshoot(found, target))
    if lacking and not told:
        tell.misfit(tuple(lacking))
    return found


def cost_key(model: Model, target: Target) -> str:
    """A digest of all that a cost depends on: the program, the target, and the code from here on.

    This module imports what generates, links and measures, and nothing that knows the data.
    """
    return key_of("cost", program_key(model), target_key(target), code_version(__name__))


def cost_from(facts: dict[str, Any]) -> Cost:
    """The cost that `Cost.to_dict` wrote."""
    layers = tuple(LayerCost(**layer) for layer in facts["layers"])
    return Cost(**{**facts, "layers": layers})
